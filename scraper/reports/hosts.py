"""The domains of a run: how they were asked, how they answered, what they wait for."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from scraper.core.clock import StoredTime
from scraper.core.models import Rate
from scraper.politeness import down_since
from scraper.reports.json_form import AS_TIME
from scraper.store.file.stored_time import read_time

__all__ = ["Host", "domain_in", "domains_named", "hosts_of"]


@dataclass(frozen=True, slots=True)
class Host:
    """A domain in a run. `rate` is that of its newest send as a person writes it, "" where none was stored.

    `smallest_gap` is the shortest time from send to send, `mean_seconds` how long an answer took, `crawl_delay` what
    its robots.txt asks for: seconds, None where not known. `state` is "parked", "down", "waiting" (`until`, unix
    seconds), "in use", "queued", or "" for nothing left; `why` says what it is parked or waiting for. A domain that is
    down has an `until` while some process tries it again.
    """

    domain: str
    sends: int
    pages: int
    rate: str
    smallest_gap: float | None
    mean_seconds: float | None
    crawl_delay: float | None
    state: str
    why: str = ""
    until: float | None = field(default=None, metadata=AS_TIME)


# One pass over the sends: a column beside max(id) is that of the newest send.
_HOSTS = """
WITH gaps AS (
    SELECT id, domain, pace, CASE WHEN kind <> 'connect' THEN ended - sent END AS took,
        sent - lag(sent) OVER (PARTITION BY domain ORDER BY sent) AS gap
    FROM _sends WHERE run = :run),
per AS (
    SELECT domain, count(*) AS sends, min(gap) AS smallest, avg(took) AS took, max(id) AS newest, pace
    FROM gaps GROUP BY domain)
SELECT d.name, coalesce(per.sends, 0), q.ok, round(per.smallest, 3), round(per.took, 3), d.crawl_delay,
    p.gap, d.auto_rate, d.auto_why, q.parked, q.owner IS NOT NULL, q.ready_at, d.not_before, d.waits_for
FROM _queues q JOIN _domains d ON d.id = q.domain LEFT JOIN per ON per.domain = q.domain
    LEFT JOIN _paces p ON p.id = per.pace
WHERE q.run = :run ORDER BY coalesce(per.sends, 0) DESC, d.name
"""


def hosts_of(conn: sqlite3.Connection, run: int, now: float, live: bool = True) -> list[Host]:
    """The domains of a run, those asked most first, as they are at `now` (unix, by the wall clock).

    `live`: some process crawls it. In one that died no domain is in use, although the stored lease says so.
    """
    moment = read_time(conn, now)
    return [_host(row, moment, live) for row in conn.execute(_HOSTS, {"run": run})]


def _host(row: tuple[Any, ...], moment: StoredTime, live: bool) -> Host:
    name, sends, pages, smallest, took, crawl_delay, gap, auto, auto_why, parked, *due = row
    owned, ready_at, hold, waits_for = due
    if parked is not None:
        state: tuple[str, str, float | None] = "parked", parked, None
    elif owned and not live:
        state = ("queued", "", None) if down_since(waits_for or "") is None else ("down", waits_for, None)
    else:
        state = _state(owned, ready_at, hold, waits_for, moment)
    return Host(name, sends, pages, _rate(gap, auto, auto_why), smallest, took, crawl_delay, *state)


def _rate(gap: float | None, auto: float | None, why: str | None) -> str:
    """The rate of the newest send; of an adaptive one what it is now, and why."""
    if auto is not None:
        return f"auto {Rate(auto)}: {why}"
    if gap is None:
        return ""
    return str(Rate(float(f"{1 / gap:.6g}"))) if gap else "none"


def _state(
    owned: int, ready_at: float | None, hold: float, why: str | None, moment: StoredTime
) -> tuple[str, str, float | None]:
    """The state of a domain that is not parked, with why and until when."""
    until = hold if owned else ready_at
    if until is not None and until > moment.now:
        if down_since(why or "") is not None and hold > moment.now:
            return "down", why or "", moment.shown(until)
        over = not owned and 0 < hold <= moment.now  # then its requests wait for their own time
        return "waiting", "retries" if over or not why else why, moment.shown(until)
    if owned:
        return "in use", "", None
    return ("queued" if ready_at is not None else ""), "", None


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
