"""W5: POSTs at 4/s to a server that closes idle connections after 0.25 s, when the next one is due."""

from __future__ import annotations

import contextlib
import socketserver
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scraper
from scraper import Page, Request, Spider

__all__ = ["RIGHT", "replay"]

POSTS = 30
#: A request that crosses the close on the wire cannot be told from one that the server acted on, and is not sent again.
RIGHT: str = f"{POSTS} of {POSTS} POSTs done, or one less"


class Handler(socketserver.StreamRequestHandler):
    """Answers, waits a quarter of a second for the next request, then closes."""

    def handle(self) -> None:
        self.connection.settimeout(0.25)
        with contextlib.suppress(OSError):
            while self.rfile.readline():
                length = 0
                while (header := self.rfile.readline()) not in {b"\r\n", b""}:
                    if header.lower().startswith(b"content-length:"):
                        length = int(header[15:])
                self.rfile.read(length)
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Posts(Spider[Any]):
    """Sends forms."""

    target = ""

    def start(self) -> Iterator[Request]:
        for number in range(POSTS):
            yield Request(f"{self.target}/{number}", method="POST", content=b"x")

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl, and count what arrived."""
    with (
        Server(("127.0.0.1", 0), Handler) as server,
        tempfile.TemporaryDirectory(prefix="scraper-") as folder,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Posts.target = f"http://127.0.0.1:{server.server_address[1]}"
        path = str(Path(folder, "found.db"))
        settings = {
            "robots": False,
            "rate": "4/s",
            "retries": 0,
            "max_time": 40,
            "private_hosts": {Posts.target[7:]},
        }
        scraper.run(Posts, db=path, settings=settings)
        server.shutdown()
        with contextlib.closing(sqlite3.connect(path)) as conn:
            done = conn.execute("SELECT count(*) FROM _requests WHERE state = 1").fetchone()[0]
        return f"{done} of {POSTS} POSTs done"
