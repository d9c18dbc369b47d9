"""Questions about crawls themselves: runs, what went wrong, hosts, and why a URL was or was not fetched."""

from __future__ import annotations

import sqlite3

from scraper.errors import QueryError
from scraper.query.database import Answer

__all__ = ["latest_run", "runs_of"]


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
        " coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'pages'), 0) AS pages,"
        " coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'items'), 0) AS items,"
        " coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'failed'), 0) AS failed,"
        " coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'queued'), 0) AS queued"
        " FROM _runs r ORDER BY r.id DESC"
    )
    return Answer([column[0] for column in cursor.description], cursor)
