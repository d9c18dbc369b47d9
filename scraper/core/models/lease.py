"""Who may fetch: leases on domains, what is known of them, what is left."""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.core.models.cookie import Cookie
from scraper.core.models.request import QueuedRequest

__all__ = [
    "LONGEST_HOLD",
    "DomainFacts",
    "DomainLease",
    "OriginFacts",
    "Pending",
]


#: Seconds a stored due time may lie ahead, a month: a later one was written by a clock that was wrong, or
#: asked for by a site that wants to be left alone for good.
LONGEST_HOLD = 31 * 86_400.0


@dataclass(frozen=True, slots=True)
class OriginFacts:
    """What is known of an origin's robots.txt: its text (None: none applies), until when, and since when (unix)."""

    origin: str
    robots: str | None
    expires: float
    status: int | None = None
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """Politeness state of a domain that must survive a restart. Times are unix seconds.

    `used_until`: up to when an owner may have sent to it (its last send, or the end of its lease);
    `not_before`: what Retry-After, a backoff or a pause asks for; `away_until`: a Retry-After longer than anybody
    waits for, kept over runs; `parked`: why nothing is sent any more. `due` is when a domain that is given back
    may be claimed again for its rate and hours (not stored as a hold: those may be other ones then). `rate`,
    `ceiling` and `why` are those of the adaptive rate; `waits_for` is the cause of a wait, in words; `pushbacks` and
    `refusals` count how often in a row it said "later", or no. `cookies` come with a
    lease; what changes them is stored with the page that did. So does `answered`: whether pages of it ended well in
    this run or the last complete one.
    """

    used_until: float = 0.0
    not_before: float = 0.0
    crawl_delay: float | None = None
    parked: str | None = None
    origins: tuple[OriginFacts, ...] = ()
    away_until: float = 0.0
    due: float = 0.0
    rate: float | None = None
    ceiling: float | None = None
    why: str = ""
    waits_for: str = ""
    pushbacks: int = 0
    refusals: int = 0
    cookies: tuple[Cookie, ...] = ()
    answered: bool = False


@dataclass(frozen=True, slots=True)
class DomainLease:
    """The right to send to one domain, until `expires` (unix), fenced by `epoch`.

    Every write under the lease names the epoch; once another owner took the domain the epoch is higher and
    the write does nothing. `requests` were claimed together with the domain.
    """

    domain: str
    epoch: int
    owner: str
    expires: float
    facts: DomainFacts = field(default_factory=DomainFacts)
    requests: tuple[QueuedRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """What is left. `queued` counts requests not ended (taken ones included), `taken` those under a lease.

    `next_due` is the unix time at which some domain can be claimed next, None when none ever can (all
    parked, or nothing queued); `spent` says the budget allows no further page.
    """

    queued: int
    taken: int
    next_due: float | None
    seeded: bool
    spent: bool = False
