"""All domains a process may send to, by their key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scraper.core.clock import Clock
from scraper.core.models import LONGEST_HOLD, DomainFacts, Limit
from scraper.core.urls import domain_of
from scraper.politeness.domain import RETRY_AFTER, Domain
from scraper.settings import Settings

__all__ = ["Politeness"]


class Politeness:
    """All domains this process holds a lease on. State leaves with `facts` and returns with `restore`.

    `agent` is the name robots.txt is read for.
    """

    def __init__(self, settings: Settings, clock: Clock, agent: str = "") -> None:
        self._settings = settings
        self._clock = clock
        self._agent = agent
        self._domains: dict[str, Domain] = {}
        self._adjusted: dict[str, Limit] = {}

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
            found = Domain(key, self._settings, self._limit(key), self._clock, self._agent)
            self._domains[key] = found
        return found

    def adjust(self, key: str, changes: Mapping[str, Any]) -> None:
        """Other limits for a domain from now on, also where it is given back and leased again."""
        self._adjusted[key] = replace(self._limit(key), **changes)
        if (domain := self._domains.get(key)) is not None:
            domain.adjust(self._settings, self._adjusted[key])

    def _limit(self, key: str) -> Limit:
        return self._adjusted.get(key) or self._settings.limit_for(key)[1]

    def restore(self, key: str, facts: DomainFacts) -> Domain:
        """Take over a domain from what is stored: wait out the gap after its last possible send.

        Stored times are clamped to what a correct clock could have written.
        """
        domain = self.domain(key)
        now = self._clock.unix()
        if domain.last_send is None:
            domain.pushbacks, domain.refusals = facts.pushbacks, facts.refusals
        if facts.crawl_delay is not None:
            domain.crawl_delay = min(facts.crawl_delay, self._settings.crawl_delay_max)
        if facts.rate is not None and domain.auto is not None and domain.last_send is None:
            domain.auto.restore(facts.rate, facts.ceiling, facts.why)
            domain._set_gap(1 / domain.auto.rate)
        if facts.used_until and domain.last_send is None:
            domain.sent_before(self._clock.to_mono(min(facts.used_until, now)))
        if facts.not_before > now:
            until = min(facts.not_before, now + LONGEST_HOLD)
            domain.hold(self._clock.to_mono(until), facts.waits_for or RETRY_AFTER)
        return domain

    def facts(self, key: str) -> DomainFacts:
        """What must be stored of a domain when its lease is given back."""
        domain, now = self.domain(key), self._clock.mono()
        to_unix = self._clock.to_unix
        waits, auto = domain.waits(now), domain.auto
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
            waits_for=waits[0] if waits else "",
            # Who is parked has a new chance in the next run.
            pushbacks=0 if domain.parked else domain.pushbacks,
            refusals=0 if domain.parked else domain.refusals,
        )

    def forget(self, key: str) -> None:
        """Drop the state of a domain whose lease was given back with its facts."""
        domain = self._domains.get(key)
        if domain is not None and not domain.active and not domain._turns:
            del self._domains[key]

    def __len__(self) -> int:
        return len(self._domains)
