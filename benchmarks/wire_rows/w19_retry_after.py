"""W19: Retry-After 3 with statuses other than 429 and 503, as a date in its two older forms, and on a redirect.

Each case is a server of its own on loopback (127.0.0.1 and up), so that no domain waits for another. A case is kept when
the request comes again, and not earlier than asked.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["RIGHT", "replay"]

#: Seconds that are asked for.
WAIT = 3
#: Name of a case: status, how the time is written, and the path that is asked for after it.
CASES: dict[str, tuple[int, Callable[[float], str], str]] = {
    **{str(status): (status, lambda now: f"{WAIT}", "/") for status in (403, 413, 500, 502, 509, 529)},
    "rfc850 date": (
        503,
        lambda now: time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(now + WAIT + 1)),
        "/",
    ),
    "asctime date": (429, lambda now: time.asctime(time.gmtime(now + WAIT + 1)), "/"),
    "302": (302, lambda now: f"{WAIT}", "/to"),
}
RIGHT = " | ".join(f"{name} kept" for name in CASES)

SPIDER = """
from scraper import Spider

class Asked(Spider):
    start_urls = {urls!r}
    rate, robots = None, False

    def parse(self, page):
        yield {{"url": page.url}}
"""


class _Site(ThreadingHTTPServer):
    """Answers the first request as its case says, every later one with a page."""

    daemon_threads = True

    def __init__(self, number: int, status: int, wait: Callable[[float], str]) -> None:
        self.status, self.wait = status, wait
        self.asked: list[tuple[float, str]] = []
        super().__init__((f"127.0.0.{number}", 0), _Handler)
        self.url = f"http://127.0.0.{number}:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Site

    def do_GET(self) -> None:
        now, site = time.time(), self.server
        site.asked.append((time.monotonic(), self.path))
        first = len(site.asked) == 1
        lines = [f"HTTP/1.1 {site.status if first else 200} X", f"Date: {formatdate(now, usegmt=True)}"]
        if first:
            lines += [f"Retry-After: {site.wait(now)}", "Location: /to"][: 1 + (site.status == 302)]
        lines += ["Content-Type: text/html", "Content-Length: 4", "", "page"]
        self.wfile.write("\r\n".join(lines).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def replay() -> str:
    """What is seen, in one line."""
    sites = {name: _Site(n + 1, case[0], case[1]) for n, (name, case) in enumerate(CASES.items())}
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "scraper.toml").touch()
            Path(folder, "asked.py").write_text(SPIDER.format(urls=[site.url for site in sites.values()]))
            subprocess.run(
                [sys.executable, "-m", "scraper", "crawl", "asked.py"],
                cwd=folder, timeout=50, check=False, capture_output=True,
            )  # fmt: skip
        return " | ".join(f"{name} {_seen(sites[name], CASES[name][2])}" for name in CASES)
    finally:
        for site in sites.values():
            site.shutdown()
            site.server_close()


def _seen(site: _Site, path: str) -> str:
    first, *later = site.asked
    again = [at for at, asked in later if asked == path]
    if not again:
        return "never asked again"
    waited = again[0] - first[0]
    return "kept" if waited >= WAIT - 0.01 else f"broken after {waited:.1f} s"


if __name__ == "__main__":
    print(f"right: {RIGHT}\nseen:  {replay()}")
