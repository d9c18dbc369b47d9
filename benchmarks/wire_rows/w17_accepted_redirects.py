"""W17: `accept = [302]` with a Location, and the way a page knows after two redirects, one into another domain."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "accepted: 302 to /x; way: /a 302, /b 301"


class Accepts(Spider[Any]):
    """Wants the redirect itself."""

    accept = (302,)

    def parse(self, page: Page) -> Any:
        yield {"seen": f"{page.status} to {page.headers.get('location', 'nowhere')}"}


class Way(Spider[Any]):
    """Tells how a page was reached."""

    def parse(self, page: Page) -> Any:
        steps = getattr(page, "redirects", None)
        told = [f"/{url.rpartition('/')[2]} {status}" for url, status in steps or ()]
        yield {"seen": "not known" if steps is None else ", ".join(told)}


def replay() -> str:
    """Crawl both."""
    with serving({"/": answer(b"", "Location: /x", status="302 Found"), "/x": answer(b"<p>x")}) as server:
        accepted = crawled(Accepts, f"{server.url}/").seen
    pages = {"/c": answer(b"<p>here", "Content-Type: text/html")}
    with serving(pages) as server:
        other = server.url.replace("127.0.0.1", "localhost")
        pages["/a"] = answer(b"", f"Location: {other}/b", status="302 Found")
        pages["/b"] = answer(b"", "Location: /c", status="301 Moved")
        settings = {"private_hosts": [other.removeprefix("http://")]}
        way = crawled(Way, f"{server.url}/a", **settings).seen
    return f"accepted: {' '.join(accepted) or 'nothing'}; way: {' '.join(way) or 'nothing'}"
