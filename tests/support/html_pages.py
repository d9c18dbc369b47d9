"""A page without a crawl: parsed when it is read, as in a callback."""

from __future__ import annotations

import httpx

from scraper import Page
from scraper.core.models import Options

__all__ = ["page_of"]


def page_of(html: str, kind: str = "text/html") -> Page:
    body = html.encode()
    return Page(
        url="https://a.test/",
        status=200,
        headers=httpx.Headers({"content-type": kind}),
        body=body,
        source=lambda: body.decode(),
        options=Options(),
    )
