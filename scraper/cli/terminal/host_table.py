"""The domains of a run as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from scraper.cli.terminal.formatting import with_local_times
from scraper.core.clock import local_time
from scraper.query import QueryResult
from scraper.reports.hosts import Host

__all__ = ["host_table"]

COLUMNS = ("domain", "sends", "pages", "rate", "smallest_gap", "mean_seconds", "crawl_delay", "state")


def host_table(hosts: Sequence[Host], now: float) -> QueryResult:
    """One row for each domain; what is not known is empty. `now` is unix seconds."""
    return QueryResult(COLUMNS, _rows(hosts, now))


def _rows(hosts: Sequence[Host], now: float) -> Iterator[tuple[Any, ...]]:
    for host in hosts:
        measured = (host.smallest_gap, host.mean_seconds, host.crawl_delay)
        known = ("" if value is None else value for value in measured)
        yield host.domain, host.sends, host.pages, host.rate, *known, _state(host, now)


def _state(host: Host, now: float) -> str:
    if host.state == "parked":
        return f"parked: {with_local_times(host.why, now)}"
    if host.state == "down":
        why = with_local_times(host.why, now)
        return why if host.until is None else f"{why}; tried again at {local_time(host.until, now)}"
    if host.until is not None:
        return f"waits until {local_time(host.until, now)}: {host.why}"
    return host.state
