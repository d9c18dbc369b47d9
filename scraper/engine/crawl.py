"""A whole crawl: which tasks run, how work reaches them, and how it ends.

Four tasks beside the visits: the *dispatcher* starts a visit whenever some domain may go now; the *feeder* keeps
the lanes filled from the frontier and gives back what is done; the *heartbeat* prolongs leases; the *seeder*
stores the start requests. They meet in `Lanes` and wake one another by events; nothing polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from scraper.core.machine_limits import RAISE_FILES, allowed_files
from scraper.core.models import Command, Completed, CrawlStatus, Done, Landing, Pending
from scraper.engine.accounting import Waits
from scraper.engine.circuit_breakers import FailFast
from scraper.engine.common import Common
from scraper.engine.context import Reading, Sending
from scraper.engine.domain_scheduler import Lane
from scraper.engine.lanes import EXTEND_EVERY
from scraper.engine.machine_hold import MachineHold
from scraper.engine.redirect_targets import Redirects
from scraper.engine.seeds import Seeder
from scraper.engine.sending import LeaseLost
from scraper.engine.visit import Visit, Visiting
from scraper.errors import TableError
from scraper.events import GRACE, STOPPED, PageDone, Stopping, Warned

__all__ = ["Engine"]

#: Seconds between two looks at what other processes have to say.
LISTEN = 1.0
#: Fewer visits at once than this are so few that a person should raise the limit.
FEW_SLOTS = 8


class Engine:
    """Runs one crawl.

    Invariants: at most `in_flight` visits hold a slot (fetching or in a callback), at most twice as many are
    not yet committed; a visit starts only for a domain that may be sent to now, under a lease that is not
    over; the end is reached when nothing is under way and the frontier says that nothing is left.
    """

    def __init__(
        self,
        sending: Sending,
        reading: Reading,
        seeder: Seeder,
        is_full: Callable[[], Awaitable[bool]] | None = None,
        connections: int | None = None,
    ) -> None:
        """`is_full` says whether the run has `max_items` by now; None where there is no such limit.

        `connections`: how many this machine allows at once (`connection_budget`), None where none is opened.
        """
        self._common = common = sending.common
        self._visiting = Visiting(sending, reading, self, Redirects(sending, reading, self))
        self._links = reading.links
        self._seeder = seeder
        self._lanes = sending.lanes
        self._waits = Waits(common, self._lanes, self)
        self._slots = self._most = _slots(common, connections)
        self._machine = MachineHold(common, self.stop)
        self._open = 0
        self._is_full = is_full
        self._failfast = FailFast(self.stop)
        sending.outages.stop = self.stop
        self._beat = asyncio.Event()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        #: Why the crawl stopped early; None while it runs, and when the queue drained.
        self.reason: str | None = None

    async def run(self) -> str | None:
        """Crawl to the end. Returns why it stopped early, None when the queue drained.

        Cancelling it cancels every visit; what was not committed is queued again on resume.
        """
        own = [self._dispatcher(), self._feeder(), self._heartbeat(), self._seed(), self._listener()]
        own.append(self._waits.run())
        if self._common.settings.max_time is not None:
            own.append(self._timer(self._common.settings.max_time))
        for coroutine in own:
            self._spawn(coroutine)
        try:
            await self._over.wait()
        finally:
            await self._shut_down()
        if self._error is not None:
            raise self._error
        return self.reason

    @property
    def to_requeue(self) -> list[int]:
        """Failed requests to put back into the queue: what made them fail can be mended."""
        return self._failfast.to_requeue

    def is_busy(self) -> bool:
        """Whether a commit may wait for company: there is plenty under way meanwhile."""
        return self._most - self._slots >= 8 and self._open < self._most + self._most // 2

    @property
    def free_slots(self) -> int:
        """How many more visits may begin at once."""
        return self._slots

    @property
    def in_slots(self) -> int:
        """Visits that hold a slot: they fetch, or are in a callback."""
        return self._most - self._slots

    @property
    def may_start(self) -> bool:
        """Whether a visit may begin: a slot is free, and not too many visits wait for their commit."""
        return self._slots > 0 and self._open < 2 * self._most and self.reason is None

    def status(self) -> CrawlStatus:
        """What is going on right now."""
        return self._waits.status()

    def time_spent(self) -> dict[str, int]:
        """Milliseconds by cause, as counters of the run: `time.network` and so on."""
        self._waits.end()
        return {f"time.{cause}": round(1000 * seconds) for cause, seconds in self._waits.spent.items()}

    # ------------------------------------------------------------------ what visits may ask (Control)

    def stop(self, reason: str, grace: float | None = None) -> None:
        """Start nothing new; what is under way ends and is stored, or is given up after `grace` seconds."""
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self._over.set)
        if self.reason is None:
            self.reason = reason
            self._lanes.closing = True
            self._lanes.empty(self._lanes.schedule.lanes.values())
            self._lanes.feed.set()
            self._lanes.ready.set()
            self._common.notices.tell(Stopping(reason, grace))

    def parsed(self, seconds: float) -> None:
        self._waits.parsed(seconds)

    def machine_limit(self, lane: Lane, error: BaseException) -> float:
        return self._common.clock.to_unix(self._machine.met(lane, error))

    @property
    def machine_until(self) -> float:
        """The loop time before which nothing starts, because this machine has nothing left."""
        return self._machine.until

    async def move(self, lane: Lane, moved: Done, duplicate: Done | None) -> Landing:
        """End a request that redirects, as `Frontier.move` does. Raises LeaseLost."""
        target = moved.effects.outcome.to
        assert target is not None
        clock = self._common.clock
        landing = await self._common.frontier.move(
            lane.lease, moved, duplicate,
            waiting=self._lanes.waiting(target.domain), now=clock.unix(), at=clock.wall(),
        )  # fmt: skip
        if landing.fate == "lost":
            raise LeaseLost
        if landing.fate in {"new", "duplicate"}:
            done = moved if landing.fate == "new" or duplicate is None else duplicate
            self._written(done, landing.due)
        return landing

    # ------------------------------------------------------------------ the dispatcher

    async def _dispatcher(self) -> None:
        schedule, clock = self._lanes.schedule, self._common.clock
        while True:
            while self.may_start and (now := clock.mono()) >= self._machine.until:
                lane = schedule.pick(now)
                if lane is None:
                    break
                self._start(lane)
            at = schedule.next_at() if self.may_start else None
            await _wait(self._lanes.ready, at if at is None else max(at, self._machine.until))

    def _start(self, lane: Lane) -> None:
        if self._common.clock.unix() >= lane.deadline:
            # The loop was blocked, or the machine suspended, past the lease: prolong it first, the heartbeat offers the
            # lane again.
            self._beat.set()
            return
        request = self._lanes.schedule.take(lane)
        self._slots -= 1
        self._open += 1
        lane.open_visits += 1
        lane.domain.reserve()
        self._lanes.schedule.offer(lane)
        self._lanes.touch(lane)
        visit = Visit(self._visiting, lane, request, lambda sent: self._turn_over(lane, sent))
        self._spawn(self._visit(lane, visit))

    async def _visit(self, lane: Lane, visit: Visit) -> None:
        """One visit: fetch and callback in a slot, the commit outside it."""
        in_slot = True
        try:
            done = await visit.run()
            self._slots += 1
            in_slot = False
            self._lanes.ready.set()
            if done is None:
                return
            try:
                completed = await self._commit(lane, done)
            except TableError as error:
                # No page with such items can be stored: this one waits in the queue until that is mended.
                self.stop(str(error))
                done = visit.put_back(error)
                completed = await self._commit(lane, done)
            except Exception as error:
                # Something of the page cannot be stored; if it is the database itself, this fails as well.
                done = visit.internal(error)
                completed = await self._commit(lane, done)
            self._completed(lane, done, completed)
            if self._is_full is not None and self.reason is None and await self._is_full():
                self.stop(f"max_items {self._common.settings.max_items} reached")
        except LeaseLost:
            self._lanes.drop(lane)
        finally:
            visit.over()
            self._slots += in_slot
            self._open -= 1
            lane.open_visits -= 1
            self._lanes.touch(lane)
            self._lanes.ready.set()
            if not self._open:
                self._lanes.feed.set()

    async def _commit(self, lane: Lane, done: Done) -> Completed:
        clock = self._common.clock
        lane.committing += 1
        try:
            return await self._common.frontier.complete(lane.lease, done, now=clock.unix(), at=clock.wall())
        finally:
            lane.committing -= 1

    def _turn_over(self, lane: Lane, sent: bool) -> None:
        lane.domain.unreserve(sent=sent)
        self._lanes.room_changed(lane)

    def _completed(self, lane: Lane, done: Done, completed: Completed) -> None:
        if completed.written:
            self._written(done, completed.due)
        else:
            self._lanes.drop(lane)

    def _written(self, done: Done, due: Mapping[str, float]) -> None:
        if self._machine.since is not None and done.effects.outcome.kind != "machine":
            self._machine.passed()
        if done.effects.outcome.name != "retry":
            self._waits.moved()
        self._links.proved(done.effects.links)
        self._failfast.watch(done.effects)
        for domain, at in due.items():
            self._lanes.new_work(domain, at)
        self._common.notices.tell(PageDone(done))

    # ------------------------------------------------------------------ the feeder, and the end

    async def _feeder(self) -> None:
        lanes = self._lanes
        while True:
            await lanes.look_after_changed()
            pending = await lanes.claim_due()
            if not self._open and not lanes.schedule.held() and await self._is_over(pending):
                self._over.set()
                return
            await _wait(lanes.feed, lanes.look_at())

    async def _is_over(self, pending: Pending | None) -> bool:
        """Nothing is under way here: is there nothing left to do at all?"""
        if self.reason is not None:
            return True
        if not self._seeder.finished or self._lanes.schedule.changed_any():
            return False
        if pending is None:
            pending = await self._common.frontier.pending(now=self._common.clock.unix())
        if not pending.seeded or pending.taken or self._open or self._lanes.schedule.held():
            return False
        return not pending.queued or pending.spent or pending.next_due is None

    # ------------------------------------------------------------------ the others

    async def _heartbeat(self) -> None:
        while True:
            await _wait(self._beat, self._common.clock.mono() + EXTEND_EVERY)
            self._lanes.look_at_clocks()
            await self._lanes.extend()
            await self._lanes.give_away()

    async def _seed(self) -> None:
        async for due in self._seeder.run():
            self._lanes.claim_by(due)
        self._lanes.feed.set()

    async def _listener(self) -> None:
        """What people say from other terminals. It reaches us through the database, which sends no events."""
        heard = 0
        while True:
            for command in await self._common.frontier.commands(heard):
                heard = command.id
                await self._obey(command)
            await asyncio.sleep(LISTEN)

    async def _obey(self, command: Command) -> None:
        match command.what:
            case "stop":
                self.stop(STOPPED, GRACE)
            case "limit":
                await self._lanes.adjust(command.argument["domain"], command.argument["changes"])
            case "retry":
                await self._lanes.retry_now(command.argument["domains"])
            case _:
                self._common.notices.tell(Warned(f"unknown command {command.what!r} left alone"))

    async def _timer(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.stop(f"max_time {seconds:g} s reached", GRACE)

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
            await asyncio.shield(self._lanes.release_all())


def _slots(common: Common, connections: int | None) -> int:
    """How many visits there are at once: each may need a connection, so what this machine allows bounds them."""
    wanted = common.settings.in_flight
    if connections is None or connections >= wanted:
        return wanted
    advice = f"; raise it: {RAISE_FILES}" if connections < FEW_SLOTS else ""
    common.notices.warn_once(
        "machine", f"in_flight is {connections} instead of {wanted}: ulimit -n is {allowed_files()}{advice}"
    )
    return connections


async def _wait(event: asyncio.Event, until: float | None) -> None:
    """Wait for an event and clear it; at most until a loop time."""
    if until is None:
        await event.wait()
    elif not event.is_set():
        handle = asyncio.get_running_loop().call_at(until, event.set)
        try:
            await event.wait()
        finally:
            handle.cancel()
    event.clear()
