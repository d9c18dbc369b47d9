"""Which proxy a request takes, and which ones rest because they do not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scraper.core.models import Proxy, read_proxies
from scraper.errors import FetchError
from scraper.settings import Settings

__all__ = ["Proxies", "all_proxies"]

#: Failures in a row after which a proxy rests, and for how long: doubled with each further one (seconds).
FAILURES: Final = 3
FIRST_REST, LONGEST_REST = 10.0, 600.0


def all_proxies(settings: Settings) -> tuple[Proxy, ...]:
    """Those of the setting `proxy`, and those of single hosts."""
    of_limits = (proxy for limit in settings.limits.values() for proxy in read_proxies(limit.proxy or ()))
    return (*settings.proxy, *of_limits)


@dataclass(slots=True)
class _Health:
    """How a proxy did lately: failures in a row, and until when it rests (loop time)."""

    failures: int = 0
    rests_until: float = 0.0


class Proxies:
    """Which proxy the next request takes: in turn, those that rest left out. Shared by all that use them.

    Invariant: a proxy rests only after `FAILURES` failures in a row, at most `LONGEST_REST` seconds, and one
    success ends the count.
    """

    def __init__(self) -> None:
        self._health: dict[Proxy, _Health] = {}
        self._turns: dict[Sequence[Proxy], int] = {}

    def pick(self, proxies: Sequence[Proxy], now: float, unix: float) -> Proxy:
        """The next of `proxies` (not empty) at loop time `now`.

        Raises FetchError `proxy`, with the time the first one is tried again, while all of them rest.
        """
        turn = self._turns.get(proxies, 0)
        for step in range(len(proxies)):
            proxy = proxies[(turn + step) % len(proxies)]
            if self._of(proxy).rests_until <= now:
                self._turns[proxies] = (turn + step + 1) % len(proxies)
                return proxy
        wait = min(self._of(proxy).rests_until for proxy in proxies) - now
        names = (
            f"{proxies[0]} failed and rests"
            if len(proxies) == 1
            else f"all {len(proxies)} proxies failed and rest"
        )
        raise FetchError("proxy", f"{names} for {wait:.0f} s more", retry_at=unix + wait)

    def failed(self, proxy: Proxy, now: float) -> None:
        """No connection through it."""
        health = self._of(proxy)
        health.failures += 1
        if (over := health.failures - FAILURES) >= 0:
            health.rests_until = now + min(FIRST_REST * 2.0 ** min(over, 16), LONGEST_REST)

    def worked(self, proxy: Proxy) -> None:
        """An answer came through it."""
        if (health := self._health.get(proxy)) is not None:
            health.failures = 0

    def _of(self, proxy: Proxy) -> _Health:
        return self._health.setdefault(proxy, _Health())
