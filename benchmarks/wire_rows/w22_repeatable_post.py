"""W22: a POST that is safe to repeat, to a server that breaks the first connection."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Request, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "done after 2 requests"


class Posts(Spider[Any]):
    """Asks a question with POST."""

    url = ""

    async def start(self) -> Any:
        try:
            yield Request(self.url, json={"query": "{a}"}, repeatable=True)
        except TypeError:  # a version that cannot be told
            yield Request(self.url, json={"query": "{a}"})

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl one page."""
    answers = iter([b""])

    def breaking() -> bytes:
        return next(answers, answer(b"<p>x", "Content-Type: text/html"))

    with serving({"POST /": breaking}) as server:
        Posts.url = f"{server.url}/"
        ended = crawled(Posts, retries=3).ended
    times = sum(line == "POST /" for line in server.asked)
    return f"{ended[0]} after {times} request{'s' if times > 1 else ''}"
