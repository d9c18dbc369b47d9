"""The crawl of the demo shop, which is open as long as the crawl runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scraper.api.job import CrawlJob
from scraper.demo.server import DemoServer
from scraper.demo.spider import DemoShop
from scraper.reports.summary import Summary

__all__ = ["TARGET", "DemoCrawl"]

#: What is stored with a run of the demo; a resume opens the shop again at the addresses the run knows.
TARGET = "scraper.demo.spider:DemoShop"


class DemoCrawl(CrawlJob):
    """A crawl of the shop that `server` holds; `options` are those of `Crawl`.

    The three sites are on loopback addresses, so each is named: as one that may be followed to, and as one
    that may be private.
    """

    def __init__(
        self, server: DemoServer, *, settings: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        sites = list(server.netlocs)
        named = {"allowed": sites, "private_hosts": sites, **(settings or {})}
        super().__init__(DemoShop, start=[server.start], settings=named, target=TARGET, **options)
        self._server = server

    async def run(self) -> Summary:
        async with self._server:
            return await super().run()
