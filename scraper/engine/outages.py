"""Domains that are down: how long each is held, when it is parked, and what people are told of it.

`scraper.politeness.Outage` knows the failures of one domain; here is what takes all domains of a process together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from scraper.core.clock import iso, local_time
from scraper.core.models import Options, QueuedRequest, SendKind
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import Lane
from scraper.engine.lanes import Lanes
from scraper.errors import FetchError
from scraper.events import Warned
from scraper.net.retry import Fault, RetryPolicy
from scraper.politeness import RECOGNISED

__all__ = ["Failure", "Outages", "Witness", "witness_of"]

#: Seconds a domain is down before it is said, and until a request that probed it comes again after the others.
SAID_SECONDS, BEHIND_SECONDS = 4.0, 0.5

#: A request that a domain answered.
Witness: TypeAlias = tuple[str, Options]
#: Kinds of sends that may be made again to see whether a domain answers, where they change nothing there.
WITNESSES = frozenset({"page", "redirect", "sub"})


def witness_of(kind: SendKind, url: str, options: Options) -> Witness | None:
    """What was answered, if it may be asked again; a POST between others leaves the last one that may."""
    return (url, options) if kind in WITNESSES and options.method == "GET" and not options.body else None


class Failure(NamedTuple):
    """What a request ended with, which may be the fault of its domain."""

    error: FetchError
    fault: Fault
    request: QueuedRequest
    method: str


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

    def answered(self, lane: Lane, origin: str, sent: float, now: float, witness: Witness | None) -> None:
        """An origin answered `now` what was sent at `sent` (loop times)."""
        self._answered_at = now
        outage = lane.domain.outage
        if outage.since is None and origin in outage.answered:
            outage.witness = witness or outage.witness
            return
        since = lane.domain.hear(sent, origin, witness)
        if since is None:
            return
        self._down.pop(lane.name, None)
        if self._gone_since is not None:
            self._tell(f"the network is back after {now - self._gone_since:.0f} s", "network", "back")
            self._gone_since = None
            self._look_at_once()
        if lane.name in self._said:
            self._said.discard(lane.name)
            self._tell(f"{lane.name} answers again after {now - since:.0f} s", lane.name, "up")

    async def blame(
        self, lane: Lane, origin: str, failure: Failure, is_alive: Callable[[], Awaitable[bool | None]]
    ) -> None:
        """Decide whose failure it was; of an outage's, `error.outage` is set.

        Only an origin that answered before can be down, or any where none answers any more. `is_alive` asks again for
        what the domain answered last; None where there is nothing to ask for, or not now.
        """
        domain, outage = lane.domain, lane.domain.outage
        if not domain.outage_max or not (outage.has_answered(origin) or self._is_network_gone()):
            return
        if failure.fault == "spent":
            await self._spend(lane, failure, is_alive)
            return
        if failure.fault == "request":
            await self._doubt(lane, failure, is_alive)
            return
        request, error = failure.request, failure.error
        owes = outage.is_suspect(request.id) and not outage.is_confirmed
        outage.fail(self._common.clock.mono(), 0 if owes else request.id, str(error))
        sure = outage.is_confirmed
        if not sure and outage.count >= RECOGNISED and not outage.asking:
            alive = await is_alive()  # some hosts or requests are refused, the others are not?
            if alive:
                if not owes:
                    outage.settle_one(request.id)  # its last failure counts as a try anyway
                return
            sure = alive is False or outage.witness is None
        await self._hold(lane, error, confirmed=sure)
        error.outage = not owes

    async def _doubt(
        self, lane: Lane, failure: Failure, is_alive: Callable[[], Awaitable[bool | None]]
    ) -> None:
        """A request found no answer: is it the request, or the domain?

        The first failures in a row are left open. Then, and before a request would have no further try, what answered
        before is asked again, by one visit for all.
        """
        outage, request, error = lane.domain.outage, failure.request, failure.error
        suspect = not outage.is_down and (request.attempts > 0 or outage.is_suspect(request.id))
        failed = outage.fail(self._common.clock.mono(), 0 if suspect else request.id, str(error))
        tries = request.attempts + (1 if suspect else failed)
        delay = self._retry.delay(tries, kind=error.kind, status=error.status, method=failure.method)
        doubtful, asks = outage.is_down or outage.count >= RECOGNISED, not outage.asking
        alive = await is_alive() if asks and (doubtful or delay is None) else None
        if alive:
            if not suspect:
                outage.settle_one(request.id)  # its last failure counts as a try anyway
        elif alive is False or (doubtful and asks):
            sure = alive is False or outage.witness is None
            await self._hold(lane, error, confirmed=sure)
        elif not suspect and (delay is not None or not asks):
            error.outage, error.retry_at = True, self._common.clock.unix() + (delay or 1.0)

    async def _spend(
        self, lane: Lane, failure: Failure, is_alive: Callable[[], Awaitable[bool | None]]
    ) -> None:
        """A request that must not be sent again found no answer: it is lost, but those behind it need not be."""
        outage, error = lane.domain.outage, failure.error
        outage.fail(self._common.clock.mono(), 0, str(error))
        if outage.asking or not (outage.is_down or outage.count >= RECOGNISED):
            return
        alive = await is_alive()
        if not alive:
            await self._hold(lane, error, confirmed=alive is False or outage.witness is None)
            error.outage, error.retry_at = False, None

    async def wait_for(self, lane: Lane) -> FetchError:
        """A domain that is down was asked for its witness before a request that can be lost, and does not answer."""
        error = FetchError("domain-busy", f"{lane.name} is down: {lane.domain.outage.why}")
        await self._hold(lane, error, confirmed=True)
        return error

    async def _hold(self, lane: Lane, error: FetchError, *, confirmed: bool) -> None:
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

    async def _give_up(self, lane: Lane, since: float) -> None:
        """It has been down for too long: its requests wait for a resume."""
        clock, domain = self._common.clock, lane.domain
        at = iso(clock.shown(since))  # stored: who shows it makes it local
        if self._is_network_gone() and not await self._is_answered_elsewhere():
            self.stop(f"the network is gone: no domain has answered since {at} (outage_max)")
            return
        self._down.pop(lane.name, None)
        self._said.discard(lane.name)
        await self._lanes.park(lane, f"down since {at}: {domain.outage.why} (outage_max)")

    def _look_at_once(self) -> None:
        """What was down with the network is not waited for any longer."""
        lanes = self._lanes.schedule.lanes
        for other in [lanes[name] for name in self._down if name in lanes]:
            other.domain.retry_now()
            self._lanes.room_changed(other)

    def _is_network_gone(self) -> bool:
        return len(self._down) > 1 and self._answered_at < min(self._down.values())

    async def _is_answered_elsewhere(self) -> bool:
        """Whether another worker has an answer from after the network was gone here."""
        if self._lanes.workers == 1:
            return False
        first = self._common.clock.to_unix(min(self._down.values()))
        return await self._common.frontier.last_answer() > first

    def _say(self, name: str, since: float, now: float, why: str) -> None:
        if now - since < SAID_SECONDS or self._gone_since is not None:
            return
        clock = self._common.clock
        if self._is_network_gone():
            self._gone_since = first = min(self._down.values())
            at = local_time(clock.shown(first), clock.wall())
            down = f"no domain has answered since {at} ({len(self._down)} are down)"
            if self._lanes.workers > 1:  # each knows its own domains
                down = f"several domains are down since {at}"
            self._tell(f"{down}: the network may be gone; waiting for it", "network", "gone")
        elif name not in self._said:
            self._said.add(name)
            at = local_time(clock.shown(since), clock.wall())
            self._tell(
                f"{name} is down since {at}: {why}; waiting for it, no request loses a try", name, "down"
            )

    def _tell(self, message: str, topic: str, state: str) -> None:
        self._common.notices.tell(Warned(message, topic, state))
