"""One URL's way over the wire: robots, the turn, one send; and the rules of redirects.

Every send of a crawl (pages, redirects, robots.txt, `page.fetch`) passes `Traveller.send`, so that the address
guard, the rate and the record of what was sent hold for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from scraper.decode import decode_text
from scraper.downloader import Limits, Reply, always
from scraper.engine.context import Context
from scraper.errors import FetchError
from scraper.models import Options, OriginFacts, Send, SendKind
from scraper.politeness import PAUSE
from scraper.robots import MAX_ROBOTS
from scraper.schedule import Lane
from scraper.urls import SCHEMES, Parts, join, split

__all__ = [
    "CARRIED",
    "Disallowed",
    "LeaseLost",
    "Traveller",
    "not_redirect",
    "pushed_back",
    "redirect_target",
    "redirected",
]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Headers a redirect to another origin may take along; all others may hold secrets.
CARRIED = frozenset({"accept", "accept-language", "accept-encoding", "user-agent", "content-type"})
#: Redirects of a robots.txt that are followed (RFC 9309 section 2.3.1.2).
ROBOTS_HOPS = 5


class LeaseLost(Exception):
    """The domain belongs to another owner now: nothing is sent, nothing is stored."""


class Disallowed(Exception):
    """robots.txt does not allow the URL."""


@dataclass(slots=True)
class Traveller:
    """Sends for one visit; `sends` is the record of what left, in order."""

    context: Context
    lane: Lane
    seed: str
    sends: list[Send]
    reserved: bool = True

    async def admit(self, url: str, lane: Lane) -> None:
        """Ask robots.txt. Raises Disallowed, or FetchError while it cannot be read."""
        domain = lane.domain
        if not domain.robots:
            domain.probing = False
            return
        context = self.context
        origin = split(url).origin
        rules = context.robots.known(origin)
        if rules is None:
            rules = await context.robots.rules(origin, self._fetch_robots)
            delay = rules.crawl_delay(context.user_agent)
            if delay is not None:
                await self._slow_down(lane, delay)
            await self._store_rules(lane, rules.facts)
        if domain.probing:
            domain.probing = False
            context.control.room_changed(lane)
        if not rules.allows(url, context.user_agent):
            raise Disallowed(f"robots.txt of {origin} does not allow it")

    async def send(
        self,
        lane: Lane,
        url: str,
        options: Options,
        kind: SendKind = "page",
        wanted: Callable[[int, httpx.Headers], bool] = always,
        limits: Limits | None = None,
    ) -> Reply:
        """One request under the domain's turn; the permit is taken at the moment of sending."""
        context, domain, clock = self.context, lane.domain, self.context.clock
        sent: float | None = None
        reply: Reply | None = None
        async with domain.turn() as turn:

            async def permit() -> None:
                nonlocal sent
                reserved, self.reserved = self.reserved and lane is self.lane, False
                await turn.permit(reserved=reserved)
                if clock.mono() >= lane.deadline:
                    raise LeaseLost
                sent = clock.unix()

            await turn.approach()
            try:
                reply = await context.downloader.fetch(
                    self._request(url, options),
                    permit=permit,
                    limits=limits or self._limits,
                    wanted=wanted,
                    via=options.via or "",
                )
                return reply
            finally:
                if sent is not None:
                    status, size = (reply.status, reply.wire_bytes) if reply else (None, 0)
                    self.sends.append(Send(kind, lane.name, url, sent, clock.unix(), status, size))

    @property
    def _limits(self) -> Limits:
        settings = self.context.settings
        return Limits(settings.deadline, settings.max_body, settings.max_decoded)

    def _request(self, url: str, options: Options) -> httpx.Request:
        # The start itself: what a redirect of it added is in scope, but nobody named it.
        named = split(url).netloc == self.seed.partition(" ")[0]
        headers = self.context.headers if named else self.context.plain_headers
        if options.headers:
            headers = httpx.Headers(headers)
            headers.update(dict(options.headers))
        try:
            return httpx.Request(
                options.method,
                url,
                headers=headers,
                content=options.body or None,
                extensions={"named": named},
            )
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise FetchError("bad-url", f"{url}: {error}") from error

    async def _slow_down(self, lane: Lane, delay: float) -> None:
        longest = self.context.settings.crawl_delay_max
        if delay > longest:
            await self.context.control.park(
                lane, f"robots.txt asks for {delay:g} s between requests (crawl_delay_max is {longest:g} s)"
            )
            raise FetchError("robots-unreachable", "Crawl-delay is longer than crawl_delay_max")
        lane.domain.crawl_delay = max(delay, lane.domain.crawl_delay or 0.0)
        lane.domain.hold(
            self.context.clock.mono() + lane.domain.pause, PAUSE
        )  # from the end of robots.txt on

    async def _store_rules(self, lane: Lane, facts: OriginFacts) -> None:
        known = self.context.politeness.facts(lane.name)
        await self.context.frontier.put_facts(
            lane.lease, replace(known, origins=(facts,)), now=self.context.clock.unix()
        )

    async def _fetch_robots(self, url: str) -> tuple[int, str]:
        """robots.txt, over redirects, each under its own domain's turn and never two at once."""
        context = self.context
        limits = Limits(context.settings.deadline, MAX_ROBOTS, MAX_ROBOTS, truncate=True)
        url, parts = context.links.check(url)
        for _ in range(ROBOTS_HOPS + 1):
            async with context.control.lane_for(context.politeness.key(parts.host)) as lane:
                reply = await self.send(lane, url, _ROBOTS, "robots", not_redirect, limits)
            target = redirect_target(url, reply)
            if target is None:
                return reply.status, decode_text(reply.body, "text/plain; charset=utf-8")
            url, parts = context.links.check(target)
        return 404, ""


