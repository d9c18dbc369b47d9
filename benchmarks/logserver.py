"""A site on loopback that logs when each request arrives, by CLOCK_MONOTONIC; in a process of its own.

    python -m benchmarks.logserver ADDRESS…

prints its port, answers until its input is closed, and then prints its log: one JSON array a line of
[address, arrived, answered, path, status]. What is measured is when requests arrive, by the kernel (`arrivals.py`), not
when this process gets to look at them; it runs ahead of all others where it may, so that its answers are not late.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress

from benchmarks.arrivals import Visitor, serve

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

    async def serve(self, visitor: Visitor) -> None:
        while request := await visitor.request():
            arrived, head = request
            path = head.split(b" ", 2)[1].decode()
            status, more = self._answer(visitor.address, path)
            await asyncio.sleep(LONG if path[1:2] == "l" else LATENCY)
            self.log.append((visitor.address, arrived, time.monotonic(), path, status))
            if not status:
                return
            await visitor.answer(status, self._body(path) if status == 200 else b"", more)

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
    server.port = port = await serve(addresses, server.serve)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for line in server.log:
        print(json.dumps(line))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
