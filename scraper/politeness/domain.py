"""Politeness state of one domain, and the turns and permits that keep it.

Two kinds of spacing exist. A *rate* is measured from send to send, at any concurrency; a *pause* (the `delay`
setting, robots Crawl-delay) from the end of a response to the next send, one request at a time. The scheduler
asks `Domain.next_at`; what it starts takes a `Turn`, and every send under the turn a permit.
"""

from __future__ import annotations

from collections.abc import Iterable

from scraper.core.clock import Clock, Jump
from scraper.core.models import LONGEST_HOLD, DomainFacts, Hours, Limit, Pace, Rate
from scraper.politeness.adaptive_rate import AutoRate
from scraper.politeness.gate import PATIENCE_SECONDS, Gate, Turn
from scraper.politeness.open_hours import OpenHours
from scraper.politeness.outage import PROBE_SECONDS, Outage
from scraper.politeness.reasons import BACKOFF, OUTAGE, PAUSE, RATE, RETRY_AFTER, Held, Wait, down_since
from scraper.politeness.shared_rate import NOTHING_SHARED, Shared
from scraper.settings import Settings

__all__ = ["REFUSALS", "Domain"]

#: 401, 403 or `Blocked` so many times in a row and the domain is parked.
REFUSALS = 20
#: So many times in a row 429 or 503, each one waited for, and the domain is parked.
PUSHBACKS = 10
#: Kinds of failure that slow an adaptive rate: the site does not keep up.
TIMEOUTS = frozenset({"timeout", "connect-timeout"})


