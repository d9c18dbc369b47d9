"""W4: 503 with `Retry-After: 40` while other requests are on their way, `max_time=8`: connects 0.3 s, answers 0.6 s, 2/s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from scraper import Crawl, Spider

RIGHT = "over after 8 s (max_time)"

_LINKS = "".join(f'<a href="/{i}">x</a>' for i in range(1, 41))


class _Slow(httpx.AsyncBaseTransport):
    """Opens a connection for each request, then lets it wait for its permit; the third answer asks to wait."""

    guarantees = frozenset({"before_send"})

    def __init__(self) -> None:
        self._count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        waits: Callable[[], Awaitable[None]] | None
        for name, seconds in (("before_connect", 0.3), ("before_send", 0.6)):
            if (waits := request.extensions.get(name)) is not None:
                await waits()
            await asyncio.sleep(seconds)
        self._count += 1
        body = (_LINKS if request.url.path == "/" else "x").encode()
        if self._count == 3:
            return httpx.Response(503, headers={"Retry-After": "40"}, stream=httpx.ByteStream(b""))
        return httpx.Response(200, headers={"Content-Type": "text/html"}, stream=httpx.ByteStream(body))


class _Linked(Spider):
    name = "linked"
    start_urls = ("https://a.test/",)
    rate = "2/s"
    concurrency = 2
    robots = False
    max_time = 8

    def parse(self, page):  # type: ignore[no-untyped-def]  # a spider as people write it
        yield {"url": page.url}
        yield from page.follow_all("a")


def replay() -> str:
    """Crawl it, and say how long that took."""
    began = time.monotonic()
    summary = asyncio.run(Crawl(_Linked, db=":memory:", transport=_Slow()).run())
    return (
        f"over after {time.monotonic() - began:.0f} s ({(summary.reason or 'to the end').partition(' ')[0]})"
    )


if __name__ == "__main__":
    print(replay())
