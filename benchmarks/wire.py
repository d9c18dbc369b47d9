"""CPU per request of 30 kB: this wire against another version of it, in one run, in turn (A B A B).

    python -m benchmarks.wire --other ../old-checkout [--requests 4000] [--rounds 3]

Each measurement is a process of its own that fetches pages over loopback from a server in another process; only the
client's CPU counts (user and system). Mixes: 16, 64 and 256 in flight on one host, and 200 hosts with 64 in flight, one
connection each. The other version is the `scraper` of the folder given; its packages must be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

__all__ = ["main"]

#: Name, in flight, hosts.
MIXES = (("16 in flight", 16, 1), ("64 in flight", 64, 1), ("256 in flight", 256, 1), ("200 hosts", 64, 200))
PAGE_BYTES = 30_000
HEADERS = (
    b"Date: Tue, 01 Dec 2026 03:00:00 GMT", b"Server: nginx", b"Content-Type: text/html; charset=utf-8",
    b"Cache-Control: max-age=600", b"Vary: Accept-Encoding", b"ETag: \"5fc2-30000\"", b"X-Frame-Options: DENY",
)  # fmt: skip


class Pages(asyncio.Protocol):
    """Answers every request with the same page."""

    ANSWER = b"\r\n".join(
        [b"HTTP/1.1 200 OK", *HEADERS, b"Content-Length: %d" % PAGE_BYTES, b"", b"x" * PAGE_BYTES]
    )

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            self._held = self._held[end + 4 :]
            self._transport.write(self.ANSWER)


async def serve() -> None:
    """Serve on every address of 127.0.0.0/8 until the reader of our output goes."""
    server = await asyncio.get_running_loop().create_server(Pages, "0.0.0.0", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def fetch(port: int, in_flight: int, hosts: int, requests: int) -> float:
    """CPU seconds per request."""
    import httpx

    from scraper.net.wire.wire import Wire

    wire = Wire()
    headers = {"User-Agent": "bench", "Accept": "*/*", "Accept-Encoding": "gzip", "Accept-Language": "en"}
    urls = [
        f"http://127.0.{n % hosts // 250}.{n % hosts % 250 + 1}:{port}/p/{n}.html" for n in range(requests)
    ]
    made = iter([httpx.Request("GET", url, headers=headers) for url in urls])  # not the wire's work

    async def work() -> None:
        for request in made:
            response = await wire.handle_async_request(request)
            size = 0
            async for chunk in response.stream:  # type: ignore[union-attr]
                size += len(chunk)
            await response.stream.aclose()  # type: ignore[union-attr]
            assert size == PAGE_BYTES

    before = process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    used = process_time() - before
    await wire.aclose()
    return used / requests


def measured(root: Path, port: int, in_flight: int, hosts: int, requests: int) -> float:
    """The same in a process of its own, with the `scraper` below `root`."""
    arguments = [str(number) for number in (port, in_flight, hosts, requests)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--fetch", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout))


def main() -> None:
    """Compare, and print microseconds of CPU per request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--other", type=Path)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fetch", nargs=4, type=int)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.fetch:
        print(json.dumps(asyncio.run(fetch(*options.fetch))))
        return
    ours = Path(__file__).parents[1]
    roots = [ours, *([options.other.resolve()] if options.other else [])]
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    assert server.stdin is not None
    port = int(server.stdout.readline())
    try:
        for name, in_flight, hosts in MIXES:
            rounds = [
                [measured(root, port, in_flight, hosts, options.requests) for root in roots]
                for _ in range(options.rounds)
            ]
            figures = [median(column) * 1e6 for column in zip(*rounds, strict=True)]
            share = f"  share {figures[0] / figures[1]:.2f}" if len(figures) > 1 else ""
            print(f"{name:14} " + "  ".join(f"{figure:6.1f} µs" for figure in figures) + share, flush=True)
    finally:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()
