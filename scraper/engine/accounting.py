"""Where the time of a crawl goes, and why nothing moves when nothing moves.

A crawl looks at itself from time to time: what keeps each of its domains from sending the next request? The
answers, weighted with the time between two looks, are the shares that the summary shows.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from scraper.core.clock import local_time
from scraper.core.models import CrawlStatus, DomainStatus
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import Lane
from scraper.engine.lanes import Lanes
from scraper.events import Stalled
from scraper.politeness import OUTAGE, RATE, Domain, Wait, down_since

__all__ = ["Load", "Waits"]

#: Seconds without a page after which the reason is said.
STALL = 30.0
#: Seconds between two looks: a hundredth of the time so far, within these bounds.
LOOK_LEAST, LOOK_MOST = 0.1, 5.0
#: Domains looked at each time, and named in a status.
LOOKED_AT, SHOWN = 256, 32

NETWORK, CALLBACKS, DATABASE = "network", "callbacks", "database"
PARSING, OVERALL, LATER = "parsing", "in_flight limit", "retries"
IDLE = "start and end"


_NOTHING = Wait("")


class _Waiting(NamedTuple):
    """A domain that waits, and until when (unix; None where no time is known)."""

    domain: str
    until: float | None


class Load(Protocol):
    """How many visits of the engine are where."""

    @property
    def free_slots(self) -> int: ...
    @property
    def committing(self) -> int: ...


class Waits:
    """Looks at the lanes of an engine. `spent` maps causes to seconds; it only grows.

    Invariant: the values of `spent` add up to the time between the first look and the last.
    """

    def __init__(self, common: Common, lanes: Lanes, load: Load) -> None:
        self._common = common
        self._lanes = lanes
        self._load = load
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._began = self._looked = self._moved = common.clock.mono()
        self._parsing = 0.0
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
            pause = min(LOOK_MOST, max(LOOK_LEAST, (clock.mono() - self._began) / 100))
            if not self._said:
                pause = min(pause, max(0.0, self._moved + STALL - clock.mono()))
            await asyncio.sleep(pause)
            self.look()
            if not self._said and clock.mono() - self._moved >= STALL:
                self._said = True
                why = await self._why()
                self._common.notices.tell(Stalled(clock.mono() - self._moved, why))

    def look(self) -> None:
        """Put the time since the last look down to its causes."""
        now = self._common.clock.mono()
        passed, self._looked = now - self._looked, now
        busy, self._parsing = min(self._parsing, passed), 0.0
        self.spent[PARSING] += busy
        found = Counter(self._cause(lane, now).why for lane in islice(self._held(), LOOKED_AT))
        found.pop("", None)
        total = found.total()
        for cause, count in found.items() if total else [(self._between(now), 1)]:
            self.spent[cause] += (passed - busy) * count / (total or 1)

    def _between(self, now: float) -> str:
        """What is waited for while no domain is held: one that is due later, or the beginning or the end."""
        due = self._lanes.claim_at
        return LATER if due is not None and due > now else IDLE

    def status(self) -> CrawlStatus:
        """The domains with most under way first."""
        now, clock = self._common.clock.mono(), self._common.clock
        lanes = sorted(self._held(), key=lambda lane: (-lane.domain.active, -len(lane.queue)))
        shown = []
        for lane in lanes[:SHOWN]:
            cause, until = self._cause(lane, now)
            due = None if until is None else clock.to_unix(until)
            domain = lane.domain
            note = self._down(domain) or domain.note
            shown.append(DomainStatus(lane.name, domain.active, len(lane.queue), cause, due, note))
        return CrawlStatus(shown, len(lanes), dict(self.spent))

    def _down(self, domain: Domain) -> str:
        """Since when a domain is down, and why; "" for one that is not."""
        outage, clock = domain.outage, self._common.clock
        if not outage.is_down or outage.since is None:
            return ""
        return f"down since {local_time(clock.to_unix(outage.since), clock.unix())}: {outage.why}"

    def _held(self) -> Sequence[Lane]:
        return list(self._lanes.schedule.lanes.values())

    def _cause(self, lane: Lane, now: float) -> Wait:
        """What keeps a domain's next request back; an empty reason for a domain without work."""
        domain = lane.domain
        if domain.parked is not None:
            return _NOTHING
        if lane.queue and domain.has_room():
            if (wait := domain.waits(now)) is not None:
                return wait
            if self._load.free_slots:
                return Wait(RATE, now)  # it goes with the next turn of the loop
            return Wait(DATABASE if self._load.committing else OVERALL)
        if domain.active:
            return Wait(NETWORK)
        if lane.open_visits:
            return Wait(DATABASE if self._load.committing else CALLBACKS)
        return _NOTHING

    # ------------------------------------------------------------------ a standstill

    async def _why(self) -> str:
        """The causes of a standstill, most domains first, in one line."""
        now, clock = self._common.clock.mono(), self._common.clock
        upcoming = await self._common.frontier.upcoming(LOOKED_AT, now=clock.unix())
        waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)
        for lane in self._held():
            cause, until = self._cause(lane, now)
            if cause:
                waiting[cause].append(_Waiting(lane.name, None if until is None else clock.to_unix(until)))
        for later in upcoming:
            why = OUTAGE if down_since(later.why) else later.why
            waiting[why].append(_Waiting(later.domain, later.at))
        told = [
            _told(cause, who, clock.unix())
            for cause, who in sorted(waiting.items(), key=lambda pair: -len(pair[1]))
        ]
        return "; ".join(told) or "nothing is under way and nothing is due"


_SAID = {
    NETWORK: "{who} {wait} for the answer to a request",
    CALLBACKS: "{who} {wait} for a callback to return",
    DATABASE: "{who} {wait} for the database",
    OVERALL: "{who} {wait} for others: in_flight is used up",
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
