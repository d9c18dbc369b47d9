"""One URL's way over the wire: robots, the turn, one send; and the rules of redirects.

Every send of a crawl (pages, redirects, robots.txt, `page.fetch`) passes `Traveller.send`, so that the address
guard, the rate and the record of what was sent hold for all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

import httpx

from scraper.core.charsets import decode_text
from scraper.core.models import LONGEST_HOLD, Cookie, Options, OriginFacts, Pace, Send, SendKind
from scraper.core.urls import SCHEMES, Parts, join, split
from scraper.engine.context import Context
from scraper.engine.schedule import Lane
from scraper.errors import FetchError
from scraper.net.downloader import Limits, Reply, Sink, always
from scraper.net.retry import retry_after
from scraper.net.robots import MAX_ROBOTS
from scraper.politeness import Turn
from scraper.spider.scope import netlocs, start_of

__all__ = [
    "CARRIED",
    "Disallowed",
    "Later",
    "LeaseLost",
    "Traveller",
    "not_redirect",
    "redirect_target",
    "redirected",
]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Headers a redirect to another origin may take along; all others may hold secrets.
CARRIED = frozenset({"accept", "accept-language", "accept-encoding", "user-agent", "content-type"})
#: Requests that credentials may make of one: a challenge and its answer, a token fetched in between.
MAX_AUTH_SENDS = 5
#: Redirects of a robots.txt that are followed (RFC 9309 section 2.3.1.2).
ROBOTS_HOPS = 5
#: Seconds a visit may hold its slot while its domain waits; above that the request goes back into the queue.
PATIENCE = 5.0


class LeaseLost(Exception):
    """The domain belongs to another owner now: nothing is sent, nothing is stored."""


class Disallowed(Exception):
    """robots.txt does not allow the URL."""


class Later(Exception):
    """The domain waits until `at` (unix): the request goes back into the queue, no try is counted."""

    def __init__(self, at: float, why: str) -> None:
        super().__init__(why)
        self.at = at


@dataclass(slots=True)
class _Sending:
    """One send while it is under way: when it left (unix and loop time), and under which pace."""

    at: float | None = None
    mono: float = 0.0
    pace: Pace | None = None


@dataclass(slots=True)
class Traveller:
    """Sends for one visit; `sends` is the record of what left, in order, `cookies` of those that changed."""

    context: Context
    lane: Lane
    seed: str
    sends: list[Send]
    cookies: list[Cookie]
    reserved: bool = True

    async def admit(self, url: str, lane: Lane) -> None:
        """Ask robots.txt. Raises Disallowed, or FetchError while it cannot be read."""
        domain = lane.domain
        if not domain.robots:
            domain.end_probe()
            return
        context = self.context
        origin = split(url).origin
        rules = known = context.robots.known(origin)
        if rules is None:
            rules = await context.robots.rules(origin, self._fetch_robots)
        if not rules.is_parsed:
            await context.robots.prepare(rules)
        if known is None:
            delay = rules.crawl_delay(context.user_agent)
            if delay is not None:
                await self._slow_down(lane, delay)
            await self._store_rules(lane, rules.facts)
        if domain.end_probe():
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
        into: Sink | None = None,
    ) -> Reply:
        """One request, with what belongs to its origin: cookies, credentials, proxy. A whole body goes `into` a sink.

        Credentials may need more than one (a challenge, a token): each under its own turn and permit.
        """
        parts, identity = split(url), self.context.identity
        request = self._request(url, parts, options)
        once = partial(
            self._once, url=url, options=options, kind=kind, wanted=wanted, limits=limits, into=into
        )
        auth = identity.auth_for(parts, options)
        if auth is None:
            return await once(lane, request, parts)
        flow = auth.async_auth_flow(request)
        try:
            request = await anext(flow)
            for _ in range(MAX_AUTH_SENDS):
                reply = await self._for_auth(once, lane, request)
                try:
                    request = await flow.asend(_as_response(reply, request))
                except StopAsyncIteration:
                    return reply
        finally:
            await flow.aclose()
        raise FetchError(
            "transport", f"the credentials for {parts.origin} want more than {MAX_AUTH_SENDS} requests"
        )

    async def _for_auth(
        self, once: Callable[..., Awaitable[Reply]], lane: Lane, request: httpx.Request
    ) -> Reply:
        """A request that credentials make, which may be for another domain: then under that one's turn."""
        parts = self.context.links.check(str(request.url))[1]
        domain = self.context.politeness.key(parts.host)
        if domain == lane.name:
            return await once(lane, request, parts, url=str(request.url))
        async with self.context.control.lane_for(domain) as other:
            return await once(other, request, parts, url=str(request.url))

    async def _once(
        self,
        lane: Lane,
        request: httpx.Request,
        parts: Parts,
        *,
        url: str,
        options: Options,
        kind: SendKind,
        wanted: Callable[[int, httpx.Headers], bool],
        limits: Limits | None,
        into: Sink | None,
    ) -> Reply:
        """One send under the domain's turn; the permit is taken at the moment of sending.

        What the answer says about the domain (429, 503, a time-out) is heeded here, so for every kind of send.
        """
        self._check_wait(lane, kind)
        context, domain = self.context, lane.domain
        sending, reply, began = _Sending(), None, context.clock.mono()
        try:
            async with domain.turn() as turn:
                request.extensions["after_send"] = lambda: self._left(turn, sending)
                await turn.approach()
                context.identity.dress(request, parts, options, lane.name)
                turn.take_proxy(request.extensions.get("proxy"))
                try:
                    reply = await context.downloader.fetch(
                        request,
                        permit=lambda: self._permit(lane, turn, sending),
                        limits=limits or self._limits,
                        wanted=wanted,
                        via=options.via or "",
                        into=into,
                    )
                finally:
                    if sending.at is not None:
                        self.sends.append(self._record(kind, lane.name, url, sending, reply))
                context.identity.worked(request)
                self.cookies += context.identity.learn(parts, reply.headers)
                await self._heed(lane, sending, reply)
        except FetchError as error:
            context.identity.failed(request, error)
            domain.note_failure(sending.mono or began, error.kind)
            await self._remember(lane)
            raise
        return reply

    def _check_wait(self, lane: Lane, kind: SendKind) -> None:
        """Waiting holds nothing. Raises Later before anything was sent, else FetchError `domain-busy`."""
        domain, clock = lane.domain, self.context.clock
        domain.is_open(now := clock.mono())
        if domain.send_at - now <= PATIENCE:
            return
        waits = domain.waits(now)
        why = waits.why if waits else ""
        if kind == "page" and all(send.kind == "robots" for send in self.sends):
            raise Later(clock.to_unix(domain.send_at), f"{lane.name} waits: {why}")
        if domain.held_until - now > max(PATIENCE, domain.pause):
            at = clock.to_unix(domain.held_until)
            raise FetchError("domain-busy", f"{lane.name} waits: {why}", retry_at=at)

    async def _permit(self, lane: Lane, turn: Turn, sending: _Sending) -> None:
        reserved, self.reserved = self.reserved and lane is self.lane, False
        pace = await turn.permit(reserved=reserved)
        clock = self.context.clock
        if (now := clock.mono()) >= lane.deadline:
            raise LeaseLost
        sending.at, sending.mono, sending.pace = clock.unix(), now, pace

    def _left(self, turn: Turn, sending: _Sending) -> None:
        """The transport says that the request has left: now, and not when it was allowed to."""
        turn.mark_sent()
        sending.at, sending.mono = self.context.clock.unix(), self.context.clock.mono()

    def _record(self, kind: SendKind, domain: str, url: str, sending: _Sending, reply: Reply | None) -> Send:
        assert sending.at is not None
        now = self.context.clock.unix()
        if reply is None:
            return Send(kind, domain, url, sending.at, now, None, 0, sending.pace)
        asked = self.asked_to_wait(reply)
        hold = None if asked is None else min(asked, now + LONGEST_HOLD)
        return Send(kind, domain, url, sending.at, now, reply.status, reply.wire_bytes, sending.pace, hold)

    def asked_to_wait(self, reply: Reply) -> float | None:
        """Until when (unix) a 429 or 503 asks to be left alone by Retry-After."""
        if reply.status not in {429, 503}:
            return None
        return retry_after(reply.headers.get("retry-after"), self.context.clock.unix())

    async def _heed(self, lane: Lane, sending: _Sending, reply: Reply) -> None:
        """What an answer says about its domain; before anything else may be sent there."""
        domain, context = lane.domain, self.context
        if reply.status not in {429, 503}:
            domain.note_answer(sending.mono, reply.status)
            if domain.unsaved:
                await self._remember(lane)
            return
        now, longest, why = context.clock.unix(), context.settings.retry_after_max, f"HTTP {reply.status}"
        asked = self.asked_to_wait(reply)
        too_long = asked is not None and asked > now + longest
        until = None if asked is None or too_long else context.clock.to_mono(asked)
        backoff = context.retry.pause(domain.pushbacks + 1)
        too_often = domain.push_back(sending.mono, until, backoff, why)
        if too_long:
            domain.stay_away(min(asked or 0.0, now + LONGEST_HOLD))
            why = f"{why} with a Retry-After beyond {longest:g} s (retry_after_max)"
        if too_long or too_often:
            await context.control.park(lane, why if too_long else f"{why} {domain.pushbacks} times in a row")
        await self._remember(lane)

    async def _remember(self, lane: Lane) -> None:
        """Store what was learned of a domain, so that a restart knows it, and offer it at its new time."""
        if lane.domain.unsaved:
            lane.domain.mark_saved()
            facts = self.context.politeness.facts(lane.name)
            self.context.control.room_changed(lane)
            await self.context.frontier.put_facts(lane.lease, facts, now=self.context.clock.unix())

    @property
    def _limits(self) -> Limits:
        settings = self.context.settings
        return Limits(settings.deadline, settings.max_body, settings.max_decoded)

    def _request(self, url: str, parts: Parts, options: Options) -> httpx.Request:
        # The start itself: what a redirect of it added is in scope, but nobody named it.
        start = self.seed.partition(" ")[0]
        named = parts.netloc == netlocs(start)[0]
        own = start in {start_of(parts), parts.netloc}  # older databases have no scheme
        try:
            return self.context.outgoing.request(url, options, own=own, named=named)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise FetchError("bad-url", f"{url}: {error}") from error

    async def _slow_down(self, lane: Lane, delay: float) -> None:
        longest = self.context.settings.crawl_delay_max
        if delay > longest:
            await self.context.control.park(
                lane, f"robots.txt asks for {delay:g} s between requests (crawl_delay_max is {longest:g} s)"
            )
            raise FetchError("robots-unreachable", "Crawl-delay is longer than crawl_delay_max")
        lane.domain.slow_down(delay)

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


