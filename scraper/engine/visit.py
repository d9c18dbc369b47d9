"""The life of one request, from its turn to what is stored. `Visit.run` reads as the table of contents.

There are five ways a visit can end (`Outcome`), and one exception that ends it with nothing: `LeaseLost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import httpx

from scraper.core.charsets import TextFault
from scraper.core.content_types import is_accepted
from scraper.core.machine_limits import is_limit
from scraper.core.models import Done, Outcome, QueuedRequest, SendKind
from scraper.core.timing import timed
from scraper.core.urls import split
from scraper.engine.admission import Disallowed, admit
from scraper.engine.asked_waits import asked_until, redirect_asked_until
from scraper.engine.context import Reading, Sending
from scraper.engine.domain_scheduler import Lane
from scraper.engine.judging import Judge
from scraper.engine.redirect_targets import Chain, Redirects, Stored
from scraper.engine.redirects import Arrival, Asked, Hop, follow, is_redirect
from scraper.engine.refreshes import refresh_target
from scraper.engine.refusals import may_be_named, refusal
from scraper.engine.revisit import NOT_MODIFIED, Revisit
from scraper.engine.sending import Ask, Later, LeaseLost, Sender
from scraper.engine.subfetch import SubFetcher, page_of
from scraper.engine.visit_ending import Ending, kept
from scraper.engine.visit_services import Control
from scraper.errors import FetchError, StoreError
from scraper.net.downloader import Reply
from scraper.net.messages import content_type_of
from scraper.page import Page

__all__ = ["Visit", "Visiting"]

#: What may end the way to a page, besides the page.
Left: TypeAlias = Outcome | QueuedRequest | Stored


def _said_of(fault: TextFault, domain: str) -> str:
    """What a person should know of pages that cannot be read as they should be."""
    if fault.declares is not None:
        told = f"pages say {fault.encoding} in the header, but are {fault.declares}, as their markup says"
        return f"{domain}: {told}; set encoding = {fault.declares!r}"
    told = f"pages cannot be read in full as {fault.encoding}"
    return f"{domain}: {told} ({fault.unreadable} characters of one); set encoding if it is another"


@dataclass(frozen=True, slots=True)
class Visiting:
    """What the visits of one crawl share."""

    sending: Sending
    reading: Reading
    control: Control
    redirects: Redirects


class Visit:
    """One request being visited. `run` never raises but for cancellation, `LeaseLost` and errors of ours.

    A redirect may end the request and begin another: the visit then goes on with that one, under the same lease.
    `turn_over` is called when nothing more is sent, with whether anything was.
    """

    __slots__ = (
        "_chain", "_ending", "_first", "_judge", "_lane", "_not_modified", "_revisit", "_sender", "_turn_over",
        "_type_accepted", "_visiting",
    )  # fmt: skip

    def __init__(
        self, visiting: Visiting, lane: Lane, request: QueuedRequest, turn_over: Callable[[bool], None]
    ) -> None:
        self._visiting = visiting
        self._lane = lane
        self._turn_over = turn_over
        self._chain: Chain | None = None
        self._first: Hop | None = None
        self._begin(request, reserved=True)

    def _begin(self, request: QueuedRequest, *, reserved: bool) -> None:
        """Everything that belongs to one request. `reserved`: the scheduler has reserved its first permit."""
        visiting, settings = self._visiting, self._visiting.sending.common.settings
        sending, reading = visiting.sending, visiting.reading
        self._ending = ending = Ending(request, reading.definition.place, sending.identity.veiled)
        self._sender = Sender(sending, self._lane, ending, reserved)
        self._revisit = Revisit.of(request, settings.revisit, settings.max_depth)
        self._judge = Judge(sending, reading, visiting.control, self._lane, ending, self._revisit)
        self._type_accepted = True
        self._not_modified = False

    def put_back(self, error: Exception) -> Done:
        """The end of a visit that is to be made again: the crawl cannot store what it found."""
        return self._ending.done(Outcome.retry(self._now(), "table", str(error)))

    def internal(self, error: Exception) -> Done:
        """The end of a visit that brought out a fault in this package."""
        return self._ending.internal(error)

    def over(self) -> None:
        """What it found is stored, or given up."""
        if self._judge.large:
            self._visiting.reading.thread.rested()

    @timed("the way of a page")
    async def run(self) -> Done | None:
        """Fetch the page, run its callback, and say what became of the request.

        None where a redirect ended it: that is stored already.
        """
        try:
            try:
                end = await self._travel()
            finally:
                self._turn_over(self._chain is not None or bool(self._ending.sends))
            if isinstance(end, Arrival):
                return await self._arrived(end)
            if isinstance(end, Outcome):
                return self._ending.done(end)
            return end
        except Disallowed as refusal:
            return self._ending.done(Outcome.skipped("robots", str(refusal)))
        except Later as later:
            return self._ending.done(Outcome.retry(later.at, "waiting", str(later)))
        except FetchError as error:
            return await self._judge.not_fetched(error)
        except (LeaseLost, StoreError):
            raise
        except Exception as error:
            return self._judge.short_of(error) if is_limit(error) else self.internal(error)

    def _now(self) -> float:
        return self._visiting.sending.common.clock.unix()

    async def _spared(self, outcome: Outcome) -> Done:
        """The earlier visit stands in for this one, with what it linked to."""
        earlier = self._revisit.earlier(confirmed=outcome.name == "ok")
        frontier = self._visiting.sending.common.frontier
        known = await frontier.earlier_links(self._ending.request) if self._revisit.deeper else ()
        links = self._visiting.reading.links.renewed(known)
        if any(link.former for link in links):
            earlier = replace(earlier, links=b"".join(link.fingerprint for link in links))
        return self._ending.spared(outcome, earlier, links)

    # ------------------------------------------------------------------ on the wire

    async def _travel(self) -> Arrival | Outcome | Done | None:
        """To the page, over the redirects of the domain. One that leaves the domain ends the visit."""
        settings = self._visiting.sending.common.settings
        while True:
            if self._revisit.known is not None and self._revisit.spared(
                self._visiting.sending.common.clock.wall()
            ):
                return await self._spared(Outcome.skipped("revisit", self._revisit.why()))
            request = self._ending.request
            hop = Hop(request.url, split(request.url), request.options)
            end: Arrival | Left = await follow(hop, self, settings)
            if isinstance(end, Stored):
                return None
            if not isinstance(end, QueuedRequest):
                return end
            self._begin(end, reserved=self._sender.reserved)

    # ------------------------------------------------------------------ its route (`hops.Route`)

    @property
    def most(self) -> int:
        return self._visiting.sending.common.settings.max_hops - self._ending.request.hops

    @property
    def asked(self) -> set[Asked]:
        if self._chain is None:  # the first answer of the visit redirects
            assert self._first is not None
            self._chain = Chain(self._first, self._sender.cookies_sent)
        return self._chain.asked

    @property
    def cookies_sent(self) -> str:
        return self._sender.cookies_sent

    def cookies_for(self, hop: Hop) -> str:
        return self._visiting.sending.identity.cookies_for(hop.parts, hop.options)

    async def ask(self, hop: Hop) -> Reply:
        """Under the turn of the visit's own domain; an earlier visit is asked about once, not after a redirect."""
        await admit(self._sender, hop.url, self._lane)
        options = hop.options
        kind: SendKind = "redirect" if self._chain else "page"
        if hop.url == self._ending.request.url:
            options = self._revisit.asking(options)
        reply = await self._sender.send(self._lane, Ask(hop.url, options, kind, self._is_wanted))
        if reply.status == NOT_MODIFIED and options is not hop.options:
            self._not_modified = True
        elif self._first is None:
            self._first = hop
        return reply

    def arrives(self, hop: Hop, reply: Reply) -> bool:
        return self._accepts_status(reply.status)

    def refresh(self, hop: Hop, reply: Reply) -> str | None:
        return refresh_target(hop, reply, self._visiting.sending.common.settings, self._ending.counts)

    async def leave(self, hop: Hop, reply: Reply) -> Hop | Left | None:
        assert self._chain is not None  # `asked` made it when the first answer redirected
        asked = redirect_asked_until(reply, self._visiting.sending.common)
        return await self._visiting.redirects.leave(
            self._lane, self._ending, self._chain, hop, reply.status, asked or 0.0
        )

    def _is_wanted(self, status: int, headers: httpx.Headers) -> bool:
        """Whether to read a body: not that of a redirect, nor one of a type that is not accepted."""
        if 300 <= status < 400 and is_redirect(status, headers) and not self._accepts_status(status):
            return False
        self._type_accepted = self._accepts_type(headers)
        return self._type_accepted or not 200 <= status < 300

    def _accepts_status(self, status: int) -> bool:
        """Whether the callback wants a status beyond 2xx."""
        return (
            status in self._ending.request.options.accept
            or status in self._visiting.sending.common.settings.accept
        )

    def _accepts_type(self, headers: httpx.Headers) -> bool:
        return is_accepted(content_type_of(headers), self._visiting.sending.common.settings.accept_types)

    # ------------------------------------------------------------------ at the page

    async def _arrived(self, arrival: Arrival) -> Done:
        """A response is here: note what it says about the domain, then accept or refuse it."""
        reply, domain, lane = arrival.reply, self._lane.domain, self._lane
        status = reply.status
        sending, settings = self._visiting.sending, self._visiting.sending.common.settings
        if status in {401, 403}:
            if domain.count_refusal():
                await sending.lanes.park(lane, f"HTTP {status} {domain.refusals} times in a row")
                return self._ending.done(Outcome.retry(self._now(), "http", f"HTTP {status}", status))
        elif status not in {429, 503}:
            domain.end_refusals()
        if self._not_modified:
            return await self._spared(Outcome("ok", why="not modified", status=status))
        request = self._ending.request
        fetcher = SubFetcher(sending, self._visiting.reading, request, self._ending)
        page = page_of(arrival, request.options, fetcher, settings, self._ending.note_fault)
        if not (200 <= status < 300 or self._accepts_status(status)):
            asked = asked_until(reply, sending.common.clock)
            is_start = not request.depth
            said = refusal(status, page) if is_start and may_be_named(status, settings) else f"HTTP {status}"
            raise FetchError("http", said, status=status, page=page, retry_at=asked)
        if not self._type_accepted:
            kind = content_type_of(reply.headers)
            return self._ending.done(
                Outcome.skipped("type", f"content type {kind} (accept_types)", status), url=page.url
            )
        return await self._accepted(page, reply)

    async def _accepted(self, page: Page, reply: Reply) -> Done:
        """A page for its callback: keep it where that fails, and see whether the domain repeats itself."""
        sending, settings = self._visiting.sending, self._visiting.sending.common.settings
        if reply.unknown_coding:
            said = (
                f"bodies in an unknown content coding ({reply.unknown_coding}); pages are as they were sent"
            )
            sending.common.notices.warn_once("coding", f"{self._lane.name}: {said}")
        done = await self._judge.parse(page)
        if (fault := self._ending.text_fault) is not None:
            sending.common.notices.warn_once(f"text {self._lane.name}", _said_of(fault, self._lane.name))
        if done.result.error is not None and settings.keep_failed:
            done = replace(done, result=replace(done.result, failed_page=kept(page)))
        if self._ending.request.depth:
            endless = self._visiting.reading.repetition.exceeded(self._lane.name, page)
            if endless is not None:
                await sending.lanes.park(self._lane, endless)
        return done
