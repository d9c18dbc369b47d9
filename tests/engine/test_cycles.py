"""Pages are freed as soon as they are done with, however their callback ended: none waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from scraper import Crawl, Page, Spider
from scraper.core.tracebacks import forget
from scraper.errors import FetchError, Skip
from scraper.testing import Answer, Site

#: Objects for one more page that the collector finds; what is written down of each request is some of them, since it
#: belongs to a crawl that is over. A page in a cycle is forty and more.
MOST = 12
#: So large that a plain callback runs in the thread.
LARGE = "<p>x</p>" * 20_000


class Many(Spider[Any]):
    """Its first page asks for as many others as there are; each goes to `parse`."""

    pages = 0

    def start(self) -> Any:
        return [f"http://shop.test/{n}" for n in range(self.pages)]


class Yields(Many):
    def parse(self, page: Page) -> Any:
        yield {"name": page.text("h1")}
        yield page.request("/elsewhere", self.parse)


class Returns(Many):
    def parse(self, page: Page) -> Any:
        return [{"name": page.text("h1")}]


class Awaits(Many):
    async def parse(self, page: Page) -> Any:
        await asyncio.sleep(0)
        return {"name": page.text("h1")}


class YieldsAsync(Many):
    async def parse(self, page: Page) -> Any:
        yield {"name": page.text("h1")}
        yield {"name": (await page.fetch("/sub")).text("h1")}


class Raises(Many):
    def parse(self, page: Page) -> Any:
        yield {"name": page.text("h1")}
        raise ValueError(page.url)


class RaisesAsync(Many):
    async def parse(self, page: Page) -> Any:
        await asyncio.sleep(0)
        page.text("h7")


class KeepsItsError(Many):
    def parse(self, page: Page) -> Any:
        try:
            page.text("h7")
        except LookupError as error:
            kept = error
        except Exception as error:
            kept = error  # type: ignore[assignment]  # a cycle of the author's own
        raise kept


class Skips(Many):
    def parse(self, page: Page) -> Any:
        raise Skip(page.text("h1"))


class InAGroup(Many):
    async def parse(self, page: Page) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(page.fetch("/lost"))


class Lost(Many):
    def start(self) -> Any:
        return [f"http://shop.test/lost/{n}" for n in range(self.pages)]

    def failed(self, error: FetchError) -> Any:
        yield {"name": error.page.text("h1")}


class LostAgain(Lost):
    def failed(self, error: FetchError) -> Any:
        raise error


class Refused(Many):
    def start(self) -> Any:
        return [f"http://shop.test/deep/{n}" for n in range(self.pages)]

    def failed(self, error: FetchError) -> Any:
        return {"name": error.page.text("h1")}


def _answer(request: httpx.Request, large: bool) -> Answer | str:
    if request.url.path.startswith("/lost"):
        return Answer("<h1>lost</h1>", 404)
    if request.url.path.startswith("/deep"):
        return "<div>" * 6_000
    return "<h1>here</h1>" + (LARGE if large else "")


def _garbage(cls: type[Many], pages: int, large: bool) -> int:
    """What only the collector can free after a crawl of so many pages."""
    crawled = type(cls.__name__, (cls,), {"pages": pages, "__module__": __name__})
    site = Site(lambda request: _answer(request, large))
    settings = {"robots": False, "rate": None, "retries": 0}
    crawl = Crawl(crawled, db=":memory:", transport=site, settings=settings, inline=not large)
    gc.collect()
    gc.disable()
    try:
        asyncio.run(crawl.run())
        assert len(site.hits) >= pages
        del crawl, site
        return gc.collect()
    finally:
        gc.enable()


KINDS = [Yields, Returns, Awaits, YieldsAsync, Raises, RaisesAsync, KeepsItsError, Skips, InAGroup, Lost, LostAgain, Refused]  # fmt: skip


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
def test_no_page_waits_for_the_garbage_collector(cls: type[Many]) -> None:
    """Twenty more pages leave no more cycles than the crawl itself, whatever the callback does."""
    _assert_freed(cls, large=False)


@pytest.mark.parametrize("cls", [Yields, Awaits, YieldsAsync, Raises, KeepsItsError, LostAgain], ids=lambda cls: cls.__name__)  # fmt: skip
def test_no_page_in_the_thread_waits_for_the_garbage_collector(cls: type[Many]) -> None:
    """The same for large pages, whose plain callbacks run in a thread."""
    _assert_freed(cls, large=True)


def _assert_freed(cls: type[Many], large: bool) -> None:
    _garbage(cls, 2, large)  # fills what is remembered for good
    more = 20
    found = (_garbage(cls, 4 + more, large) - _garbage(cls, 4, large)) / more
    assert found <= MOST


def _with(change: Callable[[BaseException], None]) -> BaseException:
    try:
        try:
            raise LookupError("first")
        except LookupError as first:
            raise ExceptionGroup("both", [first]) from first
    except ExceptionGroup as group:
        change(group)
        return group


def test_an_error_that_is_told_has_no_frames() -> None:
    """Neither itself, nor what it came from, nor the errors in a group; one that is its own cause ends, too."""
    group = _with(forget)
    assert isinstance(group, ExceptionGroup)
    (first,) = group.exceptions
    assert (group.__cause__, group.__traceback__, first.__traceback__) == (first, None, None)
    own = ValueError("x")
    own.__cause__ = own
    forget(own)
