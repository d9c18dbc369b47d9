"""The spider of the demo shop: three sites, two kinds of items, data handed on to a callback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from scraper.core.codec import Key
from scraper.core.models import Requests
from scraper.page import Node, Page
from scraper.spider import Spider

__all__ = ["DemoShop", "Product", "Review"]


@dataclass
class Product:
    sku: Annotated[str, Key]
    name: str
    category: str
    price: Decimal
    stock: int
    seller: str


@dataclass
class Review:
    sku: Annotated[str, Key]
    author: Annotated[str, Key]
    stars: int
    text: str


class DemoShop(Spider[Product | Review]):
    """From the shop's home to its categories, the partner it links to, and every product's reviews."""

    name = "demo"
    rate = "40/s"
    concurrency = 4
    scope = "listed"

    def parse(self, page: Page) -> Iterator[Requests]:
        yield page.follow_all("nav a, a.next")
        yield page.follow_all("article h2 a", self.product)

    def product(self, page: Page) -> Iterator[Product | Requests]:
        sku = page.text(".sku")
        yield Product(
            sku,
            page.text("h1"),
            page.text(".category"),
            page.decimal(".price"),
            int(page.number(".stock")),
            page.text("header .seller"),
        )
        yield page.follow("a.reviews", self.reviews, sku=sku)

    def reviews(self, page: Page, sku: str) -> Iterator[Review]:
        yield from page.each("blockquote", self.review, sku)

    def review(self, node: Node, sku: str) -> Review:
        return Review(sku, node.text("cite"), int(node.number(".stars")), node.text("p"))
