"""How requests to a domain are let through: in order, at the moment of the send, a number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol

from scraper.core.clock import Clock
from scraper.core.models import Pace, Proxy
from scraper.politeness.outage import Outage
from scraper.politeness.shared_rate import Shared, SharedRate
from scraper.politeness.slots import Slots
from scraper.politeness.spacing import Spacing

__all__ = ["PATIENCE_SECONDS", "Gate", "Turn"]

#: Seconds before its permit a request may take a connection.
APPROACH_SECONDS = 0.05
#: Seconds a request may hold its slot while its domain is held; above that it goes back into the queue.
PATIENCE_SECONDS = 5.0


class _Conditions(Protocol):
    """What a domain says to its gate, and is told by it. Times are the loop's."""

    #: Seconds from the end of a response to the next send; then one request at a time.
    pause: float
    outage: Outage

    @property
    def send_at(self) -> float:
        """Before this no permit is given."""
        ...

    @property
    def pace(self) -> Pace:
        """What is in force now."""
        ...

    def check(self, turn: object) -> None:
        """Raises Held where the turn would hold its slot too long, or where another one probes the domain."""
        ...

    def held_at(self, now: float) -> float:
        """Up to when it is held by more than its rate, its hours looked at."""
        ...

    def start_pause(self) -> None:
        """A response ended: where there is a pause, it begins."""
        ...

    def push(self) -> None:
        """One more request: the next visit starts a gap later."""
        ...

    def note_sent(self) -> None:
        """A request was sent: the next visit starts no earlier than a gap after it."""
        ...