def _as_response(reply: Reply, request: httpx.Request) -> httpx.Response:
    """A reply as credentials look at it: decoded already."""
    coded = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in reply.headers.multi_items() if name.lower() not in coded]
    return httpx.Response(reply.status, headers=headers, content=reply.body, request=request)


def not_redirect(status: int, headers: httpx.Headers) -> bool:
    """Whether a body is worth reading: that of a redirect is not."""
    return not (status in REDIRECTS and "location" in headers)


def redirect_target(url: str, reply: Reply) -> str | None:
    """Where a redirect leads, absolute; None when the reply is none (RFC 9110 section 15.4).

    Raises FetchError `bad-redirect` for a target that is no URL, `unsupported-scheme` for one that is not http(s).
    """
    if reply.status not in REDIRECTS or "location" not in reply.headers:
        return None
    location = _location(reply.headers)
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


def _location(headers: httpx.Headers) -> str:
    """The Location header; octets above ASCII are quoted as they are, whatever encoding they were meant in."""
    raw = next(value for name, value in headers.raw if name.lower() == b"location")
    if raw.isascii():
        return raw.decode("ascii")
    return "".join(chr(octet) if octet < 0x80 else f"%{octet:02X}" for octet in raw)


def redirected(
    options: Options, status: int, before: Parts, after: Parts, secret: Collection[str] = ()
) -> Options:
    """The options after a redirect: POST becomes GET as browsers do it (Fetch standard, 4.4), and nothing
    that may be secret goes to another origin: neither what `CARRIED` lacks nor what the author calls `secret`.

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
        harmless = CARRIED.difference(secret)
        options = replace(options, headers=tuple((n, v) for n, v in options.headers if n.lower() in harmless))
    return options
