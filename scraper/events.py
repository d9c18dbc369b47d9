"""What happens during a crawl, as frozen values; whoever wants to know is an observer: a callable.

The display, the log and tests are observers. An observer must return quickly and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scraper.models import Completed, Done

__all__ = [
    "GRACE",
    "INTERRUPTED",
    "STOPPED",
    "CrawlEnded",
    "CrawlStarted",
    "DomainParked",
    "Event",
    "Observer",
    "PageDone",
    "Stalled",
    "Stopping",
    "Warned",
    "notify",
]

#: Why a crawl stops when a person wants it: by a signal, or by `scraper stop`.
INTERRUPTED, STOPPED = "interrupted", "stopped from another terminal"
#: Seconds that requests under way then have to end.
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class CrawlStarted:
    """The first request may go out now."""

    run: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class PageDone:
    """A visit ended and is committed."""

    done: Done
    completed: Completed


@dataclass(frozen=True, slots=True)
class DomainParked:
    """Nothing more is sent to a domain in this run."""

    domain: str
    why: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should know; said once."""

    message: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """No page ended for so many seconds, and why; said once for each standstill."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Nothing new is started. What is under way ends by itself, or is given up after `grace` seconds."""

    reason: str
    grace: float | None


@dataclass(frozen=True, slots=True)
class CrawlEnded:
    """Nothing is under way any more. `reason` is None for a queue that drained."""

    reason: str | None


Event = CrawlStarted | PageDone | DomainParked | Warned | Stalled | Stopping | CrawlEnded
Observer = Callable[[Event], None]


def notify(observers: Sequence[Observer], event: Event) -> None:
    """Tell every observer, in order."""
    for observer in observers:
        observer(event)
