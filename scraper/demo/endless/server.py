"""The generated shop on a loopback address, served by a process of its own, so that its work is not the crawler's.

HTTP/1.1 with keep-alive (RFC 9112), GET alone. Pages are made when they are asked for. It ends when its parent closes its
standard input, or is gone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scraper.demo.endless.pages import Pages
from scraper.errors import UsageError

__all__ = ["Shop", "main", "serving"]

#: Bytes of a request's head at most.
HEAD = 65_536

ROBOTS = b"User-agent: *\nDisallow: /account/\n"


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the shop stands (`host:port`), and the process that serves it."""

    netloc: str
    process: subprocess.Popen[bytes]

    @property
    def start(self) -> str:
        return f"http://{self.netloc}/index.html"


@contextmanager
def serving(pages: int) -> Iterator[Shop]:
    """A shop of so many pages until the block ends. Raises UsageError where no process or no port is to be had."""
    package = str(Path(__file__).resolve().parents[3])
    # Not over what a project sets: the package is looked for where this one was found.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((package, os.environ.get("PYTHONPATH", "")))}
    process = subprocess.Popen(
        [sys.executable, "-c", "from scraper.demo.endless.server import main; main()", str(pages)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        start_new_session=True,  # Ctrl-C is for the crawl, which then ends the server
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        netloc = process.stdout.readline().decode().strip()
        if not netloc:
            raise UsageError("the shop cannot be served on this machine; its process said why above")
        yield Shop(netloc, process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


class _Connection(asyncio.Protocol):
    """One client: requests as they come, answers in order."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._answer(head))
        if len(self._received) > HEAD:
            self._transport.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        path = words[1] if len(words) == 3 and words[0] == b"GET" else b""
        name = path.rpartition(b"/")[2].removesuffix(b".html")
        if path == b"/robots.txt":
            return _message(b"200 OK", b"text/plain", ROBOTS)
        if path == b"/index.html" or (path.startswith(b"/shop/") and name.isdigit() and len(name) < 10):
            number = 0 if path == b"/index.html" else int(name)
            return _message(b"200 OK", b"text/html; charset=utf-8", self._pages.page(number))
        return _message(b"404 Not Found", b"text/plain", b"not here\n")


def _message(status: bytes, kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        kind,
        len(body),
        body,
    )


async def _serve(count: int) -> None:
    pages = Pages(count)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(pages), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"{host}:{port}\n")
    sys.stdout.flush()
    # Nobody writes to it: it is over when it is at its end.
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


def main() -> None:
    """The server's process; how many pages stands behind its name."""
    asyncio.run(_serve(int(sys.argv[1])))