class Gate:
    """Lets requests to one domain through, one by one.

    Invariants: nothing passes before `spacing` grants it, nor while the domain is held; at most `slots.size` turns are
    held, and only one is on the wire while a pause is kept; who waits for a shared rate is first in line here. A permit
    that opened a connection is *claimed* when its request is to be sent; those who claim come before all others, and
    keep the gap to whatever else passed since.
    It holds no reference to its domain, which would be a cycle: a domain that is forgotten is freed at once.
    """

    __slots__ = (
        "_claiming",
        "_claims",
        "_clock",
        "_on_wire",
        "_order",
        "_waiters",
        "shared",
        "slots",
        "spacing",
    )

    def __init__(self, clock: Clock, slots: int, shared: Shared) -> None:
        self._clock = clock
        self._on_wire = self._claims = 0
        self._order = asyncio.Lock()
        self._claiming = asyncio.Lock()
        self._waiters: list[asyncio.Future[None]] = []
        self.shared = shared
        self.slots = Slots(slots)
        self.spacing = Spacing(clock)

    @property
    def has_unsent(self) -> bool:
        """Whether a turn is held whose request has not been let through."""
        return self.slots.taken > self._on_wire

    async def permit(self, domain: _Conditions, turn: Turn, shared: Sequence[SharedRate]) -> None:
        """Wait until one request may be sent, or one connection opened, and count it."""
        async with self._order:  # one at a time, in order: the next one sees what this one did
            await self._wait_for_own(domain, turn)
            while shared and not await self._share(domain, turn, shared):
                await self._wait_for_own(domain, turn)
            self._on_wire += not turn.passed
            turn.passed, turn.before = True, self.spacing.last_send
            self.spacing.use_grant()
            if self.spacing.gap:
                domain.note_sent()

    async def claim(self, domain: _Conditions, turn: Turn, shared: Sequence[SharedRate]) -> None:
        """A permit that the turn has is used only now: wait for the gap after what passed in between."""
        self._claims += 1
        try:
            async with self._claiming:
                while True:
                    domain.check(turn)
                    if (wait := self._claimed_in(domain, turn)) > 0:
                        await self.change(wait)
                    elif not shared or await self._share_claimed(domain, turn, shared):
                        break
                self.mark_sent(domain, turn.permitted_at)
        finally:
            self._claims -= 1
            self.wake()

    def _claimed_in(self, domain: _Conditions, turn: Turn) -> float:
        """Seconds until a permit that the turn has may be used: the gap after the last of all others."""
        now, last, gap = self._clock.mono(), self.spacing.last_send, self.spacing.gap
        if last is None or last <= turn.permitted_at:
            last = turn.before
        spaced = last + gap if gap and last is not None else 0.0
        return max(domain.held_at(now), spaced) - now

    async def _share_claimed(self, domain: _Conditions, turn: Turn, shared: Sequence[SharedRate]) -> bool:
        async with AsyncExitStack() as held:
            for rate in shared:
                await held.enter_async_context(rate)
            if self._claimed_in(domain, turn) > 0:
                return False
            for rate in shared:
                rate.use()
        return True

    async def _wait_for_own(self, domain: _Conditions, turn: Turn) -> None:
        """Wait for all that the domain itself asks for: its hours, a hold, a pause, its rate. Raises Held."""
        spacing = self.spacing
        while True:
            wait = self._clear_in(domain)
            if wait > 0 or domain.outage.is_down:
                domain.check(turn)
            if self._claims or (self._on_wire > turn.passed and domain.pause):
                await self.change(None)
            elif wait > 0:
                await self.change(wait)
            elif spacing.gap and not spacing.has_grant:
                await spacing.acquire()
            else:
                return

    async def _share(self, domain: _Conditions, turn: Turn, shared: Sequence[SharedRate]) -> bool:
        """Wait for the shared rates, one inside the other, and use them; not if the domain must wait meanwhile: then
        the next in line has what they granted."""
        async with AsyncExitStack() as held:
            for rate in shared:
                await held.enter_async_context(rate)
            if self._claims or (self._on_wire > turn.passed and domain.pause) or self._clear_in(domain) > 0:
                return False
            if self.spacing.gap and not self.spacing.has_grant:
                return False  # its rate was changed
            for rate in shared:
                rate.use()
        return True

    def _clear_in(self, domain: _Conditions) -> float:
        """Seconds for which something else than the limiter holds requests back; 0 or less for nothing."""
        now = self._clock.mono()
        return max(domain.held_at(now), self.spacing.clear_at) - now

    async def change(self, wait: float | None) -> None:
        """Until something about the domain changes, `wait` seconds at most."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiters.append(future)
        timer = None if wait is None else loop.call_later(wait, _settle, future)
        try:
            await future
        finally:
            self._waiters.remove(future)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Something about the domain changed: who waits looks again."""
        for future in self._waiters:
            _settle(future)

    def mark_sent(self, domain: _Conditions, permitted_at: float) -> None:
        """A request left just now that was permitted at `permitted_at`."""
        self.spacing.mark_sent(permitted_at)
        if self.spacing.gap:
            domain.note_sent()

    def end_turn(self, domain: _Conditions, turn: Turn) -> None:
        """A turn is over, in which something was let through or not."""
        self._on_wire -= turn.passed
        self.slots.release()
        if domain.outage.is_down:
            domain.outage.end_turn(turn)
        if domain.pause:
            domain.start_pause()
        if self._waiters:
            self.wake()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Turn:
    """The right to have one request in flight at a domain, as a context manager.

    `await turn.permit()` immediately before each send; the first permit of a dispatched visit was reserved
    by the scheduler, further ones (redirects, robots.txt, `page.fetch`) push the domain's next start back.
    `await turn.connect()` before a connection is opened: the permit that it takes is the one of the request that is sent
    on it. `turn.keep()` says that a permit was not used: the next one is had for it.

    Invariant: `permitted_at` is when this turn was let through last (loop time), `before` what was let through before it.
    """

    __slots__ = (
        "_clock",
        "_domain",
        "_gate",
        "_kept",
        "_opening",
        "_through",
        "before",
        "passed",
        "permitted_at",
    )

    def __init__(self, domain: _Conditions, gate: Gate, clock: Clock) -> None:
        self._domain = domain
        self._gate = gate
        self._clock = clock
        self._through: SharedRate | None = None
        self._opening = self._kept = False
        self.passed = False
        self.permitted_at = 0.0
        self.before: float | None = None

    async def __aenter__(self) -> Turn:
        await self._gate.slots.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._through is not None and not self.passed:
            self._through.unreserve()
        if self._opening:  # no request followed: what others share is told afterwards
            for rate in self._shared():
                rate.mark_sent(0.0)
        self._gate.end_turn(self._domain, self)

    def _shared(self) -> Sequence[SharedRate]:
        return [rate for rate in (self._through, self._gate.shared.total) if rate is not None]

    async def approach(self) -> None:
        """Wait until the domain may soon be sent to, so that no connection stands idle for its permit. Raises Held."""
        while (wait := self._domain.send_at - self._clock.mono()) > APPROACH_SECONDS:
            self._domain.check(self)
            await self._gate.change(wait - APPROACH_SECONDS / 2)

    def take_proxy(self, proxy: Proxy | None) -> None:
        """The request goes through this proxy, and waits for its rate too."""
        proxies = self._gate.shared.proxies
        if proxies is not None and proxy is not None:
            self._through = proxies.take(proxy)

    async def connect(self, *, reserved: bool = False) -> Pace:
        """Wait until a connection may be opened; returns at that moment, with what is in force. Raises Held.

        An attempt that failed has used its permit up: the next one waits for another.
        """
        if self._kept:
            await self._gate.claim(self._domain, self, ())
        else:
            await self._pass((), reserved=reserved)
        self._opening, self._kept = True, False
        self.permitted_at = self._gate.spacing.last_send or 0.0
        return self._domain.pace

    async def permit(self, *, reserved: bool = False) -> Pace:
        """Wait until the domain may be sent to once; returns at that moment, with what is in force. Raises Held."""
        alone = self._through is None and self._gate.shared.total is None
        shared = () if alone or self._kept else self._shared()
        if self._kept or self._opening:
            await self._gate.claim(self._domain, self, shared)
        else:
            await self._pass(shared, reserved=reserved)
        self._opening = self._kept = False
        self.permitted_at = self._gate.spacing.last_send or 0.0
        return self._domain.pace

    async def _pass(self, shared: Sequence[SharedRate], *, reserved: bool) -> None:
        if self.passed:
            self._domain.start_pause()
        if not reserved:
            self._domain.push()
        await self._gate.permit(self._domain, self, shared)

    def keep(self) -> None:
        """The permit was not used: the connection turned out to be closed. It is for the turn's next attempt."""
        self._kept = True

    def mark_sent(self) -> None:
        """The request left just now: a process that was held up after its permit keeps the gap all the same."""
        self._gate.mark_sent(self._domain, self.permitted_at)
        for rate in (self._through, self._gate.shared.total):
            if rate is not None:
                rate.mark_sent(self.permitted_at)
