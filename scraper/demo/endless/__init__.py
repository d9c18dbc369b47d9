"""A shop that does not end while one waits, for `scraper bench`: its pages, the server, the spider.

with serving(100_000) as shop:
    summary = await EndlessCrawl(shop, db="bench.db", seconds=20).run()
"""

from scraper.demo.endless.crawl import EndlessCrawl
from scraper.demo.endless.pages import FIELDS, Fields, Pages, is_category, path_of, product
from scraper.demo.endless.server import Shop, serving

__all__ = [
    "FIELDS",
    "EndlessCrawl",
    "Fields",
    "Pages",
    "Shop",
    "is_category",
    "path_of",
    "product",
    "serving",
]
