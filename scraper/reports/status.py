"""How a run is doing, seen from any process: its numbers, who crawls it, what it waits for."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from scraper.reports.json_form import AS_TIME, UNSAID
from scraper.reports.progress import Progress, progress_of, sends_per_second, taken_domains
from scraper.store.file.lock import holder_of
from scraper.store.file.stored_time import read_time
from scraper.store.queue.leases import down_domains, parked_domains, upcoming_domains

__all__ = ["DOMAINS", "Status", "WaitingDomain", "live_progress", "status_of", "waiting_domains"]

#: Domains named.
DOMAINS = 5
#: Before all times that are stored.
NEVER = -1.0


@dataclass(frozen=True, slots=True)
class WaitingDomain:
    """A domain with queued requests that is due only at `until` (unix seconds), and why."""

    domain: str
    until: float = field(metadata=AS_TIME)
    why: str


@dataclass(frozen=True, slots=True)
class Status(Progress):
    """The numbers of a run and what happens to it now.

    `live`: a process crawls it, the `holder`. A run in state running that is not live has died. `domains` maps the
    busiest ones to the requests taken of them; `waiting` are those due soonest, and those that were down when the run
    died; `parked` maps domains to why nothing is sent to them. `seconds` is how long the run took, or
    has taken so far; of one that died, until its last send.
    """

    live: bool
    holder: str | None
    per_second: float
    domains: Mapping[str, int]
    waiting: Sequence[WaitingDomain]
    parked: Mapping[str, str]
    seconds: float = field(metadata=UNSAID)


def status_of(conn: sqlite3.Connection, database: str, run: int, now: float) -> Status:
    """How a run of the file `database` is doing at `now` (unix, by the wall clock).

    Raises QueryError when there is no such run.
    """
    progress = progress_of(conn, run)
    holder = holder_of(database) if progress.state == "running" else None
    ended = progress.finished or (now if holder is not None else _last_heard_of(conn, progress))
    taken = taken_domains(conn, run, DOMAINS)
    return Status(
        **asdict(progress),
        live=holder is not None,
        holder=holder,
        per_second=sends_per_second(conn, run, read_time(conn, now).now),
        domains={domain.name: domain.in_flight for domain in taken} if holder is not None else {},
        waiting=waiting_domains(conn, run, now, live=holder is not None),
        parked=parked_domains(conn, run, DOMAINS),
        seconds=max(0.0, ended - progress.started),
    )


def live_progress(conn: sqlite3.Connection, database: str, run: int) -> Progress | None:
    """The numbers of a run that a process is crawling now; None when it is over."""
    if holder_of(database) is None:
        return None
    progress = progress_of(conn, run)
    return progress if progress.state == "running" else None


def waiting_domains(
    conn: sqlite3.Connection, run: int, now: float, *, live: bool = True
) -> list[WaitingDomain]:
    """The domains that are due soonest; none in a database that an older version wrote without saying why.

    Of a run that no process crawls (`live` false) those are down that were when it died.
    """
    told = conn.execute("SELECT 1 FROM pragma_table_info('_domains') WHERE name = 'waits_for'").fetchone()
    if not told:
        return []
    moment = read_time(conn, now)
    found = [
        *down_domains(conn, run, moment.now if live else NEVER, DOMAINS),
        *upcoming_domains(conn, run, moment.now, DOMAINS),
    ]
    return [WaitingDomain(one.domain, moment.shown(one.at), one.why) for one in found[:DOMAINS]]


def _last_heard_of(conn: sqlite3.Connection, progress: Progress) -> float:
    """When a process that died last sent something."""
    found = conn.execute(
        "SELECT ended FROM _sends WHERE run = ? ORDER BY id DESC LIMIT 1", (progress.run,)
    ).fetchone()
    return float(found[0]) if found else progress.started
