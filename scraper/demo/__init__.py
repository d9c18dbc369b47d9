"""A small shop to crawl without a network: three sites on loopback addresses, and the spider for them.

async with DemoServer() as server:
    summary = await DemoCrawl(server, db="demo.db").run()
"""

from scraper.demo.crawl import TARGET, DemoCrawl
from scraper.demo.server import DemoServer, Hit
from scraper.demo.spider import DemoShop, Product, Review

__all__ = ["TARGET", "DemoCrawl", "DemoServer", "DemoShop", "Hit", "Product", "Review"]
