"""Politeness state of one domain: the limits in force, and what its answers teach."""

from __future__ import annotations

from scraper.core.clock import Clock
from scraper.core.models import LONGEST_HOLD, DomainFacts, Hours, Limit, Pace, Rate
from scraper.politeness.adaptive_rate import AutoRate
from scraper.politeness.gate import PATIENCE_SECONDS, Turn
from scraper.politeness.open_hours import OpenHours
from scraper.politeness.outage import PROBE_SECONDS, Outage
from scraper.politeness.reasons import BACKOFF, OUTAGE, PAUSE, RETRY_AFTER, Held, down_since
from scraper.politeness.shared_rate import NOTHING_SHARED, Shared
from scraper.politeness.timetable import Timetable
from scraper.settings import Settings

__all__ = ["REFUSALS", "Domain"]

#: 401, 403 or `Blocked` so many times in a row and the domain is parked.
REFUSALS = 20
#: So many times in a row 429 or 503, each one waited for, and the domain is parked.
PUSHBACKS = 10
#: Kinds of failure that slow an adaptive rate: the site does not keep up.
TIMEOUTS = frozenset({"timeout", "connect-timeout"})


class Domain(Timetable):
    """Politeness state of one domain.

    Invariants: its timetable's; at most `concurrency` requests are let through at once. Only this module and the timetable
    change the fields: others read them, and call methods (tests/politeness/test_domain.py).
    """

    __slots__ = (
        "_agent", "_pace", "_pushed_at", "auto", "away_until", "concurrency", "crawl_delay", "delay", "name", "outage",
        "outage_max", "parked", "probing", "pushbacks", "refusals", "robots", "unsaved",
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
        super().__init__(clock, limit.concurrency or settings.concurrency, shared)
        self.name = name
        self.robots = settings.robots if limit.robots is None else limit.robots
        #: Its robots.txt is not known yet.
        self.probing = self.robots
        self.crawl_delay: float | None = None
        self.away_until = 0.0
        self.parked: str | None = None
        #: Something was learned that a restart must know.
        self.unsaved = False
        #: Failures in a row, and whether they mean that it is down.
        self.outage = Outage()
        self.auto: AutoRate | None = None
        self.refusals = self.pushbacks = 0
        self._agent = agent
        self._pushed_at = 0.0
        self._pace: Pace | None = None
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

    def has_room(self) -> bool:
        """Whether a further visit may start: one at a time while robots.txt is unknown, a pause is kept or it is down."""
        capacity = 1 if self.probing or self.pause or self.outage.is_down else self.concurrency
        return self.active < capacity and self.parked is None

    @property
    def pace(self) -> Pace:
        """What is in force now."""
        if self._pace is None or (self._pace.pause, self._pace.gap) != (self.pause, self.gap):
            allowed = 1 if self.pause else self.concurrency
            self._pace = Pace(self.gap, self.pause, allowed, self._agent if self.robots else None)
        return self._pace

    def check(self, turn: object) -> None:
        """Raises Held where a turn would hold its slot too long, or while another one probes a domain that is down."""
        now, down = self._clock.mono(), self.outage.is_down
        held = self.held_at(now)
        if held - now > max(PATIENCE_SECONDS, self.pause) or (down and held > now):
            waits = self.waits_itself(now)
            raise Held(held, waits.why if waits else self.held_for)
        if down and not self.outage.let_probe(turn):
            raise Held(now + PROBE_SECONDS, OUTAGE)

    @property
    def note(self) -> str:
        """What an adaptive rate is now, and why; "" for a rate that is set."""
        return f"auto {Rate(self.auto.rate)}: {self.auto.why}" if self.auto else ""

    # ------------------------------------------------------------------ what the scheduler does

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

    # ------------------------------------------------------------------ what its gate asks and tells
