"""How far a crawl has come, read from its database: the same numbers for its own display and for other terminals."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scraper.core.models import DomainStatus
from scraper.errors import QueryError
from scraper.store.queue.runs import counters, rows_by_table

__all__ = ["Progress", "progress_of", "sends_per_second", "taken_domains"]

#: Sends looked at for the present pace, at most.
RECENT = 5_000


@dataclass(frozen=True, slots=True)
class Progress:
    """The counters of a run. `ended` counts requests with an outcome, `items` rows by table.

    `state` is that of the run; `started`, and `finished` when it is over, are unix seconds.
    """

    run: int
    spider: str
    state: str
    reason: str | None
    started: float
    finished: float | None
    pages: int
    failed: int
    ended: int
    queued: int
    taken: int
    items: Mapping[str, int]


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
