"""A shop of sixty products whose pages can be changed between crawls, and the spider that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import httpx

from scraper import Key, Page, Spider
from scraper.testing import Answer, Simulation, Site, simulate

PER_PAGE = 20


@dataclass
class Product:
    sku: Annotated[str, Key]
    name: str
    price: Decimal
    note: str | None = None


@dataclass
class Review:
    sku: str
    stars: int


class Shop(Spider[Product | Review]):
    name = "shop"
    start_urls = ["https://shop.test/list/1"]
    rate = None
    max_failed = 1.0

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a.product", self.parse_product)
        yield page.follow("a.next")

    def parse_product(self, page: Page) -> Any:
        yield Product(page.text("i"), page.text("h1"), page.decimal("b"), page.text("em", default=None))
        for stars in page.css("q"):
            yield Review(page.text("i"), int(stars.text()))


@dataclass
class Changing:
    """The shop: products by number as (name, price); `unlinked` ones are in no list, `statuses` are by path."""

    products: dict[int, tuple[str, str]] = field(
        default_factory=lambda: {n: (f"Chair {n}", f"{n}.50") for n in range(60)}
    )
    unlinked: set[int] = field(default_factory=set)
    statuses: dict[str, int] = field(default_factory=dict)
    robots: str = ""
    extra: Callable[[str], str | None] = lambda path: None

    def __call__(self, request: httpx.Request) -> Answer | str | None:
        path = request.url.path
        if path == "/robots.txt":
            return Answer(self.robots, headers={"Content-Type": "text/plain"})
        if path in self.statuses:
            return Answer("refused", self.statuses[path])
        if (made := self.extra(path)) is not None:
            return made
        if path.startswith("/list/"):
            return self._list(int(path.removeprefix("/list/")))
        number = int(path.removeprefix("/p/"))
        if number not in self.products:
            return None
        name, price = self.products[number]
        return f"<i>sku-{number:02}</i><h1>{name}</h1><b>{price}</b><q>{number % 5 + 1}</q><q>3</q>"

    def _list(self, page: int) -> str:
        linked = sorted(set(range(60)) - self.unlinked)
        shown = linked[(page - 1) * PER_PAGE : page * PER_PAGE]
        links = "".join(f'<a class=product href="/p/{n}">{n}</a>' for n in shown)
        more = f'<a class=next href="/list/{page + 1}">more</a>' if page * PER_PAGE < len(linked) else ""
        return links + more

    def crawl(self, db: Path, spider: type[Spider[Any]] = Shop, **options: Any) -> Simulation:
        """Crawl the shop as it is now."""
        return simulate(spider, Site(self), db=db, target="changingshop:Shop", **options)
