"""A server that knows when its requests arrived, by the kernel: not when it got round to reading them.

Linux stamps what a socket receives (SO_TIMESTAMPNS, socket(7)); the stamp is read with the data. So a log made with
it is exact on a busy machine too, where this process may wait for its turn longer than the gaps it is to judge.
Elsewhere the time of the read has to do.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from functools import cache

__all__ = ["Visitor", "serve"]

#: Linux, all architectures but parisc and sparc; Python has no name for it.
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")


class Visitor:
    """One connection of a client."""

    def __init__(self, connection: socket.socket) -> None:
        self.address = str(connection.getsockname()[0])
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        _stamp(connection)

    async def request(self) -> tuple[float, bytes] | None:
        """When a request began to arrive (CLOCK_MONOTONIC), and its head; None when the client is gone."""
        head, arrived = b"", 0.0
        while not head.endswith(b"\r\n\r\n"):
            at, piece = await self._read()
            if not piece:
                return None
            arrived = arrived or at
            head += piece
        return arrived, head

    async def answer(self, status: int, body: bytes, more: str = "") -> None:
        """Send an answer; `more` are further header lines."""
        head = f"HTTP/1.1 {status} x\r\nContent-Type: text/html\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        await self._loop.sock_sendall(self._connection, head.encode() + body)

    async def _read(self) -> tuple[float, bytes]:
        while True:
            try:
                data, stamps, _, _ = self._connection.recvmsg(65_536, 256)
                break
            except BlockingIOError:
                await self._readable()
        now = time.monotonic()
        for level, kind, stamp in stamps:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = TIMESPEC.unpack_from(stamp)
                return seconds + nanoseconds / 1e9 - _unix_of_zero(), data
        return now, data

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._connection, ready.set_result, None)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._connection)


@cache
def _unix_of_zero() -> float:
    """The unix time at which CLOCK_MONOTONIC was 0: of many readings of both clocks, the one with the least between."""
    readings = []
    for _ in range(1_000):
        before, unix, after = time.monotonic(), time.time(), time.monotonic()
        readings.append((after - before, unix - (before + after) / 2))
    return min(readings)[1]


async def serve(addresses: list[str], handle: Callable[[Visitor], Awaitable[None]]) -> int:
    """Listen on one port of each address until the loop ends; the port. `handle` is called for each connection."""
    port, loop = 0, asyncio.get_running_loop()
    # The kernel stamps packets only while some socket wants it, and begins a little later: this one wants it always.
    _stamp(always := socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    _keep(loop.create_task(_hold(always)))
    for address in addresses:
        listener = socket.create_server((address, port), backlog=4096)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        _keep(loop.create_task(_accept(listener, handle)))
    return port


def _stamp(connection: socket.socket) -> None:
    if sys.platform == "linux":
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


async def _hold(held: socket.socket) -> None:
    with held:
        await asyncio.Event().wait()


async def _accept(listener: socket.socket, handle: Callable[[Visitor], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep(loop.create_task(_visit(connection, handle)))


async def _visit(connection: socket.socket, handle: Callable[[Visitor], Awaitable[None]]) -> None:
    try:
        await handle(Visitor(connection))
    except ConnectionError:
        pass  # the crawler has died, or closed the connection
    finally:
        connection.close()


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """The loop itself holds tasks only weakly."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
