"""When a domain may be sent to, and what keeps its next request back.

Two kinds of spacing exist. A *rate* is measured from send to send, at any concurrency; a *pause* (the `delay`
setting, robots Crawl-delay) from the end of a response to the next send, one request at a time. The scheduler
asks `next_at`; what it starts takes a `Turn`, and every send under the turn a permit.
"""

from __future__ import annotations

from collections.abc import Iterable

from scraper.core.clock import Clock, Jump
from scraper.politeness.gate import Gate
from scraper.politeness.open_hours import OpenHours
from scraper.politeness.reasons import PAUSE, RATE, RETRY_AFTER, Wait
from scraper.politeness.shared_rate import Shared

__all__ = ["Timetable"]


class Timetable:
    """The times of one domain; all are the loop's.

    Invariants: `next_at`, from when the next visit may start, is never less than the last send plus the gap, nor than
    any hold (`not_before`) or closed hours; its gate lets nothing through before that. `active` counts visits
    dispatched whose turn has not ended.
    """

    __slots__ = (
        "_clock", "_gate", "_hours", "_rates", "_shared", "_spacing",
        "active", "gap", "held_for", "next_at", "not_before", "pause",
    )  # fmt: skip

    def __init__(self, clock: Clock, slots: int, shared: Shared) -> None:
        self._clock = clock
        self._shared, self._rates = shared, shared.rates
        self._gate = Gate(clock, slots, shared)
        self._spacing = self._gate.spacing
        self._hours = OpenHours(None, clock)
        #: Least seconds from one send to the next; 0 without a rate.
        self.gap = 0.0
        #: Seconds from the end of a response to the next send: `delay` or `crawl_delay`; 0 when only the rate counts.
        self.pause = 0.0
        self.next_at = self.not_before = 0.0
        self.held_for = ""
        self.active = 0

    @property
    def last_send(self) -> float | None:
        """When a request was last sent (loop time), as far as this process knows."""
        return self._spacing.last_send

    @property
    def in_use(self) -> bool:
        """Whether a visit is under way or a turn is held."""
        return self.active > 0 or self._gate.slots.in_use

    @property
    def ready_at(self) -> float:
        """The loop time at which the next visit may start: `next_at`, or when its proxies have room."""
        proxies = self._shared.proxies
        return self.next_at if proxies is None else max(self.next_at, proxies.next_at)

    @property
    def send_at(self) -> float:
        """The loop time before which no permit is given."""
        own = self._own_send_at
        return max(own, *(rate.send_at for rate in self._rates)) if self._rates else own

    @property
    def _own_send_at(self) -> float:
        return max(self.held_until, self._spacing.next_at)

    @property
    def held_until(self) -> float:
        """The loop time up to which it is held by more than its rate: Retry-After, backoff, pause, hours."""
        return max(self.not_before, self._hours.closed_until)

    def held_at(self, now: float) -> float:
        """`held_until`, its hours looked at."""
        self.is_open(now)
        return max(self.not_before, self._hours.closed_until)

    def is_open(self, now: float) -> bool:
        """Whether the hours of the day allow sends; if not, the domain is held until they do."""
        if self._hours.hours is None or self._hours.is_open(now):
            return True
        self.next_at = max(self.next_at, self._hours.closed_until)
        return False

    def waits(self, now: float) -> Wait | None:
        """What keeps the next visit from starting; None when it may start."""
        return _last(self.waits_itself(now), ((rate.why, rate.next_at) for rate in self._rates), now)

    def waits_itself(self, now: float) -> Wait | None:
        """The same, but for the rates it shares with other domains."""
        return self._own_wait(now, self.next_at)

    def permit_wait(self, now: float) -> Wait | None:
        """What keeps a request back that has its turn; None when each has been let through, or may be."""
        if not self._gate.has_unsent:
            return None
        own = self._own_wait(now, self._spacing.next_at)
        return _last(own, ((rate.why, rate.send_at) for rate in self._rates), now)

    def _own_wait(self, now: float, spaced: float) -> Wait | None:
        """What is waited for where the rate lets the next request go at `spaced`: of two reasons the later one."""
        if self._hours.closed_until > max(now, self.not_before):
            return Wait(f"hours {self._hours.hours}", self._hours.closed_until)
        # What is planned counts from the end of a hold, so the last send says which of the two is the later.
        if self.not_before > now and self.not_before >= self._spacing.next_at:
            return Wait(self.held_for, self.not_before)
        return Wait(RATE, spaced) if spaced > now else None

    def reserve(self) -> None:
        """A visit starts now: count it, and let the next one start no earlier than a gap later."""
        self.active += 1
        self.push()

    def unreserve(self, *, sent: bool) -> None:
        """The visit's turn is over. If nothing was sent, the gap reserved for it is given back."""
        self.active -= 1
        if not sent:
            self.next_at = max(self.next_at - self.gap, self.held_until)
            for rate in self._rates:
                rate.unreserve()

    def push(self) -> None:
        """One more request: the next visit starts a gap later."""
        # Without a gap too: the domain that was served last stands behind those that were ready before.
        self.next_at = max(self.next_at, self._clock.mono()) + self.gap
        for rate in self._rates:
            rate.reserve()

    def hold(self, until: float, why: str = RETRY_AFTER) -> None:
        """No send before `until` (loop time), because of `why`: Retry-After, backoff, a pause, restored state."""
        if until > self.not_before:
            self.not_before, self.held_for = until, why
            if why != PAUSE:
                self._gate.wake()  # who waits for a turn may have to wait too long now
        self.next_at = max(self.next_at, until)

    def start_pause(self) -> None:
        """A response ended: where there is a pause, it begins."""
        if pause := self.pause:
            self.hold(self._clock.mono() + pause, PAUSE)

    def note_sent(self) -> None:
        """A request was sent: the next visit starts no earlier than a gap after it."""
        self.next_at = max(self.next_at, self._spacing.next_at)

    def _sent_before(self, at: float) -> None:
        """Another process may have sent as late as `at` (loop time), or got the end of an answer then."""
        self._spacing.sent_before(at)
        self.next_at = max(self.next_at, at + self.gap)
        if pause := self.pause:
            self.hold(at + pause, PAUSE)
        if self._shared.total is not None:
            self._shared.total.sent_before(at)

    def follow(self, jump: Jump) -> None:
        """The clocks have jumped: what it waits for is nearer by the time the machine slept, and the hours of the day
        are looked at again.
        """
        waits_for_hours = 0.0 < self.next_at <= self._hours.closed_until
        self._spacing.sleep(jump.slept)
        self.not_before -= jump.slept
        self._hours.forget()
        self.next_at = max(self._own_send_at, 0.0 if waits_for_hours else self.next_at - jump.slept)
        self.is_open(self._clock.mono())
        self._gate.wake()

    def _set_gap(self, gap: float) -> None:
        """Another gap, from the last send on."""
        if gap == self.gap:
            return
        if self.next_at > self._clock.mono():  # a visit that was reserved keeps its distance
            self.next_at += gap - self.gap
        self.gap = gap
        self._spacing.set_gap(gap)
        self.next_at = max(self.next_at, self._own_send_at)
        self._gate.wake()


def _last(own: Wait | None, shared: Iterable[tuple[str, float]], now: float) -> Wait | None:
    """The wait that ends last: the domain's `own`, or that for one of the rates it shares."""
    until = now if own is None else own.until or now
    for why, at in shared:
        if at > until:
            own, until = Wait(why, at), at
    return own
