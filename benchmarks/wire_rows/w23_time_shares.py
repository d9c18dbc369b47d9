"""W23: where the time goes, for a crawl without a rate, for two workers on one domain, and with a Retry-After.

The server is on loopback. The second crawl is held to 20/s, and the third waits six seconds of about nine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

__all__ = ["RIGHT", "replay"]

RIGHT = "rate=None: no rate limit · --workers 2: rate limit above 80 %, no retries · Retry-After: 60 to 75 %"

SPIDER = """
from scraper import Page, Spider

class Site(Spider):
    start_urls = ["{start}"]
    robots = False
    concurrency = {concurrency}
    rate = {rate!r}

    def parse(self, page: Page):
        for link in page.css("a"):
            yield page.request(link.attr("href"))
        yield {{"url": page.url}}
"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked_to_wait = False
    waits = False
    links = 400

    def do_GET(self) -> None:
        cls = type(self)
        if cls.waits and self.path == "/3" and not cls.asked_to_wait:
            cls.asked_to_wait = True
            self._answer(429, b"later", {"Retry-After": "6"})
            return
        links = "".join(f'<a href="/{number}">x</a>' for number in range(cls.links))
        self._answer(200, (links if self.path == "/" else "<p>x</p>").encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def _server(*, links: int, waits: bool = False) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"links": links, "waits": waits})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def _time_line(start: str, rate: str | None, concurrency: int, *flags: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "site.py").write_text(SPIDER.format(start=start, rate=rate, concurrency=concurrency))
        ran = subprocess.run(
            [sys.executable, "-m", "scraper", "crawl", "site.py", *flags],
            cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        found = re.search(r"^  time +(.+)$", ran.stderr, re.MULTILINE)
        return found[1] if found else f"exit {ran.returncode}, no line of time"


def replay() -> str:
    """The line of time of each of the three crawls."""
    with _server(links=400) as start:
        free = _time_line(start, None, 16)
    with _server(links=100) as start:
        together = _time_line(start, "20/s", 16, "--workers", "2")
    with _server(links=60, waits=True) as start:
        asked = _time_line(start, "20/s", 1)
    return f"rate=None: {free} | --workers 2: {together} | Retry-After: {asked}"


if __name__ == "__main__":
    print(replay())
