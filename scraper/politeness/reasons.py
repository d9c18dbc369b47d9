"""Why a domain waits, as people read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from scraper.core.clock import iso

__all__ = [
    "BACKOFF",
    "OUTAGE",
    "PAUSE",
    "PROXY_RATE",
    "RATE",
    "RETRY_AFTER",
    "TOTAL_RATE",
    "Held",
    "Wait",
    "cause_of",
    "down_since",
    "down_text",
]

RATE: Final = "rate limit"
PAUSE: Final = "crawl delay"
RETRY_AFTER: Final = "Retry-After"
BACKOFF: Final = "backoff"
TOTAL_RATE: Final = "total_rate limit"
PROXY_RATE: Final = "proxy_rate limit"
OUTAGE: Final = "outage"

_DOWN, _SHAPE = "down since ", "%Y-%m-%dT%H:%M:%SZ"


class Wait(NamedTuple):
    """What keeps a domain's next request back, and until when (loop time; None where no time is known)."""

    why: str
    until: float | None = None


class Held(Exception):
    """A request that waits for its turn would have to wait longer than it may hold its slot: until `until` (loop time)."""

    def __init__(self, until: float, why: str) -> None:
        super().__init__(why)
        self.until = until


def down_text(since: float, why: str) -> str:
    """An outage as it is stored and shown: since when (unix), and the last failure."""
    return f"{_DOWN}{iso(since)}: {why}"


def down_since(text: str) -> tuple[float, str] | None:
    """The unix time and the failure in a text of `down_text`; None for any other text."""
    if not text.startswith(_DOWN):
        return None
    at, _, why = text.removeprefix(_DOWN).partition(": ")
    try:
        return datetime.strptime(at, _SHAPE).replace(tzinfo=UTC).timestamp(), why
    except ValueError:
        return None


def cause_of(text: str) -> str:
    """What a stored wait counts as: every outage as one, whenever it began and whatever it says."""
    return OUTAGE if down_since(text) is not None else text
