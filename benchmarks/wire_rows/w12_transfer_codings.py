"""W12: `Transfer-Encoding: gzip, chunked`, gzip until the end of the connection, and `Content-Encoding: gzip;q=1.0`."""

from __future__ import annotations

import gzip
from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "chunked: hello; close: hello; parameter: hello; compress: failed decode"
PACKED = gzip.compress(b"<p>hello</p>")


class Reads(Spider[Any]):
    """The text of a page."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.source.removeprefix("<p>").removesuffix("</p>")}


def replay() -> str:
    """Crawl one page in each coding."""
    html = "Content-Type: text/html; charset=utf-8"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PACKED), PACKED)
    pages = {
        "chunked": answer(chunks, html, "Transfer-Encoding: gzip, chunked", length=False),
        "close": answer(PACKED, html, "Transfer-Encoding: gzip", length=False),
        "parameter": answer(PACKED, html, "Content-Encoding: gzip;q=1.0"),
        "compress": answer(chunks, html, "Transfer-Encoding: compress, chunked", length=False),
    }
    told = []
    for name, page in pages.items():
        with serving({"/": page}) as server:
            seen, ended = crawled(Reads, f"{server.url}/")
        text = "hello" if seen == ["hello"] else "raw gzip as text" if seen else ended[0]
        told.append(f"{name}: {text}")
    return "; ".join(told)