_ROBOTS = Options()


def not_redirect(status: int, headers: httpx.Headers) -> bool:
    """Whether a body is worth reading: that of a redirect is not."""
    return not (status in REDIRECTS and "location" in headers)


async def pushed_back(context: Context, lane: Lane, at: float, why: str) -> bool:
    """A 429 or 503: the whole domain waits until `at` (unix), stored so that a restart waits too.

    A domain that asks for too long a wait, or does it too often in a row, is parked; True then.
    """
    domain, longest = lane.domain, context.settings.retry_after_max
    if domain.pushed_back():
        await context.control.park(lane, f"{why} {domain.pushbacks} times in a row")
    elif at > context.clock.unix() + longest:
        await context.control.park(lane, f"{why} with a Retry-After beyond {longest:g} s (retry_after_max)")
    else:
        domain.hold(context.clock.to_mono(at))
        facts = context.politeness.facts(lane.name)
        await context.frontier.put_facts(lane.lease, facts, now=context.clock.unix())
    return domain.parked is not None


def redirect_target(url: str, reply: Reply) -> str | None:
    """Where a redirect leads, absolute; None when the reply is none (RFC 9110 section 15.4).

    Raises FetchError `bad-redirect` for a target that is no URL, `unsupported-scheme` for one that is not http(s).
    """
    if reply.status not in REDIRECTS or "location" not in reply.headers:
        return None
    location = reply.headers["location"]
    try:
        target = join(url, location)
        parts = split(target)
    except ValueError as error:
        raise FetchError(
            "bad-redirect", f"redirect to {location[:200]!r}, which is no URL", status=reply.status
        ) from error
    if parts.scheme not in SCHEMES:
        raise FetchError(
            "unsupported-scheme",
            f"redirect to {location[:200]!r}: neither http nor https",
            status=reply.status,
        )
    return target


def redirected(options: Options, status: int, before: Parts, after: Parts) -> Options:
    """The options after a redirect: POST becomes GET as browsers do it (Fetch standard, 4.4), and nothing
    that may be secret goes to another origin.

    Raises FetchError `bad-redirect` when a body would have to be sent to another origin.
    """
    same_origin = before.origin == after.origin
    if (status in {301, 302} and options.method == "POST") or (status == 303 and options.method != "HEAD"):
        kept = tuple((n, v) for n, v in options.headers if not n.lower().startswith("content-"))
        options = replace(options, method="GET", body=b"", headers=kept)
    if not same_origin and options.body:
        raise FetchError(
            "bad-redirect", "a redirect would send the request's body to another origin", status=status
        )
    if not same_origin and options.headers:
        options = replace(options, headers=tuple((n, v) for n, v in options.headers if n.lower() in CARRIED))
    return options
