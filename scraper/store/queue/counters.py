"""The counters of a run: deltas in the transaction that caused them, so that they always match the tables."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

__all__ = ["Counters", "Deltas", "add_counts", "has_items"]

#: What one function of a group counted, by counter name.
Deltas = defaultdict[str, int]


class Counters:
    """Counters of one run.

    Invariant: stored value + what is held here = what the tables say, inside the transaction; `flush`, last in
    it, makes the stored value alone true. Only deltas of work that succeeded are held.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._held: Deltas = defaultdict(int)

    def add(self, deltas: Deltas) -> None:
        """Work has succeeded; what it counted is written with its group."""
        held = self._held
        for name, value in deltas.items():
            held[name] += value

    def flush(self, conn: sqlite3.Connection) -> None:
        """Write what the group counted."""
        if self._held:
            add_counts(conn, self._run, self._held)
            self._held.clear()

    def values(self, conn: sqlite3.Connection, names: Iterable[str]) -> list[int]:
        """The values now, the open transaction included."""
        wanted = list(names)
        marks = ",".join("?" * len(wanted))
        rows = conn.execute(
            f"SELECT name, value FROM _counters WHERE run = ? AND name IN ({marks})",  # noqa: S608 - marks only
            (self._run, *wanted),
        )
        stored = dict(rows.fetchall())
        return [stored.get(name, 0) + self._held.get(name, 0) for name in wanted]


def add_counts(conn: sqlite3.Connection, run: int, counts: Mapping[str, int]) -> None:
    """Add to counters of a run."""
    conn.executemany(
        "INSERT INTO _counters (run, name, value) VALUES (?, ?, ?)"
        " ON CONFLICT (run, name) DO UPDATE SET value = value + excluded.value",
        [(run, name, value) for name, value in counts.items() if value],
    )


def has_items(conn: sqlite3.Connection, run: int, limit: int) -> bool:
    """Whether a run has stored at least `limit` item rows, those it saw again included."""
    row = conn.execute(
        "SELECT sum(value) FROM _counters WHERE run = ? AND name >= 'item.' AND name < 'item/'", (run,)
    ).fetchone()
    return (row[0] or 0) >= limit
