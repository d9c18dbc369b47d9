"""An async web scraper with rate limiting: write a Spider, crawl into SQLite, query the result.

Names are imported when first used, so that `import scraper` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scraper.api import Crawl, crawl, run
    from scraper.core.codec import Exact, Key
    from scraper.core.credentials import Basic, Bearer, Secret
    from scraper.core.models import Download, Limit, Rate, Redirection, Request, Requests, Tls
    from scraper.errors import (
        Blocked,
        FetchError,
        NoMatch,
        PageError,
        Retry,
        ScraperError,
        Skip,
        Stop,
        StoreError,
        UsageError,
    )
    from scraper.items import table
    from scraper.items.expectations import Expect
    from scraper.page import Candidate, Node, Page, srcset
    from scraper.project.databases import open
    from scraper.query.dataset import Dataset
    from scraper.reports.summary import Summary
    from scraper.spider import Spider

__all__ = [
    "Basic",
    "Bearer",
    "Blocked",
    "Candidate",
    "Crawl",
    "Dataset",
    "Download",
    "Exact",
    "Expect",
    "FetchError",
    "Key",
    "Limit",
    "NoMatch",
    "Node",
    "Page",
    "PageError",
    "Rate",
    "Redirection",
    "Request",
    "Requests",
    "Retry",
    "ScraperError",
    "Secret",
    "Skip",
    "Spider",
    "Stop",
    "StoreError",
    "Summary",
    "Tls",
    "UsageError",
    "crawl",
    "open",
    "run",
    "srcset",
    "table",
]

_HOMES = {
    "scraper.api": ("Crawl", "crawl", "run"),
    "scraper.core.credentials": ("Basic", "Bearer", "Secret"),
    "scraper.errors": (
        "Blocked", "FetchError", "NoMatch", "PageError", "Retry", "ScraperError", "Skip", "Stop", "StoreError",
        "UsageError",
    ),
    "scraper.items.expectations": ("Expect",),
    "scraper.items": ("table",),
    "scraper.core.models": ("Download", "Limit", "Rate", "Redirection", "Request", "Requests", "Tls"),
    "scraper.page": ("Candidate", "Node", "Page", "srcset"),
    "scraper.project.databases": ("open",),
    "scraper.query.dataset": ("Dataset",),
    "scraper.spider": ("Spider",),
    "scraper.reports.summary": ("Summary",),
    "scraper.core.codec": ("Exact", "Key"),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scraper' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
