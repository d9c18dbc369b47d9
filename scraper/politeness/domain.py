"""Politeness state of one domain, and the turns and permits that keep it.

Two kinds of spacing exist. A *rate* is measured from send to send, at any concurrency; a *pause* (the `delay`
setting, robots Crawl-delay) from the end of a response to the next send, one request at a time. The scheduler
asks `Domain.next_at`; what it starts takes a `Turn`, and every send under the turn a permit.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiolimiter import AsyncLimiter

from scraper.core.clock import Clock
from scraper.core.models import Hours, Limit, Pace, Rate
from scraper.politeness.adaptive_rate import AutoRate
from scraper.settings import Settings

__all__ = ["PAUSE", "RATE", "REFUSALS", "RETRY_AFTER", "Domain", "Turn"]

#: Why a domain waits, as people read it; and its hours.
RATE, PAUSE, RETRY_AFTER, BACKOFF = "rate limit", "crawl delay", "Retry-After", "backoff"

#: 401, 403 or `Blocked` so many times in a row and the domain is parked.
REFUSALS = 20
#: So many times in a row 429 or 503, each one waited for, and the domain is parked.
PUSHBACKS = 10
#: Kinds of failure that slow an adaptive rate: the site does not keep up.
TIMEOUTS = frozenset({"timeout", "connect-timeout"})
#: Seconds before its permit a request may take a connection.
APPROACH = 0.05


class Domain:
    """Politeness state of one domain.

    Invariants: `next_at` (loop time) is never less than the last send plus the gap, nor than any Retry-After,
    restored state, running pause or closed hours; nothing is sent before `send_at`, whatever the limiter says;
    at most `concurrency` turns are held, and only one is on the wire while a pause is kept; `active` counts
    visits dispatched whose turn has not ended. Only this module changes the fields.
    """

    __slots__ = (
        "_agent", "_clock", "_closed_until", "_debt", "_limiter", "_on_wire", "_open_until", "_order", "_pace",
        "_pushed_at", "_semaphore", "_turns", "_waiters", "active", "auto", "away_until", "concurrency",
        "crawl_delay", "delay", "gap", "held_for", "hours", "last_send", "name", "next_at", "not_before", "parked",
        "probing", "pushbacks", "refusals", "robots", "unsaved",
    )  # fmt: skip

    def __init__(self, name: str, settings: Settings, limit: Limit, clock: Clock, agent: str = "") -> None:
        self.name = name
        self.robots = settings.robots if limit.robots is None else limit.robots
        self.probing = self.robots
        self.crawl_delay: float | None = None
        self.next_at = self.not_before = self.away_until = 0.0
        self.last_send: float | None = None
        self.parked: str | None = None
        self.held_for = ""
        #: Something was learned that a restart must know.
        self.unsaved = False
        self.auto: AutoRate | None = None
        self.gap = 0.0
        self.active = self.refusals = self.pushbacks = 0
        self._clock, self._agent = clock, agent
        self._pushed_at = self._closed_until = 0.0
        self._turns = self._on_wire = self._debt = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._order = asyncio.Lock()
        self._limiter: AsyncLimiter | None = None
        self._pace: Pace | None = None
        self.concurrency = limit.concurrency or settings.concurrency
        self._semaphore = asyncio.Semaphore(self.concurrency)
        self.adjust(settings, limit)

    def adjust(self, settings: Settings, limit: Limit) -> None:
        """Take over other limits, at any time: what is under way or waiting is held to the new ones."""
        rate = Rate.parse(limit.rate) if limit.rate is not None else settings.rate
        self.delay = settings.delay if limit.delay is None else limit.delay
        self.hours = Hours.parse(limit.hours) if limit.hours is not None else settings.hours
        self._open_until = float("inf") if self.hours is None else 0.0
        self._closed_until = 0.0
        self._resize(limit.concurrency or settings.concurrency)
        if rate is not None and rate.auto:
            if self.auto is None:
                self.auto = AutoRate(rate.per_second, self._clock.mono())
            self.auto.limit(rate.per_second)
            self._set_gap(1 / self.auto.rate)
        else:
            self.auto = None
            self._set_gap(rate.gap if rate else 0.0)
        self.next_at = max(self.send_at, min(self.next_at, self._clock.mono() + self.gap))
        self._pace = None
        self._wake()

    # ------------------------------------------------------------------ what it is now

    @property
    def pause(self) -> float:
        """Seconds from the end of a response to the next send; 0 when only the rate counts."""
        return max(self.delay, self.crawl_delay or 0.0)

    @property
    def capacity(self) -> int:
        """Visits that may be under way: one while robots.txt is unknown or a pause is kept."""
        return 1 if self.probing or self.pause else self.concurrency

    def has_room(self) -> bool:
        return self.active < self.capacity and self.parked is None

    @property
    def pace(self) -> Pace:
        """What is in force now."""
        if self._pace is None or self._pace.pause != self.pause:
            allowed = 1 if self.pause else self.concurrency
            self._pace = Pace(self.gap, self.pause, allowed, self._agent if self.robots else None)
        return self._pace

    @property
    def send_at(self) -> float:
        """The loop time before which no permit is given."""
        held = max(self.not_before, self._closed_until)
        return held if self.last_send is None else max(held, self.last_send + self.gap)

    @property
    def held_until(self) -> float:
        """The loop time up to which it is held by more than its rate: Retry-After, backoff, pause, hours."""
        return max(self.not_before, self._closed_until)

    def is_open(self, now: float) -> bool:
        """Whether the hours of the day allow sends; if not, the domain is held until they do."""
        if now < self._open_until:
            return True
        if self.hours is None:
            return True
        is_open, changes = self.hours.at(self._clock.unix())
        at = self._clock.to_mono(changes)
        if is_open:
            self._open_until = at
            return True
        self._closed_until = at
        self.next_at = max(self.next_at, at)
        return False

    def waits(self, now: float) -> tuple[str, float] | None:
        """What keeps the next request back, and until when (loop time); None when it may go."""
        if self.next_at <= now:
            return None
        if self._closed_until > max(now, self.not_before):
            return f"hours {self.hours}", self._closed_until
        if self.not_before > now and self.not_before >= self.next_at:
            return self.held_for, self.not_before
        return RATE, self.next_at

    @property
    def note(self) -> str:
        """What an adaptive rate is now, and why; "" for a rate that is set."""
        return f"auto {Rate(self.auto.rate)}: {self.auto.why}" if self.auto else ""

    # ------------------------------------------------------------------ what the scheduler does

    def reserve(self) -> None:
        """A visit starts now: count it, and let the next one start no earlier than a gap later."""
        self.active += 1
        self._push(self.gap)

    def unreserve(self, *, sent: bool) -> None:
        """The visit's turn is over. If nothing was sent, the gap reserved for it is given back."""
        self.active -= 1
        if not sent:
            self.next_at = max(self.next_at - self.gap, self.held_until)

    def hold(self, until: float, why: str = RETRY_AFTER) -> None:
        """No send before `until` (loop time), because of `why`: Retry-After, backoff, a pause, restored state."""
        if until > self.not_before:
            self.not_before, self.held_for = until, why
        self.next_at = max(self.next_at, until)

    def sent_before(self, at: float) -> None:
        """Somebody else may have sent as late as `at` (loop time), or got the end of an answer then."""
        self.last_send = at
        self.next_at = max(self.next_at, at + self.gap)
        if pause := self.pause:
            self.hold(at + pause, PAUSE)

    def turn(self) -> Turn:
        return Turn(self)

    # ------------------------------------------------------------------ what answers teach

    def refused(self) -> bool:
        """Count a 401, 403 or Blocked; True when it was one too many and the domain must be parked."""
        self.refusals += 1
        return self.refusals >= REFUSALS

    def welcomed(self) -> None:
        """An answer that is no refusal."""
        self.refusals = 0

    def pushed_back(self, sent: float, asked: float | None, backoff: float, why: str) -> bool:
        """A 429 or 503 to what was sent at `sent`: the whole domain waits, as long as it asked (loop time), and
        a backoff at least. True when it was one too many in a row: those that were under way together count once.
        """
        now = self._clock.mono()
        if sent >= self._pushed_at:
            self.pushbacks += 1
        self._pushed_at = now
        self.hold(now + backoff, BACKOFF)
        if asked is not None:
            self.hold(asked, RETRY_AFTER)
        if self.auto is not None and self.auto.refused(sent, now, why):
            self._set_gap(1 / self.auto.rate)
        self.unsaved = True
        return self.pushbacks >= PUSHBACKS

    def answered(self, sent: float, status: int) -> None:
        """Any other answer to what was sent at `sent`."""
        if sent >= self._pushed_at:
            self.pushbacks = 0
        if self.auto is None:
            return
        now = self._clock.mono()
        if status >= 500:
            self.auto.troubled()
        if self.auto.answered(sent, now, now - sent, good=200 <= status < 300):
            self._auto_changed()

    def unanswered(self, sent: float, kind: str) -> None:
        """No answer to what was sent at `sent`: a time-out slows an adaptive rate, other failures keep it."""
        if self.auto is None:
            return
        if kind not in TIMEOUTS:
            self.auto.troubled()
        elif self.auto.refused(sent, self._clock.mono(), "no answer in time"):
            self._auto_changed()

    def _auto_changed(self) -> None:
        assert self.auto is not None
        self._set_gap(1 / self.auto.rate)
        self.unsaved = True

    # ------------------------------------------------------------------ permits

    def _set_gap(self, gap: float) -> None:
        """Another gap. A fresh limiter admits at once, so that it is `send_at` that keeps the distance to the
        last send: every permit waits for that first."""
        if gap == self.gap:
            return
        if self.next_at > self._clock.mono():  # a visit that was reserved keeps its distance
            self.next_at += gap - self.gap
        self.gap = gap
        self.next_at = max(self.next_at, self.send_at)
        self._limiter = AsyncLimiter(1, gap) if gap else None
        self._pace = None
        self._wake()

    def _resize(self, concurrency: int) -> None:
        """More slots are there at once; fewer, as the semaphore's free ones are met (see `Turn.__aenter__`)."""
        more = concurrency - self.concurrency
        self.concurrency = concurrency
        forgiven = min(max(more, 0), self._debt)
        self._debt += -more if more < 0 else -forgiven
        for _ in range(more - forgiven):
            self._semaphore.release()

    def _push(self, gap: float) -> None:
        if gap:
            self.next_at = max(self.next_at, self._clock.mono()) + gap

    async def _permit(self, on_wire: bool) -> None:
        """Wait until one request may be sent, and count it. `on_wire`: this turn has sent before."""
        async with self._order:  # one at a time, in order: whoever comes next sees what this one did
            while not await self._may_send(on_wire):
                pass
        self._on_wire += not on_wire
        self._sent()

    def _sent(self) -> None:
        self.last_send = now = self._clock.mono()
        if self.gap:
            self.next_at = max(self.next_at, now + self.gap)

    async def _may_send(self, on_wire: bool) -> bool:
        """Whether a request may be sent at this instant; waits for what stands against it first."""
        clock = self._clock
        self.is_open(now := clock.mono())
        if self.pause and self._on_wire > on_wire:
            await self._change(None)
            return False
        if (wait := self.send_at - now) > 0:
            await self._change(wait)
            return False
        limiter = self._limiter
        if limiter is None:
            return True
        await limiter.acquire()
        # Something may have come in while this waited for the limiter: it counts for this send too.
        return limiter is self._limiter and self.send_at <= clock.mono()

    async def _change(self, wait: float | None) -> None:
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

    def _wake(self) -> None:
        for future in self._waiters:
            _settle(future)

    def _turn_ended(self, sent: bool) -> None:
        self._turns -= 1
        self._on_wire -= sent
        if self._debt:
            self._debt -= 1
        else:
            self._semaphore.release()
        if pause := self.pause:
            self.hold(self._clock.mono() + pause, PAUSE)
        if self._waiters:
            self._wake()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Turn:
    """The right to have one request in flight at a domain, as a context manager.

    `await turn.permit()` immediately before each send; the first permit of a dispatched visit was reserved
    by the scheduler, further ones (redirects, robots.txt, `page.fetch`) push the domain's next start back.
    """

    __slots__ = ("_domain", "sends")

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.sends = 0

    async def __aenter__(self) -> Turn:
        domain = self._domain
        await domain._semaphore.acquire()
        while domain._debt:
            # There are fewer slots than there were: this free one is gone.
            domain._debt -= 1
            await domain._semaphore.acquire()
        domain._turns += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._domain._turn_ended(self.sends > 0)

    async def approach(self) -> None:
        """Wait until the domain may soon be sent to, so that no connection stands idle for its permit."""
        domain = self._domain
        while (wait := domain.send_at - domain._clock.mono()) > APPROACH:
            await domain._change(wait - APPROACH / 2)

    def left(self) -> None:
        """The request left just now: a process that was held up after its permit keeps the gap all the same."""
        self._domain._sent()

    async def permit(self, *, reserved: bool = False) -> Pace:
        """Wait until the domain may be sent to once; returns at that moment, with what is in force."""
        domain = self._domain
        if self.sends and (pause := domain.pause):
            domain.hold(domain._clock.mono() + pause, PAUSE)
        if not reserved:
            domain._push(domain.gap)
        await domain._permit(self.sends > 0)
        self.sends += 1
        return domain.pace
