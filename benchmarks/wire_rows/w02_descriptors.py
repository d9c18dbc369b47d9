"""W2: few file descriptors: many hosts with keep-alive, 400 hosts, and slow pages, 64 at a time, scaled to 40 s.

`ulimit -n` is soft and hard limit of the crawling process. The server, in this process, keeps connections open.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["RIGHT", "replay"]

RIGHT: str = (
    "1500 hosts at ulimit -n 128: exit 3, 1500 of 1500 done; 400 hosts at 200: exit 3, 400 of 400 done; "
    "72 slow pages at 64: exit 3, 72 of 72 done"
)

#: Sets both limits and becomes the command; the crawl itself cannot raise them again.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, "-m", "scraper", *sys.argv[2:]])
"""
SPIDER = """
from scraper import Page, Spider

class Wide(Spider):
    start_urls = {starts!r}
    robots = False
    rate = None
    in_flight = 64
    concurrency = 64

    def parse(self, page: Page):
        return None
"""


class _Answer(asyncio.Protocol):
    """Answers each request on a connection that stays open; "/slow…" after longer than all tries take."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for path in re.findall(rb"GET (\S+) HTTP", data):
            loop.call_later(9.0 if path.startswith(b"/slow") else 0.0, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok")


@contextmanager
def _server() -> Iterator[int]:
    """A server on all of 127.0.0.0/8; its port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_Answer, "127.0.0.1", 0))
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    server = loop.run_until_complete(loop.create_server(_Answer, "0.0.0.0", port))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def _crawl(starts: list[str], limit: int) -> str:
    """Crawl `starts` with so many descriptors: the exit code, and how many are done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scraper.toml").touch()
        (folder / "wide.py").write_text(SPIDER.format(starts=starts))
        command = [sys.executable, "-c", LIMITED, str(limit), "crawl", "wide.py", "--quiet"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=40)
        except subprocess.TimeoutExpired:
            return "no end within 40 s"
        question = [sys.executable, "-m", "scraper", "query", "data/wide.db"]
        counted = subprocess.run(
            [*question, "SELECT count(*) FROM _requests WHERE state = 1", "--csv"],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        done = (counted.stdout.split() or ["no answer"])[-1]
    return f"exit {ended.returncode}, {done} of {len(starts)} done"


def _hosts(number: int, port: int) -> list[str]:
    return [f"http://127.{1 + n // 250}.{n % 250}.1:{port}/" for n in range(number)]


def replay() -> str:
    """Crawl with few descriptors three times, and say what was done."""
    with _server() as port:
        slow = [f"http://127.0.0.1:{port}/slow{n}" for n in range(72)]
        seen = [
            f"1500 hosts at ulimit -n 128: {_crawl(_hosts(1500, port), 128)}",
            f"400 hosts at 200: {_crawl(_hosts(400, port), 200)}",
            f"72 slow pages at 64: {_crawl(slow, 64)}",
        ]
    return "; ".join(seen)


if __name__ == "__main__":
    print(replay())
