"""The generated shop, with this project."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from scraper import Key, Page, Spider


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


class Shop(Spider[Product]):
    start_urls = ()
    scope = "listed"

    def parse(self, page: Page):
        yield page.follow_all("a.product", self.parse_product)
        yield page.follow_all("a.category", self.parse)

    def parse_product(self, page: Page):
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
