"""W14: gzip and zlib bodies whose data is complete, without their trailer of 8 and 4 octets; one with a wrong checksum."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "gzip: hello; part: hello; deflate: hello; cut: failed incomplete; wrong: failed decode"
BODY = b"<p>hello</p>"


class Reads(Spider[Any]):
    """The text of a page."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.text("p")}


def replay() -> str:
    """Crawl one page of each kind."""
    packed, zipped = gzip.compress(BODY), zlib.compress(BODY)
    bodies = {
        "gzip": (packed[:-8], "gzip"),
        "part": (packed[:-3], "gzip"),
        "deflate": (zipped[:-4], "deflate"),
        "cut": (packed[:-10], "gzip"),
        "wrong": (packed[:-8] + b"\0" * 8, "gzip"),
    }
    told = []
    for name, (body, coding) in bodies.items():
        page = answer(body, "Content-Type: text/html", f"Content-Encoding: {coding}")
        with serving({"/": page}) as server:
            seen, ended = crawled(Reads, f"{server.url}/")
        told.append(f"{name}: {seen[0] if seen else ended[0]}")
    return "; ".join(told)
