"""A site on loopback that logs when each request arrives, by CLOCK_MONOTONIC; in a process of its own.

    python -m benchmarks.logserver ADDRESS…

prints its port, answers until its input is closed, and then prints its log: one JSON array a line of
[address, arrived, answered, path, status]. It runs ahead of all other processes where it may: what is measured is
when requests arrive, not when this process gets to look at them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress

__all__ = ["RETRY_AFTER"]

#: Seconds a 429 asks to wait, and those that an answer takes.
RETRY_AFTER, LATENCY = 1, 0.02
LONG = 2.0

Line = tuple[str, float, float, str, int]


class LogServer:
    """What a path begins with says what becomes of it: `/e` fails once, `/x` breaks its connection once, `/b` is refused
    once, `/r` redirects once, `/h` three times, `/n` to the next address; `/l` is a page of twenty links that takes
    long; everything else is a page.
    """

    def __init__(self, addresses: list[str]) -> None:
        self.log: list[Line] = []
        self.port = 0
        self._addresses = addresses
        self._asked: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("sockname")[0])
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                arrived = time.monotonic()
                path = head.split(b" ", 2)[1].decode()
                status, more = self._answer(address, path)
                await asyncio.sleep(LONG if path[1:2] == "l" else LATENCY)
                self.log.append((address, arrived, time.monotonic(), path, status))
                if not status:
                    return
                body = self._body(path) if status == 200 else b""
                writer.write(f"HTTP/1.1 {status} x\r\nContent-Type: text/html\r\n{more}"
                             f"Content-Length: {len(body)}\r\n\r\n".encode() + body)  # fmt: skip
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the crawler has closed the connection
        finally:
            writer.close()

    @staticmethod
    def _body(path: str) -> bytes:
        if path == "/robots.txt":
            return b"User-agent: *\nDisallow: /private\n"
        if path[1:2] == "l":
            return "".join(f'<a href="/p{path[2:]}-{i}">x</a>' for i in range(20)).encode()
        return b"<p>x</p>"

    def _answer(self, address: str, path: str) -> tuple[int, str]:
        """The status, 0 for none, and headers."""
        first = f"{address}{path}" not in self._asked
        self._asked.add(f"{address}{path}")
        match path[1:2]:
            case "e" if first:
                return 500, ""
            case "x" if first:
                return 0, ""
            case "b" if first:
                return 429, f"Retry-After: {RETRY_AFTER}\r\n"
            case "r" if "?" not in path:
                return 302, f"Location: {path}?again\r\n"
            case "h" if not path.endswith("?3"):
                page, _, hop = path.partition("?")
                return 302, f"Location: {page}?{int(hop or 0) + 1}\r\n"
            case "n":
                following = self._addresses[(self._addresses.index(address) + 1) % len(self._addresses)]
                return 302, f"Location: http://{following}:{self.port}/p{path[1:]}\r\n"
        return 200, ""


async def main(addresses: list[str]) -> None:
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    server = LogServer(addresses)
    first = await asyncio.start_server(server.serve, addresses[0], 0)
    server.port = port = first.sockets[0].getsockname()[1]
    for address in addresses[1:]:
        await asyncio.start_server(server.serve, address, port)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for line in server.log:
        print(json.dumps(line))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
