"""Pages that a later run may be spared (`revisit`), and pages this run was spared: their rows count as seen."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter

from scraper.core.models import EarlierVisit, PageResult, VisitRecord
from scraper.core.sql_names import quoted
from scraper.store.rows.history import item_tables

__all__ = ["Visits", "series_prefix"]


def series_prefix(series: str) -> bytes:
    """What the keys of a series in `_visits` begin with; the fingerprint of a request follows."""
    return hashlib.blake2b(series.encode(), digest_size=8).digest()


class Visits:
    """The visits of one run, written within the writer's transaction."""

    def __init__(self, run: int) -> None:
        self._run = run
        self._prefix: bytes | None = None
        self._tables: list[str] | None = None
        self._indexed: set[str] = set()

    def forget(self) -> None:
        """After a rollback: an index that was made in it is gone."""
        self._indexed.clear()
        self._tables = None

    def remember(self, conn: sqlite3.Connection, result: PageResult, visit: VisitRecord, at: float) -> None:
        """A page was fetched that a later run may be spared."""
        for name in {row.table.name for row in result.items} - self._indexed:
            self._index(conn, name)
        conn.execute(
            "INSERT OR REPLACE INTO _visits (key, request, run, visited, etag, modified, links)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._key(conn, result), result.request, self._run, at, visit.etag, visit.modified, visit.links),
        )

    def keep(
        self, conn: sqlite3.Connection, result: PageResult, earlier: EarlierVisit, at: float
    ) -> Counter[str]:
        """A page was not fetched again, or is unchanged: its rows count as seen by this run.

        Returns how many rows were kept, by `table.kept`.
        """
        kept = self._keep_rows(conn, earlier.request, result.request)
        conn.execute(
            "UPDATE _visits SET request = ?, run = ?, visited = ?, links = coalesce(?, links) WHERE key = ?",
            (
                result.request, self._run, at if earlier.visited is None else earlier.visited, earlier.links,
                self._key(conn, result),
            ),
        )  # fmt: skip
        return kept

    def _keep_rows(self, conn: sqlite3.Connection, before: int, now: int) -> Counter[str]:
        """Give the rows of one request to the request that stands for it now."""
        if self._tables is None:
            self._tables = item_tables(conn)
        kept: Counter[str] = Counter()
        for name in self._tables:
            if name not in self._indexed:
                self._index(conn, name)
            count = conn.execute(
                f"UPDATE {quoted(name)} SET _run = ?, _request = ? WHERE _request = ?",  # noqa: S608 - quoted
                (self._run, now, before),
            ).rowcount
            if count:
                kept[f"{name}.kept"] = count
        return kept

    def _index(self, conn: sqlite3.Connection, name: str) -> None:
        """Rows are found by their request; only databases that are crawled with `revisit` pay for it."""
        index = quoted(f"_request_of_{name}")
        conn.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {quoted(name)} (_request)")
        self._indexed.add(name)

    def _key(self, conn: sqlite3.Connection, result: PageResult) -> bytes:
        if self._prefix is None:
            (series,) = conn.execute("SELECT series FROM _runs WHERE id = ?", (self._run,)).fetchone()
            self._prefix = series_prefix(series)
        return self._prefix + result.fingerprint
