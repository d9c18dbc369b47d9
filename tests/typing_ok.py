"""How authors write spiders, in every form: what mypy and pyright must accept. Checked, never run."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, assert_type

import httpx

from scraper import (
    Blocked,
    Candidate,
    Crawl,
    Exact,
    FetchError,
    Key,
    Limit,
    Node,
    NoMatch,
    Page,
    Rate,
    Redirection,
    Request,
    Requests,
    Retry,
    ScraperError,
    Skip,
    Spider,
    Stop,
    Summary,
    crawl,
    run,
    srcset,
    table,
)


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Annotated[Decimal, Exact]
    category: str = ""


@table(name="people", merge="fill")
@dataclass
class Author:
    name: Annotated[str, Key]
    born: str | None = None


class Books(Spider[Book]):
    """Settings, arguments, and callbacks that are generators."""

    name = "books"
    start_urls = ("https://books.example/",)
    rate = "5/s"
    concurrency = 4
    limits: ClassVar = {"api.books.example": Limit("20/s", concurrency=8), "*": Limit(Rate(1.0))}
    transports: ClassVar = {"mock": httpx.MockTransport(lambda request: httpx.Response(200))}

    language: str = "en"
    pages: int

    def parse(self, page: Page) -> Iterator[Requests]:
        yield page.follow_all("article h3 a", self.parse_book)
        yield page.follow_all("article h3 a", self.parse_book, "fiction")
        yield page.follow_all("article h3 a", self.parse_book, category="fiction", page_number=2)
        yield page.follow_all(page.css("article h3 a"), self.parse_book, "fiction", 2)
        yield page.follow("li.next a")
        yield page.follow("li.next a", self.parse)
        yield page.follow("li.next a", self.parse_book, category="fiction")
        yield page.follow(page.one("li.next a"), self.parse_book)
        yield page.request("/catalogue?page=2")
        yield page.request("/catalogue?page=2", self.parse_required, "fiction", page_number=2)

    def parse_book(self, page: Page, category: str = "", page_number: int = 1) -> Iterator[Book]:
        yield Book(page.text("td"), page.text("h1"), page.decimal("p.price"), category)

    def parse_required(self, page: Page, category: str, *, page_number: int) -> Book | None:
        return Book(page.url, page.text("h1"), page.decimal("p.price"), f"{category} {page_number}")


class Library(Spider[Book | Author]):
    """Several item classes; callbacks that are coroutines, async generators, or plain."""

    async def start(self) -> AsyncIterator[Request]:
        yield Request("https://library.example/")
        yield Request("https://library.example/new", self.parse_list, args={"shelf": "new", "depth": 2})

    async def parse(self, page: Page) -> AsyncIterator[Book | Requests]:
        detail = await page.fetch(page.attr("a.detail", "href"))
        assert_type(detail, Page)
        yield Book(detail.text("td"), detail.text("h1"), detail.decimal("p.price"))
        yield page.follow_all("a.author", self.author, born="1920")
        yield page.follow("a.list", self.parse_list, "old", depth=1)

    async def author(self, page: Page, born: str | None = None) -> Author:
        answer = await page.fetch(Request("/api/author", method="POST", json={"url": page.url}))
        return Author(str(answer.json()["name"]), born)

    def parse_list(self, page: Page, shelf: str, depth: int) -> list[Book | Request]:
        rows: list[Book | Request] = [
            *page.each("tr", self.row, shelf),
            *page.each("tr", self.row, shelf=shelf),
        ]
        return [*rows, *page.follow("li.next a", self.parse_list, shelf, depth + 1)]

    def row(self, node: Node, shelf: str) -> Book:
        return Book(node.text("td"), node.attr("title"), node.decimal("td.price"), shelf)

    def nodes(self, page: Page) -> Iterator[Requests]:
        for node in page.css("article"):
            yield node.follow("a", self.parse_list, node.text("h3"), len(node.children))
            yield node.follow_all("a.more", self.parse_list, shelf="more", depth=1)

    def check(self, page: Page) -> None:
        if page.has("#captcha"):
            raise Blocked("a captcha")

    def failed(self, error: FetchError) -> Iterator[Author]:
        if error.status == 404:
            yield Author("nobody")


class Plain(Spider[dict[str, Any]]):
    """Plain dicts as items, every option of a request, and verdicts."""

    def parse(self, page: Page) -> Iterator[dict[str, Any] | Requests | Request]:
        yield {"url": page.url, "status": page.status, "type": page.headers.get("content-type")}
        yield page.follow_all("a", self.other).options(
            priority=1,
            headers={"Accept": "text/html"},
            errback=self.broken,
            accept=[404, 410],
            revisit="never",
            via="mock",
            dont_filter=True,
        )
        yield page.follow("a.next").options(revisit=timedelta(days=1))
        yield Request(
            "https://plain.example/search",
            self.other,
            args={"depth": 1, "since": Decimal(1)},
            method="PUT",
            params={"q": "x", "page": 2},
            headers={"X-Form": "1"},
            form={"a": 1},
            priority=-1,
            accept=(404,),
            errback=self.broken,
            revisit=timedelta(hours=6),
            unique="sku-1",
            vary=("Accept-Language",),
            via="mock",
            dont_filter=True,
        )

    def other(self, page: Page, depth: int = 0) -> None:
        if page.status == 429:
            raise Retry("slow down", after=60)
        if page.status == 503:
            raise Retry(after=timedelta(minutes=1))
        if depth > 3:
            raise Skip("deep enough")
        raise Stop("seen it all")

    async def broken(self, error: FetchError) -> dict[str, Any]:
        return {"kind": error.kind, "again": error.retry_at}


def values(page: Page) -> None:
    """What the questions to a page answer."""
    assert_type(page.css("a"), list[Node])
    assert_type(page.first("a"), Node | None)
    assert_type(page.one("a"), Node)
    assert_type(page.has("a"), bool)
    assert_type(page.text("h1"), str)
    assert_type(page.text("h1", default=None), str | None)
    assert_type(page.texts("h1"), list[str])
    assert_type(page.attr("a", "href"), str)
    assert_type(page.attr("a::attr(href)", default=None), str | None)
    assert_type(page.attrs("a", "href"), list[str])
    assert_type(page.number("p"), int | float)
    assert_type(page.number("p", default=None), int | float | None)
    assert_type(page.decimal("p", decimal_point=","), Decimal)
    assert_type(page.decimal("p", default=None), Decimal | None)
    assert_type(page.links(), list[str])
    assert_type(page.follow_all("a"), Requests)
    assert_type(page.follow_all("a").options(priority=1), Requests)
    assert_type(page.follow_all("a").options(repeatable=True, accept_incomplete=True), Requests)
    assert_type(Request(page.url, json={}, repeatable=True, accept_incomplete=True, accept=[302]), Request)
    assert_type(page.redirects, tuple[Redirection, ...])
    assert_type([(step.url, step.status) for step in page.redirects], list[tuple[str, int]])
    assert_type(page.requested_url, str)
    assert_type(page.complete, bool)
    assert_type(page.template("#t"), Page)
    assert_type(srcset(page.attr("img", "srcset")), list[Candidate])
    assert_type(page.response, httpx.Response)


async def programs() -> None:
    """A crawl inside another program."""
    try:
        assert_type(await crawl(Books, db="books.db", arguments={"pages": 2}), Summary)
        assert_type(
            await crawl(Library, start=["https://library.example/"], settings={"rate": "1/s"}), Summary
        )
    except (NoMatch, ScraperError) as error:
        print(error)
    prepared = Crawl(Plain, db="plain.db", resume="continue")
    assert_type(await prepared.run(), Summary)


def script() -> None:
    """A crawl as a script."""
    summary = run(Books, db="books.db")
    assert_type(summary, Summary)
