"""W16: start URLs with an emoji for a host (`xn--n3h.test`), and one that names no host (`http://`)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import httpx

__all__ = ["RIGHT", "replay"]

RIGHT: str = "xn--n3h.test: 1 page; http://: 'http://' is not a URL: it names no host"


def replay() -> str:
    """Crawl the host over a transport that answers for every name, and then the URL without one."""
    from scraper import Crawl, Spider
    from scraper.errors import ScraperError

    class Snow(Spider[Any]):
        rate = None
        robots = False

        def parse(self, page: Any) -> Any:
            yield {"url": page.url}

    transport = httpx.MockTransport(lambda request: httpx.Response(200, html="<p>snow"))
    with tempfile.TemporaryDirectory() as folder:
        crawl = Crawl(Snow, db=Path(folder, "1.db"), start=["https://☃.test/"], transport=transport)
        first = asyncio.run(crawl.run())
        try:
            crawl = Crawl(Snow, db=Path(folder, "2.db"), start=["http://"], transport=transport)
            second = asyncio.run(crawl.run()).start_problem
        except ScraperError as error:
            second = str(error)
    seen = f"{first.pages} page" if first.pages else first.start_problem or first.problems[0].kind
    return f"xn--n3h.test: {seen}; http://: {second.removeprefix('start: ')}"
