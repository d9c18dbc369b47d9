"""What a crawl says about itself with every request."""

from __future__ import annotations

from collections.abc import Collection

import httpx

from scraper.settings import Settings
from scraper.version import VERSION

__all__ = ["request_headers", "user_agent"]


def user_agent(settings: Settings) -> str:
    """Who is crawling, and how a site can write to them."""
    if settings.user_agent is not None:
        return settings.user_agent
    return f"scraper/{VERSION}" + (f" (+{settings.contact})" if settings.contact else "")


def request_headers(settings: Settings, only: Collection[str] | None = None) -> httpx.Headers:
    """The headers of every request that has none of its own; of the setting's, `only` those named."""
    made = httpx.Headers(
        {
            "User-Agent": user_agent(settings),
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding": "gzip, deflate, br, zstd",
        }
    )
    made.update({n: v for n, v in settings.headers.items() if only is None or n.lower() in only})
    return made
