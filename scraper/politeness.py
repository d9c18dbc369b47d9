"""How fast each domain may be asked: the one owner of per-domain state.

Two kinds of spacing exist. A *rate* is measured from send to send, at any concurrency; a *pause* (the `delay`
setting, robots Crawl-delay) from the end of a response to the next send, one request at a time. The scheduler
asks `Domain.ready_at`; what it starts takes a `Turn`, and every send under the turn a permit.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiolimiter import AsyncLimiter

from scraper.clock import Clock
from scraper.models import DomainFacts, Limit, Rate
from scraper.settings import Settings
from scraper.urls import domain_of

__all__ = ["PAUSE", "RATE", "REFUSALS", "Domain", "Politeness", "Turn"]

#: Why a domain waits, as people read it.
RATE, PAUSE = "rate limit", "crawl delay"

#: 401, 403 or `Blocked` so many times in a row and the domain is parked.
REFUSALS = 20
#: 429 or 503 so many times in a row, and the domain is parked (each one waited for).
PUSHBACKS = 10
#: Seconds before its permit a request may take a connection.
APPROACH = 0.05


class Domain:
    """Politeness state of one domain.

    Invariants: `next_at` (loop time) is never less than the last send plus the gap, nor than any
    Retry-After, restored state or running pause; at most `concurrency` turns are held; `active` counts
    visits dispatched whose turn has not ended. Only this module changes the fields.
    """

    __slots__ = (
        "_clock", "_limiter", "_semaphore", "_turns", "active", "concurrency", "crawl_delay", "delay", "gap",
        "held_for", "last_send", "name", "next_at", "not_before", "parked", "probing", "pushbacks", "refusals", "robots",
    )  # fmt: skip

    def __init__(self, name: str, settings: Settings, limit: Limit, clock: Clock) -> None:
        rate = Rate.parse(limit.rate) if limit.rate is not None else settings.rate
        self.name = name
        self.gap = rate.gap if rate else 0.0
        self.delay = settings.delay if limit.delay is None else limit.delay
        self.concurrency = limit.concurrency or settings.concurrency
        self.robots = settings.robots if limit.robots is None else limit.robots
        self.crawl_delay: float | None = None
        self.next_at = self.not_before = 0.0
        self.held_for = ""
        self.last_send: float | None = None
        self.active = 0
        self.probing = self.robots
        self.parked: str | None = None
        self.refusals = self.pushbacks = 0
        self._clock = clock
        self._turns = 0
        self._semaphore = asyncio.Semaphore(self.concurrency)
        self._limiter = AsyncLimiter(1, self.gap) if self.gap else None

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
    def send_at(self) -> float:
        """The loop time before which no permit is given."""
        last = self.last_send
        return self.not_before if last is None else max(self.not_before, last + self.gap)

    def reserve(self) -> None:
        """A visit starts now: count it, and let the next one start no earlier than a gap later."""
        self.active += 1
        self._push(self.gap)

    def unreserve(self, *, sent: bool) -> None:
        """The visit's turn is over. If nothing was sent, the gap reserved for it is given back."""
        self.active -= 1
        if not sent:
            self.next_at = max(self.next_at - self.gap, self.not_before)

    def waits(self, now: float) -> tuple[str, float] | None:
        """What keeps the next request back, and until when (loop time); None when it may go."""
        if self.next_at <= now:
            return None
        if self.not_before > now and self.not_before >= self.next_at:
            return self.held_for, self.not_before
        return RATE, self.next_at

    def hold(self, until: float, why: str = "Retry-After") -> None:
        """No send before `until` (loop time), because of `why`: Retry-After, crawl delay, restored state."""
        if until > self.not_before:
            self.held_for = why
        self.not_before = max(self.not_before, until)
        self.next_at = max(self.next_at, until)

    def turn(self) -> Turn:
        return Turn(self)

    def refused(self) -> bool:
        """Count a 401, 403 or Blocked; True when it was one too many and the domain must be parked."""
        self.refusals += 1
        return self.refusals >= REFUSALS

    def pushed_back(self) -> bool:
        """Count a 429 or 503; True when it was one too many in a row."""
        self.pushbacks += 1
        return self.pushbacks >= PUSHBACKS

    def welcomed(self) -> None:
        """An answer that is no refusal."""
        self.refusals = self.pushbacks = 0

    def _push(self, gap: float) -> None:
        if gap:
            self.next_at = max(self.next_at, self._clock.mono()) + gap

    async def _permit(self) -> None:
        await self._held()
        if self._limiter is not None:
            await self._limiter.acquire()
            while self.not_before > self._clock.mono():
                # A Retry-After came in while this send waited for the rate: it counts for this one too.
                await self._held()
                await self._limiter.acquire()
        self.last_send = now = self._clock.mono()
        if self.gap:
            self.next_at = max(self.next_at, now + self.gap)

    async def _held(self) -> None:
        # The due time may move while this sleeps; an event would be set at each move, for every sleeper.
        while (wait := self.not_before - self._clock.mono()) > 0:  # noqa: ASYNC110 - see above
            await asyncio.sleep(wait)

    def _turn_ended(self) -> None:
        self._turns -= 1
        if pause := self.pause:
            self.hold(self._clock.mono() + pause, PAUSE)


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
        await self._domain._semaphore.acquire()
        self._domain._turns += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._domain._semaphore.release()
        self._domain._turn_ended()

    async def approach(self) -> None:
        """Wait until the domain may soon be sent to, so that no connection stands idle for its permit."""
        domain = self._domain
        while (wait := domain.send_at - domain._clock.mono()) > APPROACH:  # noqa: ASYNC110 - as in _held
            await asyncio.sleep(wait - APPROACH / 2)

    async def permit(self, *, reserved: bool = False) -> None:
        """Wait until the domain may be sent to once; returns at that moment."""
        domain = self._domain
        if self.sends and (pause := domain.pause):
            domain.hold(domain._clock.mono() + pause, PAUSE)
        if not reserved:
            domain._push(domain.gap)
        await domain._permit()
        self.sends += 1


