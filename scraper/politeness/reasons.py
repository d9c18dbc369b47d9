"""Why a domain waits, as people read it."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BACKOFF", "PAUSE", "PROXY_RATE", "RATE", "RETRY_AFTER", "TOTAL_RATE", "Wait"]

RATE: Final = "rate limit"
PAUSE: Final = "crawl delay"
RETRY_AFTER: Final = "Retry-After"
BACKOFF: Final = "backoff"
TOTAL_RATE: Final = "total_rate limit"
PROXY_RATE: Final = "proxy_rate limit"


class Wait(NamedTuple):
    """What keeps a domain's next request back, and until when (loop time; None where no time is known)."""

    why: str
    until: float | None = None
