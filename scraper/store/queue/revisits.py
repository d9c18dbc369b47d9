"""What `revisit` needs to know of earlier runs: when they visited a page, its validators, and what it links to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from scraper.core.models import Known, QueuedRequest
from scraper.store.queue.requests import decode_options
from scraper.store.rows.visits import series_prefix

__all__ = ["EarlierVisits"]

#: Links looked up in one statement.
STEP = 500
_LINK = (
    "SELECT r.url, r.fingerprint, r.callback, r.priority, r.options, d.name FROM _requests r JOIN _domains d"
)
_KNOWN = """
SELECT v.request, v.run, v.visited, v.etag, v.modified FROM _visits v
WHERE v.key = ? AND v.run BETWEEN ? AND ? AND EXISTS (SELECT 1 FROM _requests WHERE id = v.request)
"""


class EarlierVisits:
    """What one run knows of the visits of earlier runs of its series. Functions on the writer's connection.

    A visit counts only if the last complete run of the series saw the page: where that one did not, its rows
    were called gone, and it is fetched anew.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._series: bytes | None = None
        self._since = 0
        self._any = False

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

    def rename(self, conn: sqlite3.Connection, request: QueuedRequest) -> None:
        """A visit that an earlier run knows by the former fingerprint of a request is known by the new one."""
        prefix = self._prefix(conn)
        if self._any:
            names = (prefix + request.fingerprint, prefix + request.former)
            conn.execute("UPDATE OR IGNORE _visits SET key = ? WHERE key = ?", names)

    def links(self, conn: sqlite3.Connection, request: QueuedRequest) -> list[QueuedRequest]:
        """What the page of `request.known` links to, as requests that `request` leads to."""
        known = request.known
        assert known is not None
        key = self._prefix(conn) + request.fingerprint
        (fingerprints,) = conn.execute("SELECT links FROM _visits WHERE key = ?", (key,)).fetchone()
        wanted = [fingerprints[i : i + 16] for i in range(0, len(fingerprints), 16)]
        found: list[QueuedRequest] = []
        for start in range(0, len(wanted), STEP):
            part = wanted[start : start + STEP]
            rows = conn.execute(
                f"{_LINK} ON d.id = r.domain WHERE r.run = ? AND r.fingerprint IN ({', '.join('?' * len(part))})"
                " ORDER BY r.id",
                (known.run, *part),
            )
            found += [_link(row, request) for row in rows.fetchall()]
        return found

    def _prefix(self, conn: sqlite3.Connection) -> bytes:
        """What keys of this series begin with; looked up once, with what else is known of it."""
        if self._series is None:
            (series,) = conn.execute("SELECT series FROM _runs WHERE id = ?", (self._run,)).fetchone()
            self._series = series_prefix(series)
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
