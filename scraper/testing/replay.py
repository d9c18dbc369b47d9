"""A transport that answers with a page that was kept."""

from __future__ import annotations

import httpx

from scraper.core.models import KeptPage
from scraper.core.urls import split
from scraper.errors import FetchError

__all__ = ["Replay"]

#: Headers that say how the body was sent; it is kept as it was read.
_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Replay(httpx.AsyncBaseTransport):
    """Answers the request for `url` with what was kept, robots.txt of its origin with the `robots` known.

    Everything else goes to `network`; without one it is an error that says so.
    """

    guarantees = frozenset({"before_send"})

    def __init__(
        self, url: str, kept: KeptPage | None, robots: str | None, network: httpx.AsyncBaseTransport | None
    ) -> None:
        self._url = url
        self._kept = kept
        self._robots = robots
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        if self._kept is not None and url == self._url:
            return await self._answer(request, self._kept)
        if self._url and url == f"{split(self._url).origin}/robots.txt":
            status, text = (404, b"") if self._robots is None else (200, self._robots.encode())
            return await self._answer(request, KeptPage(url, status, (), text))
        if self._network is None:
            raise FetchError("transport", f"{url} was not kept: there is no network in a test case")
        return await self._network.handle_async_request(request)

    @staticmethod
    async def _answer(request: httpx.Request, kept: KeptPage) -> httpx.Response:
        if (before_send := request.extensions.get("before_send")) is not None:
            await before_send()
        headers = [(n, v) for n, v in kept.headers if n.lower() not in _WIRE]
        return httpx.Response(kept.status, headers=headers, stream=httpx.ByteStream(kept.body))
