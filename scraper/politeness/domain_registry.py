"""All domains a process may send to, by their key, and the rates they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, overload

from scraper.core.clock import Clock, Jump
from scraper.core.models import DomainFacts, Limit, Proxy, Rate, read_proxies
from scraper.core.urls import domain_of
from scraper.politeness.domain import Domain
from scraper.politeness.reasons import PROXY_RATE, TOTAL_RATE, down_text
from scraper.politeness.shared_rate import ProxyRates, Shared, SharedRate
from scraper.settings import Settings

__all__ = ["Politeness"]


class Politeness:
    """All domains this process holds a lease on. State leaves with `facts` and returns with `restore`.

    `agent` is the name robots.txt is read for. `workers` processes share the crawl, and its `total_rate` and
    `proxy_rate` evenly; one that was `resumed` may follow a process that sent a moment ago.
    """

    def __init__(
        self, settings: Settings, clock: Clock, agent: str = "", workers: int = 1, *, resumed: bool = False
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._agent = agent
        self._workers = workers
        self._resumed = resumed
        self._domains: dict[str, Domain] = {}
        self._adjusted: dict[str, Limit] = {}
        self._proxies: dict[Proxy, SharedRate] = {}
        self._lines: dict[tuple[Proxy, ...], ProxyRates] = {}
        #: The rate of all domains together, None without one.
        self.total = self._shared_rate(settings.total_rate, TOTAL_RATE)

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
            shared = Shared(self.total, self._proxy_rates(key))
            found = Domain(key, self._settings, self._limit(key), self._clock, self._agent, shared)
            self._domains[key] = found
        return found

    def _proxy_rates(self, key: str) -> ProxyRates | None:
        """What domains with the same proxies share; None without proxies or without `proxy_rate`."""
        rate, own = self._settings.proxy_rate, self._settings.limit_for(key)[1].proxy
        proxies = self._settings.proxy if own is None else read_proxies(own)
        if rate is None or not proxies:
            return None
        if proxies not in self._lines:
            rates = [(proxy, self._rate_of(proxy, rate)) for proxy in proxies]
            self._lines[proxies] = ProxyRates(self._clock, rates)
        return self._lines[proxies]

    def _rate_of(self, proxy: Proxy, rate: Rate) -> SharedRate:
        if proxy not in self._proxies:
            self._proxies[proxy] = self._shared_rate(rate, PROXY_RATE)
        return self._proxies[proxy]

    @overload
    def _shared_rate(self, rate: Rate, why: str) -> SharedRate: ...
    @overload
    def _shared_rate(self, rate: Rate | None, why: str) -> SharedRate | None: ...
    def _shared_rate(self, rate: Rate | None, why: str) -> SharedRate | None:
        """This process's share of a rate."""
        if rate is None:
            return None
        made = SharedRate(self._clock, rate.gap * self._workers, why)
        if self._resumed:
            made.sent_before(self._clock.mono())
        return made

    def adjust(self, key: str, changes: Mapping[str, Any]) -> None:
        """Other limits for a domain from now on, also where it is given back and leased again."""
        self._adjusted[key] = replace(self._limit(key), **changes)
        if (domain := self._domains.get(key)) is not None:
            domain.adjust(self._settings, self._adjusted[key])

    def _limit(self, key: str) -> Limit:
        return self._adjusted.get(key) or self._settings.limit_for(key)[1]

    def restore(self, key: str, facts: DomainFacts) -> Domain:
        """Take over a domain from what is stored: wait out the gap after its last possible send."""
        domain = self.domain(key)
        domain.restore(facts, self._settings.crawl_delay_max)
        return domain

    def facts(self, key: str) -> DomainFacts:
        """What must be stored of a domain when its lease is given back."""
        domain, now = self.domain(key), self._clock.mono()
        to_unix = self._clock.to_unix
        auto = domain.auto
        return DomainFacts(
            used_until=to_unix(domain.last_send) if domain.last_send is not None else 0.0,
            not_before=to_unix(domain.not_before) if domain.not_before > now else 0.0,
            crawl_delay=domain.crawl_delay,
            parked=domain.parked,
            away_until=domain.away_until,
            due=to_unix(domain.next_at) if domain.next_at > now else 0.0,
            rate=auto.rate if auto else None,
            ceiling=auto.ceiling if auto else None,
            why=auto.why if auto else "",
            waits_for=self._waits_for(domain, now),
            # Who is parked has a new chance in the next run.
            pushbacks=0 if domain.parked else domain.pushbacks,
            refusals=0 if domain.parked else domain.refusals,
        )

    def follow(self, jump: Jump) -> None:
        """The machine slept, or the wall clock was set."""
        for domain in self._domains.values():
            domain.follow(jump)

    def _waits_for(self, domain: Domain, now: float) -> str:
        """The cause of a domain's wait. A parked one has a new chance in the next run, an outage behind it or not."""
        outage = domain.outage
        if outage.is_down and outage.since is not None and domain.parked is None:
            return down_text(self._clock.to_unix(outage.since), outage.why)
        waits = domain.waits_itself(now)
        return waits.why if waits else ""

    def forget(self, key: str) -> None:
        """Drop the state of a domain whose lease was given back with its facts."""
        domain = self._domains.get(key)
        if domain is not None and not domain.in_use and not domain.outage.is_worth_keeping:
            del self._domains[key]

    def __len__(self) -> int:
        return len(self._domains)
