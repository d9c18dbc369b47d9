"""robots.txt (RFC 9309): rules per origin, fetched once however many ask, kept for a day.

Rules on statuses (section 2.3.1): 2xx are read, 500 KiB of them; 4xx mean there are no rules; 5xx and no answer
mean everything is disallowed for now. 429 counts as 5xx: a site that is busy did not say it has no rules. So does a
3xx that leads nowhere, and a body that cannot be read as what it claims to be.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from protego import Protego

from scraper.core.models import OriginFacts
from scraper.errors import FetchError
from scraper.net.robots_groups import Group, group_for, product_token

__all__ = ["MAX_ROBOTS", "Robots", "RobotsFile", "Rules"]

#: Bytes of a robots.txt that are read (RFC 9309 section 2.5).
MAX_ROBOTS = 500 * 1024
#: Seconds rules are kept (section 2.4), and until an unreachable robots.txt is asked for again.
KEEP, KEEP_UNREACHABLE = 86_400.0, 10.0
#: Kinds of failure that say something about the host or this machine, not about its robots.txt.
NETWORK = frozenset(
    {
        "dns",
        "dns-timeout",
        "connect",
        "connect-timeout",
        "tls",
        "tls-expired",
        "tls-untrusted",
        "tls-hostname",
        "proxy",
        "private-address",
        "machine",
        "domain-busy",
    }
)
#: Characters of a robots.txt that are parsed within 10 ms; a larger one is parsed in a thread.
LARGE = 32_768
#: Origins whose parsed rules are in memory, and characters of their texts in all.
CACHE, CACHE_SIZE = 2_000, 16 * 2**20


@dataclass(slots=True)
class _Parsed:
    """The group of one product token, and what matches its rules."""

    token: str
    group: Group
    matcher: Protego


@dataclass(slots=True)
class Rules:
    """What an origin's robots.txt says. `facts.robots` None means no rules: everything is allowed.

    An `agent` is the User-Agent that is sent; its product token chooses the group.
    """

    facts: OriginFacts
    _parsed: _Parsed | None = None

    @property
    def is_parsed(self) -> bool:
        return self._parsed is not None

    def parse(self, agent: str) -> _Parsed | None:
        """The rules for an agent, parsed when they are first asked for: 500 KiB take 120 ms."""
        if self.facts.robots is None:
            return None
        token = product_token(agent)
        if self._parsed is None or self._parsed.token != token:
            group = group_for(self.facts.robots, token)
            self._parsed = _Parsed(token, group, Protego.parse(group.rules))
        return self._parsed

    def allows(self, url: str, agent: str) -> bool:
        """Whether `agent` may fetch `url`."""
        parsed = self.parse(agent)
        return parsed is None or bool(parsed.matcher.can_fetch(url, "*"))

    def forbidding(self, url: str, agent: str) -> str:
        """The rule that keeps `agent` from `url`, with whom its group is for, as people read it; "" where none does."""
        parsed = self.parse(agent)
        if parsed is None or parsed.matcher.can_fetch(url, "*"):
            return ""
        rules = [line for line in parsed.group.lines if line.startswith("disallow")]
        meant = [line for line in rules if not Protego.parse(Group([line]).rules).can_fetch(url, "*")]
        if not meant:
            return ""
        return f"D{max(meant, key=len)[1:]} (group for {parsed.group.name})"

    def crawl_delay(self, agent: str) -> float | None:
        """Seconds between requests the site asks for by Crawl-delay or Request-rate; None for none."""
        parsed = self.parse(agent)
        return parsed.group.delay or None if parsed is not None else None

    def visit_time(self, agent: str) -> str:
        """The hours in which the site wants to be visited, as its Visit-time writes them; "" for none."""
        parsed = self.parse(agent)
        return parsed.group.hours if parsed is not None else ""


class RobotsFile(NamedTuple):
    """What an origin answered for its robots.txt."""

    status: int
    text: str


Fetch = Callable[[str], Awaitable[RobotsFile]]


class Robots:
    """Rules of the origins being crawled.

    Invariant: for one origin at most one fetch is under way; its waiters get its result, and one of them
    takes over when it is cancelled.
    """

    def __init__(self, now: Callable[[], float], *, threads: bool = True) -> None:
        """`threads` false parses everything at once: for simulation, where a thread moves no clock."""
        self._now = now
        self._threads = threads
        self._rules: OrderedDict[str, Rules] = OrderedDict()
        self._size = 0
        self._flights: dict[str, asyncio.Future[None]] = {}
        #: What is said about an origin, and until when (unix time). No errors: each has the frames it was raised in.
        self._refusals: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def known(self, origin: str) -> Rules | None:
        """The rules of an origin while they are fresh."""
        rules = self._rules.get(origin)
        if rules is None or rules.facts.expires <= self._now():
            return None
        self._rules.move_to_end(origin)
        return rules

    def restore(self, facts: OriginFacts) -> None:
        """Take over stored rules, unless newer ones are known."""
        if facts.origin not in self._rules and self._now() < facts.expires <= self._now() + KEEP:
            self._store(facts)

    async def prepare(self, rules: Rules, agent: str) -> None:
        """Parse rules that take long beside the loop, before they are asked; others are parsed when asked."""
        if self._threads and not rules.is_parsed and len(rules.facts.robots or "") > LARGE:
            await asyncio.to_thread(rules.parse, agent)

    async def rules(self, origin: str, fetch: Fetch) -> Rules:
        """The rules of an origin, by `fetch(url)` when they are not known.

        Raises FetchError `robots-unreachable` while robots.txt answers 5xx or 429, or breaks off, and the
        kind of the failure itself where there is no connection to the origin at all.
        """
        while True:
            if (rules := self.known(origin)) is not None:
                return rules
            if (refusal := self._refusals.get(origin)) is not None and refusal[1] > self._now():
                raise FetchError("robots-unreachable", refusal[0], retry_at=refusal[1])
            if (flight := self._flights.get(origin)) is None:
                return await self._fly(origin, fetch)
            await asyncio.shield(flight)

    async def _fly(self, origin: str, fetch: Fetch) -> Rules:
        flight = self._flights[origin] = asyncio.get_running_loop().create_future()
        try:
            return self._store(await self._read(origin, fetch))
        finally:
            del self._flights[origin]
            flight.set_result(None)

    async def _read(self, origin: str, fetch: Fetch) -> OriginFacts:
        try:
            status, text = await fetch(f"{origin}/robots.txt")
        except FetchError as error:
            if error.kind in NETWORK or error.outage:
                raise  # the page itself would fail the same way: no request reaches this origin
            raise self._unreachable(origin, str(error)) from error
        if status == 429 or not (200 <= status < 300 or 400 <= status < 500):
            raise self._unreachable(origin, f"HTTP {status}")
        robots = text if 200 <= status < 300 else None
        return OriginFacts(origin, robots, self._now() + KEEP, status, self._now())

    def _unreachable(self, origin: str, why: str) -> FetchError:
        message = f"{origin}/robots.txt: {why}; nothing may be fetched until it answers"
        until = self._now() + KEEP_UNREACHABLE
        self._refusals[origin] = (message, until)
        if len(self._refusals) > CACHE:
            self._refusals.popitem(last=False)
        return FetchError("robots-unreachable", message, retry_at=until)

    def _store(self, facts: OriginFacts) -> Rules:
        self._drop(self._rules.pop(facts.origin, None))
        rules = self._rules[facts.origin] = Rules(facts)
        self._size += len(facts.robots or "")
        self._refusals.pop(facts.origin, None)
        while len(self._rules) > CACHE or (self._size > CACHE_SIZE and len(self._rules) > 1):
            self._drop(self._rules.popitem(last=False)[1])
        return rules

    def _drop(self, rules: Rules | None) -> None:
        if rules is not None:
            self._size -= len(rules.facts.robots or "")
