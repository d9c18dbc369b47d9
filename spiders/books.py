"""A book shop: its listing, categories and pagers, and every product with all it says about itself."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from scraper import Key, Page, Spider


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Decimal
    tax: Decimal
    rating: int
    stock: int
    reviews: int
    category: str


class Books(Spider[Book]):
    start_urls = ("https://books.toscrape.com/",)

    def parse(self, page: Page):
        yield page.follow_all("article.product_pod h3 a", self.parse_book)
        yield page.follow_all("div.side_categories a, ul.pager a")

    def parse_book(self, page: Page):
        stars = page.attr("p.star-rating", "class").split()[-1]
        yield Book(
            page.text("table tr:nth-child(1) td"),
            page.text("h1"),
            page.decimal("p.price_color"),
            page.decimal("table tr:nth-child(5) td"),
            ["One", "Two", "Three", "Four", "Five"].index(stars) + 1,
            int(page.number("p.availability")),
            int(page.number("table tr:nth-child(7) td")),
            page.text("ul.breadcrumb li:nth-child(3)"),
        )
