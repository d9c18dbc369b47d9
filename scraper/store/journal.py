"""Page results that come from a journal, written to the tables of a database: each once, whatever happens."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from scraper.core.journal import decode
from scraper.store.file.writer import Writer
from scraper.store.queue.counters import Counters, Deltas
from scraper.store.rows.page_results import PageResults

__all__ = ["JournalWriter"]

_TABLE = """
CREATE TABLE IF NOT EXISTS _journal ( -- how far a journal of page results is applied to this database
    source TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID
"""
_MOVE = """
INSERT INTO _journal (source, position) VALUES (?, ?)
ON CONFLICT (source) DO UPDATE SET position = excluded.position WHERE position < excluded.position
"""


@dataclass(slots=True)
class _Run:
    """What writes the results of one run, and its counters."""

    pages: PageResults
    counters: Counters


class JournalWriter:
    """Applies one journal to a database.

    Invariant: the position is stored in the transaction of the entry it belongs to. An entry that is applied again,
    after a crash for instance, is recognized by its position and left out. `source` names the journal.
    """

    def __init__(self, writer: Writer, source: str) -> None:
        self._writer = writer
        self._source = source
        self._runs: dict[int, _Run] = {}

    async def apply(self, position: int, data: bytes) -> bool:
        """Write the entry at `position`; False when it was applied before. Positions grow along the journal.

        Raises StoreError for bytes that are not an entry, and TableError for a table that does not fit its item class.
        """
        entry = decode(data)
        run = self._run(entry.run)

        def work(conn: sqlite3.Connection) -> bool:
            conn.execute(_TABLE)
            if not conn.execute(_MOVE, (self._source, position)).rowcount:
                return False
            deltas: Deltas = defaultdict(int)
            try:
                domain = _domain_id(conn, entry.result.domain)
                run.pages.apply(conn, deltas, domain, entry.result, entry.at)
            except BaseException:
                run.pages.forget()
                raise
            run.counters.add(deltas)
            return True

        return await self._writer.submit(work)

    async def flush(self) -> None:
        """Write what is counted of selectors and not written yet: the next reader of the runs sees all of it."""
        for run in self._runs.values():
            await self._writer.submit(run.pages.flush)

    def _run(self, number: int) -> _Run:
        if number not in self._runs:
            run = self._runs[number] = _Run(PageResults(number), Counters(number))
            self._writer.before_commit += [run.counters.flush, run.pages.flush_some]
        return self._runs[number]


def _domain_id(conn: sqlite3.Connection, name: str) -> int:
    conn.execute("INSERT OR IGNORE INTO _domains (name) VALUES (?)", (name,))
    return int(conn.execute("SELECT id FROM _domains WHERE name = ?", (name,)).fetchone()[0])
