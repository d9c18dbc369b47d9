"""Questions about crawls themselves: runs, what went wrong, hosts, and why a URL was or was not fetched."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.errors import QueryError
from scraper.query.database import Answer
from scraper.urls import normalize

__all__ = ["Trail", "latest_run", "runs_of", "trail_of"]


def latest_run(conn: sqlite3.Connection, run: int | None = None) -> int:
    """The number of the run meant: `run`, or the newest. Raises QueryError when there is none."""
    try:
        row = conn.execute("SELECT max(id) FROM _runs WHERE ? IS NULL OR id = ?", (run, run)).fetchone()
    except sqlite3.OperationalError as error:
        raise QueryError(f"not a crawl database: {error}") from error
    if row[0] is None:
        raise QueryError(f"no run {run}" if run is not None else "no run yet")
    return int(row[0])


def runs_of(conn: sqlite3.Connection) -> Answer:
    """All runs, newest first, with their numbers."""
    latest_run(conn)
    cursor = conn.execute(
        "SELECT r.id, r.spider, r.state, coalesce(r.reason, '') AS reason, datetime(r.started, 'unixepoch') AS started,"
        " round(coalesce(r.ended, (SELECT max(ended) FROM _sends WHERE run = r.id)) - r.started, 1) AS seconds,"
        " (SELECT value FROM _counters WHERE run = r.id AND name = 'pages') AS pages,"
        " (SELECT value FROM _counters WHERE run = r.id AND name = 'items') AS items,"
        " (SELECT value FROM _counters WHERE run = r.id AND name = 'failed') AS failed,"
        " (SELECT value FROM _counters WHERE run = r.id AND name = 'queued') AS queued"
        " FROM _runs r ORDER BY r.id DESC"
    )
    return Answer([column[0] for column in cursor.description], cursor)


@dataclass(frozen=True, slots=True)
class Trail:
    """Everything a run knows of one URL."""

    url: str
    state: str
    reason: str
    found_on: str
    depth: int
    callback: str
    attempts: int
    sends: Sequence[tuple[str, str, float, int | None]]


_STATES = ("queued", "done", "failed", "skipped")


def trail_of(conn: sqlite3.Connection, run: int, url: str) -> Trail | None:
    """What became of a URL in a run: its request and each send; None when the run never queued it."""
    try:
        wanted = normalize(url)
    except ValueError as error:
        raise QueryError(f"{url!r} is not a URL") from error
    row = conn.execute(
        "SELECT r.id, r.url, r.state, coalesce(r.kind || ': ', '') || coalesce(r.why, ''), coalesce(p.url, ''), r.depth,"
        " r.callback, r.attempts FROM _requests r LEFT JOIN _requests p ON p.id = r.parent"
        " WHERE r.run = ? AND r.url = ? ORDER BY r.id LIMIT 1",
        (run, wanted),
    ).fetchone()
    if row is None:
        return None
    id_, found, state, reason, parent, depth, callback, attempts = row
    sends = conn.execute(
        "SELECT kind, coalesce(url, ?), sent, status FROM _sends WHERE request = ? ORDER BY id", (found, id_)
    ).fetchall()
    return Trail(found, _STATES[state], reason, parent, depth, callback, attempts, sends)
