"""The runs of a database: which one is meant, and what each of them came to."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from scraper.errors import QueryError
from scraper.reports.json_form import AS_TIME
from scraper.store.queue.runs import Run, run_of

__all__ = ["Run", "RunNumbers", "chosen_run", "latest_run", "runs_of"]


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """A run and its counters. `started` is unix seconds; `seconds` how long it took, None while nothing was sent."""

    id: int
    spider: str
    state: str
    reason: str
    started: float = field(metadata=AS_TIME)
    seconds: float | None
    pages: int
    items: int
    failed: int
    queued: int


_RUNS = """
SELECT r.id, r.spider, r.state, coalesce(r.reason, ''), r.started,
    max(0.0, round(coalesce(r.ended, (SELECT max(ended) FROM _sends WHERE run = r.id)) - r.started, 1)),
    coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'pages'), 0),
    coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'items'), 0),
    coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'failed'), 0),
    coalesce((SELECT value FROM _counters WHERE run = r.id AND name = 'queued'), 0)
FROM _runs r ORDER BY r.id DESC
"""


def latest_run(conn: sqlite3.Connection, run: int | None = None) -> int:
    """The number of the run meant: `run`, or the newest. Raises QueryError when there is none."""
    try:
        row = conn.execute("SELECT max(id) FROM _runs WHERE ? IS NULL OR id = ?", (run, run)).fetchone()
    except sqlite3.OperationalError as error:
        raise QueryError(f"not a crawl database: {error}") from error
    if row[0] is None:
        raise QueryError(f"no run {run}" if run is not None else "no run yet")
    return int(row[0])


def chosen_run(conn: sqlite3.Connection, number: int | None = None) -> Run:
    """The run meant: the one of that number, or the newest. Raises QueryError when there is none."""
    return run_of(conn, latest_run(conn, number))


def runs_of(conn: sqlite3.Connection) -> list[RunNumbers]:
    """All runs, newest first. Raises QueryError when there is none."""
    latest_run(conn)
    return [RunNumbers(*row) for row in conn.execute(_RUNS)]
