"""One request on its way out: the domain's turn, the permit, what belongs to its origin, and what the answer teaches.

Every send of a crawl (pages, redirects, robots.txt, `page.fetch`) passes `Sender.send`, so that the address guard,
the rate and the record of what was sent hold for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import httpx

from scraper.core.charsets import TextFault
from scraper.core.models import LONGEST_HOLD, Cookie, Options, Pace, Send, SendKind
from scraper.core.urls import Parts, split
from scraper.engine.asked_waits import asked_until, domain_held_until
from scraper.engine.context import Sending
from scraper.engine.domain_scheduler import Lane
from scraper.errors import FetchError, ScraperError
from scraper.net.downloader import Limits, Reply, Sink, Wanted, always
from scraper.politeness import Turn
from scraper.spider.scope import check_url, netlocs, start_of

__all__ = ["Ask", "Later", "LeaseLost", "Records", "Sender"]

#: Requests that credentials may make of one: a challenge and its answer, a token fetched in between.
MAX_AUTH_SENDS = 5
#: Seconds a visit may hold its slot while its domain waits; above that the request goes back into the queue.
PATIENCE = 5.0


class LeaseLost(Exception):
    """The domain belongs to another owner now: nothing is sent, nothing is stored."""


class Later(Exception):
    """The domain waits until `at` (unix): the request goes back into the queue, no try is counted."""

    def __init__(self, at: float, why: str) -> None:
        super().__init__(why)
        self.at = at


@dataclass(frozen=True, slots=True)
class Ask:
    """What one send asks for, and how much of the answer is read. The body of a 2xx goes `into` a sink if there is one."""

    url: str
    options: Options
    kind: SendKind = "page"
    wanted: Wanted = always
    limits: Limits | None = None
    into: Sink | None = None


class Records(Protocol):
    """What a visit leaves in the database about its way: the requests that left, in order, and the cookies that changed.

    `seed` says which origins a person named (`QueuedRequest.seed`).
    """

    sends: list[Send]
    cookies: list[Cookie]

    @property
    def seed(self) -> str: ...

    def note_fault(self, fault: TextFault) -> None: ...


@dataclass(slots=True)
class _Underway:
    """One send while it is under way: when it left (unix and loop time), and under which pace."""

    at: float | None = None
    mono: float = 0.0
    pace: Pace | None = None


@dataclass(slots=True)
class Sender:
    """Sends for one visit, which started under `lane`.

    `reserved`: the scheduler has reserved the first permit. `cookies_sent` is the Cookie header of the last request.
    """

    context: Sending
    lane: Lane
    records: Records
    reserved: bool = True
    cookies_sent: str = ""

    async def send(self, lane: Lane, ask: Ask) -> Reply:
        """One request, with what belongs to its origin: cookies, credentials, proxy.

        Credentials may need more than one (a challenge, a token): each under its own turn and permit.
        """
        parts = split(ask.url)
        request = self._request(ask.url, parts, ask.options)
        auth = self.context.identity.auth_for(parts, ask.options)
        if auth is None:
            return await self._once(lane, request, parts, ask)
        flow = auth.async_auth_flow(request)
        try:
            with _credentials_of(parts):
                request = await anext(flow)
            for _ in range(MAX_AUTH_SENDS):
                reply = await self._for_auth(lane, request, ask)
                try:
                    with _credentials_of(parts, reply.status):
                        request = await flow.asend(_as_response(reply, request))
                except StopAsyncIteration:
                    return reply
        finally:
            await flow.aclose()
        raise FetchError(
            "transport", f"the credentials for {parts.origin} want more than {MAX_AUTH_SENDS} requests"
        )

    async def _for_auth(self, lane: Lane, request: httpx.Request, ask: Ask) -> Reply:
        """A request that credentials make, which may be for another domain: then under that one's turn."""
        context = self.context
        url, parts = check_url(str(request.url), context.common.settings.max_url)
        ask, domain = replace(ask, url=url), context.politeness.key(parts.host)
        if domain == lane.name:
            return await self._once(lane, request, parts, ask)
        async with context.lanes.lane_for(domain) as other:
            return await self._once(other, request, parts, ask)

    async def _once(self, lane: Lane, request: httpx.Request, parts: Parts, ask: Ask) -> Reply:
        """One send under the domain's turn; the permit is taken at the moment of sending.

        What the answer says about the domain (429, 503, a time-out) is heeded here, so for every kind of send.
        """
        self._check_wait(lane, ask.kind)
        context, domain = self.context, lane.domain
        identity, underway, began = context.identity, _Underway(), context.common.clock.mono()
        reply = None
        try:
            async with domain.turn() as turn:
                request.extensions["after_send"] = lambda: self._left(turn, underway)
                await turn.approach()
                self.cookies_sent = identity.dress(request, parts, ask.options, lane.name)
                turn.take_proxy(request.extensions.get("proxy"))
                try:
                    reply = await context.downloader.fetch(
                        request,
                        permit=lambda: self._permit(lane, turn, underway),
                        limits=ask.limits or self._limits(ask.options),
                        wanted=ask.wanted,
                        via=ask.options.via or "",
                        into=ask.into,
                    )
                finally:
                    if underway.at is not None:
                        self.records.sends.append(self._record(ask, lane.name, underway, reply))
                identity.worked(request)
                self.records.cookies.extend(identity.learn(parts, reply.headers))
                await self._heed(lane, underway, reply)
        except FetchError as error:
            identity.failed(request, error)
            domain.note_failure(underway.mono or began, error.kind)
            if (wait := getattr(error.__cause__, "retry_in", None)) is not None:
                error.retry_at = context.common.clock.unix() + wait
            await self._remember(lane)
            raise
        return reply

    def _check_wait(self, lane: Lane, kind: SendKind) -> None:
        """Waiting holds nothing. Raises Later before anything was sent, else FetchError `domain-busy`."""
        domain, clock = lane.domain, self.context.common.clock
        domain.is_open(now := clock.mono())
        if domain.send_at - now <= PATIENCE:
            return
        waits = domain.waits(now)
        why = waits.why if waits else ""
        if kind in {"page", "redirect"} and all(send.kind == "robots" for send in self.records.sends):
            raise Later(clock.to_unix(domain.send_at), f"{lane.name} waits: {why}")
        if domain.held_until - now > max(PATIENCE, domain.pause):
            at = clock.to_unix(domain.held_until)
            raise FetchError("domain-busy", f"{lane.name} waits: {why}", retry_at=at)

    async def _permit(self, lane: Lane, turn: Turn, underway: _Underway) -> None:
        reserved, self.reserved = self.reserved and lane is self.lane, False
        pace = await turn.permit(reserved=reserved)
        clock = self.context.common.clock
        if (now := clock.unix()) >= lane.deadline:
            raise LeaseLost
        underway.at, underway.mono, underway.pace = now, clock.mono(), pace

    def _left(self, turn: Turn, underway: _Underway) -> None:
        """The transport says that the request has left: now, and not when it was allowed to."""
        turn.mark_sent()
        clock = self.context.common.clock
        underway.at, underway.mono = clock.unix(), clock.mono()

    def _record(self, ask: Ask, domain: str, underway: _Underway, reply: Reply | None) -> Send:
        assert underway.at is not None
        kind, url, now = ask.kind, ask.url, self.context.common.clock.unix()
        if reply is None:
            return Send(kind, domain, url, underway.at, now, None, 0, underway.pace)
        hold = self._held_until(reply)
        return Send(kind, domain, url, underway.at, now, reply.status, reply.wire_bytes, underway.pace, hold)

    def _held_until(self, reply: Reply) -> float | None:
        """Until when (unix) a Retry-After holds the whole domain."""
        common = self.context.common
        return domain_held_until(reply, common.clock, common.settings.retry_after_max)

    async def _heed(self, lane: Lane, underway: _Underway, reply: Reply) -> None:
        """What an answer says about its domain; before anything else may be sent there."""
        domain, context, clock = lane.domain, self.context, self.context.common.clock
        if reply.status not in {429, 503}:
            domain.note_answer(underway.mono, reply.status)
            if (held := self._held_until(reply)) is not None:
                domain.wait_as_asked(clock.to_mono(held))
            if domain.unsaved:
                await self._remember(lane)
            return
        now, longest, why = clock.unix(), context.common.settings.retry_after_max, f"HTTP {reply.status}"
        asked = asked_until(reply, clock)
        too_long = asked is not None and asked > now + longest
        until = None if asked is None or too_long else clock.to_mono(asked)
        backoff = context.retry.pause(domain.pushbacks + 1)
        too_often = domain.push_back(underway.mono, until, backoff, why)
        if too_long:
            domain.stay_away(min(asked or 0.0, now + LONGEST_HOLD))
            why = f"{why} with a Retry-After beyond {longest:g} s (retry_after_max)"
        if too_long or too_often:
            await context.lanes.park(lane, why if too_long else f"{why} {domain.pushbacks} times in a row")
        await self._remember(lane)

    async def _remember(self, lane: Lane) -> None:
        """Store what was learned of a domain, so that a restart knows it, and offer it at its new time."""
        if lane.domain.unsaved:
            lane.domain.mark_saved()
            context = self.context
            context.lanes.room_changed(lane)
            await context.common.frontier.put_facts(
                lane.lease, context.politeness.facts(lane.name), now=context.common.clock.unix()
            )

    def _limits(self, options: Options) -> Limits:
        settings = self.context.common.settings
        partial = options.accept_incomplete or settings.accept_incomplete
        return Limits(settings.deadline, settings.max_body, settings.max_decoded, partial=partial)

    def _request(self, url: str, parts: Parts, options: Options) -> httpx.Request:
        # The start itself: what a redirect of it added is in scope, but no one named it.
        start = self.records.seed.partition(" ")[0]
        named = parts.netloc == netlocs(start)[0]
        own = start in {start_of(parts), parts.netloc}  # older databases have no scheme
        try:
            return self.context.outgoing.request(url, options, own=own, named=named)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise FetchError("bad-url", f"{url}: {error}") from error


@contextmanager
def _credentials_of(parts: Parts, status: int | None = None) -> Iterator[None]:
    """The border to credentials, which may be the author's: what they raise is about them, not a fault in this package."""
    try:
        yield
    except (ScraperError, StopAsyncIteration):
        raise
    except Exception as error:
        why = str(error) or type(error).__name__
        what = f"the credentials for {parts.origin} cannot answer what it asks for: {why}"
        raise FetchError("credentials", what, status=status) from error


def _as_response(reply: Reply, request: httpx.Request) -> httpx.Response:
    """A reply as credentials look at it: decoded already."""
    coded = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in reply.headers.multi_items() if name.lower() not in coded]
    return httpx.Response(reply.status, headers=headers, content=reply.body, request=request)
