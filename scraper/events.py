"""What happens during a crawl, as frozen values; whoever wants to know is an observer: a callable.

The display, the log and tests are observers. An observer must return quickly and must not raise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scraper.core.models import Done

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
    "PageTold",
    "Stalled",
    "Stopping",
    "Warned",
    "notify",
    "told",
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


@dataclass(frozen=True, slots=True)
class PageTold:
    """A visit that ended, in words and numbers alone: so it is told from one process to another.

    `url` was asked for, `final_url` answered. `items` counts the rows the callback yielded, by table.
    `seconds` is how long the answer took, None where nothing was sent.
    """

    url: str
    final_url: str
    outcome: str
    status: int | None
    kind: str
    why: str
    callback: str
    depth: int
    items: Mapping[str, int]
    rejected: int
    links: int
    seconds: float | None


def told(event: PageDone) -> PageTold:
    """What is told of a visit to people and other processes."""
    effects, result = event.done.effects, event.done.result
    request, outcome, sends = effects.request, effects.outcome, effects.sends
    return PageTold(
        request.url, result.url, outcome.name, outcome.status, outcome.kind, outcome.why, request.options.callback,
        request.depth, dict(Counter(row.table.name for row in result.items)), len(result.rejected), len(effects.links),
        sends[-1].ended - sends[-1].sent if sends else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DomainParked:
    """Nothing more is sent to a domain in this run."""

    domain: str
    why: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should know; said once.

    `topic` is set where it is about a state that changes, to `state`: several processes say each change once.
    """

    message: str
    topic: str = ""
    state: str = ""


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


Event = CrawlStarted | PageDone | PageTold | DomainParked | Warned | Stalled | Stopping | CrawlEnded
Observer = Callable[[Event], None]


def notify(
    observers: Sequence[Observer], event: Event, failed: Callable[[Observer, Exception], object]
) -> None:
    """Tell every observer, in order; `failed` is told of one that raises, and the others hear the event all the same."""
    for observer in observers:
        try:
            observer(event)
        except Exception as error:
            failed(observer, error)
