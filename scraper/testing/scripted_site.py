"""A scripted site: an in-process transport that answers from functions, with latency and faults, and keeps a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import httpx

from scraper.core.messages import host_of

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
        return host_of(httpx.URL(self.url))


Handler = Callable[[httpx.Request], Answer | str | None]


class Site(httpx.AsyncBaseTransport):
    """Answers requests by a `handler(request)`, or from a mapping of URL to page.

    None, or an unknown URL, is a 404. A plain string is an HTML page. `latency` is that of answers without their own:
    seconds, or a pair to draw from. `faults` are pairs of what goes wrong instead (a status, an Answer, an exception)
    and its share of the requests; robots.txt has none. `seed` makes what is drawn repeatable.

    `hits` is the log, in the order in which requests ended; `open` and `most_open` count those under way per host. All
    of them go on when the same site is crawled again.
    """

    guarantees = frozenset({"before_send"})

    def __init__(
        self,
        pages: Mapping[str, Answer | str] | Handler,
        *,
        latency: float | tuple[float, float] = 0.0,
        faults: Sequence[tuple[int | Answer | Exception, float]] = (),
        seed: int = 0,
    ) -> None:
        self._handler: Handler = pages if callable(pages) else lambda request: pages.get(str(request.url))
        self._latency = latency if isinstance(latency, tuple) else (latency, latency)
        self._faults = [(_fault(what), share) for what, share in faults]
        self._random = Random(seed)
        self.hits: list[Hit] = []
        self.open: dict[str, int] = {}
        self.most_open: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (before_send := request.extensions.get("before_send")) is not None:
            await before_send()
        loop, host = asyncio.get_running_loop(), host_of(request.url)
        at = loop.time()
        self.open[host] = self.open.get(host, 0) + 1
        self.most_open[host] = max(self.most_open.get(host, 0), self.open[host])
        status = 0
        answer: Answer | None = None
        try:
            answer = self._answer(request)
            await asyncio.sleep(answer.latency or self._random.uniform(*self._latency))
            if answer.error is not None:
                raise answer.error.with_traceback(None)  # it may be raised many times
            status = answer.status
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            headers = {"Content-Type": "text/html; charset=utf-8", **answer.headers}
            return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
        finally:
            answer = None  # its error holds this frame
            self.open[host] -= 1
            self.hits.append(Hit(at, loop.time(), request.method, str(request.url), status))

    def _answer(self, request: httpx.Request) -> Answer:
        if self._faults and request.url.path != "/robots.txt":
            drawn = self._random.random()
            for fault, share in self._faults:
                if drawn < share:
                    return fault
                drawn -= share
        found = self._handler(request)
        if found is None:
            return Answer("not found", 404)
        return Answer(found) if isinstance(found, str) else found


def _fault(what: int | Answer | Exception) -> Answer:
    if isinstance(what, Answer):
        return what
    return Answer(status=what) if isinstance(what, int) else Answer(error=what)
