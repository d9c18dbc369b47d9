"""`await page.fetch(url)`: one more page inside a callback, under its own domain's turn."""

from __future__ import annotations

from dataclasses import replace

from scraper.decode import decode_text
from scraper.downloader import Reply
from scraper.engine.context import Context
from scraper.engine.travel import (
    Disallowed,
    Traveller,
    not_redirect,
    redirect_target,
    redirected,
)
from scraper.errors import FetchError
from scraper.models import Options, QueuedRequest, Request, Send
from scraper.page import Fetcher, Page
from scraper.retry import RETRY_STATUSES, retry_after
from scraper.urls import split

__all__ = ["SubFetcher", "page_of"]


def page_of(context: Context, reply: Reply, options: Options, fetcher: Fetcher) -> Page:
    """The page of a reply; `options` are those of the running callback."""
    return Page(
        url=reply.url,
        status=reply.status,
        headers=reply.headers,
        body=reply.body,
        source=lambda: decode_text(reply.body, reply.headers.get("content-type")),
        options=options,
        fetcher=fetcher,
        decimal_point=context.settings.decimal_point,
    )


class SubFetcher:
    """Fetches for one visit, in its task. Robots, guard and rate hold; scope and dedupe do not.

    It never sleeps for a retry: it raises FetchError with `retry_at`, and uncaught the whole visit is retried.
    """

    __slots__ = ("_context", "_request", "_sends")

    def __init__(self, context: Context, request: QueuedRequest, sends: list[Send]) -> None:
        self._context = context
        self._request = request
        self._sends = sends

    async def __call__(self, request: Request) -> Page:
        """The page of a request. Raises FetchError for whatever is not 2xx, nor in the request's `accept`."""
        context = self._context
        url, parts = context.links.check(request.url)
        options = request.options
        for _ in range(context.settings.max_hops + 1):
            async with context.control.lane_for(context.politeness.key(parts.host)) as lane:
                traveller = Traveller(context, lane, self._request.seed, self._sends, reserved=False)
                try:
                    await traveller.admit(url, lane)
                except Disallowed as refusal:
                    raise FetchError("robots", str(refusal), request=request) from refusal
                reply = await traveller.send(lane, url, options, "sub", not_redirect)
            target = redirect_target(url, reply)
            if target is None:
                break
            before = split(url)
            url, parts = context.links.check(target)
            options = redirected(options, reply.status, before, parts)
        else:
            raise FetchError(
                "too-many-redirects", f"more than {context.settings.max_hops} redirects (max_hops)"
            )
        running = self._request.options
        page = page_of(context, reply, replace(options, callback=running.callback, args=running.args), self)
        await context.parsing.ready(page, context.politeness.key(parts.host))
        if 200 <= reply.status < 300 or reply.status in options.accept:
            return page
        at = self._asked_for(reply) if reply.status in RETRY_STATUSES else None
        raise FetchError(
            "http", f"HTTP {reply.status}", status=reply.status, retry_at=at, page=page, request=request
        )

    def _asked_for(self, reply: Reply) -> float | None:
        return retry_after(reply.headers.get("retry-after"), self._context.clock.unix())
