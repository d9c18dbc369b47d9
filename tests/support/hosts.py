"""Named hosts on loopback for whole crawls over the real wire: a.test, b.test, what a page asks for, all of them.

async with serve(answering(ok(b"x"))) as a, crawling(tmp_path, named=[a]) as crawl:
    summary = await crawl(spider_class, start=[a.url(host="a.test")])
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from scraper.api import Crawl
from scraper.net.guard import Guard
from scraper.net.wire.wire import Wire
from scraper.page import Page
from scraper.reports.summary import Summary
from scraper.spider import Spider
from tests.support.raw_server import Client, Handler, ok

__all__ = [
    "FAST",
    "HTML",
    "Names",
    "Plain",
    "crawling",
    "everything",
    "header_of",
    "page",
    "pages",
    "path_of",
    "redirect",
]

#: Settings of a crawl in which nothing waits.
FAST = {"rate": "none", "robots": False, "retries": 0}

HTML = "Content-Type: text/html"


class Names:
    """A name server: every name is 127.0.0.1, unless `answers` has others, one after the other."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        found = self.answers.get(host.rstrip("."), ["127.0.0.1"])
        return (found.pop(0) if len(found) > 1 else found[0],)

    async def close(self) -> None:
        self.asked.clear()


Crawling = Callable[..., Awaitable[Summary]]


@contextlib.asynccontextmanager
async def crawling(
    folder: Path, *, private: Iterable[str] = (), names: Names | None = None, **wire: Any
) -> AsyncIterator[Crawling]:
    """`await crawl(spider, **options)` over a wire with these names, with `private` as private_hosts."""
    transport = Wire(guard=Guard(frozenset(private)), resolver=names or Names(), **wire)

    async def crawl(spider: type[Spider[Any]], **options: Any) -> Summary:
        settings = {**FAST, "files": str(folder / "files"), **options.pop("settings", {})}
        db = options.pop("db", folder / "crawl.db")
        return await Crawl(spider, db=db, settings=settings, transport=transport, **options).run()

    try:
        yield crawl
    finally:
        await transport.aclose()


def path_of(request: bytes) -> str:
    """The target of a request."""
    return request.split(b" ", 2)[1].decode()


def header_of(request: bytes, name: str) -> str | None:
    """The value of a header of a request, None without it."""
    for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        found, _, value = line.decode("latin-1").partition(":")
        if found.lower() == name.lower():
            return value.strip()
    return None


def page(body: str = "", *headers: str, status: str = "200 OK") -> bytes:
    """A response whose body is HTML."""
    return ok(body.encode(), HTML, *headers, status=status)


def pages(answers: dict[str, bytes] | None = None, default: bytes | None = None) -> Handler:
    """A server of these answers by path; everything else is an empty page."""
    known = answers or {}

    async def handler(client: Client) -> None:
        while request := await client.request():
            answer = known.get(path_of(request), default or ok(b"", "Content-Type: text/html"))
            if not await client.send(answer):
                return

    return handler


def redirect(to: str, status: str = "302 Found", *headers: str) -> bytes:
    """A redirect."""
    return ok(b"", f"Location: {to}", *headers, status=status)


def everything(folder: Path) -> bytes:
    """All that a crawl has left in a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


class Plain(Spider[Any]):
    """Yields where it is, and follows links."""

    def parse(self, page: Page) -> Any:
        yield {"url": page.url}
        yield page.follow_all("a")
