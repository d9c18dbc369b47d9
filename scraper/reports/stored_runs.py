"""What a database says of its runs before a crawl opens it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from scraper.core.models import Run
from scraper.errors import QueryError, UsageError
from scraper.query import open_readonly
from scraper.store.queue.runs import latest, unfinished

__all__ = ["other_target", "run_to_resume"]


def run_to_resume(path: str, *, finished: bool) -> Run:
    """The newest run with work left, or with `finished` the newest of all.

    Raises QueryError for a file that is not a crawl database, UsageError where there is no such run.
    """
    with closing(open_readonly(path)) as conn:
        try:
            run = latest(conn) if finished else unfinished(conn)
        except sqlite3.OperationalError as error:
            raise QueryError(f"{path} is not a crawl database: {error}") from error
    if run is None:
        again = f"; do what failed again: scraper resume {path} --failed" if _has_failed(path) else ""
        said = "no run is unfinished; start one with: scraper crawl"
        raise UsageError(f"nothing to resume in {path}: {said}{again}")
    return run


def _has_failed(path: str) -> bool:
    """Whether requests of the newest run failed."""
    with closing(open_readonly(path)) as conn:
        run = latest(conn)
        if run is None:
            return False
        found = conn.execute("SELECT 1 FROM _requests WHERE run = ? AND state = 2 LIMIT 1", (run.id,))
        return found.fetchone() is not None


def other_target(path: str, target: str) -> str | None:
    """What some run of a database was begun with instead of `target`; None where none was, or it has no runs."""
    with closing(open_readonly(path)) as conn:
        try:
            row = conn.execute("SELECT target FROM _runs WHERE target <> ? LIMIT 1", (target,)).fetchone()
        except sqlite3.OperationalError:  # not a crawl database: the crawl says so when it opens it
            return None
    return None if row is None else str(row[0])
