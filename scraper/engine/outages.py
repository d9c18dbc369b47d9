"""Domains that are down: how long each is held, when it is parked, and what people are told of it.

`scraper.politeness.Outage` knows the failures of one domain; here is what takes all domains of a process together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from scraper.core.clock import local_time
from scraper.core.models import Options
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import Lane
from scraper.engine.lanes import Lanes
from scraper.errors import FetchError
from scraper.events import Warned
from scraper.net.retry import RetryPolicy
from scraper.politeness import Domain

__all__ = ["Outages", "Witness"]

#: Seconds a domain is down before it is said, and until a request that probed it comes again after the others.
SAID_SECONDS, BEHIND_SECONDS = 4.0, 0.5

#: A request that a domain answered.
Witness: TypeAlias = tuple[str, Options]


class Outages:
    """The domains of this process that are down. The network is gone when several are, and none has answered since.

    Invariants: `_down` maps domains whose outage is confirmed to the loop time it began at; each outage is said once, and
    one of the network instead of those of its domains.
    """

    def __init__(self, common: Common, lanes: Lanes, retry: RetryPolicy) -> None:
        self._common = common
        self._lanes = lanes
        self._retry = retry
        self._down: dict[str, float] = {}
        self._said: set[str] = set()
        self._gone_since: float | None = None
        self._answered_at = float("-inf")
        #: Stops the crawl; set by the engine.
        self.stop: Callable[[str], None] = lambda reason: None

    def concern(self, domain: Domain, origin: str) -> bool:
        """Whether a failure of an origin may be an outage: it has answered before, or nothing answers any more."""
        return domain.outage_max > 0 and (domain.outage.has_answered(origin) or self._is_network_gone())

    def answered(self, lane: Lane, origin: str, sent: float, witness: Witness | None) -> None:
        """An origin answered what was sent at `sent` (loop time)."""
        self._answered_at = now = self._common.clock.mono()
        since = lane.domain.hear(sent, origin, witness)
        if since is None:
            return
        self._down.pop(lane.name, None)
        if self._gone_since is not None:
            self._tell(f"the network is back after {now - self._gone_since:.0f} s")
            self._gone_since = None
        if lane.name in self._said:
            self._said.discard(lane.name)
            self._tell(f"{lane.name} answers again after {now - since:.0f} s")

    async def hold(self, lane: Lane, error: FetchError, *, confirmed: bool) -> None:
        """A domain does not answer: nothing is sent there for a while, or in this run if that lasts too long.

        `error` is what its request ends with, which counts as no try.
        """
        domain, clock, outage = lane.domain, self._common.clock, lane.domain.outage
        now = clock.mono()
        since = now if outage.since is None else outage.since
        end = since + domain.outage_max
        pause = self._retry.outage(now - since, self._common.settings.outage_pause)
        domain.go_down(min(now + pause, max(now, end)), confirmed=confirmed)
        error.outage = True
        error.retry_at = clock.to_unix(max(now, domain.held_until) + BEHIND_SECONDS)
        if outage.is_confirmed:
            self._down.setdefault(lane.name, since)
            self._say(lane.name, since, now, outage.why)
        if now >= end:
            await self._give_up(lane, since)

    def is_confirmed(self, domain: Domain) -> bool:
        """Whether a domain is surely down."""
        return domain.name in self._down

    async def _give_up(self, lane: Lane, since: float) -> None:
        """It has been down for too long: its requests wait for a resume."""
        clock, domain = self._common.clock, lane.domain
        at = local_time(clock.to_unix(since), clock.unix())
        if self._is_network_gone():
            self.stop(f"the network is gone: no domain has answered since {at} (outage_max)")
            return
        self._down.pop(lane.name, None)
        self._said.discard(lane.name)
        await self._lanes.park(lane, f"down since {at}: {domain.outage.why} (outage_max)")

    def _is_network_gone(self) -> bool:
        return len(self._down) > 1 and self._answered_at < min(self._down.values())

    def _say(self, name: str, since: float, now: float, why: str) -> None:
        if now - since < SAID_SECONDS or self._gone_since is not None:
            return
        clock = self._common.clock
        if self._is_network_gone():
            self._gone_since = first = min(self._down.values())
            at = local_time(clock.to_unix(first), clock.unix())
            down = f"no domain has answered since {at} ({len(self._down)} are down)"
            self._tell(f"{down}: the network may be gone; waiting for it")
        elif name not in self._said:
            self._said.add(name)
            at = local_time(clock.to_unix(since), clock.unix())
            self._tell(f"{name} is down since {at}: {why}; waiting for it, no request loses a try")

    def _tell(self, message: str) -> None:
        self._common.notices.tell(Warned(message))
