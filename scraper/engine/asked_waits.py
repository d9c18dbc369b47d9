"""What an answer's Retry-After means: for the request it answers, for its domain, and for a redirect."""

from __future__ import annotations

import asyncio

from scraper.core.clock import Clock
from scraper.core.models import LONGEST_HOLD
from scraper.engine.common import Common
from scraper.errors import FetchError
from scraper.net.downloader import Reply
from scraper.net.retry_after import retry_after

__all__ = ["asked_until", "domain_held_until", "redirect_asked_until", "wait_before_redirect"]

#: Seconds that are waited for inside a callback's fetch before a redirect is followed; above them it fails.
PATIENCE = 5.0


def asked_until(reply: Reply, clock: Clock) -> float | None:
    """Until when (unix) an error, of any status, asks its client to wait; None where it does not."""
    return retry_after(reply.headers, clock.now()) if reply.status >= 400 else None


def domain_held_until(reply: Reply, clock: Clock, longest: float) -> float | None:
    """Until when (unix) an error holds all requests to its domain; None for an error that is about its own URL.

    429 and 503 are about the client and the site. So are, when they name a time, 403 (a rate limit at many sites) and
    every 5xx; but they are not believed beyond `longest` seconds, as one broken page must not stop a site.
    """
    if reply.status < 500 and reply.status not in {403, 429}:
        return None
    asked, now = asked_until(reply, clock), clock.unix()
    if asked is None or (reply.status not in {429, 503} and asked > now + longest):
        return None
    return min(asked, now + LONGEST_HOLD)


def redirect_asked_until(reply: Reply, common: Common) -> float | None:
    """Until when (unix) a redirect asks to wait before it is followed; None for at once.

    A page that leads elsewhere is not asked: Retry-After means nothing with a 2xx.
    Raises FetchError `http` for a longer time than is waited for.
    """
    if reply.status < 300:
        return None
    asked, now = retry_after(reply.headers, common.clock.now()), common.clock.unix()
    if asked is None or asked <= now:
        return None
    if asked > now + common.settings.retry_after_max:
        raise _too_early(reply, asked, now)
    return asked


async def wait_before_redirect(reply: Reply, common: Common) -> None:
    """Wait as long as a redirect asks for, a few seconds at most. Raises FetchError `http` where that is not enough."""
    asked, now = redirect_asked_until(reply, common), common.clock.unix()
    if asked is None:
        return
    if asked > now + PATIENCE:
        raise _too_early(reply, asked, now)
    await asyncio.sleep(asked - now)


def _too_early(reply: Reply, asked: float, now: float) -> FetchError:
    said = f"HTTP {reply.status} asks to wait {asked - now:.0f} s before it is followed (Retry-After)"
    return FetchError("http", said, status=reply.status, retry_at=asked)
