"""W20: groups for `bot`, `scraper/1.0`, `scraper bot` and `scra`, asked with `contact="https://example.com/bot"`."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "bot: not ours; scraper/1.0: ours; scraper bot: ours; scra: not ours"


class Asks(Spider[Any]):
    """One page, which only the group of the name allows."""

    contact = "https://example.com/bot"

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl once for each name."""
    told = []
    for name in ("bot", "scraper/1.0", "scraper bot", "scra"):
        rules = f"User-agent: {name}\nAllow: /\n\nUser-agent: *\nDisallow: /\n".encode()
        with serving(
            {"/robots.txt": answer(rules), "/": answer(b"<p>x", "Content-Type: text/html")}
        ) as server:
            seen = crawled(Asks, f"{server.url}/", robots=True).seen
        told.append(f"{name}: {'ours' if seen else 'not ours'}")
    return "; ".join(told)
