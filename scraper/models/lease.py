"""Who may fetch: leases on domains, what is known of them, what is left."""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.models.request import QueuedRequest

__all__ = [
    "DomainFacts",
    "DomainLease",
    "OriginFacts",
    "Pending",
]


@dataclass(frozen=True, slots=True)
class OriginFacts:
    """What is known of an origin's robots.txt: its text (None: none applies), and until when (unix)."""

    origin: str
    robots: str | None
    expires: float
    status: int | None = None


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """Politeness state of a domain that must survive a restart. Times are unix seconds.

    `used_until`: up to when an owner may have sent to it (its last send, or the end of its lease);
    `not_before`: what Retry-After or backoff asked for; `parked`: why nothing is sent any more.
    """

    used_until: float = 0.0
    not_before: float = 0.0
    crawl_delay: float | None = None
    parked: str | None = None
    origins: tuple[OriginFacts, ...] = ()


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
