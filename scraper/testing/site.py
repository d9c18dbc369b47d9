"""A scripted site: an in-process transport that answers from functions, with latency, and keeps a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

__all__ = ["Answer", "Hit", "Site"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site says, `latency` seconds after it was asked. An `error` is raised instead."""

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One request as the server saw it; `at` and `ended` in the loop's seconds."""

    at: float
    ended: float
    method: str
    url: str
    status: int

    @property
    def host(self) -> str:
        return httpx.URL(self.url).host


Handler = Callable[[httpx.Request], Answer | str | None]


class Site(httpx.AsyncBaseTransport):
    """Answers requests by a `handler(request)`, or from a mapping of URL to page.

    None, or an unknown URL, is a 404. A plain string is an HTML page. `hits` is the log, in order of arrival;
    `open` and `most_open` count requests under way per host.
    """

    guarantees = frozenset({"before_send"})

    def __init__(self, pages: Mapping[str, Answer | str] | Handler, *, latency: float = 0.0) -> None:
        self._handler: Handler = pages if callable(pages) else lambda request: pages.get(str(request.url))
        self._latency = latency
        self.hits: list[Hit] = []
        self.open: dict[str, int] = {}
        self.most_open: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (before_send := request.extensions.get("before_send")) is not None:
            await before_send()
        loop, host = asyncio.get_running_loop(), request.url.host
        at = loop.time()
        self.open[host] = self.open.get(host, 0) + 1
        self.most_open[host] = max(self.most_open.get(host, 0), self.open[host])
        status = 0
        try:
            answer = self._answer(request)
            await asyncio.sleep(answer.latency or self._latency)
            if answer.error is not None:
                raise answer.error
            status = answer.status
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            headers = {"Content-Type": "text/html; charset=utf-8", **answer.headers}
            return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
        finally:
            self.open[host] -= 1
            self.hits.append(Hit(at, loop.time(), request.method, str(request.url), status))

    def _answer(self, request: httpx.Request) -> Answer:
        found = self._handler(request)
        if found is None:
            return Answer("not found", 404)
        return Answer(found) if isinstance(found, str) else found
