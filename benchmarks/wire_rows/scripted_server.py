"""A server on loopback that answers each path with given bytes, and a crawl of it in a fresh folder."""

from __future__ import annotations

import contextlib
import socketserver
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import scraper

__all__ = ["Found", "Served", "answer", "crawled", "serving"]

Reply = bytes | Callable[[], bytes]


class Served(NamedTuple):
    """Where the server is, and the request lines it has seen."""

    url: str
    asked: list[str]


class Found(NamedTuple):
    """What the spider yielded under `seen`, and how each request ended: `done`, or why not."""

    seen: list[str]
    ended: list[str]


def answer(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """An answer with these header lines; without `length` it ends with the connection."""
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def serving(answers: Mapping[str, Reply]) -> Iterator[Served]:
    """Answer each path; one that is not known is a 404. Paths may begin with a method and a blank."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            line = self.rfile.readline().decode("latin-1").rstrip().rpartition(" ")[0]
            asked.append(line)
            length = 0
            while (header := self.rfile.readline()) not in {b"\r\n", b""}:
                if header.lower().startswith(b"content-length:"):
                    length = int(header[15:])
            self.rfile.read(length)
            found = answers.get(line, answers.get(line.partition(" ")[2]))
            if found is None:
                found = answer(b"", status="404 Not Found")
            with contextlib.suppress(ConnectionError):
                self.wfile.write(found if isinstance(found, bytes) else found())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Served(f"http://127.0.0.1:{server.server_address[1]}", asked)
        finally:
            server.shutdown()


def crawled(spider: type[scraper.Spider[Any]], *start: str, **settings: Any) -> Found:
    """Crawl without a rate limit, and say what is in the database afterwards. The spider yields `{"seen": text}`."""
    quick = {"robots": False, "rate": None, "retries": 0, "deadline": 10, "max_time": 40}
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        path = str(Path(folder, "found.db"))
        scraper.run(spider, db=path, start=start, settings={**quick, **settings})
        with contextlib.closing(sqlite3.connect(path)) as conn:
            ended = [_words(*row) for row in conn.execute("SELECT state, kind FROM _requests ORDER BY id")]
            table = spider.__name__.lower()
            known = conn.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            rows = conn.execute(f"SELECT seen FROM {table} ORDER BY rowid") if known else ()  # noqa: S608 - a class name
            return Found([str(seen) for (seen,) in rows], ended)


def _words(state: int, kind: str | None) -> str:
    return ["queued", "done", f"failed {kind}", f"skipped {kind}"][state]
