"""Quotes and their authors: tags as a list, authors from their own pages."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from scraper import Key, Node, Page, Spider


@dataclass
class Quote:
    text: Annotated[str, Key]
    author: str
    tags: list[str]


@dataclass
class Author:
    name: Annotated[str, Key]
    born: date
    birthplace: str


class Quotes(Spider[Quote | Author]):
    start_urls = ("https://quotes.toscrape.com/",)

    def parse(self, page: Page):
        yield from page.each("div.quote", self.quote)
        yield page.follow_all("div.quote a[href^='/author/']", self.author)
        yield page.follow("li.next a")

    def quote(self, node: Node):
        return Quote(node.text("span.text").strip("“”"), node.text("small.author"), node.texts("a.tag"))

    def author(self, page: Page):
        born = datetime.strptime(page.text("span.author-born-date"), "%B %d, %Y").date()
        yield Author(
            page.text("h3.author-title"), born, page.text("span.author-born-location").removeprefix("in ")
        )
