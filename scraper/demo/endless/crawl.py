"""The crawl of the generated shop for so many seconds, as fast as this machine can."""

from __future__ import annotations

from typing import Any

from scraper.api.job import CrawlJob
from scraper.demo.endless.server import Shop
from scraper.demo.endless.spider import EndlessShop

__all__ = ["EndlessCrawl"]

#: Requests in flight: what the benchmarks of this project use.
CONCURRENCY = 64


class EndlessCrawl(CrawlJob):
    """A crawl of `shop` that ends after `seconds`; `options` are those of `Crawl`.

    All promises are on but the rate limit.
    """

    def __init__(self, shop: Shop, *, seconds: float, **options: Any) -> None:
        settings = {
            "rate": None,
            "concurrency": CONCURRENCY,
            "max_time": seconds,
            "allowed": [shop.netloc],
            "private_hosts": [shop.netloc],
        }
        super().__init__(EndlessShop, start=[shop.start], settings=settings, **options)
