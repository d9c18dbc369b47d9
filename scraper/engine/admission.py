"""Asking robots.txt before a URL is fetched: its rules are read when an origin is first met, and kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scraper.core.charsets import decode_text
from scraper.core.models import Options, OriginFacts
from scraper.core.urls import split
from scraper.engine.asked_waits import wait_before_redirect
from scraper.engine.domain_scheduler import Lane
from scraper.engine.redirects import Arrival, Asked, Hop, follow, wants_no_redirect
from scraper.engine.sending import Ask, Sender
from scraper.errors import FetchError
from scraper.net.downloader import Limits, Reply
from scraper.net.robots import MAX_ROBOTS, RobotsFile, Rules
from scraper.spider.scope import check_url

__all__ = ["Disallowed", "admit"]

#: Redirects of a robots.txt that are followed (RFC 9309 section 2.3.1.2).
ROBOTS_HOPS = 5
_PLAIN = Options()


class Disallowed(Exception):
    """robots.txt does not allow the URL."""


async def admit(sender: Sender, url: str, lane: Lane) -> None:
    """Ask robots.txt. Raises Disallowed, or FetchError while it cannot be read."""
    domain = lane.domain
    if not domain.robots:
        domain.end_probe()
        return
    context = sender.context
    origin = split(url).origin
    rules = known = context.robots.known(origin)
    if rules is None:
        rules = await context.robots.rules(origin, lambda text_url: _fetch(sender, text_url))
    if not rules.is_parsed:
        await context.robots.prepare(rules, context.user_agent)
        await _heed(sender, lane, rules, fetched=known is None)
    if domain.end_probe():
        context.lanes.room_changed(lane)
    if not rules.allows(url, context.user_agent):
        raise Disallowed(f"robots.txt of {origin} does not allow it")


async def _heed(sender: Sender, lane: Lane, rules: Rules, *, fetched: bool) -> None:
    """What rules that are new to this process say beside what is allowed. Those that were `fetched` are stored."""
    context = sender.context
    delay, hours = rules.crawl_delay(context.user_agent), rules.visit_time(context.user_agent)
    if hours:
        said = (
            f"{rules.facts.origin}/robots.txt: Visit-time {hours!a} is not obeyed; to keep to it, set hours"
        )
        context.common.notices.warn_once("visit-time", said)
    if delay is not None and fetched:
        await _slow_down(sender, lane, delay)
    elif delay is not None:
        lane.domain.slow_down(min(delay, context.common.settings.crawl_delay_max))
    if fetched:
        await _store(sender, lane, rules.facts)


async def _slow_down(sender: Sender, lane: Lane, delay: float) -> None:
    common = sender.context.common
    longest = common.settings.crawl_delay_max
    if delay > longest:
        await sender.context.lanes.park(
            lane, f"robots.txt asks for {delay:g} s between requests (crawl_delay_max is {longest:g} s)"
        )
        raise FetchError("robots-unreachable", "Crawl-delay is longer than crawl_delay_max")
    lane.domain.slow_down(delay)


async def _store(sender: Sender, lane: Lane, facts: OriginFacts) -> None:
    context, common = sender.context, sender.context.common
    known = replace(context.politeness.facts(lane.name), origins=(facts,))
    await common.frontier.put_facts(lane.lease, known, now=common.clock.unix())


async def _fetch(sender: Sender, url: str) -> RobotsFile:
    """The status and text of a robots.txt. One that redirects too often is unavailable, as if it were not there.

    Of one that was cut at its limit the last line is left out: the part of a rule that arrived may allow too much.
    """
    settings = sender.context.common.settings
    url, parts = check_url(url, settings.max_url)
    try:
        arrival = await follow(Hop(url, parts, _PLAIN), _RobotsRoute(sender), settings)
    except FetchError as error:
        if error.kind != "too-many-redirects":
            raise
        return RobotsFile(404, "")
    reply = arrival.reply
    if reply.unknown_coding and 200 <= reply.status < 300:
        raise FetchError("decode", f"in an unknown content coding ({reply.unknown_coding})")
    text = decode_text(reply.body, "text/plain; charset=utf-8")
    whole = text if reply.complete else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    return RobotsFile(reply.status, whole)


@dataclass(slots=True)
class _RobotsRoute:
    """robots.txt over redirects, each hop under its own domain's turn and never two at once."""

    sender: Sender
    most: int = ROBOTS_HOPS
    asked: set[Asked] = field(default_factory=set)

    @property
    def cookies_sent(self) -> str:
        return self.sender.cookies_sent

    async def ask(self, hop: Hop) -> Reply:
        context = self.sender.context
        limits = Limits(context.common.settings.deadline, MAX_ROBOTS, MAX_ROBOTS, truncate=True)
        async with context.lanes.lane_for(context.politeness.key(hop.parts.host)) as lane:
            return await self.sender.send(
                lane, Ask(hop.url, hop.options, "robots", wants_no_redirect, limits)
            )

    def cookies_for(self, hop: Hop) -> str:
        return self.sender.context.identity.cookies_for(hop.parts, hop.options)

    def arrives(self, hop: Hop, reply: Reply) -> bool:
        return False

    def refresh(self, hop: Hop, reply: Reply) -> str | None:
        """A robots.txt sends no reader anywhere."""
        return None

    async def leave(self, hop: Hop, reply: Reply) -> Arrival | None:
        """Every redirect is followed here."""
        await wait_before_redirect(reply, self.sender.context.common)
        return None
