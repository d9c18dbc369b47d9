"""Why a domain waits, as people read it."""

from __future__ import annotations

import re
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
    "away_text",
    "away_until",
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
_UNTIL = re.compile(r"\buntil (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


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


def away_text(status: int, until: float, longest: float) -> str:
    """Why a domain is parked that asks to wait until `until` (unix) where `longest` seconds are waited for at most."""
    return f"HTTP {status} with a Retry-After until {iso(until)}, beyond {longest:g} s (retry_after_max)"


def away_until(text: str) -> str | None:
    """The time that a reason to park a domain names, as `iso` writes it; None where it names none."""
    found = _UNTIL.search(text)
    return found[1] if found else None


def cause_of(text: str) -> str:
    """What a stored wait counts as: every outage as one, whenever it began and whatever it says."""
    return OUTAGE if down_since(text) is not None else text
