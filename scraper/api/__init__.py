"""Crawls from a program. Names are imported when first used, so that `scraper.api.database` alone is quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scraper.api.crawling import Crawl, CrawlOptions, crawl, run

__all__ = ["Crawl", "CrawlOptions", "crawl", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("scraper.api.crawling"), name)
