"""W25: pages that lead elsewhere by meta refresh and by the Refresh header; one in `<noscript>`, one after 30 seconds."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "meta: /x; header: /x; noscript: /; late: /"
HTML = "Content-Type: text/html"


class Reads(Spider[Any]):
    """Tells where a page was found."""

    def parse(self, page: Page) -> Any:
        yield {"seen": f"/{page.url.rpartition('/')[2]}"}


def replay() -> str:
    """Crawl one page of each kind."""
    meta = b"<meta http-equiv='Refresh' content='%d; URL=\"/x\"'>"
    pages = {
        "meta": answer(meta % 0, HTML),
        "header": answer(b"wait", HTML, "Refresh: 5; url=/x"),
        "noscript": answer(b"<noscript>" + meta % 0 + b"</noscript>", HTML),
        "late": answer(meta % 30, HTML),
    }
    told = []
    for name, page in pages.items():
        with serving({"/": page, "/x": answer(b"<p>here", HTML)}) as server:
            told.append(f"{name}: {' '.join(crawled(Reads, f'{server.url}/').seen)}")
    return "; ".join(told)
