"""A deterministic graph of pages, the spider that reads it, and the check that nothing is missing or doubled.

Children are forked, not started: the parent has imported everything, and holds no thread, loop or connection.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx

from benchmarks.arrivals import Visitor, serve
from scraper import Crawl, Key, Page, Spider
from scraper.net.downloader import always  # noqa: F401 - imported before the forks, as all that a crawl needs

__all__ = [
    "HOST",
    "Graph",
    "InProcess",
    "check",
    "child",
    "crawl",
    "folder",
    "hrefs",
    "html",
    "report",
    "served",
]

HOST = "graph.example"


def hrefs(n: int, pages: int) -> set[int]:
    """Where page `n` leads: the next three of a tree, so that all are reached, and two others."""
    tree = {3 * n + k for k in (1, 2, 3) if 3 * n + k < pages}
    return tree | {(n * 31 + 7) % pages, (n * 17 + 3) % pages}


def html(n: int, pages: int) -> bytes:
    links = "".join(f'<a href="/p/{link}">x</a>' for link in sorted(hrefs(n, pages)))
    return f"<html><h1>{n}</h1><p>page {n} of {pages}</p>{links}</html>".encode()


@dataclass
class Node:
    n: Annotated[int, Key]
    links: int


class Graph(Spider):
    """One keyed item and one keyless row for each page."""

    name = "graph"
    rate, robots, concurrency, scope, retries = None, False, 16, "any", 2

    def parse(self, page: Page) -> Iterator[Any]:
        n = int(page.number("h1"))
        yield {"page": n}
        yield page.follow_all("a")
        yield Node(n, len(page.css("a")))


class InProcess(httpx.AsyncBaseTransport):
    """The graph without a wire."""

    guarantees = frozenset({"before_send"})

    def __init__(self, pages: int) -> None:
        self._pages = pages

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.extensions["before_send"]()
        await asyncio.sleep(0)
        body = html(int(request.url.path[3:]), self._pages)
        return httpx.Response(200, headers={"Content-Type": "text/html"}, stream=httpx.ByteStream(body))


def crawl(path: Path, start: str, **options: Any) -> None:
    """Crawl, or go on with the unfinished run."""
    asyncio.run(Crawl(Graph, db=path, start=[start], resume="continue", **options).run())


def child(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(f"  child: {type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(code)


@dataclass(frozen=True)
class Checked:
    """What a database holds: pages done, requests a dead owner had taken, all done."""

    done: int
    taken: int
    complete: bool


def check(path: Path, pages: int) -> Checked:
    """Raise AssertionError unless the database is sound and every page in it is there as a whole, once."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("BEGIN")  # all of one moment: the crawl may be going on
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",), "integrity_check"
        tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "_requests" not in tables:
            return Checked(0, 0, complete=False)
        done = {
            int(url.rsplit("/", 1)[1]) for (url,) in conn.execute("SELECT url FROM _requests WHERE state = 1")
        }
        known = {int(url.rsplit("/", 1)[1]) for (url,) in conn.execute("SELECT url FROM _requests")}
        for table, column in (("node", "n"), ("graph", "page")):
            rows = Counter(n for (n,) in conn.execute(_rows(table, column))) if table in tables else Counter()
            assert rows.keys() == done, (
                f"{table}: missing {done - rows.keys()}, too many {rows.keys() - done}"
            )
            assert not rows or max(rows.values()) == 1, f"{table}: doubled"
        for n in done:
            assert hrefs(n, pages) <= known, f"links of page {n} are missing"
        counters = dict(conn.execute("SELECT name, value FROM _counters"))
        stored = conn.execute("SELECT sum(state = 0), sum(state = 1) FROM _requests").fetchone()
        assert (counters.get("queued", 0), counters.get("pages", 0)) == tuple(n or 0 for n in stored), (
            "counters"
        )
        state = conn.execute("SELECT state FROM _runs ORDER BY id DESC LIMIT 1").fetchone()
        return Checked(len(done), counters.get("taken", 0), complete=state == ("complete",))


def _rows(table: str, column: str) -> str:
    return f"SELECT {column} FROM {table}"  # noqa: S608 - constant names


@contextmanager
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: the tests are about processes and files, not about disks."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="crash-", dir=base) as name:
        yield Path(name)


class Log:
    """What the server was asked for: each page and when, in seconds of the machine's clock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in self._path.read_text().splitlines() if line.count(" ")]

    def pages(self) -> Counter[str]:
        return Counter(page for page, _ in self._lines())

    def times(self) -> list[float]:
        return [float(at) for _, at in self._lines()]


@contextmanager
def served(pages: int, latency: float = 0.003) -> Iterator[tuple[str, Log]]:
    """The graph on a loopback port, by a process of its own; its address and its log."""
    asked_for = Path(tempfile.mkstemp(prefix="crash-log-")[1])
    port_read, port_write = os.pipe()

    async def handle(visitor: Visitor) -> None:
        while request := await visitor.request():
            arrived, head = request
            path = head.split(b" ", 2)[1].decode()
            log.write(f"{path} {arrived}\n")
            log.flush()
            await asyncio.sleep(latency)
            await visitor.answer(200, html(int(path[3:]), pages))

    async def run() -> None:
        port = await serve(["127.0.0.1"], handle)
        os.write(port_write, b"%d\n" % port)
        await asyncio.Event().wait()

    log = asked_for.open("a")
    pid = child(lambda: asyncio.run(run()))
    log.close()
    port = int(os.read(port_read, 16))

    try:
        yield f"http://127.0.0.1:{port}/p/0", Log(asked_for)
    finally:
        os.kill(pid, 15)
        os.waitpid(pid, 0)
        asked_for.unlink()
        os.close(port_read)
        os.close(port_write)


def report(name: str, **figures: Any) -> None:
    """One line of result."""
    print(
        f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items()),
        flush=True,
    )
