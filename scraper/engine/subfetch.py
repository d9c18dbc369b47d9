"""`await page.fetch(url)` and `page.download(url)`: one more request inside a callback, under its domain's turn."""

from __future__ import annotations

from dataclasses import replace

import httpx

from scraper.core.charsets import decode_text
from scraper.core.models import Cookie, Download, Options, QueuedRequest, Request, Send
from scraper.core.urls import split
from scraper.engine.context import Context
from scraper.engine.hops import Disallowed, Traveller, not_redirect, redirect_target, redirected
from scraper.errors import FetchError
from scraper.net.downloader import Limits, Reply, Sink, Wanted
from scraper.net.messages import content_type_of
from scraper.net.retry import RETRY_STATUSES, retry_after
from scraper.page import Fetcher, Page
from scraper.spider.files import served_name

__all__ = ["SubFetcher", "page_of"]


def page_of(context: Context, reply: Reply, options: Options, fetcher: Fetcher) -> Page:
    """The page of a reply; `options` are those of the running callback."""
    return Page(
        url=reply.url,
        status=reply.status,
        headers=reply.headers,
        body=reply.body,
        source=lambda: decode_text(reply.body, content_type_of(reply.headers)),
        options=options,
        fetcher=fetcher,
        decimal_point=context.settings.decimal_point,
    )


def _is_success(status: int, headers: httpx.Headers) -> bool:
    """Whether a body is what was asked for, and worth a file."""
    return 200 <= status < 300


class SubFetcher:
    """Fetches for one visit, in its task. Robots, guard and rate hold; scope and dedupe do not.

    It never sleeps for a retry: it raises FetchError with `retry_at`, and uncaught the whole visit is retried.
    """

    __slots__ = ("_context", "_cookies", "_request", "_sends")

    def __init__(
        self, context: Context, request: QueuedRequest, sends: list[Send], cookies: list[Cookie]
    ) -> None:
        """`sends` and `cookies` are the records of the visit."""
        self._context = context
        self._request = request
        self._sends = sends
        self._cookies = cookies

    async def __call__(self, request: Request) -> Page:
        """The page of a request. Raises FetchError for whatever is not 2xx, nor in the request's `accept`."""
        reply, options = await self._travel(request, not_redirect)
        page = self._page(reply, options)
        await self._context.parsing.ready(page, self._context.politeness.key(split(reply.url).host))
        if 200 <= reply.status < 300 or reply.status in options.accept:
            return page
        raise self._refused(reply, page, request)

    async def download(self, request: Request, name: str | None) -> Download:
        """Store the body of a request as a file. Raises FetchError for whatever is not 2xx."""
        context, settings = self._context, self._context.settings
        limits = Limits(settings.deadline, settings.max_file, settings.max_file, stall=settings.stall_timeout)
        sink = context.files.sink()
        try:
            reply, options = await self._travel(request, _is_success, limits, sink)
            if not _is_success(reply.status, reply.headers):
                raise self._refused(reply, self._page(reply, options), request)
            disposition = reply.headers.get("content-disposition", "")
            path = await sink.keep(name if name is not None else served_name(request.url, disposition))
        finally:
            sink.drop()
        kind = content_type_of(reply.headers)
        return Download(path, str(path.relative_to(context.files.folder)), reply.url, sink.size, kind)

    async def _travel(
        self, request: Request, wanted: Wanted, limits: Limits | None = None, into: Sink | None = None
    ) -> tuple[Reply, Options]:
        """Hop by hop to the answer, each under its own domain's turn; with the options of the last hop."""
        context = self._context
        url, parts = context.links.check(request.url)
        options = request.options
        for _ in range(context.settings.max_hops + 1):
            async with context.control.lane_for(context.politeness.key(parts.host)) as lane:
                traveller = Traveller(
                    context, lane, self._request.seed, self._sends, self._cookies, reserved=False
                )
                try:
                    await traveller.admit(url, lane)
                except Disallowed as refusal:
                    raise FetchError("robots", str(refusal), request=request) from refusal
                reply = await traveller.send(lane, url, options, "sub", wanted, limits, into)
            target = redirect_target(url, reply)
            if target is None:
                return reply, options
            before = split(url)
            url, parts = context.links.check(target)
            options = redirected(options, reply.status, before, parts, context.settings.secret_headers)
        raise FetchError("too-many-redirects", f"more than {context.settings.max_hops} redirects (max_hops)")

    def _page(self, reply: Reply, options: Options) -> Page:
        running = self._request.options
        same = replace(options, callback=running.callback, args=running.args)
        return page_of(self._context, reply, same, self)

    def _refused(self, reply: Reply, page: Page, request: Request) -> FetchError:
        at = self._asked_for(reply) if reply.status in RETRY_STATUSES else None
        return FetchError(
            "http", f"HTTP {reply.status}", status=reply.status, retry_at=at, page=page, request=request
        )

    def _asked_for(self, reply: Reply) -> float | None:
        return retry_after(reply.headers.get("retry-after"), self._context.clock.unix())
