"""A whole crawl: which tasks run, how work reaches them, and how it ends.

Four tasks beside the visits: the *dispatcher* starts a visit whenever some domain may go now; the *feeder* keeps
the lanes filled from the frontier and gives back what is done; the *heartbeat* prolongs leases; the *seeder*
stores the start requests. They meet in `Schedule` and wake one another by events; nothing polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

from scraper.engine.context import Context
from scraper.engine.seeds import Seeder
from scraper.engine.travel import LeaseLost
from scraper.engine.visit import Visit
from scraper.errors import FetchError
from scraper.events import DomainParked, PageDone, notify
from scraper.models import Completed, DomainLease, Done, Pending
from scraper.schedule import Lane, Schedule

__all__ = ["Engine"]

#: Seconds a lease lasts and how often all are prolonged; and when a hold is long enough to give a domain back.
LEASE, EXTEND_EVERY, LONG_HOLD = 30.0, 10.0, 25.0
#: Domains leased at a time, and at most; requests held in memory at most.
CLAIM, MOST_LANES, MOST_HELD = 64, 1024, 8192
#: Pages in a row on which a callback may fail before the crawl stops.
FAILURES = 50


class Engine:
    """Runs one crawl. Invariants: at most `in_flight` visits hold a slot (fetching or in a callback), at most
    twice as many are not yet committed; a visit starts only for a domain that may be sent to now, under a
    lease that is not over; the end is reached when nothing is under way and the frontier says so.
    """

    def __init__(self, context: Context, owner: str, seeder: Seeder) -> None:
        self._context = context
        self._owner = owner
        self._seeder = seeder
        self._schedule = Schedule()
        self._slots = self._most = context.settings.in_flight
        self._open = 0
        self._items = 0
        self._failing: dict[str, list[int]] = {}
        self.to_requeue: list[int] = []
        self._claim_at: float | None = context.clock.mono()
        self._dispatch = asyncio.Event()
        self._feed = asyncio.Event()
        self._beat = asyncio.Event()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self.reason: str | None = None
        context.control = self

    async def run(self) -> str | None:
        """Crawl to the end. Returns why it stopped early, None when the queue drained.

        Cancelling it cancels every visit; what was not committed is queued again on resume.
        """
        own = [self._dispatcher(), self._feeder(), self._heartbeat(), self._seed()]
        if self._context.settings.max_time is not None:
            own.append(self._timer(self._context.settings.max_time))
        for coroutine in own:
            self._spawn(coroutine)
        try:
            await self._over.wait()
        finally:
            await self._shut_down()
        if self._error is not None:
            raise self._error
        return self.reason

    def stop(self, reason: str) -> None:
        """Start nothing new; what is under way ends and is stored."""
        if self.reason is None:
            self.reason = reason
            for lane in self._schedule.lanes.values():
                self._empty(lane)
            self._feed.set()
            self._dispatch.set()

    def _empty(self, lane: Lane) -> None:
        """Nothing more starts for a lane; what it held is free again when its lease is given back."""
        lane.queue.clear()
        self._schedule.offer(lane)
        self._schedule.touch(lane)

    def is_busy(self) -> bool:
        """Whether a commit may wait for company: there is plenty under way meanwhile."""
        return self._most - self._slots >= 8 and self._open < self._most + self._most // 2

    # ------------------------------------------------------------------ the dispatcher

    async def _dispatcher(self) -> None:
        schedule, clock = self._schedule, self._context.clock
        while True:
            now = clock.mono()
            while self._slots > 0 and self._open < 2 * self._most and self.reason is None:
                lane = schedule.pick(now)
                if lane is None:
                    break
                self._start(lane, now)
            await self._sleep(self._dispatch, schedule.next_at() if self._slots > 0 else None)

    def _start(self, lane: Lane, now: float) -> None:
        if now >= lane.deadline:
            # The loop was blocked past the lease: prolong it first, the heartbeat offers the lane again.
            self._beat.set()
            return
        request = lane.queue.popleft()
        self._slots -= 1
        self._open += 1
        lane.open_visits += 1
        lane.domain.reserve()
        self._schedule.offer(lane)
        if self._schedule.touch(lane):
            self._feed.set()
        visit = Visit(self._context, lane, request, lambda sent: self._turn_over(lane, sent))
        self._spawn(self._visit(lane, visit))

    async def _visit(self, lane: Lane, visit: Visit) -> None:
        """One visit: fetch and callback in a slot, the commit outside it."""
        in_slot = True
        try:
            done = await visit.run()
            self._slots += 1
            in_slot = False
            self._dispatch.set()
            completed = await self._context.frontier.complete(
                lane.lease, done, now=self._context.clock.unix()
            )
            self._completed(lane, done, completed)
        except LeaseLost:
            self._schedule.drop([lane])
        finally:
            self._slots += in_slot
            self._open -= 1
            lane.open_visits -= 1
            self._schedule.touch(lane)
            self._dispatch.set()
            if lane.idle or not self._open:
                self._feed.set()

    def _turn_over(self, lane: Lane, sent: bool) -> None:
        lane.domain.unreserve(sent=sent)
        self.room_changed(lane)

    def room_changed(self, lane: Lane) -> None:
        """A domain may have room for more, or be ready at another time."""
        self._schedule.offer(lane)
        self._dispatch.set()

    def _completed(self, lane: Lane, done: Done, completed: Completed) -> None:
        if not completed.written:
            self._schedule.drop([lane])
            return
        self._context.links.proved(done.links)
        self._watch(done)
        for domain, due in completed.due.items():
            self._new_work(domain, due)
        self._items += len(done.items)
        limit = self._context.settings.max_items
        if limit is not None and self._items >= limit:
            self.stop(f"max_items {limit} reached")
        notify(self._context.observers, PageDone(done, completed))

    def _watch(self, done: Done) -> None:
        """A callback that fails on every page is broken: stop, and keep those pages for a resume after the fix."""
        callback = done.request.options.callback
        if done.outcome.name == "failed" and done.outcome.kind.startswith("callback"):
            failed = self._failing.setdefault(callback, [])
            failed.append(done.request.id)
            if len(failed) >= FAILURES:
                self.to_requeue = failed
                self.stop(f"broken callback: {callback} failed on {FAILURES} pages in a row")
        elif done.outcome.name == "ok" and self.to_requeue is not self._failing.get(callback, ()):
            self._failing.pop(callback, None)

    def _new_work(self, domain: str, due: float) -> None:
        """Something was queued for a domain, due then: ours is fed, another becomes claimable."""
        lane = self._schedule.lanes.get(domain)
        at = self._context.clock.to_mono(due)
        if lane is None:
            self._claim_by(at)
            self._feed.set()
        elif at <= self._context.clock.mono():
            self._has_more(lane)
        elif lane.more_at is None or at < lane.more_at:
            # One timer a lane: what is due later still is found by the refills in between, or at the release.
            lane.more_at = at
            asyncio.get_running_loop().call_at(at, self._has_more, lane)

    def _has_more(self, lane: Lane) -> None:
        lane.dry, lane.more_at = False, None
        if self._schedule.touch(lane):
            self._feed.set()

    # ------------------------------------------------------------------ the feeder

    async def _feeder(self) -> None:
        clock = self._context.clock
        while True:
            for lane in self._schedule.changed():
                await self._look_after(lane)
            pending = None
            if self.reason is None and self._may_claim(clock.mono()):
                pending = await self._claim()
            if not self._open and not self._schedule.held() and await self._is_over(pending):
                self._over.set()
                return
            await self._sleep(
                self._feed, self._claim_at if self._can_hold_more() and self.reason is None else None
            )

    async def _look_after(self, lane: Lane) -> None:
        """Refill a lane that runs low, give back one that is done or has long to wait."""
        if self._schedule.lanes.get(lane.name) is not lane:
            return
        if lane.hungry and self.reason is None and lane.domain.parked is None:
            await self._refill(lane)
        wait = lane.domain.next_at - self._context.clock.mono()
        held_long = wait > LONG_HOLD and not lane.open_visits
        if held_long or (
            lane.idle and (lane.dry or lane.domain.parked is not None or self.reason is not None)
        ):
            await self._release([lane])

    async def _refill(self, lane: Lane) -> None:
        lane.refilling, lane.dry = True, True
        try:
            wanted = lane.batch - len(lane.queue)
            more = await self._context.frontier.refill(lane.lease, wanted, now=self._context.clock.unix())
        finally:
            lane.refilling = False
        if len(more) == wanted:
            lane.dry = False
        lane.queue.extend(more)
        self._schedule.offer(lane)
        self._dispatch.set()

    async def _release(self, lanes: list[Lane]) -> None:
        """Give domains back with what is known of them, and forget them here."""
        politeness = self._context.politeness
        given = []
        for lane in lanes:
            self._schedule.remove(lane)
            given.append(replace(lane.lease, facts=politeness.facts(lane.name), requests=()))
        await self._context.frontier.release(given, now=self._context.clock.unix())
        for lane in lanes:
            if lane.name not in self._schedule.lanes:
                politeness.forget(lane.name)
        self._claim_by(self._context.clock.mono())
        self._feed.set()

    def _claim_by(self, at: float) -> None:
        self._claim_at = at if self._claim_at is None else min(at, self._claim_at)

    def _can_hold_more(self) -> bool:
        return len(self._schedule.lanes) < MOST_LANES and self._schedule.held() < MOST_HELD

    def _may_claim(self, now: float) -> bool:
        return self._claim_at is not None and self._claim_at <= now and self._can_hold_more()

    async def _claim(self) -> Pending:
        """Lease domains that are due; learn when the next ones are."""
        context = self._context
        before = context.clock.mono()
        self._claim_at = None
        leases = await context.frontier.claim(
            self._owner, domains=CLAIM, per_domain=16, lease=LEASE, now=context.clock.unix()
        )
        for lease in leases:
            self._adopt(lease, before)
        pending = await context.frontier.pending(now=context.clock.unix())
        if pending.next_due is not None and not pending.spent:
            self._claim_by(context.clock.to_mono(pending.next_due))
        return pending

    def _adopt(self, lease: DomainLease, before: float) -> Lane:
        """A lease becomes a lane; its local deadline counts from before it was asked for."""
        context = self._context
        domain = context.politeness.restore(lease.domain, lease.facts)
        for origin in lease.facts.origins:
            context.robots.restore(origin)
        lane = Lane(lease, domain, before + LEASE)
        self._schedule.add(lane)
        self._schedule.touch(lane)
        self._dispatch.set()
        return lane

    @asynccontextmanager
    async def lane_for(self, name: str) -> AsyncIterator[Lane]:
        """The lane of a domain, kept while a fetch uses it; borrowed when this process does not hold it.

        Raises FetchError `domain-parked`, or `domain-busy` with the time to ask again when another owner
        has it.
        """
        lane = await self._find_lane(name)
        lane.open_visits += 1
        try:
            yield lane
        finally:
            lane.open_visits -= 1
            if self._schedule.touch(lane):
                self._feed.set()

    async def _find_lane(self, name: str) -> Lane:
        lane = self._schedule.lanes.get(name)
        if lane is not None and lane.domain.parked is not None:
            raise FetchError("domain-parked", f"{name} is parked: {lane.domain.parked}")
        if lane is not None:
            return lane
        context = self._context
        before = context.clock.mono()
        answer = await context.frontier.borrow(self._owner, name, lease=LEASE, now=context.clock.unix())
        adopted = self._schedule.lanes.get(name)
        if adopted is not None:
            return adopted
        if isinstance(answer, float):
            if answer == float("inf"):
                raise FetchError("domain-parked", f"{name} is parked")
            raise FetchError("domain-busy", f"another process holds {name}", retry_at=answer)
        return self._adopt(answer, before)

    async def park(self, lane: Lane, why: str) -> None:
        """Send nothing more to a domain in this run; its requests stay queued for a resume."""
        if lane.domain.parked is not None:
            return
        lane.domain.parked = why
        self._empty(lane)
        facts = self._context.politeness.facts(lane.name)
        await self._context.frontier.put_facts(lane.lease, facts, now=self._context.clock.unix())
        notify(self._context.observers, DomainParked(lane.name, why))
        self._feed.set()

    async def _is_over(self, pending: Pending | None) -> bool:
        """Nothing is under way here: is there nothing left to do at all?"""
        if self.reason is not None:
            return True
        if not self._seeder.finished or self._schedule.changed_any():
            return False
        if pending is None:
            pending = await self._context.frontier.pending(now=self._context.clock.unix())
        if pending.taken or self._open or self._schedule.held():
            return False
        return not pending.queued or pending.spent or pending.next_due is None

    # ------------------------------------------------------------------ the others

    async def _heartbeat(self) -> None:
        clock = self._context.clock
        while True:
            await self._sleep(self._beat, clock.mono() + EXTEND_EVERY)
            lanes = list(self._schedule.lanes.values())
            if not lanes:
                continue
            before = clock.mono()
            kept = await self._context.frontier.extend(
                [lane.lease for lane in lanes], lease=LEASE, now=clock.unix()
            )
            held = {(lease.domain, lease.epoch): lease for lease in kept}
            for lane in lanes:
                lease = held.get((lane.name, lane.lease.epoch))
                if lease is None:
                    self._schedule.drop([lane])
                else:
                    lane.lease, lane.deadline = lease, before + LEASE
                    self._schedule.offer(lane)
                self._schedule.touch(lane)
            self._feed.set()
            self._dispatch.set()

    async def _seed(self) -> None:
        async for due in self._seeder.run():
            self._claim_by(due)
            self._feed.set()
        self._feed.set()

    async def _timer(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.stop(f"max_time {seconds:g} s reached")

    async def _sleep(self, event: asyncio.Event, until: float | None) -> None:
        """Wait for an event, at most until a loop time."""
        if until is None:
            await event.wait()
        elif not event.is_set():
            handle = asyncio.get_running_loop().call_at(until, event.set)
            try:
                await event.wait()
            finally:
                handle.cancel()
        event.clear()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """A task ended; an error in any of them is ours or the database's, and ends the crawl."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._over.set()

    async def _shut_down(self) -> None:
        """Cancel what still runs and give all leases back."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is None:
            await asyncio.shield(self._release(list(self._schedule.lanes.values())))
