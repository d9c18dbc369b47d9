"""Wrong calls that mypy and pyright must refuse: each on one line, marked with the code mypy gives it."""

from collections.abc import Iterator
from dataclasses import dataclass

from scraper import Crawl, FetchError, Node, Page, Request, Retry, Spider, crawl, run


@dataclass
class Book:
    title: str


class Books(Spider[Book]):
    """Data that does not fit the callback, through every way to make a request."""

    def parse(self, page: Page) -> None:
        page.follow("a", self.needs)  # refused: call-overload
        page.follow("a", self.needs, "fiction")  # refused: call-overload
        page.follow("a", self.needs, 1, 1)  # refused: call-overload
        page.follow("a", self.needs, "fiction", "1")  # refused: call-overload
        page.follow("a", self.needs, category="fiction", depth="1")  # refused: call-overload
        page.follow("a", self.needs, "fiction", 1, 2)  # refused: call-overload
        page.follow("a", self.needs, "fiction", 1, color="red")  # refused: call-arg
        page.follow("a", self.needs, "fiction", category="fiction", depth=1)  # refused: misc
        page.follow("a", self.optional, categroy="fiction")  # refused: call-overload
        page.follow("a", self.keyword, "fiction")  # refused: call-overload
        page.follow("a", self.pageless)  # refused: call-overload
        page.follow("a", self.generator, depth="1")  # refused: call-overload
        page.follow("a", self.coroutine, depth="1")  # refused: call-overload

        page.follow_all("a", self.needs, category=1, depth=1)  # refused: call-overload
        page.follow_all("a", self.pageless)  # refused: call-overload
        page.follow_all(page.css("a"), self.needs, "fiction")  # refused: call-overload
        page.request("/x", self.needs, "fiction", depth=None)  # refused: arg-type
        page.request("/x", self.pageless)  # refused: call-overload
        page.one("a").follow("b", self.needs)  # refused: call-overload
        page.one("a").follow_all("b", self.optional, 1)  # refused: call-overload

    def data_without_a_callback(self, page: Page) -> None:
        page.follow("a", category="fiction")  # refused: call-overload
        page.follow("a", None, "fiction")  # refused: call-overload
        page.follow_all("a", None, category="fiction")  # refused: call-overload
        page.request("/x", category="fiction")  # refused: call-overload

    def wrong_links_and_callbacks(self, page: Page) -> None:
        page.follow(1, self.parse)  # refused: call-overload
        page.follow(page.first("a"), self.parse)  # refused: call-overload
        page.follow("a", "parse")  # refused: call-overload
        page.follow_all(page.one("a"), self.parse)  # refused: call-overload
        page.follow("a", callback=self.parse)  # refused: call-overload
        page.request(page.one("a"), self.parse)  # refused: call-overload

    def rows(self, page: Page) -> None:
        page.each("tr", self.row)  # refused: call-arg
        page.each("tr", self.row, 1)  # refused: arg-type
        page.each("tr", self.row, shelf=1)  # refused: arg-type
        page.each("tr", self.row, "new", "old")  # refused: call-arg
        page.each("tr", self.parse)  # refused: arg-type

    def requests(self, page: Page) -> None:
        page.follow("a").options(callback=self.parse)  # refused: call-arg
        page.follow("a").options(priority="high")  # refused: arg-type
        page.follow("a").options(revisit="sometimes")  # refused: arg-type
        page.follow("a").options(headers={"X-Page": 1})  # refused: dict-item
        Request("https://books.example/", "parse")  # refused: arg-type
        Request("https://books.example/", self.parse, {"depth": 1})  # refused: call-arg
        Request("https://books.example/", self.parse, depth=1)  # refused: call-arg
        Request("https://books.example/", revisit="weekly")  # refused: arg-type
        Request("https://books.example/", accept=404)  # refused: arg-type

    async def values(self, page: Page) -> None:
        Book(page.text("h1", default=None))  # refused: arg-type
        page.first("h1").text()  # refused: union-attr
        page.decimal("p", decimal_point="'")  # refused: call-overload
        page.fetch("/x").text("h1")  # refused: attr-defined
        await page.fetch(page.one("a"))  # refused: arg-type
        raise Retry(after="1 minute")  # refused: arg-type

    def needs(self, page: Page, category: str, depth: int) -> None: ...

    def optional(self, page: Page, category: str = "") -> None: ...

    def keyword(self, page: Page, *, category: str) -> None: ...

    def generator(self, page: Page, depth: int) -> Iterator[Book]:
        yield Book(f"{page.url} {depth}")

    async def coroutine(self, page: Page, depth: int) -> Book:
        return Book(f"{page.url} {depth}")

    def pageless(self) -> None: ...

    def row(self, node: Node, shelf: str) -> Book:
        return Book(f"{node.tag} {shelf}")


class Overrides(Spider[Book]):
    """Methods of the contract with another signature."""

    def parse(self, page: Page, depth: int) -> None: ...  # refused: override

    def check(self, page: Page) -> bool: ...  # refused: override

    def failed(self, error: FetchError, page: Page) -> None: ...  # refused: override


async def programs() -> None:
    await crawl("books")  # refused: arg-type
    await crawl(Books())  # refused: arg-type
    run(Book)  # refused: arg-type
    Crawl(Books, resume="maybe")  # refused: arg-type
    Crawl(Books, database="books.db")  # refused: call-arg
    Crawl(Books, start=1)  # refused: arg-type
