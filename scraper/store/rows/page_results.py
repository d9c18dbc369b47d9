"""What a visit found on its page, written: items, rejections, the error, what its selectors found."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from scraper.core.clock import iso
from scraper.core.models import ErrorRecord, PageResult, Rejected
from scraper.store.rows.fill import Fill
from scraper.store.rows.selectors import SelectorCounts
from scraper.store.rows.tables import ItemTables, Provenance
from scraper.store.rows.visits import Visits

__all__ = ["PageResults"]

#: Failed pages kept of one place in the author's code.
MAX_FAILED_PAGES = 5


class PageResults:
    """Writes the page results of one run. Called inside the writer's transaction, in the savepoint of the page.

    `flush_some` must run before every COMMIT. Writing a result twice counts it twice: the caller sees to it that
    it is written once, by the state of its request or by a position in a journal.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._tables = ItemTables()
        self._selectors = SelectorCounts(run)
        self._fill = Fill(run)
        self._visits = Visits(run)
        self._second = -1
        self._at = ""

    def forget(self) -> None:
        """After a rollback: what was thought to exist may not."""
        self._tables.forget()
        self._visits.forget()

    def take_notes(self) -> Sequence[str]:
        """How tables were altered since the last call, in sentences."""
        if not self._tables.notes:
            return ()
        notes = tuple(self._tables.notes)
        self._tables.notes.clear()
        return notes

    def flush_some(self, conn: sqlite3.Connection) -> None:
        """Write what was counted: of columns all of it, of selectors what has waited long enough."""
        self._selectors.flush_some(conn)
        self._fill.flush(conn)

    def flush(self, conn: sqlite3.Connection) -> None:
        """Write all that was counted."""
        self._selectors.flush(conn)
        self._fill.flush(conn)

    def apply(
        self,
        conn: sqlite3.Connection,
        deltas: defaultdict[str, int],
        domain: int,
        result: PageResult,
        at: float,
    ) -> None:
        """Write all of `result`. `domain` is the id of its domain here, `at` when the visit ended (unix seconds).

        Raises TableError for a table that does not fit its item class.
        """
        self._write_items(conn, deltas, result, at)
        if result.earlier is not None:
            for name, count in self._visits.keep(conn, result, result.earlier, at).items():
                deltas[f"item.{name}"] += count
        elif result.visit is not None:
            self._visits.remember(conn, result, result.visit, at)
        if result.error is not None:
            self._write_error(conn, result, result.error, at)
        for name, value in result.counts.items():
            deltas[name] += value
        # Held in memory: the last things of the savepoint, as no rollback takes them back.
        if result.hits:
            self._selectors.add(domain, result)
        if result.items:
            self._fill.add(result.items, result.url)

    def _write_items(
        self, conn: sqlite3.Connection, deltas: defaultdict[str, int], result: PageResult, at: float
    ) -> None:
        refused: Sequence[Rejected] = ()
        if result.items:
            origin = Provenance(result.url, self._run, self._iso(at), result.request, result.fingerprint)
            stored, refused, conflicts = self._tables.write(conn, result.items, origin)
            deltas["items"] += len(result.items) - len(refused)
            for name, value in stored.items():
                deltas[f"item.{name}"] += value
            for name, value in conflicts.items():
                deltas[f"conflict.{name}"] += value
        if rejected := [*result.rejected, *refused]:
            deltas["rejected"] += len(rejected)
            conn.executemany(
                'INSERT INTO _rejected (run, request, "table", reason, item, place) VALUES (?, ?, ?, ?, ?, ?)',
                [(self._run, result.request, r.table, r.reason, r.item, r.place) for r in rejected],
            )

    def _iso(self, at: float) -> str:
        """The time as items carry it; many pages share a second."""
        if int(at) != self._second:
            self._second, self._at = int(at), iso(at)
        return self._at

    def _write_error(
        self, conn: sqlite3.Connection, result: PageResult, error: ErrorRecord, at: float
    ) -> None:
        conn.execute(
            "INSERT INTO _errors (run, request, kind, message, place, detail, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._run, result.request, error.kind, error.message, error.place, error.detail, at),
        )
        if (page := result.failed_page) is not None:
            headers = json.dumps(page.headers)
            conn.execute(
                "INSERT OR REPLACE INTO _pages (request, run, url, status, headers, body, place)"
                " SELECT ?, ?, ?, ?, ?, ?, ?"
                " WHERE (SELECT count(*) FROM _pages WHERE run = ? AND place = ? AND request <> ?) < ?",
                (
                    result.request, self._run, page.url, page.status, headers, page.body, error.place,
                    self._run, error.place, result.request, MAX_FAILED_PAGES,
                ),
            )  # fmt: skip
