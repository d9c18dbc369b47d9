"""The spider of the generated shop: every link, and every product with its eight fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from scraper.core.codec import Key
from scraper.core.models import Requests
from scraper.page import Page
from scraper.spider import Spider

__all__ = ["EndlessShop", "Product"]


@dataclass
class Product:
    sku: Annotated[str, Key]
    name: str
    brand: str
    price: Decimal
    rating: float
    stock: int
    reviews: int
    category: str


class EndlessShop(Spider[Product]):
    """From any page to all it links to."""

    name = "endless"
    start_urls = ()
    scope = "listed"

    def parse(self, page: Page) -> Iterator[Requests]:
        yield page.follow_all("a.product", self.product)
        yield page.follow_all("a.category", self.parse)

    def product(self, page: Page) -> Iterator[Product | Requests]:
        yield Product(
            page.text("td.sku"),
            page.text("h1"),
            page.text("p.brand"),
            page.decimal("p.price"),
            float(page.attr("p.rating", "data-value")),
            int(page.number("td.stock")),
            int(page.number("td.count")),
            page.text("span.category"),
        )
        yield from self.parse(page)
