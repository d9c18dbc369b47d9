"""W15: a .docx, an image/svg+xml and a feed under the default `accept_types`, and a page under `["*/*"]`."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "docx: skipped type; svg: skipped type; feed: done; */*: done"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


class Takes(Spider[Any]):
    """Takes whatever it gets."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl one answer of each type."""
    told = []
    for name, kind in (
        ("docx", DOCX),
        ("svg", "image/svg+xml"),
        ("feed", "application/rss+xml"),
        ("*/*", "text/html"),
    ):
        settings = {"accept_types": ["*/*"]} if name == "*/*" else {}
        with serving({"/": answer(b"<x/>", f"Content-Type: {kind}")}) as server:
            told.append(f"{name}: {crawled(Takes, f'{server.url}/', **settings).ended[0]}")
    return "; ".join(told)
