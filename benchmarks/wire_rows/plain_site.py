"""A site for replays: a threaded server on loopback that notes what it was asked for, and a crawl of it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Crawled", "Reply", "crawled"]


@dataclass
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html"})


@dataclass
class Crawled:
    """What a crawl asked for, in order and without robots.txt, what it stored, and how it ended."""

    asked: list[str]
    rows: list[dict[str, Any]]
    summary: Any


@contextlib.contextmanager
def _serving(answer: Callable[[str, Mapping[str, str]], Reply], asked: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path != "/robots.txt"
            reply = answer(self.path, self.headers) if known else Reply(status=404)
            if known:
                asked.append(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is written."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def crawled(
    parse: Callable[[Any, Any], Any],
    answer: Callable[[str, Mapping[str, str]], Reply],
    starts: tuple[str, ...] = ("/",),
    **settings: Any,
) -> Crawled:
    """Crawl a site from `starts`; `answer` gets path and headers, `parse` is the one callback, named parse."""
    from scraper import Crawl, Spider

    asked: list[str] = []
    with _serving(answer, asked) as base, tempfile.TemporaryDirectory() as folder:
        members = {"parse": parse, "start_urls": [base + start for start in starts], "rate": None}
        spider = type("Rows", (Spider,), {**members, "private_hosts": [base.removeprefix("http://")]})
        db = Path(folder, "rows.db")
        summary = asyncio.run(Crawl(spider, db=db, settings=settings).run())
        with contextlib.closing(sqlite3.connect(db)) as conn:
            conn.row_factory = sqlite3.Row
            try:
                rows = [dict(row) for row in conn.execute("SELECT * FROM rows ORDER BY rowid")]
            except sqlite3.OperationalError:  # no item, so no table
                rows = []
    return Crawled(asked, rows, summary)
