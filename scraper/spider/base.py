"""The class authors derive from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import httpx

from scraper.core.models import Request
from scraper.errors import FetchError, SpiderError
from scraper.items.expectations import Expect
from scraper.page import Page

__all__ = ["Past", "Spider", "lend"]

T = TypeVar("T")
Item = TypeVar("Item")


class Past(Protocol):
    """What a spider may ask of the database its crawl is filling: the rows committed so far, of all runs."""

    def has(self, item: type, /, **values: Any) -> bool:
        """Whether an item with these values is stored: `self.db.has(Book, upc="x")`. At once, from an index."""
        ...

    def get(self, item: type[Item], /, **values: Any) -> Item | None:
        """The item with these values as it is stored, or None."""
        ...

    async def query(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """All rows of an answer, as dicts."""
        ...


class Spider(Generic[T]):
    """Where to start and how to parse.

    Class attributes named like settings (`rate`, `concurrency`, `scope`, …) are settings. Other *annotated*
    attributes are the spider's arguments, given with `-a KEY=VALUE` and converted to their annotation. All
    other names are yours.

    Callbacks are methods that take a `Page`; they may return or yield items and requests, be async, or not.
    The type parameter (`Spider[Book]`, `Spider[Book | Author]`) declares the items: a declared table that
    stays empty makes the crawl fail.
    """

    #: The name shown and stored; the class name in lower case unless set.
    name: ClassVar[str] = ""
    #: A base class for other spiders: not listed, not crawled.
    abstract: ClassVar[bool] = False
    start_urls: Iterable[str] = ()
    #: Named transports that requests choose with `via`; "" is the default one.
    transports: ClassVar[Mapping[str, httpx.AsyncBaseTransport]] = {}
    #: What a crawl must find, by item class; otherwise its exit code is 1.
    expect: ClassVar[Mapping[type, Expect]] = {}
    _past: Past | None = None

    @property
    def db(self) -> Past:
        """The rows that are stored already, while a crawl runs: `self.db.has(Book, upc="x")`."""
        if self._past is None:
            raise SpiderError(f"{type(self).__name__}.db is there only while a crawl runs")
        return self._past

    async def start(self) -> AsyncIterator[Request]:
        """The first requests; by default one for each of `start_urls`, parsed by `parse`."""
        for url in self.start_urls:
            yield Request(url)

    def parse(self, page: Page) -> Any:
        """The callback of requests that name none."""
        raise SpiderError(f"{type(self).__name__} has no parse(self, page)")

    def check(self, page: Page) -> None:
        """Runs before every callback; raise `Blocked`, `Retry` or `Skip` here for pages that are not real."""

    def failed(self, error: FetchError) -> Any:
        """Gets every request that finally failed and names no errback; may yield items and requests."""
        return None


def lend(spider: Spider[Any], past: Past) -> None:
    """Give a spider its `db`, for the crawl that has made it."""
    spider._past = past
