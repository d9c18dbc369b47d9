"""Any documentation site: every page below the start, with its title and how many links it has.

scraper crawl spiders/docs.py --start https://docs.example.org/
"""

from dataclasses import dataclass
from typing import Annotated

from scraper import Key, Page, Spider


@dataclass
class DocPage:
    url: Annotated[str, Key]
    title: str
    h1: str | None
    links: int


class Docs(Spider[DocPage]):
    scope = "host"

    def parse(self, page: Page):
        title = page.text("title", default="")
        yield DocPage(page.url, title, page.text("h1", default=None), len(page.links()))
        yield page.follow_all("a[href], area[href]")
