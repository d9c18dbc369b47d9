"""`await page.fetch(url)` and `page.download(url)`: one more request inside a callback, under its domain's turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx

from scraper.core.charsets import BodyText, TextFault
from scraper.core.models import Download, Options, QueuedRequest, Request
from scraper.core.urls import split
from scraper.engine.admission import Disallowed, admit
from scraper.engine.asked_waits import asked_until, wait_before_redirect
from scraper.engine.context import Reading, Sending
from scraper.engine.redirects import Arrival, Asked, Hop, follow, wants_no_redirect
from scraper.engine.refreshes import refresh_target
from scraper.engine.sending import Ask, Records, Sender
from scraper.errors import FetchError
from scraper.net.downloader import Limits, Reply
from scraper.net.messages import content_type_of
from scraper.page import Fetcher, Page
from scraper.settings import Settings
from scraper.spider.files import served_name
from scraper.spider.scope import check_url

__all__ = ["SubFetcher", "page_of"]


def page_of(
    arrival: Arrival,
    options: Options,
    fetcher: Fetcher,
    settings: Settings,
    note: Callable[[TextFault], None],
) -> Page:
    """The page at the end of a chain; `options` are those of the running callback.

    `note` is told when it cannot be read well.
    """
    reply = arrival.reply
    encoding = options.encoding or settings.encoding
    text = BodyText(reply.body, content_type_of(reply.headers), encoding, note)
    return Page(
        url=reply.url,
        status=reply.status,
        headers=reply.headers,
        body=reply.body,
        source=text.text,
        query_encoding=text.query_encoding,
        options=options,
        fetcher=fetcher,
        decimal_point=settings.decimal_point,
        redirects=arrival.hop.options.redirects,
        complete=reply.complete,
    )


def _is_success(status: int, headers: httpx.Headers) -> bool:
    """Whether a body is what was asked for, and worth a file."""
    return 200 <= status < 300


class SubFetcher:
    """Fetches for one visit, in its task. Robots, guard and rate hold; scope and dedupe do not.

    It never sleeps for a retry: it raises FetchError with `retry_at`, and uncaught the whole visit is retried.
    """

    __slots__ = ("_reading", "_records", "_request", "_sending")

    def __init__(self, sending: Sending, reading: Reading, request: QueuedRequest, records: Records) -> None:
        """`records` are those of the visit."""
        self._sending = sending
        self._reading = reading
        self._request = request
        self._records = records

    async def __call__(self, request: Request) -> Page:
        """The page of a request. Raises FetchError for whatever is not 2xx, nor in the request's `accept`."""
        accept = request.options.accept

        def wanted(status: int, headers: httpx.Headers) -> bool:
            return status in accept or wants_no_redirect(status, headers)

        arrival = await self._travel(Ask(request.url, request.options, "sub", wanted))
        page, reply = self._page(arrival), arrival.reply
        await self._reading.parsing.ready(page, self._sending.politeness.key(split(reply.url).host))
        if 200 <= reply.status < 300 or reply.status in accept:
            return page
        raise self._refused(reply, page, request)

    async def download(self, request: Request, name: str | None) -> Download:
        """Store the body of a request as a file. Raises FetchError for whatever is not 2xx."""
        files, settings = self._reading.files, self._sending.common.settings
        limits = Limits(settings.deadline, settings.max_file, settings.max_file, stall=settings.stall_timeout)
        sink = files.sink()
        try:
            ask = Ask(request.url, request.options, "sub", _is_success, limits, sink)
            arrival = await self._travel(ask)
            reply = arrival.reply
            if not _is_success(reply.status, reply.headers):
                raise self._refused(reply, self._page(arrival), request)
            disposition = reply.headers.get("content-disposition", "")
            path = await sink.keep(name if name is not None else served_name(request.url, disposition))
        finally:
            sink.drop()
        kind = content_type_of(reply.headers)
        return Download(path, str(path.relative_to(files.folder)), reply.url, sink.size, kind)

    async def _travel(self, ask: Ask) -> Arrival:
        """The answer at the end of the redirects, with the last hop."""
        settings = self._sending.common.settings
        url, parts = check_url(ask.url, settings.max_url)
        route = _SubRoute(self._sending, self._records, ask, settings.max_hops)
        try:
            return await follow(Hop(url, parts, ask.options), route, settings)
        except FetchError as error:
            error.request = Request.of(url, ask.options)
            raise

    def _page(self, arrival: Arrival) -> Page:
        running = self._request.options
        same = replace(arrival.hop.options, callback=running.callback, args=running.args)
        return page_of(arrival, same, self, self._sending.common.settings, self._records.note_fault)

    def _refused(self, reply: Reply, page: Page, request: Request) -> FetchError:
        at = asked_until(reply, self._sending.common.clock)
        return FetchError(
            "http", f"HTTP {reply.status}", status=reply.status, retry_at=at, page=page, request=request
        )


@dataclass(slots=True)
class _SubRoute:
    """Each hop under its own domain's turn, which is borrowed where this process does not hold it."""

    context: Sending
    records: Records
    first: Ask
    most: int
    asked: set[Asked] = field(default_factory=set)
    cookies_sent: str = ""

    async def ask(self, hop: Hop) -> Reply:
        context = self.context
        async with context.lanes.lane_for(context.politeness.key(hop.parts.host)) as lane:
            sender = Sender(context, lane, self.records, reserved=False)
            try:
                await admit(sender, hop.url, lane)
            except Disallowed as refusal:
                request = Request.of(self.first.url, self.first.options)
                raise FetchError("robots", str(refusal), request=request) from refusal
            reply = await sender.send(lane, replace(self.first, url=hop.url, options=hop.options))
            self.cookies_sent = sender.cookies_sent
            return reply

    def cookies_for(self, hop: Hop) -> str:
        return self.context.identity.cookies_for(hop.parts, hop.options)

    def arrives(self, hop: Hop, reply: Reply) -> bool:
        return reply.status in hop.options.accept

    def refresh(self, hop: Hop, reply: Reply) -> str | None:
        """A file is what was asked for, whatever it says."""
        if self.first.into is not None:
            return None
        return refresh_target(hop, reply, self.context.common.settings)

    async def leave(self, hop: Hop, reply: Reply) -> Arrival | None:
        """Every redirect is followed here: what is fetched inside a callback has no identity."""
        await wait_before_redirect(reply, self.context.common)
        return None
