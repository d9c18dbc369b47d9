"""A site that goes down and comes back, as a transport that opens connections: for virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import httpx

from scraper.net.wire.errors import Broken, NameTimeout, NotConnected, TlsFailed

__all__ = ["MODES", "Attempt", "Outage", "OutageServer", "Said", "linked_pages"]

#: What a server does while it is down, by name: what is raised, or which status is answered.
MODES = ("connect", "dns-timeout", "tls", "reset", "502", "504")


class Outage(NamedTuple):
    """From when to when (loop time) a server is down, how, and for which hosts (all of them where none is named)."""

    begins: float
    ends: float
    mode: str = "connect"
    hosts: Sequence[str] = ()


#: A page, a status, a response with headers of its own, what is raised.
Said: TypeAlias = str | int | httpx.Response | Exception | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the server saw: a `connect` that failed, or a request with its status (0: it was reset)."""

    at: float
    host: str
    path: str
    status: int | None


def linked_pages(count: int) -> Callable[[httpx.Request], str | None]:
    """A site whose page / links to the pages /1 … /count, and that has no robots.txt."""
    links = "".join(f'<a href="/{i}">{i}</a>' for i in range(1, count + 1))

    def answer(request: httpx.Request) -> str | None:
        if request.url.path == "/robots.txt":
            return None
        return links if request.url.path == "/" else f"<h1>{request.url.path}</h1>"

    return answer


class OutageServer(httpx.AsyncBaseTransport):
    """Answers by `handler(request)` (None: 404; an exception is raised) unless an outage says no.

    Connections take `connect` seconds to open, answers `latency`. They are kept idle if `keeps`, and are lost when an
    outage begins. `attempts` is the log of what reached the server, in order of time.
    """

    guarantees = frozenset({"before_send"})

    def __init__(
        self,
        handler: Callable[[httpx.Request], Said],
        outages: Sequence[Outage] = (),
        *,
        connect: float = 0.02,
        latency: float = 0.05,
        keeps: bool = True,
    ) -> None:
        self._handler, self._outages = handler, outages
        self._connect, self._latency, self._keeps = connect, latency, keeps
        self._idle: dict[str, list[float]] = {}
        self.attempts: list[Attempt] = []

    def _down(self, host: str) -> Outage | None:
        now = asyncio.get_running_loop().time()
        return next(
            (o for o in self._outages if o.begins <= now < o.ends and (not o.hosts or host in o.hosts)), None
        )

    def _take_idle(self, host: str) -> bool:
        now, idle = asyncio.get_running_loop().time(), self._idle.setdefault(host, [])
        while idle:
            since = idle.pop()
            if not any(since < o.begins <= now for o in self._outages):
                return True
        return False

    async def _open(self, request: httpx.Request) -> None:
        loop, host = asyncio.get_running_loop(), request.url.host
        await request.extensions["before_connect"]()
        at = loop.time()
        outage = self._down(host)
        await asyncio.sleep(self._connect)
        if outage is not None and outage.mode in {"connect", "dns-timeout", "tls"}:
            self.attempts.append(Attempt(at, host, request.url.path, None))
            raise {
                "connect": NotConnected(f"no connection to {host}:443: connection refused"),
                "dns-timeout": NameTimeout(f"no answer about {host} in time"),
                "tls": TlsFailed(f"the TLS handshake with {host} failed: closed"),
            }[outage.mode]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop, host = asyncio.get_running_loop(), request.url.host
        if not self._take_idle(host):
            await self._open(request)
        await request.extensions["before_send"]()
        at, outage = loop.time(), self._down(host)
        request.extensions["after_send"]()
        await asyncio.sleep(self._latency)
        if outage is not None and not outage.mode.isdecimal():
            self.attempts.append(Attempt(at, host, request.url.path, 0))
            raise Broken(f"{host} closed the connection before the answer was complete")
        answer = int(outage.mode) if outage is not None else self._handler(request)
        if isinstance(answer, Exception):
            self.attempts.append(Attempt(at, host, request.url.path, 0))
            raise answer
        response = _response(answer)
        self.attempts.append(Attempt(at, host, request.url.path, response.status_code))
        if self._keeps:
            self._idle[host].append(loop.time())
        return response

    @property
    def times(self) -> list[float]:
        """When something reached the server, in order."""
        return sorted(attempt.at for attempt in self.attempts)

    def fullest_second(self) -> int:
        """The most that reached the server within one second."""
        times = self.times
        return max(sum(at <= other < at + 1 for other in times) for at in times)


def _response(answer: str | int | httpx.Response | None) -> httpx.Response:
    if isinstance(answer, httpx.Response):
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(b""))
    body = answer if isinstance(answer, str) else ""
    status = answer if isinstance(answer, int) else 404 if answer is None else 200
    headers = {"Content-Type": "text/html; charset=utf-8"}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body.encode()))
