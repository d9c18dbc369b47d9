"""What `revisit` needs to know of pages across runs: when they were fetched, their validators, what they link to.

A page that is not fetched again counts as seen: its rows pass to the request that stands for it in this run, and
what it linked to is queued again, all in the transaction that ends this request.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from scraper.core.models import Done, Known, QueuedRequest
from scraper.core.sql_names import quoted
from scraper.store.queue.counters import Deltas
from scraper.store.queue.requests import decode_options
from scraper.store.rows.history import item_tables

__all__ = ["Visits"]

#: Links looked up in one statement.
STEP = 500
_LINK = (
    "SELECT r.url, r.fingerprint, r.callback, r.priority, r.options, d.name FROM _requests r JOIN _domains d"
)
_KNOWN = """
SELECT v.request, v.run, v.visited, v.etag, v.modified FROM _visits v
WHERE v.key = ? AND v.run BETWEEN ? AND ? AND EXISTS (SELECT 1 FROM _requests WHERE id = v.request)
"""


class Visits:
    """The visits that one run finds and makes; within the writer's transaction.

    A visit counts only if the last complete run of the series saw the page: where that one did not, its rows
    were called gone, and it is fetched anew.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._series: bytes | None = None
        self._since = 0
        self._any = False
        self._tables: list[str] | None = None
        self._indexed: set[str] = set()

    def forget(self) -> None:
        """After a rollback: an index that was made in it is gone."""
        self._indexed.clear()
        self._tables = None

    def known(self, conn: sqlite3.Connection, requests: list[QueuedRequest]) -> list[QueuedRequest]:
        """The requests with what an earlier run knows of them; without any work where none can."""
        prefix = self._prefix(conn)
        if not self._any:
            return requests
        made = []
        for request in requests:
            key = prefix + request.fingerprint
            row = conn.execute(_KNOWN, (key, self._since, self._run - 1)).fetchone()
            made.append(request if row is None else replace(request, known=Known(*row)))
        return made

    def remember(self, conn: sqlite3.Connection, done: Done, now: float) -> None:
        """A page was fetched that a later run may be spared."""
        assert done.validators is not None
        for name in {row.table.name for row in done.items} - self._indexed:
            self._index(conn, name)
        links = b"".join(link.fingerprint for link in done.links)
        etag, modified = done.validators
        key = self._prefix(conn) + done.request.fingerprint
        conn.execute(
            "INSERT OR REPLACE INTO _visits (key, request, run, visited, etag, modified, links)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, done.request.id, self._run, now, etag, modified, links),
        )

    def keep(
        self, conn: sqlite3.Connection, deltas: Deltas, done: Done, now: float
    ) -> tuple[list[QueuedRequest], Counter[str]]:
        """A page was not fetched again, or is unchanged: its rows count as seen by this run.

        Returns what it links to, and how many rows of which table were kept.
        """
        kept, request = done.kept, done.request
        assert kept is not None
        stored = self._touch(conn, kept.known.request, request.id)
        for name, count in stored.items():
            deltas[f"item.{name}"] += count
        key = self._prefix(conn) + request.fingerprint
        (links,) = conn.execute("SELECT links FROM _visits WHERE key = ?", (key,)).fetchone()
        conn.execute(
            "UPDATE _visits SET request = ?, run = ?, visited = ? WHERE key = ?",
            (request.id, self._run, now if kept.asked else kept.known.visited, key),
        )
        return (self._links(conn, kept.known.run, links, request) if kept.deeper else []), stored

    def _touch(self, conn: sqlite3.Connection, before: int, now: int) -> Counter[str]:
        """Give the rows of one request to the request that stands for it now."""
        if self._tables is None:
            self._tables = item_tables(conn)
        stored: Counter[str] = Counter()
        for name in self._tables:
            if name not in self._indexed:
                self._index(conn, name)
            count = conn.execute(
                f"UPDATE {quoted(name)} SET _run = ?, _request = ? WHERE _request = ?",  # noqa: S608 - quoted
                (self._run, now, before),
            ).rowcount
            if count:
                stored[f"{name}.kept"] = count
        return stored

    def _index(self, conn: sqlite3.Connection, name: str) -> None:
        """Rows are found by their request; only databases that are crawled with `revisit` pay for it."""
        index = quoted(f"_request_of_{name}")
        conn.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {quoted(name)} (_request)")
        self._indexed.add(name)

    def _links(
        self, conn: sqlite3.Connection, run: int, fingerprints: bytes, parent: QueuedRequest
    ) -> list[QueuedRequest]:
        wanted = [fingerprints[i : i + 16] for i in range(0, len(fingerprints), 16)]
        found: list[QueuedRequest] = []
        for start in range(0, len(wanted), STEP):
            part = wanted[start : start + STEP]
            rows = conn.execute(
                f"{_LINK} ON d.id = r.domain WHERE r.run = ? AND r.fingerprint IN ({', '.join('?' * len(part))})"
                " ORDER BY r.id",
                (run, *part),
            )
            found += [_link(row, parent) for row in rows.fetchall()]
        return found

    def _prefix(self, conn: sqlite3.Connection) -> bytes:
        """What keys of this series begin with; looked up once, with what else is known of it."""
        if self._series is None:
            (series,) = conn.execute("SELECT series FROM _runs WHERE id = ?", (self._run,)).fetchone()
            self._series = hashlib.blake2b(series.encode(), digest_size=8).digest()
            self._since = conn.execute(
                "SELECT coalesce(max(id), 0) FROM _runs WHERE series = ? AND state = 'complete' AND id < ?",
                (series, self._run),
            ).fetchone()[0]
            ends = (self._series, self._series + b"\xff" * 17)
            row = conn.execute("SELECT 1 FROM _visits WHERE key BETWEEN ? AND ? LIMIT 1", ends).fetchone()
            self._any = row is not None
        return self._series


def _link(row: Sequence[object], parent: QueuedRequest) -> QueuedRequest:
    url, fingerprint, callback, priority, options, domain = row
    assert isinstance(url, str)
    assert isinstance(fingerprint, bytes)
    assert isinstance(callback, str)
    assert isinstance(priority, int)
    assert options is None or isinstance(options, str)
    assert isinstance(domain, str)
    return QueuedRequest(
        url, fingerprint, domain, decode_options(callback, priority, options, None),
        depth=parent.depth + 1, parent=parent.id, seed=parent.seed,
    )  # fmt: skip
