"""What a running crawl is doing right now, as a display wants to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["CrawlStatus", "DomainStatus", "Upcoming"]


@dataclass(frozen=True, slots=True)
class DomainStatus:
    """A domain this process holds: `in_flight` requests on the wire, `queued` ones in memory.

    `waits` is what keeps its next request back: "rate limit", "Retry-After", … ("" for nothing), `until` (unix
    seconds) when that is over, where it is a matter of time. `note` is a remark on its rate.
    """

    name: str
    in_flight: int
    queued: int
    waits: str = ""
    until: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A domain with queued requests that nobody holds, because it is due only `at` (unix seconds), and why."""

    domain: str
    at: float
    why: str


@dataclass(frozen=True, slots=True)
class CrawlStatus:
    """The busiest domains of a process, how many it holds in all, and where its time went.

    `spent` maps causes ("rate limit", "network", "parsing", "database", …) to seconds since it began.
    """

    domains: Sequence[DomainStatus] = ()
    held: int = 0
    spent: Mapping[str, float] = field(default_factory=dict)