class Domain:
    """Politeness state of one domain.

    Invariants: `next_at` (loop time) is never less than the last send plus the gap, nor than any Retry-After,
    restored state, running pause or closed hours; its gate lets nothing through before that, and at most
    `concurrency` requests at once; `active` counts visits dispatched whose turn has not ended. Only this module
    changes the fields: others read them, and call methods (tests/politeness/test_domain.py).
    """

    __slots__ = (
        "_agent", "_clock", "_gate", "_hours", "_pace", "_pushed_at", "_rates", "_shared", "_spacing", "active", "auto",
        "away_until", "concurrency", "crawl_delay", "delay", "gap", "held_for", "name", "next_at",
        "not_before", "outage", "outage_max", "parked", "pause", "probing", "pushbacks", "refusals", "robots", "unsaved",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        settings: Settings,
        limit: Limit,
        clock: Clock,
        agent: str = "",
        shared: Shared = NOTHING_SHARED,
    ) -> None:
        self.name = name
        self.robots = settings.robots if limit.robots is None else limit.robots
        #: Its robots.txt is not known yet.
        self.probing = self.robots
        self.crawl_delay: float | None = None
        #: Least seconds from one send to the next; 0 without a rate.
        self.gap = 0.0
        #: Seconds from the end of a response to the next send: `delay` or `crawl_delay`; 0 when only the rate counts.
        self.pause = 0.0
        self.next_at = self.not_before = self.away_until = 0.0
        self.parked: str | None = None
        self.held_for = ""
        #: Something was learned that a restart must know.
        self.unsaved = False
        #: Failures in a row, and whether they mean that it is down.
        self.outage = Outage()
        self.auto: AutoRate | None = None
        self.active = self.refusals = self.pushbacks = 0
        self._clock, self._agent = clock, agent
        self._shared, self._rates = shared, shared.rates
        self._pushed_at = 0.0
        self._pace: Pace | None = None
        self._gate = Gate(clock, limit.concurrency or settings.concurrency, shared)
        self._spacing = self._gate.spacing
        self.adjust(settings, limit)

    def adjust(self, settings: Settings, limit: Limit) -> None:
        """Take over other limits, at any time: what is under way or waiting is held to the new ones."""
        rate = Rate.parse(limit.rate) if limit.rate is not None else settings.rate
        self.delay = settings.delay if limit.delay is None else limit.delay
        self._set_crawl_delay(self.crawl_delay)
        hours = Hours.parse(limit.hours) if limit.hours is not None else settings.hours
        self._hours = OpenHours(hours, self._clock)
        #: Seconds an outage is waited for; 0: not at all.
        self.outage_max = settings.outage_max if limit.outage_max is None else limit.outage_max
        self.concurrency = limit.concurrency or settings.concurrency
        self._gate.slots.resize(self.concurrency)
        if rate is not None and rate.auto:
            if self.auto is None:
                self.auto = AutoRate(rate.per_second, self._clock.mono())
            self.auto.limit(rate.per_second)
            self._set_gap(1 / self.auto.rate)
        else:
            self.auto = None
            self._set_gap(rate.gap if rate else 0.0)
        self.next_at = max(self._own_send_at, min(self.next_at, self._clock.mono() + self.gap))
        self._pace = None
        self._gate.wake()

    # ------------------------------------------------------------------ what it is now

    @property
    def last_send(self) -> float | None:
        """When a request was last sent (loop time), as far as this process knows."""
        return self._spacing.last_send

    def has_room(self) -> bool:
        """Whether a further visit may start: one at a time while robots.txt is unknown, a pause is kept or it is down."""
        capacity = 1 if self.probing or self.pause or self.outage.is_down else self.concurrency
        return self.active < capacity and self.parked is None

    @property
    def pace(self) -> Pace:
        """What is in force now."""
        if self._pace is None or self._pace.pause != self.pause:
            allowed = 1 if self.pause else self.concurrency
            self._pace = Pace(self.gap, self.pause, allowed, self._agent if self.robots else None)
        return self._pace

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

    def check(self, turn: object) -> None:
        """Raises Held where a turn would hold its slot too long, or while another one probes a domain that is down."""
        now, down = self._clock.mono(), self.outage.is_down
        held = self.held_at(now)
        if held - now > max(PATIENCE_SECONDS, self.pause) or (down and held > now):
            waits = self.waits_itself(now)
            raise Held(held, waits.why if waits else self.held_for)
        if down and not self.outage.let_probe(turn):
            raise Held(now + PROBE_SECONDS, OUTAGE)

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

    @property
    def note(self) -> str:
        """What an adaptive rate is now, and why; "" for a rate that is set."""
        return f"auto {Rate(self.auto.rate)}: {self.auto.why}" if self.auto else ""

    # ------------------------------------------------------------------ what the scheduler does

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

    def hold(self, until: float, why: str = RETRY_AFTER) -> None:
        """No send before `until` (loop time), because of `why`: Retry-After, backoff, a pause, restored state."""
        if until > self.not_before:
            self.not_before, self.held_for = until, why
            if why != PAUSE:
                self._gate.wake()  # who waits for a turn may have to wait too long now
        self.next_at = max(self.next_at, until)

    def park(self, why: str) -> None:
        """Start no further visit."""
        self.parked = why

    def stay_away(self, until: float) -> None:
        """Not even a later run may send before `until` (unix seconds)."""
        self.away_until = until

    def end_probe(self) -> bool:
        """Its robots.txt is known, or is not read: more than one visit may start. False where that was known."""
        was, self.probing = self.probing, False
        return was

    def mark_saved(self) -> None:
        """What was learned is stored."""
        self.unsaved = False

    def restore(self, facts: DomainFacts, longest_delay: float) -> None:
        """Take over what another process, or this one, stored: wait out the gap after the last possible send.

        Stored times are clamped to what a correct clock could have written, a Crawl-delay to `longest_delay`.
        """
        now, to_mono = self._clock.unix(), self._clock.to_mono
        if facts.crawl_delay is not None:
            self._set_crawl_delay(min(facts.crawl_delay, longest_delay))
        if self.last_send is None:
            self.pushbacks, self.refusals = facts.pushbacks, facts.refusals
            if facts.rate is not None and self.auto is not None:
                self.auto.restore(facts.rate, facts.ceiling, facts.why)
                self._set_gap(1 / self.auto.rate)
            if facts.used_until:
                self._sent_before(to_mono(min(facts.used_until, now)))
        down = down_since(facts.waits_for)
        if facts.not_before > now:
            why = OUTAGE if down else facts.waits_for or RETRY_AFTER
            self.hold(to_mono(min(facts.not_before, now + LONGEST_HOLD)), why)
        if facts.answered:
            known = frozenset(one.origin for one in facts.origins if one.status is not None)
            self.outage.assume(known if self.robots else None)
        if down is not None:  # half of what it is waited for is left, however long no process looked
            since = max(min(down[0], now), now - self.outage_max / 2)
            self.outage.go_on(to_mono(since), down[1])

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

    def _sent_before(self, at: float) -> None:
        """Another process may have sent as late as `at` (loop time), or got the end of an answer then."""
        self._spacing.sent_before(at)
        self.next_at = max(self.next_at, at + self.gap)
        if pause := self.pause:
            self.hold(at + pause, PAUSE)
        if self._shared.total is not None:
            self._shared.total.sent_before(at)

    def turn(self) -> Turn:
        return Turn(self, self._gate, self._clock)

    # ------------------------------------------------------------------ what answers teach

    def count_refusal(self) -> bool:
        """Count a 401, 403 or Blocked; True when it was one too many and the domain must be parked."""
        self.refusals += 1
        return self.refusals >= REFUSALS

    def end_refusals(self) -> None:
        """An answer that is not a refusal: they are counted anew."""
        self.refusals = 0

    def slow_down(self, delay: float) -> None:
        """robots.txt asks for a Crawl-delay, which counts from the end of robots.txt on."""
        self._set_crawl_delay(max(delay, self.crawl_delay or 0.0))
        self.hold(self._clock.mono() + self.pause, PAUSE)

    def push_back(self, sent: float, asked: float | None, backoff: float, why: str) -> bool:
        """A 429 or 503 to what was sent at `sent`: the whole domain waits, as long as it `asked` (loop time), and
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

    def wait_as_asked(self, until: float) -> None:
        """An answer other than 429 and 503 asks that nothing be sent before `until` (loop time)."""
        if until > self._clock.mono():
            self.hold(until, RETRY_AFTER)
            self.unsaved = True

    def hear(self, sent: float, origin: str, witness: object | None) -> float | None:
        """An origin answered what was sent at `sent`; `witness` would do as well to see whether it answers again.

        Since when the domain was down; None if it was not.
        """
        outage = self.outage
        if origin not in outage.answered:
            outage.answered.add(origin)
        outage.witness = witness or outage.witness
        if outage.since is None:
            return None
        was_down, since = outage.is_down, outage.answer(sent)
        if was_down and not outage.is_down:
            self.retry_now()
            self.unsaved = True
        return since

    def go_down(self, until: float, *, confirmed: bool) -> None:
        """It does not answer: nothing is sent before `until` (loop time), and then one request at a time."""
        self.outage.go_down(confirmed=confirmed)
        self.hold(until, OUTAGE)
        self._gate.wake()
        self.unsaved = True

    def retry_now(self) -> None:
        """It is not held for an outage any more."""
        if self.held_for == OUTAGE and self.not_before > (now := self._clock.mono()):
            self.not_before = now
            self.next_at = max(now, self._own_send_at)
        self._gate.wake()

    def note_answer(self, sent: float, status: int) -> None:
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

    def note_failure(self, sent: float, kind: str) -> None:
        """No answer to what was sent at `sent`: a time-out slows an adaptive rate, other failures keep it.

        What this machine lacked (`machine`) says nothing about the domain.
        """
        if self.auto is None or kind == "machine":
            return
        if kind not in TIMEOUTS:
            self.auto.troubled()
        elif self.auto.refused(sent, self._clock.mono(), "no answer in time"):
            self._auto_changed()

    def _auto_changed(self) -> None:
        assert self.auto is not None
        self._set_gap(1 / self.auto.rate)
        self.unsaved = True

    def _set_crawl_delay(self, delay: float | None) -> None:
        self.crawl_delay = delay
        self.pause = max(self.delay, delay or 0.0)

    def _set_gap(self, gap: float) -> None:
        """Another gap, from the last send on."""
        if gap == self.gap:
            return
        if self.next_at > self._clock.mono():  # a visit that was reserved keeps its distance
            self.next_at += gap - self.gap
        self.gap = gap
        self._spacing.set_gap(gap)
        self.next_at = max(self.next_at, self._own_send_at)
        self._pace = None
        self._gate.wake()

    # ------------------------------------------------------------------ what its gate tells it

    def push(self) -> None:
        """One more request: the next visit starts a gap later."""
        # Without a gap too: the domain that was served last stands behind those that were ready before.
        self.next_at = max(self.next_at, self._clock.mono()) + self.gap
        for rate in self._rates:
            rate.reserve()

    def note_sent(self) -> None:
        """A request was sent: the next visit starts no earlier than a gap after it."""
        self.next_at = max(self.next_at, self._spacing.next_at)

    def start_pause(self) -> None:
        """A response ended: where there is a pause, it begins."""
        if pause := self.pause:
            self.hold(self._clock.mono() + pause, PAUSE)


def _last(own: Wait | None, shared: Iterable[tuple[str, float]], now: float) -> Wait | None:
    """The wait that ends last: the domain's `own`, or that for one of the rates it shares."""
    until = now if own is None else own.until or now
    for why, at in shared:
        if at > until:
            own, until = Wait(why, at), at
    return own
