"""One request on its way out: the domain's turn, the permit, what belongs to its origin, and what the answer teaches.

Every send of a crawl (pages, redirects, robots.txt, `page.fetch`) passes `Sender.send`, so that the address guard,
the rate and the record of what was sent hold for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, cast

import httpx

from scraper.core.charsets import TextFault
from scraper.core.models import LONGEST_HOLD, Cookie, Options, Pace, QueuedRequest, Send, SendKind
from scraper.core.urls import Parts, split
from scraper.engine.asked_waits import asked_until, domain_held_until
from scraper.engine.context import Sending
from scraper.engine.domain_scheduler import Lane
from scraper.engine.outages import Failure, Witness, witness_of
from scraper.errors import FetchError, ScraperError
from scraper.net.downloader import Limits, Reply, Sink, Wanted, always
from scraper.net.retry import GATEWAY_STATUSES, fault_of, is_idempotent
from scraper.politeness import PATIENCE_SECONDS, Held, Turn, away_text
from scraper.spider.scope import check_url, netlocs, start_of

__all__ = ["BEFORE_ASKED", "Ask", "Later", "LeaseLost", "Records", "Sender"]

#: Requests that credentials may make of one: a challenge and its answer, a token fetched in between.
MAX_AUTH_SENDS = 5
#: Kinds of sends that leave the request of a visit as it was.
BEFORE_ASKED = frozenset({"robots", "connect"})


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

    request: QueuedRequest
    sends: list[Send]
    cookies: list[Cookie]

    @property
    def seed(self) -> str: ...

    def note_fault(self, fault: TextFault) -> None: ...


@dataclass(slots=True)
class _Passage:
    """One send while it is under way: when it left (unix and loop time), and under which pace.

    `attempt` is when a connection was to be opened for it (unix), None when there was none or the request followed.
    The transport calls the methods (docs/architecture.md, what a transport may know).
    """

    sender: Sender
    lane: Lane
    turn: Turn
    ask: Ask
    at: float | None = None
    mono: float = 0.0
    pace: Pace | None = None
    attempt: float | None = None

    async def connect(self) -> None:
        """A connection is to be opened. One that was to be opened before has failed."""
        self.note_attempt()
        sender, clock = self.sender, self.sender.context.common.clock
        reserved, sender.reserved = sender.reserved and self.lane is sender.lane, False
        self.pace = await self.turn.connect(reserved=reserved)
        if (now := clock.unix()) >= self.lane.deadline:
            raise LeaseLost
        self.attempt = now

    async def permit(self) -> None:
        """The request is to be sent."""
        sender, clock = self.sender, self.sender.context.common.clock
        reserved, sender.reserved = sender.reserved and self.lane is sender.lane, False
        self.pace = await self.turn.permit(reserved=reserved)
        if (now := clock.unix()) >= self.lane.deadline:
            raise LeaseLost
        self.at, self.mono, self.attempt = now, clock.mono(), None

    def unsent(self) -> None:
        """Nothing could be written: the permit is for the next attempt."""
        self.turn.keep()
        self.at, self.mono = None, 0.0

    def left(self) -> None:
        """The transport says that the request has left: now, and not when it was allowed to."""
        self.turn.mark_sent()
        clock = self.sender.context.common.clock
        self.at, self.mono = clock.unix(), clock.mono()

    def note_attempt(self) -> None:
        """Record an attempt to connect that no request followed."""
        if self.attempt is None:
            return
        ended, records = self.sender.context.common.clock.unix(), self.sender.records
        sent, self.attempt = self.attempt, None
        records.sends.append(Send("connect", self.lane.name, self.ask.url, sent, ended, None, 0, self.pace))


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

        What the answer says about the domain (429, 503, a time-out, an outage) is heeded here, so for every kind of send.
        """
        self._check_wait(lane, ask.kind)
        if lane.domain.outage.is_down and not is_idempotent(ask.options.retried_as):
            await self._ask_first(lane)
        domain, began = lane.domain, self.context.common.clock.mono()
        try:
            async with domain.turn() as turn:
                passage = _Passage(self, lane, turn, ask)
                reply = await self._pass(passage, request, parts)
        except Held as held:
            raise self._later(lane, ask.kind, held) from None
        except FetchError as error:
            self.context.identity.failed(request, error)
            domain.note_failure(passage.mono or began, error.kind)
            if (wait := getattr(error.__cause__, "retry_in", None)) is not None:
                error.retry_at = self.context.common.clock.unix() + wait
            await self._blame(lane, parts, ask, error, answered="answered" in request.extensions)
            await self._remember(lane)
            raise
        if reply.status in GATEWAY_STATUSES and not self._is_accepted(ask, reply.status):
            await self._check_gateway(lane, parts, ask, reply.status)
        return reply

    async def _ask_first(self, lane: Lane) -> None:
        """Before a request that can be lost goes to a domain that is down: does it answer? Raises FetchError if not."""
        if not lane.domain.outage.asking and await self._is_alive(lane) is False:
            error = await self.context.outages.wait_for(lane)
            await self._remember(lane)
            raise error

    async def _check_gateway(self, lane: Lane, parts: Parts, ask: Ask, status: int) -> None:
        """A gateway has no answer from the server behind it. Raises FetchError where that is an outage."""
        error = FetchError("http", f"HTTP {status}", status=status)
        await self._blame(lane, parts, ask, error, answered=True)
        await self._remember(lane)
        if error.outage:
            raise error

    async def _pass(self, passage: _Passage, request: httpx.Request, parts: Parts) -> Reply:
        """Wait for the turn, send, and learn from the answer. Raises FetchError for a gateway's that means an outage."""
        lane, turn, ask, identity = passage.lane, passage.turn, passage.ask, self.context.identity
        extensions, reply = request.extensions, None
        extensions["after_send"], extensions["unsent"] = passage.left, passage.unsent
        extensions["before_connect"] = passage.connect
        if ask.options.repeatable:
            extensions["repeatable"] = True
        await turn.approach()
        self.cookies_sent = identity.dress(request, parts, ask.options, lane.name)
        turn.take_proxy(extensions.get("proxy"))
        try:
            reply = await self.context.downloader.fetch(
                request,
                permit=passage.permit,
                limits=ask.limits or self._limits(ask.options),
                wanted=ask.wanted,
                via=ask.options.via or "",
                into=ask.into,
            )
        finally:
            if passage.attempt is not None:
                passage.note_attempt()
            if passage.at is not None:
                self.records.sends.append(self._record(ask, lane.name, passage, reply))
        identity.worked(request)
        self.records.cookies.extend(identity.learn(parts, reply.headers))
        if reply.status not in GATEWAY_STATUSES or self._is_accepted(ask, reply.status):
            witness = witness_of(ask.kind, ask.url, ask.options) if ask.into is None else None
            self.context.outages.answered(lane, parts.origin, passage.mono, reply.ended, witness)
        await self._heed(lane, passage, reply)
        return reply

    def _check_wait(self, lane: Lane, kind: SendKind) -> None:
        """Waiting holds nothing. Raises Later before anything was sent, else FetchError `domain-busy`."""
        domain, clock = lane.domain, self.context.common.clock
        domain.is_open(now := clock.mono())
        if domain.send_at - now <= PATIENCE_SECONDS:
            return
        waits = domain.waits(now)
        held = Held(domain.send_at, waits.why if waits else "")
        if self._is_unasked(kind):
            raise self._later(lane, kind, held)
        if domain.held_until - now > max(PATIENCE_SECONDS, domain.pause):
            raise self._later(lane, kind, Held(domain.held_until, str(held)))

    def _is_unasked(self, kind: SendKind) -> bool:
        """Whether a visit can simply be made again: nothing of its page was asked for."""
        return kind in {"page", "redirect"} and all(send.kind in BEFORE_ASKED for send in self.records.sends)

    def _later(self, lane: Lane, kind: SendKind, held: Held) -> Later | FetchError:
        """What a send ends with whose domain has to wait."""
        at, why = self.context.common.clock.to_unix(held.until), f"{lane.name} waits: {held}"
        if self._is_unasked(kind):
            return Later(at, why)
        error = FetchError("domain-busy", why, retry_at=at)
        error.outage = lane.domain.outage.is_down
        return error

    def _record(self, ask: Ask, domain: str, passage: _Passage, reply: Reply | None) -> Send:
        assert passage.at is not None
        kind, url, now = ask.kind, ask.url, self.context.common.clock.unix()
        if reply is None:
            return Send(kind, domain, url, passage.at, now, None, 0, passage.pace)
        hold = self._held_until(reply) if reply.status >= 400 else None
        return Send(kind, domain, url, passage.at, now, reply.status, reply.wire_bytes, passage.pace, hold)

    def _held_until(self, reply: Reply) -> float | None:
        """Until when (unix) a Retry-After holds the whole domain."""
        common = self.context.common
        return domain_held_until(reply, common.clock, common.settings.retry_after_max)

    async def _heed(self, lane: Lane, passage: _Passage, reply: Reply) -> None:
        """What an answer says about its domain; before anything else may be sent there."""
        domain, context, clock = lane.domain, self.context, self.context.common.clock
        if reply.status not in {429, 503}:
            domain.note_answer(passage.mono, reply.status)
            if reply.status >= 400 and (held := self._held_until(reply)) is not None:
                domain.wait_as_asked(clock.to_mono(held))
            if domain.unsaved:
                await self._remember(lane)
            return
        now, longest, why = clock.unix(), context.common.settings.retry_after_max, f"HTTP {reply.status}"
        asked = asked_until(reply, clock)
        too_long = asked is not None and asked > now + longest
        until = None if asked is None or too_long else clock.to_mono(asked)
        backoff = context.retry.pause(domain.pushbacks + 1)
        too_often = domain.push_back(passage.mono, until, backoff, why)
        if too_long:
            away = min(asked or 0.0, now + LONGEST_HOLD)
            domain.stay_away(away)
            why = away_text(reply.status, clock.now().shown(away), longest)
        if too_long or too_often:
            await context.lanes.park(lane, why if too_long else f"{why} {domain.pushbacks} times in a row")
        await self._remember(lane)

    # ------------------------------------------------------------------ outages

    async def _blame(self, lane: Lane, parts: Parts, ask: Ask, error: FetchError, *, answered: bool) -> None:
        """Whose failure it was: one of a domain that is down costs its request no try (`FetchError.outage`)."""
        fault = fault_of(error, ask.options.retried_as, answered=answered)
        if fault is None or error.outage or (fault == "request" and ask.kind == "probe"):
            return
        failure = Failure(error, fault, self.records.request, ask.options.retried_as)
        await self.context.outages.blame(lane, parts.origin, failure, lambda: self._is_alive(lane))

    async def _is_alive(self, lane: Lane) -> bool | None:
        """Whether what a domain answered last is answered again; None where there is nothing to ask for, or not now."""
        outage = lane.domain.outage
        if outage.witness is None:
            return None
        url, options = cast(Witness, outage.witness)
        outage.asking = True
        try:
            reply = await self.send(lane, Ask(url, options, "probe", _never))
        except FetchError as error:
            return None if error.kind == "domain-busy" else False
        finally:
            outage.asking = False
        return reply.status not in GATEWAY_STATUSES

    def _is_accepted(self, ask: Ask, status: int) -> bool:
        """Whether a person wants answers with this status."""
        return status in ask.options.accept or status in self.context.common.settings.accept

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


def _never(status: int, headers: httpx.Headers) -> bool:
    """No body is wanted."""
    return False
