"""A loopback server that sends exactly the bytes a test gives it, however wrong they are.

    async with serve(answering(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")) as server:
        ... server.url("/page") ... server.requests ... server.opened ... server.alive

Every handler ends when its client goes or the block is left, so no test can hang on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import selectors
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

__all__ = ["Client", "Handler", "PatientLoop", "RawServer", "answering", "ok", "serve"]


class Client:
    """One accepted connection, as a handler sees it."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = server.opened
        self.served = 0
        #: The address that was connected to, and what was asked for last.
        self.host: str = writer.get_extra_info("sockname")[0]
        self.path = ""
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """The next request, head and body; b"" when the client has gone."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        request = head + (await self._reader.readexactly(length) if length else b"")
        self._server.requests.append(request)
        self.path = request.split(b" ", 2)[1].decode("latin-1")
        self.served += 1
        return request

    async def upto(self, end: bytes) -> bytes:
        """What the client sends next, up to and including `end`."""
        return await self._reader.readuntil(end)

    async def some(self) -> bytes:
        """What the client sends next; b"" when it has gone."""
        try:
            return await self._reader.read(65_536)
        except ConnectionError:
            return b""

    async def send(self, octets: bytes) -> bool:
        """Write; False when the client has gone."""
        try:
            self._writer.write(octets)
            await self._writer.drain()
            await asyncio.sleep(0)  # the client runs in the same loop
        except ConnectionError:
            return False
        self._server.sent += len(octets)
        return True

    async def gone(self) -> None:
        """Wait until the client closes the connection."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65_536):
                continue

    def reset(self) -> None:
        """Break the connection with RST instead of FIN."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class _Patient(selectors.DefaultSelector):
    """A selector that knows how much time there was to do something in, by what the loop did between two waits."""

    #: Seconds one turn of the loop may take at most, as its clock sees it.
    TURN = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._left = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        entered = time.monotonic()
        self.now += min(entered - self._left, self.TURN)
        found = super().select(timeout)
        self._left = time.monotonic()
        waited = self._left - entered
        self.now += waited if timeout is None else min(waited, max(timeout, 0.0))
        return found


class PatientLoop(asyncio.SelectorEventLoop):
    """A loop with real sockets whose clock does not run on while a busy machine keeps it from running.

    So a deadline is over when the other side let it pass, not when this process got no CPU.
    """

    def __init__(self) -> None:
        self._patient = _Patient()
        self._start = time.time()
        super().__init__(self._patient)

    def time(self) -> float:
        return self._patient.now

    def wall(self) -> float:
        return self._start + self._patient.now


Handler: TypeAlias = Callable[[Client], Awaitable[None]]


class RawServer:
    """What a test learns: requests as received, connections opened and still alive, octets sent."""

    def __init__(self, handler: Handler, scheme: str) -> None:
        self.requests: list[bytes] = []
        self.opened = 0
        self.alive = 0
        self.sent = 0
        self.port = 0
        self._handler = handler
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "") -> str:
        return f"{scheme or self._scheme}://{host}:{self.port}{path}"

    async def quiet(self) -> None:
        """Wait until no connection is left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own: asyncio 3.11 complains about those of its own that are cancelled."""
        self.opened += 1
        self.alive += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # the loop says so

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(Client(self, reader, writer))
        finally:
            self.alive -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


def ok(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A valid answer with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*answers: bytes, keep: bool = True) -> Handler:
    """Answer each request with the next of `answers`, the last one for ever; close after it unless `keep`."""

    async def handler(client: Client) -> None:
        while await client.request():
            if not await client.send(answers[min(client.served, len(answers)) - 1]) or not keep:
                return

    return handler


@contextlib.asynccontextmanager
async def serve(
    handler: Handler, tls: ssl.SSLContext | None = None, hosts: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[RawServer]:
    """A server on a loopback port, free at all of `hosts`, for as long as the block lasts."""
    server = RawServer(handler, "https" if tls else "http")
    sockets = _bound(hosts)
    server.port = sockets[0].getsockname()[1]
    listeners = [
        await asyncio.start_server(server.accept, sock=sock, ssl=tls, limit=1 << 20) for sock in sockets
    ]
    try:
        yield server
    finally:
        for listener in listeners:
            listener.close()
        server.stop()
        await server.quiet()


def _bound(hosts: Sequence[str]) -> list[socket.socket]:
    """Sockets on one port at every host."""
    while True:
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                port = sockets[0].getsockname()[1] if sockets else 0
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                sockets.append(socket.create_server((host, port), family=family, backlog=256))
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return sockets
