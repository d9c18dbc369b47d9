"""The domains of a run: how they were asked, how they answered, what they wait for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from scraper.core.clock import local_time
from scraper.core.models import Rate
from scraper.query.database import Answer

__all__ = ["domain_in", "domains_named", "hosts_of"]

COLUMNS = ("domain", "sends", "pages", "rate", "smallest_gap", "mean_seconds", "crawl_delay", "state")

# One pass over the sends: a column beside max(id) is that of the newest send.
_HOSTS = """
WITH gaps AS (
    SELECT id, domain, pace, ended - sent AS took, sent - lag(sent) OVER (PARTITION BY domain ORDER BY sent) AS gap
    FROM _sends WHERE run = :run),
per AS (
    SELECT domain, count(*) AS sends, min(gap) AS smallest, avg(took) AS took, max(id) AS newest, pace
    FROM gaps GROUP BY domain)
SELECT d.name, coalesce(per.sends, 0), q.ok, p.gap, d.auto_rate, d.auto_why, round(per.smallest, 3), round(per.took, 3),
    d.crawl_delay, q.parked, q.owner IS NOT NULL, q.ready_at, d.not_before, d.waits_for
FROM _queues q JOIN _domains d ON d.id = q.domain LEFT JOIN per ON per.domain = q.domain
    LEFT JOIN _paces p ON p.id = per.pace
WHERE q.run = :run ORDER BY coalesce(per.sends, 0) DESC, d.name
"""


def hosts_of(conn: sqlite3.Connection, run: int, now: float) -> Answer:
    """The domains of a run, those asked most first, as they are at `now` (unix)."""
    return Answer(COLUMNS, _rows(conn, run, now))


def _rows(conn: sqlite3.Connection, run: int, now: float) -> Iterator[tuple[Any, ...]]:
    for row in conn.execute(_HOSTS, {"run": run}):
        (
            name,
            sends,
            pages,
            gap,
            auto,
            why,
            smallest,
            took,
            crawl_delay,
            parked,
            owned,
            ready_at,
            hold,
            waits,
        ) = row
        rate = _rate(gap, auto, why)
        state = f"parked: {parked}" if parked is not None else _waits(owned, ready_at, hold, waits, now)
        known = ("" if value is None else value for value in (smallest, took, crawl_delay))
        yield name, sends, pages, rate, *known, state


def _rate(gap: float | None, auto: float | None, why: str | None) -> str:
    """The rate of the newest send; of an adaptive one what it is now, and why."""
    if auto is not None:
        return f"auto {Rate(auto)}: {why}"
    if gap is None:
        return ""
    return str(Rate(float(f"{1 / gap:.6g}"))) if gap else "none"


def _waits(owned: int, ready_at: float | None, hold: float, why: str | None, now: float) -> str:
    until = hold if owned else ready_at
    if until is not None and until > now:
        return f"waits until {local_time(until, now)}: {why or 'retries'}"
    if owned:
        return "in use"
    return "queued" if ready_at is not None else ""


def domain_in(conn: sqlite3.Connection, run: int, name: str) -> bool:
    """Whether a run knows a domain."""
    found = conn.execute(
        "SELECT 1 FROM _queues q JOIN _domains d ON d.id = q.domain WHERE q.run = ? AND d.name = ?",
        (run, name),
    )
    return found.fetchone() is not None


def domains_named(conn: sqlite3.Connection, run: int, limit: int = 1000) -> list[str]:
    """Domains of a run, for a suggestion."""
    rows = conn.execute(
        "SELECT d.name FROM _queues q JOIN _domains d ON d.id = q.domain WHERE q.run = ? ORDER BY q.domain LIMIT ?",
        (run, limit),
    )
    return [name for (name,) in rows]
