"""Where the time of a crawl goes, and why nothing moves when nothing moves.

A crawl looks at itself from time to time and puts the time since the last look down to causes:

1. The share of it in which this process computed goes to the callbacks, "parsing", and all else, "processor".
2. The rest goes in equal parts to the domains that have work left. Each part is put down to what keeps that domain's
   next request back at this moment:

   - what politeness asks for, as it names it: "rate limit", "crawl delay", "Retry-After", "backoff", "hours …",
     "total_rate limit", "proxy_rate limit"; whether the request waits in the queue or has a slot already;
   - "retries" where the domain has nothing but requests that are to be tried again later;
   - "network" where its requests under way use all it may have, or are all that is left of it;
   - "in_flight limit" where the slots of the crawl are used up; "callbacks" where most of them are in callbacks that
     wait for something, or where such a callback is all that is left of the domain;
   - "database" where a commit, or the next requests, are waited for;
   - "processor" where nothing keeps it back: it goes as soon as this process comes round to it.
3. Where no domain has work left it is "start and end".

A domain counts where it is held; one that no process holds, because it is due later, counts for all of them alike. So the
causes add up to the time the crawl took, however many processes share it, and a process to which the others leave
nothing says nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from scraper.core.clock import local_time
from scraper.core.models import CrawlStatus, DomainStatus, Upcoming
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import Lane
from scraper.engine.lanes import Lanes
from scraper.events import Stalled
from scraper.politeness import OUTAGE, Domain, Wait, cause_of

__all__ = ["Load", "Waits"]

#: Seconds without a page after which the reason is said.
STALL = 30.0
#: Seconds between two looks: a hundredth of the time so far, within these bounds.
LOOK_LEAST, LOOK_MOST = 0.02, 5.0
#: The golden ratio less one. Its multiples, taken modulo one, are spread evenly: what happens at equal intervals is not
#: always met in the same state.
SPREAD = 0.6180339887498949
#: Domains looked at each time, and named in a status.
LOOKED_AT, SHOWN = 256, 32

NETWORK, CALLBACKS, DATABASE = "network", "callbacks", "database"
PARSING, PROCESSOR, SLOTS_USED = "parsing", "processor", "in_flight limit"
MACHINE = "limit of this machine"
IDLE = "start and end"

_NOTHING = Wait("")


class _Waiting(NamedTuple):
    """A domain that waits, and until when (unix, by the wall clock; None where no time is known)."""

    domain: str
    until: float | None


class Load(Protocol):
    """How many visits of the engine are where."""

    @property
    def free_slots(self) -> int: ...
    @property
    def in_slots(self) -> int: ...
    @property
    def may_start(self) -> bool: ...
    @property
    def machine_until(self) -> float: ...


class Waits:
    """Looks at the lanes of an engine. `spent` maps causes to seconds; it only grows.

    Invariant: the values of `spent`, over all processes of the crawl, add up to the time between the first look and
    the last.
    """

    def __init__(self, common: Common, lanes: Lanes, load: Load) -> None:
        self._common = common
        self._lanes = lanes
        self._load = load
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._began = self._looked = self._moved = common.clock.mono()
        self._cpu = common.clock.cpu()
        self._parsing = 0.0
        self._spread = 0.0
        self._said = False

    def parsed(self, seconds: float) -> None:
        """A callback kept the loop for so long."""
        self._parsing += seconds

    def moved(self) -> None:
        """A page ended."""
        self._moved, self._said = self._common.clock.mono(), False

    async def run(self) -> None:
        """Look until cancelled; say once for each standstill why it is one."""
        clock = self._common.clock
        while True:
            self._spread = (self._spread + SPREAD) % 1.0
            mean = min(LOOK_MOST, max(LOOK_LEAST, (clock.mono() - self._began) / 100))
            pause = mean * (0.5 + self._spread)
            if not self._said:
                pause = min(pause, max(0.0, self._moved + STALL - clock.mono()))
            await asyncio.sleep(pause)
            await self._look()
            if not self._said and clock.mono() - self._moved >= STALL:
                self._said = True
                if why := await self._why():
                    self._common.notices.tell(Stalled(clock.mono() - self._moved, why))

    async def _look(self) -> None:
        """Put the time since the last look down to its causes."""
        now = self._common.clock.mono()
        # Before the database is asked: it may be what is waited for, and the wait for its answer then is too.
        found, held = self._causes(now), len(self._lanes.schedule.lanes)
        others, together = await self._elsewhere(now)
        self._account(found, held, others, max(held, together))

    def end(self) -> None:
        """Account for the time up to now: the crawl is over."""
        held = len(self._lanes.schedule.lanes)
        self._account(self._causes(self._common.clock.mono()), held, (), held)

    async def _elsewhere(self, now: float) -> tuple[Sequence[Upcoming], int]:
        """The domains that no process holds and that are due later, and how many all processes hold."""
        due, frontier = self._lanes.claim_at, self._common.frontier
        if self._lanes.workers == 1 and (due is None or due <= now):
            return (), 0
        later = await frontier.upcoming(LOOKED_AT, now=self._common.clock.unix())
        return later, await frontier.held() if self._lanes.workers > 1 else 0

    def _account(
        self, found: Mapping[str, float], held: int, later: Sequence[Upcoming], together: int
    ) -> None:
        """`found` weighs causes by the domains held here. `together` domains are held by all processes."""
        now, workers = self._common.clock.mono(), self._lanes.workers
        passed, self._looked = now - self._looked, now
        domains = together + len(later)
        own = passed * (held + len(later) / workers) / domains if domains else passed / workers
        rest = own - self._computed(passed, own)
        weights = defaultdict(float, found)
        for one in later:
            weights[cause_of(one.why)] += 1 / workers
        total = sum(weights.values())
        for cause, weight in weights.items() if total else [(self._unheld(), 1.0)]:
            self.spent[cause] += rest * weight / (total or 1.0)

    def _computed(self, passed: float, own: float) -> float:
        """Account for the computing of the `passed` seconds, of which this process answers for `own`: the part of them."""
        cpu, before = self._common.clock.cpu(), self._cpu
        parsing, self._cpu, self._parsing = self._parsing, cpu, 0.0
        if not passed:
            return 0.0
        parsing = min(1.0, parsing / passed)
        other = min(1.0 - parsing, max(0.0, (cpu - before) / passed - parsing))
        self.spent[PARSING] += own * parsing
        self.spent[PROCESSOR] += own * other
        return own * (parsing + other)

    def _unheld(self) -> str:
        return DATABASE if self._lanes.claiming else IDLE

    def status(self) -> CrawlStatus:
        """The domains with most under way first."""
        now = self._common.clock.mono()
        lanes = sorted(self._held(), key=lambda lane: (-lane.domain.active, -len(lane.queue)))
        shown, used = [], self._used_up()
        for lane in lanes[:SHOWN]:
            cause, until = self._cause(lane, now, used)
            due = None if until is None else self._common.clock.shown(until)
            domain = lane.domain
            note = self._down(domain) or domain.note
            shown.append(DomainStatus(lane.name, domain.active, len(lane.queue), cause, due, note))
        return CrawlStatus(shown, len(lanes), dict(self.spent))

    def _down(self, domain: Domain) -> str:
        """Since when a domain is down, and why; "" for one that is not."""
        outage, clock = domain.outage, self._common.clock
        if not outage.is_down or outage.since is None:
            return ""
        return f"down since {local_time(clock.shown(outage.since), clock.wall())}: {outage.why}"

    def _held(self) -> Sequence[Lane]:
        return list(self._lanes.schedule.lanes.values())

    def _causes(self, now: float) -> dict[str, float]:
        """The domains held here by what keeps each back; of very many a part stands for all."""
        held, used = self._held(), self._used_up()
        step = 1 + len(held) // LOOKED_AT
        found = Counter(self._cause(lane, now, used).why for lane in held[::step])
        return {cause: float(step * n) for cause, n in found.items() if cause}

    def _used_up(self) -> Wait:
        """What it is put down to that a request which may go does not."""
        if (until := self._load.machine_until) > self._common.clock.mono():
            return Wait(MACHINE, until)
        if self._load.free_slots:
            return Wait(PROCESSOR) if self._load.may_start else Wait(DATABASE)
        fetching = sum(lane.domain.active for lane in self._held())
        return Wait(SLOTS_USED if 2 * fetching >= self._load.in_slots else CALLBACKS)

    def _cause(self, lane: Lane, now: float, used: Wait) -> Wait:
        """What keeps a domain's next request back; an empty reason for a domain without work."""
        domain = lane.domain
        if domain.parked is not None:
            return _NOTHING
        if lane.queue and domain.has_room():
            return domain.waits(now) or used
        if domain.in_use:
            return domain.permit_wait(now) or Wait(NETWORK)
        if lane.committing:
            return Wait(DATABASE)
        if lane.open_visits:
            return Wait(CALLBACKS)
        return Wait(DATABASE) if lane.refilling else _NOTHING

    # ------------------------------------------------------------------ a standstill

    async def _why(self) -> str:
        """The causes of a standstill, most domains first, in one line; "" where another process knows them."""
        now, clock = self._common.clock.mono(), self._common.clock
        upcoming = await self._common.frontier.upcoming(LOOKED_AT, now=clock.unix())
        waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)
        used = self._used_up()
        for lane in self._held():
            cause, until = self._cause(lane, now, used)
            if cause:
                waiting[cause].append(
                    _Waiting(lane.name, None if until is None else self._common.clock.shown(until))
                )
        for later in upcoming:
            waiting[cause_of(later.why)].append(_Waiting(later.domain, clock.now().shown(later.at)))
        if not waiting and self._lanes.workers > 1 and await self._common.frontier.held():
            return ""
        told = [
            _told(cause, who, clock.wall())
            for cause, who in sorted(waiting.items(), key=lambda pair: -len(pair[1]))
        ]
        return "; ".join(told) or "nothing is under way and nothing is due"


_SAID = {
    NETWORK: "{who} {wait} for the answer to a request",
    CALLBACKS: "{who} {wait} for a callback to return",
    DATABASE: "{who} {wait} for the database",
    PROCESSOR: "{who} {wait} for this process, which is busy",
    SLOTS_USED: "{who} {wait} for others: in_flight is used up",
}


def _told(cause: str, who: list[_Waiting], now: float) -> str:
    some = who[0].domain if len(who) == 1 else f"{len(who)} domains"
    said = _SAID.get(cause, "{who} {wait}: " + cause).format(
        who=some, wait="waits" if len(who) == 1 else "wait"
    )
    if cause == OUTAGE:
        said = f"{some} {'is' if len(who) == 1 else 'are'} down, tried again"
    due = [waiting.until for waiting in who if waiting.until is not None]
    when = "at" if cause == OUTAGE else "until"
    return f"{said} {when} {local_time(min(due), now)}" if due else said
