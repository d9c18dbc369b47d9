"""Rates that several domains share: that of the whole crawl, and that of each proxy.

A shared rate is planned and enforced as a domain's own is: the scheduler starts a visit when `next_at` has come, and
the limiter lets each request through at its send. A domain asks for the shared rates last, when it may be sent to by
its own limits, and holds its place meanwhile: so at most one request of a domain stands in the line of a shared rate,
and domains take turns in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple

from scraper.core.clock import Clock
from scraper.core.models import Proxy
from scraper.politeness.reasons import PROXY_RATE
from scraper.politeness.spacing import Spacing

__all__ = ["NOTHING_SHARED", "ProxyRates", "Shared", "SharedRate"]


class SharedRate:
    """One send per `gap` seconds over all domains that share it. Enter it to wait, in line, for one request.

    Invariants: `next_at` (loop time) is when the next visit may start: it is never less than the last send plus the
    gap, and each visit that starts moves it on by one gap. While the context is held no other request is let through.
    """

    __slots__ = ("_clock", "_order", "_spacing", "next_at", "why")

    def __init__(self, clock: Clock, gap: float, why: str) -> None:
        self._clock = clock
        self._order = asyncio.Lock()
        self._spacing = Spacing(clock, gap)
        self.next_at = 0.0
        self.why = why

    @property
    def gap(self) -> float:
        return self._spacing.gap

    @property
    def send_at(self) -> float:
        """The loop time before which nothing more is let through."""
        return self._spacing.next_at

    def reserve(self) -> None:
        """A visit starts, or a request is added to one: the next visit starts a gap later."""
        self.next_at = max(self.next_at, self._clock.mono()) + self.gap

    def unreserve(self) -> None:
        """What was reserved is not sent."""
        self.next_at = max(self.next_at - self.gap, self.send_at)

    def sent_before(self, at: float) -> None:
        """Another process may have sent as late as `at` (loop time)."""
        if self._spacing.last_send is None:
            self._spacing.sent_before(at)
            self.next_at = max(self.next_at, self.send_at)

    def use(self) -> None:
        """The request that was let through is sent now."""
        self._spacing.use_grant()
        self.next_at = max(self.next_at, self.send_at)

    def mark_sent(self, granted_at: float) -> None:
        """A request left just now that was let through at `granted_at`."""
        self._spacing.mark_sent(granted_at)
        self.next_at = max(self.next_at, self.send_at)

    async def __aenter__(self) -> SharedRate:
        await self._order.acquire()
        try:
            while (wait := self._spacing.clear_at - self._clock.mono()) > 0 or not self._spacing.has_grant:
                if wait > 0:
                    await asyncio.sleep(wait)
                else:
                    await self._spacing.acquire()
        except BaseException:
            self._order.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._order.release()


class ProxyRates:
    """When the next visit through one of several proxies may start. Domains with the same proxies share it.

    Each proxy has a `SharedRate` of its own (`rates`, which others may use too); `next_at` moves on by an even share
    of them with each visit, and waits for the proxy that a request really took: where some of them rest, the others
    have the longer line.
    """

    __slots__ = ("_clock", "_gap", "_rates", "next_at", "why")

    def __init__(self, clock: Clock, rates: Sequence[tuple[Proxy, SharedRate]]) -> None:
        self._clock = clock
        self._rates = dict(rates)
        self._gap = max(rate.gap for rate in self._rates.values()) / len(self._rates)
        self.next_at = 0.0
        self.why = PROXY_RATE

    @property
    def send_at(self) -> float:
        """The loop time before which nothing more is let through, whichever proxy is taken."""
        return min(rate.send_at for rate in self._rates.values())

    def reserve(self) -> None:
        """A visit starts, or a request is added to one."""
        self.next_at = max(self.next_at, self._clock.mono()) + self._gap

    def unreserve(self) -> None:
        """What was reserved is not sent."""
        self.next_at -= self._gap

    def take(self, proxy: Proxy) -> SharedRate:
        """A request takes this proxy: its rate, which the request then waits for."""
        rate = self._rates[proxy]
        self.next_at = max(self.next_at, rate.next_at)
        rate.reserve()
        return rate


class Shared(NamedTuple):
    """The rates a domain shares with others; None where there is none."""

    total: SharedRate | None = None
    proxies: ProxyRates | None = None

    @property
    def rates(self) -> Sequence[SharedRate | ProxyRates]:
        return [rate for rate in self if rate is not None]


NOTHING_SHARED: Final = Shared()
