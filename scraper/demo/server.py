"""The demo's three sites on loopback addresses: HTTP/1.1 with keep-alive (RFC 9112), GET and HEAD."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType

from scraper.demo.shop import SITES, Answer, Pages
from scraper.errors import UsageError

__all__ = ["DemoServer", "Hit"]

#: An address for each of `SITES`, so that each is a domain of its own to the crawler.
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
#: The site that thinks before it answers, and the one that is too busy for the first request.
SLOW, BUSY = "reviews", "partner"
#: What the busy site asks for, in seconds.
RETRY_AFTER = 1


@dataclass(frozen=True, slots=True)
class Hit:
    """One request as a site saw it, `at` in the loop's seconds."""

    at: float
    site: str
    path: str
    status: int


class DemoServer:
    """Listens from the moment it is made, answers inside `async with`, and is closed for good after it.

    `netlocs` asks for the `host:port` another server had, in the order of `SITES`; otherwise the system
    chooses free ports. `slow` is how long (s) the slow site takes for a page. `hits` is the log, in order of
    arrival. Raises UsageError when an address is taken.
    """

    def __init__(self, netlocs: Sequence[str] = (), *, slow: float = 0.4) -> None:
        self._slow = slow
        self._sockets: list[socket.socket] = []
        try:
            for address, netloc in zip(ADDRESSES, netlocs or ("",) * len(SITES), strict=True):
                self._sockets.append(_bound(netloc) if netloc else _free(address))
        except OSError as error:
            self.close()
            raise UsageError(f"the demo shop cannot be served here: {error}") from error
        names = [sock.getsockname() for sock in self._sockets]
        self.netlocs = tuple(f"{host}:{port}" for host, port in names)
        self.hits: list[Hit] = []
        self._pages = Pages({site: f"http://{at}" for site, at in zip(SITES, self.netlocs, strict=True)})
        self._busy = {BUSY}
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def start(self) -> str:
        """The URL of the shop's home."""
        return f"http://{self.netlocs[0]}/"

    def close(self) -> None:
        """Give the ports back."""
        for sock in self._sockets:
            sock.close()

    async def __aenter__(self) -> DemoServer:
        for site, sock in zip(SITES, self._sockets, strict=True):
            self._servers.append(await asyncio.start_server(partial(self._accept, site), sock=sock))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self.close()

    def _accept(self, site: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own: asyncio 3.11 complains about those of its own that are cancelled."""
        task = asyncio.create_task(self._serve(site, reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, site: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client goes or says what is no HTTP."""
        try:
            while True:
                method, path = _request_line(await reader.readuntil(b"\r\n\r\n"))
                answer = await self._answer(site, method, path)
                writer.write(_octets(answer, head_only=method == "HEAD"))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            return
        finally:
            writer.close()

    async def _answer(self, site: str, method: str, path: str) -> Answer:
        at = asyncio.get_running_loop().time()
        if method not in {"GET", "HEAD"}:
            answer = Answer(405, {"Allow": "GET, HEAD"}, b"")
        elif site in self._busy and path != "/robots.txt":
            self._busy.discard(site)
            answer = Answer(429, {"Retry-After": str(RETRY_AFTER)}, b"")
        else:
            answer = self._pages.answer(site, path)
        self.hits.append(Hit(at, site, path, answer.status))
        if site == SLOW:
            await asyncio.sleep(self._slow)
        return answer


def _free(address: str) -> socket.socket:
    """A free port at a loopback address, or at 127.0.0.1 where there is no other (macOS)."""
    try:
        return _bound(f"{address}:0")
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return _bound(f"{ADDRESSES[0]}:0")


def _bound(netloc: str) -> socket.socket:
    host, _, port = netloc.rpartition(":")
    return socket.create_server((host, int(port)))


def _request_line(head: bytes) -> tuple[str, str]:
    """Method and path (with its query). Raises ValueError for what is no request."""
    method, path, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    if not path.startswith("/") or not version.startswith("HTTP/1."):
        raise ValueError(f"not a request: {method} {path} {version}")
    return method, path


def _octets(answer: Answer, *, head_only: bool) -> bytes:
    status = HTTPStatus(answer.status)
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join((*lines, "", "")).encode()
    return head if head_only else head + answer.body
