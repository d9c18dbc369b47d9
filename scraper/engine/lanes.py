"""The domains this process holds: leased from the frontier, kept filled, prolonged, given back.

`Schedule` orders the lanes and is synchronous; here is everything about them that waits for the frontier.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from scraper.core.models import DomainLease, Pending
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import MOST_HELD, Lane, Schedule
from scraper.errors import FetchError
from scraper.events import DomainParked
from scraper.net.identity import Identity
from scraper.net.robots import Robots
from scraper.politeness import Politeness, down_since
from scraper.settings import read_limit

__all__ = ["EXTEND_EVERY", "Lanes"]

#: Seconds a lease lasts and how often all are prolonged; and when a hold is long enough to give a domain back.
LEASE, EXTEND_EVERY, LONG_HOLD = 30.0, 10.0, 25.0
#: Domains leased at a time, requests taken with each, and the most domains held.
CLAIM, FIRST_BATCH, MOST_LANES = 64, 16, 1024
#: When other domains wait for a place: seconds between two looks at who gives theirs, that one is kept at least, and of
#: waiting for a turn beyond which it is given at once.
ROTATE, TENURE, SHORT_HOLD = 2.0, 10.0, 4.0
#: Seconds between two looks at what other workers have queued: the database sends no events.
LOOK = 0.5


class Lanes:
    """Lanes and their leases.

    Invariants: every lane in the schedule has a lease this process obtained and, unless lost, still holds;
    `claim_at` is the earliest loop time at which the frontier may have a domain for us, None when nothing is
    known. `feed` is set when a lane needs looking after or a claim is due, `ready` when a lane may go.
    """

    def __init__(
        self,
        common: Common,
        politeness: Politeness,
        robots: Robots,
        identity: Identity,
        owner: str,
        workers: int = 1,
    ) -> None:
        """`owner` is the name its leases bear; `workers` processes share the run, this one included."""
        self._common = common
        self._politeness = politeness
        self._robots = robots
        self._identity = identity
        self._owner = owner
        self.workers = workers
        self.schedule = Schedule(politeness.total)
        self.feed = asyncio.Event()
        self.ready = asyncio.Event()
        self.claim_at: float | None = common.clock.mono()
        #: The frontier is being asked for domains.
        self.claiming = False
        self.closing = False
        self._rotate_at = 0.0

    # ------------------------------------------------------------------ what changed

    def touch(self, lane: Lane) -> None:
        """A lane may have run low, or be done."""
        if self.schedule.touch(lane):
            self.feed.set()
        elif self._waits_long(lane):
            self.schedule.note(lane)
            self.feed.set()

    def room_changed(self, lane: Lane) -> None:
        """A domain may have room for more, or be ready at another time."""
        self.schedule.offer(lane)
        self.ready.set()

    def new_work(self, domain: str, due: float) -> None:
        """Something was queued for a domain, due then (unix): ours is fed, another becomes claimable."""
        lane = self.schedule.lanes.get(domain)
        at = self._common.clock.to_mono(due)
        if lane is None:
            self.claim_by(at)
        elif at <= self._common.clock.mono():
            self._has_more(lane)
        elif lane.more_at is None or at < lane.more_at:
            # One timer a lane: what is due later still is found by the refills in between, or at the release.
            lane.more_at = at
            asyncio.get_running_loop().call_at(at, self._has_more, lane)

    async def adjust(self, domain: str, changes: Mapping[str, str]) -> None:
        """A person gave a domain other limits; they count from the next send on.

        One that nobody holds may wait for its old limits: it is taken up, to be due by the new ones.
        """
        limit = read_limit(domain, changes)
        self._politeness.adjust(domain, {name: getattr(limit, name) for name in changes})
        with suppress(FetchError):  # parked, or of another process, which hears this too
            async with self.lane_for(domain) as lane:
                self.room_changed(lane)

    async def retry_now(self, domains: Sequence[str]) -> None:
        """Do not wait for the next attempt at domains that are down: at these, or at all this process knows of."""
        named = domains or await self._down()
        for domain in named:
            with suppress(FetchError):  # parked, or of another process, which hears this too
                async with self.lane_for(domain) as lane:
                    lane.domain.retry_now()
                    self.room_changed(lane)

    async def _down(self) -> Sequence[str]:
        """The domains that are down: held here, or given back."""
        common = self._common
        here = [name for name, lane in self.schedule.lanes.items() if lane.domain.outage.is_down]
        later = await common.frontier.upcoming(MOST_LANES, now=common.clock.unix())
        return here + [one.domain for one in later if down_since(one.why) is not None]

    def waiting(self, domain: str) -> frozenset[int]:
        """The requests of a domain that are taken and that no visit has begun."""
        lane = self.schedule.lanes.get(domain)
        return frozenset(request.id for request in lane.queue) if lane is not None else frozenset()

    def claim_by(self, at: float) -> None:
        """The frontier may have a domain for us from `at` (loop time) on."""
        self.claim_at = at if self.claim_at is None else min(at, self.claim_at)
        self.feed.set()

    def empty(self, lanes: Iterable[Lane]) -> None:
        """Nothing more starts for these; what they held is free again when their leases are given back."""
        for lane in lanes:
            self.schedule.clear(lane)
            self.schedule.offer(lane)
            self.touch(lane)

    def drop(self, lane: Lane) -> None:
        """The lease is lost: another owner has the domain. Visits under way end fenced."""
        self.schedule.drop([lane])

    def _has_more(self, lane: Lane) -> None:
        lane.dry, lane.more_at = False, None
        self.touch(lane)

    # ------------------------------------------------------------------ looking after

    async def look_after_changed(self) -> None:
        """Refill the lanes that run low, give back those that are done or have long to wait.

        All at once, so that they share a transaction.
        """
        lanes = [lane for lane in self.schedule.changed() if self.schedule.lanes.get(lane.name) is lane]
        if len(lanes) == 1:
            await self._look_after(lanes[0])
        elif lanes:
            await asyncio.gather(*map(self._look_after, lanes))

    async def _look_after(self, lane: Lane) -> None:
        if self.schedule.is_hungry(lane) and not self._is_leaving(lane):
            await self._refill(lane)
        leaving = self._is_leaving(lane)  # asked again: a stop may have come while the refill was awaited
        done = lane.dry and not lane.domain.outage.is_down  # one that is down is kept, so that it is shown
        if self._waits_long(lane) or (lane.idle and (done or leaving)):
            await self.release([lane])

    async def _refill(self, lane: Lane) -> None:
        lane.refilling, lane.dry = True, True
        try:
            wanted = self.schedule.batch(lane) - len(lane.queue)
            more = await self._common.frontier.refill(lane.lease, wanted, now=self._common.clock.unix())
        finally:
            lane.refilling = False
        if len(more) == wanted:
            lane.dry = False
        if not self._is_leaving(lane):  # else they are free again with the lease
            self.schedule.put(lane, more)
        self.room_changed(lane)

    def _waits_long(self, lane: Lane) -> bool:
        if lane.open_visits or lane.domain.outage.is_down:
            return False
        return lane.domain.next_at - self._common.clock.mono() > LONG_HOLD

    def _is_leaving(self, lane: Lane) -> bool:
        return self.closing or lane.leaving or lane.domain.parked is not None

    async def release(self, lanes: list[Lane]) -> None:
        """Give domains back with what is known of them, and forget them here."""
        politeness = self._politeness
        given = []
        for lane in lanes:
            self.schedule.remove(lane)
            given.append(replace(lane.lease, facts=politeness.facts(lane.name), requests=()))
        await self._common.frontier.release(given, now=self._common.clock.unix())
        for lane in lanes:
            if lane.name not in self.schedule.lanes:
                politeness.forget(lane.name)
        self.claim_by(self._common.clock.mono())

    async def release_all(self) -> None:
        await self.release(list(self.schedule.lanes.values()))

    # ------------------------------------------------------------------ claiming

    def can_hold_more(self) -> bool:
        return len(self.schedule.lanes) < MOST_LANES and self.schedule.held() < MOST_HELD

    def look_at(self) -> float | None:
        """When to look again for domains (loop time), or for places for them; None where that needs a change first."""
        if self.closing or self.claim_at is None:
            return None
        return self.claim_at if self.can_hold_more() else max(self.claim_at, self._rotate_at)

    def _make_room(self, now: float) -> None:
        """Domains wait and every place is taken: those that were served longest give theirs, and those that have to
        wait anyway. They are claimed again when those that wait now have been.
        """
        if now < self._rotate_at:
            return
        self._rotate_at = now + ROTATE
        lanes = [lane for lane in self.schedule.lanes.values() if not self._is_leaving(lane)]
        waiting = [lane for lane in lanes if not lane.open_visits and lane.domain.next_at - now > SHORT_HOLD]
        served = sorted((lane for lane in lanes if now - lane.since >= TENURE), key=lambda lane: lane.since)
        for lane in dict.fromkeys([*waiting, *served[:CLAIM]]):
            lane.leaving = True
            self.empty([lane])

    async def claim_due(self) -> Pending | None:
        """Lease domains that are due and learn when the next ones are; None when it is not time."""
        common = self._common
        now, before = common.clock.mono(), common.clock.unix()
        if self.closing or self.claim_at is None or self.claim_at > now:
            return None
        if not self.can_hold_more():
            self._make_room(now)
            return None
        self.claim_at, self.claiming = None, True
        try:
            leases = await common.frontier.claim(
                self._owner, domains=CLAIM, per_domain=FIRST_BATCH, lease=LEASE, now=before,
                workers=self.workers,
            )  # fmt: skip
        finally:
            self.claiming = False
        for lease in leases:
            self._adopt(lease, before, now)
        pending = await common.frontier.pending(now=common.clock.unix())
        # What is due now and was not given to us is for another worker: asking at once again would not help.
        if pending.next_due is not None and not pending.spent and (leases or self.workers == 1):
            self.claim_by(common.clock.to_mono(pending.next_due))
        if self.workers > 1:
            self.claim_by(now + LOOK)
        return pending

    def _adopt(self, lease: DomainLease, before: float, since: float) -> Lane:
        """A lease becomes a lane; its local deadline counts from `before` it was asked for (machine time)."""
        common = self._common
        domain = self._politeness.restore(lease.domain, lease.facts)
        domain.is_open(common.clock.mono())
        for origin in lease.facts.origins:
            self._robots.restore(origin)
        self._identity.restore(lease.facts.cookies)
        lane = Lane(lease, domain, before + LEASE, since)
        if self._is_leaving(lane):
            lane.queue.clear()
        self.schedule.add(lane)
        self.touch(lane)
        self.ready.set()
        return lane

    async def give_away(self) -> None:
        """Let other workers have the domains beyond a fair share, when what is under way there has ended."""
        if self.workers == 1:
            return
        fair = await self._common.frontier.share(self.workers)
        lanes = sorted(self.schedule.lanes.values(), key=lambda lane: lane.open_visits)
        for lane in lanes[: max(0, len(lanes) - fair)]:
            lane.leaving = True
            self.empty([lane])

    async def extend(self) -> None:
        """Prolong all leases; what is missing from the answer is lost."""
        clock, lanes = self._common.clock, list(self.schedule.lanes.values())
        if not lanes:
            return
        before = clock.unix()
        kept = await self._common.frontier.extend([n.lease for n in lanes], lease=LEASE, now=before)
        held = {(lease.domain, lease.epoch): lease for lease in kept}
        for lane in lanes:
            lease = held.get((lane.name, lane.lease.epoch))
            if lease is None:
                self.drop(lane)
            else:
                lane.lease, lane.deadline = lease, before + LEASE
                self.room_changed(lane)
            self.touch(lane)

    def look_at_clocks(self) -> None:
        """After the machine slept, or the wall clock was set: what was waited for may be due now."""
        jump = self._common.clock.jump()
        if jump is None:
            return
        self._politeness.follow(jump)
        for lane in list(self.schedule.lanes.values()):
            self.room_changed(lane)
            self._has_more(lane)
        self.claim_by(self._common.clock.mono())

    # ------------------------------------------------------------------ for visits

    @asynccontextmanager
    async def lane_for(self, name: str) -> AsyncIterator[Lane]:
        """The lane of a domain, kept while a fetch uses it; borrowed when this process does not hold it.

        Raises FetchError `domain-parked`, or `domain-held` with the time to ask again when another owner
        has it.
        """
        lane = await self._find(name)
        lane.open_visits += 1
        try:
            yield lane
        finally:
            lane.open_visits -= 1
            self.touch(lane)

    async def _find(self, name: str) -> Lane:
        lane = self.schedule.lanes.get(name)
        if lane is not None:
            if lane.domain.parked is not None:
                raise FetchError("domain-parked", f"{name} is parked: {lane.domain.parked}")
            return lane
        common = self._common
        since, before = common.clock.mono(), common.clock.unix()
        answer = await common.frontier.borrow(self._owner, name, lease=LEASE, now=before)
        if (adopted := self.schedule.lanes.get(name)) is not None:
            return adopted
        if isinstance(answer, DomainLease):
            return self._adopt(answer, before, since)
        if answer == float("inf"):
            raise FetchError("domain-parked", f"{name} is parked")
        raise FetchError("domain-held", f"another process holds {name}", retry_at=answer)

    async def park(self, lane: Lane, why: str) -> None:
        """Send nothing more to a domain in this run; its requests stay queued for a resume."""
        if lane.domain.parked is not None:
            return
        lane.domain.park(why)
        self.empty([lane])
        facts = self._politeness.facts(lane.name)
        await self._common.frontier.put_facts(lane.lease, facts, now=self._common.clock.unix())
        self._common.notices.tell(DomainParked(lane.name, why))
        self.feed.set()