class Politeness:
    """All domains this process holds a lease on. State leaves with `facts` and returns with `restore`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._domains: dict[str, Domain] = {}

    def key(self, host: str) -> str:
        """The politeness key of a host: an entry of `limits` it belongs to, else its registrable domain."""
        if self._settings.limits:
            name, _ = self._settings.limit_for(host)
            if name is not None:
                return name
        return domain_of(host)

    def domain(self, key: str) -> Domain:
        """The state of a domain; made from settings and limits when this process has none."""
        found = self._domains.get(key)
        if found is None:
            limit = self._settings.limit_for(key)[1]
            found = self._domains[key] = Domain(key, self._settings, limit, self._clock)
        return found

    def restore(self, key: str, facts: DomainFacts) -> Domain:
        """Take over a domain from what is stored: wait out the gap after its last possible send.

        Stored times are clamped to what a correct clock could have written.
        """
        domain = self.domain(key)
        now = self._clock.unix()
        if facts.crawl_delay is not None:
            domain.crawl_delay = min(facts.crawl_delay, self._settings.crawl_delay_max)
        if facts.used_until and domain.last_send is None:
            resume = min(facts.used_until, now) + max(domain.gap, domain.pause)
            if resume > now:
                domain.hold(self._clock.to_mono(resume), RATE)
        if facts.not_before > now:
            domain.hold(self._clock.to_mono(min(facts.not_before, now + self._settings.retry_after_max)))
        return domain

    def facts(self, key: str) -> DomainFacts:
        """What must be stored of a domain when its lease is given back."""
        domain = self.domain(key)
        to_unix = self._clock.to_unix
        held = domain.next_at > self._clock.mono()
        return DomainFacts(
            used_until=to_unix(domain.last_send) if domain.last_send is not None else 0.0,
            not_before=to_unix(domain.next_at) if held else 0.0,
            crawl_delay=domain.crawl_delay,
            parked=domain.parked,
        )

    def forget(self, key: str) -> None:
        """Drop the state of a domain whose lease was given back with its facts."""
        domain = self._domains.get(key)
        if domain is not None and not domain.active and not domain._turns:
            del self._domains[key]

    def __len__(self) -> int:
        return len(self._domains)
