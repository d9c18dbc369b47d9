"""What a visit changes in the queue: how its request ended, what it links to, what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scraper.core.models.cookie import Cookie
from scraper.core.models.limits import Pace
from scraper.core.models.request import QueuedRequest

__all__ = ["Effects", "Outcome", "Send", "SendKind"]

#: `connect` is an attempt to open a connection that no request followed, `probe` a page that is asked for again to see
#: whether its domain answers.
SendKind = Literal["page", "redirect", "robots", "sub", "connect", "probe"]


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP request that left this machine, or an attempt to connect that failed.

    Times are unix seconds; `bytes` the body on the wire.

    `pace` is what was in force for the domain; `hold` until when a Retry-After in the answer asked it to wait.
    """

    kind: SendKind
    domain: str
    url: str
    sent: float
    ended: float
    status: int | None
    bytes: int
    pace: Pace | None = None
    hold: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a visit ended. Build it with the class methods; there are five ways and no other."""

    name: Literal["ok", "retry", "failed", "skipped", "moved"]
    kind: str = ""
    why: str = ""
    status: int | None = None
    at: float = 0.0
    to: QueuedRequest | None = None

    @classmethod
    def ok(cls, status: int) -> Outcome:
        return cls("ok", status=status)

    @classmethod
    def retry(cls, at: float, kind: str, why: str, status: int | None = None) -> Outcome:
        """Queued again, not before `at` (unix seconds)."""
        return cls("retry", kind, why, status, at)

    @classmethod
    def failed(cls, kind: str, why: str, status: int | None = None) -> Outcome:
        return cls("failed", kind, why, status)

    @classmethod
    def skipped(cls, kind: str, why: str, status: int | None = None) -> Outcome:
        return cls("skipped", kind, why, status)

    @classmethod
    def moved(cls, to: QueuedRequest, status: int | None = None) -> Outcome:
        """A redirect to another domain: `to` is queued in the same transaction."""
        return cls("moved", "redirect", to.url, status, to=to)


@dataclass(frozen=True, slots=True)
class Effects:
    """What one visit changes in the queue. It belongs to the frontier, which applies it when the visit completes.

    `request` carries the number of attempts as it is now. `counts` are added to the counters of the run: how
    requests ended, and which links were left out.
    """

    request: QueuedRequest
    outcome: Outcome
    links: Sequence[QueuedRequest] = ()
    sends: Sequence[Send] = ()
    cookies: Sequence[Cookie] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
