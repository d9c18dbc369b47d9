"""How far a crawl has come, read from its database: the same numbers for its own display and for other terminals."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scraper.core.models import DomainStatus
from scraper.errors import QueryError
from scraper.reports.json_form import AS_TIME
from scraper.store.queue.runs import counters, rows_by_table

__all__ = ["Pace", "Progress", "progress_of", "sends_per_second", "taken_domains"]

#: Sends looked at for the present pace, at most.
RECENT = 5_000
#: Seconds the pace is averaged over, and half of which have to pass before it says how long the rest will take.
WINDOW = 15.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The counters of a run. `ended` counts requests with an outcome, `items` rows by table.

    `state` is that of the run; `started`, and `finished` when it is over, are unix seconds.
    """

    run: int
    spider: str
    state: str
    reason: str | None
    started: float = field(metadata=AS_TIME)
    finished: float | None = field(metadata=AS_TIME)
    pages: int
    failed: int
    ended: int
    queued: int
    taken: int
    items: Mapping[str, int]


class _Point(NamedTuple):
    """The numbers at a moment (loop time)."""

    at: float
    ended: int
    queued: int
    spent: Mapping[str, float]


class Pace:
    """How fast a crawl goes, from its numbers at several moments. Invariant: what is kept spans `WINDOW` seconds."""

    def __init__(self) -> None:
        self._points: deque[_Point] = deque()

    def update(self, now: float, progress: Progress, spent: Mapping[str, float]) -> None:
        """The numbers as they are `now` (loop time); `spent` maps causes to seconds since the crawl began."""
        self._points.append(_Point(now, progress.ended, progress.queued, spent))
        while now - self._points[0].at > WINDOW and len(self._points) > 2:
            self._points.popleft()

    def per_second(self) -> float:
        """Requests ended a second, over the last seconds."""
        if len(self._points) < 2:
            return 0.0
        first, last = self._points[0], self._points[-1]
        return (last.ended - first.ended) / (last.at - first.at) if last.at > first.at else 0.0

    def seconds_left(self, progress: Progress, max_pages: int | None) -> float | None:
        """Seconds to go, while the queue shrinks or a number of pages is set; None while that cannot be known."""
        pace = self.per_second()
        if pace <= 0 or self._points[-1].at - self._points[0].at < WINDOW / 2:
            return None
        shrinks = self._points[-1].queued < self._points[0].queued
        guesses = [progress.queued / pace] if shrinks else []
        if max_pages is not None:
            guesses.append(max(0, max_pages - progress.pages) / pace)
        return min(guesses, default=None)

    def largest_share(self) -> tuple[str, float] | None:
        """What took most of the last seconds, with its share of them; None before there are any."""
        if len(self._points) < 2:
            return None
        before, now = self._points[0].spent, self._points[-1].spent
        spent = {cause: seconds - before.get(cause, 0.0) for cause, seconds in now.items()}
        if not (total := sum(spent.values())):
            return None
        cause = max(spent, key=lambda name: spent[name])
        return cause, spent[cause] / total


def progress_of(conn: sqlite3.Connection, run: int) -> Progress:
    """The numbers of a run now. Raises QueryError when there is no such run."""
    found = conn.execute(
        "SELECT id, spider, state, reason, started, ended FROM _runs WHERE id = ?", (run,)
    ).fetchone()
    if found is None:
        raise QueryError(f"no run {run}")
    counted = counters(conn, run)
    pages, failed = counted.get("pages", 0), counted.get("failed", 0)
    items = {table: sum(what.values()) for table, what in rows_by_table(counted).items()}
    ended = pages + failed + counted.get("skipped", 0) + counted.get("moved", 0)
    id_, spider, state, reason, started, finished = found
    return Progress(
        id_, spider, state, reason, started, finished, pages, failed, ended,
        counted.get("queued", 0), counted.get("taken", 0), items,
    )  # fmt: skip


def sends_per_second(conn: sqlite3.Connection, run: int, now: float, window: float = 10.0) -> float:
    """The pace of the last seconds, from the sends that are stored."""
    count = conn.execute(
        "SELECT count(*) FROM (SELECT run, sent FROM _sends ORDER BY id DESC LIMIT ?) WHERE run = ? AND sent > ?",
        (RECENT, run, now - window),
    ).fetchone()[0]
    return float(count) / window


def taken_domains(conn: sqlite3.Connection, run: int, limit: int) -> Sequence[DomainStatus]:
    """Domains that some process holds, those with most requests taken first."""
    rows = conn.execute(
        "SELECT d.name, q.taken FROM _queues q JOIN _domains d ON d.id = q.domain"
        " WHERE q.run = ? AND q.owner IS NOT NULL ORDER BY q.taken DESC, d.name LIMIT ?",
        (run, limit),
    ).fetchall()
    return [DomainStatus(name, taken, 0) for name, taken in rows]
