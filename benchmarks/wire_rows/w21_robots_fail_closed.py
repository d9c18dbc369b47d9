"""W21: a robots.txt that is not the gzip it claims, one cut at 500 KiB in `Allow: /`, a split group, a Request-rate."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = (
    "not gzip: failed robots-unreachable; cut: skipped robots; split: skipped robots; "
    "Request-rate 1/2: 2 s between pages"
)


class Asks(Spider[Any]):
    """Tells when a page came."""

    def parse(self, page: Page) -> Any:
        yield {"seen": time.monotonic()}


def replay() -> str:
    """Crawl once for each file."""
    start = b"User-agent: *\nDisallow: /\n"
    files = {
        "not gzip": answer(start, "Content-Encoding: gzip"),
        "cut": answer(start + b"#" * (500 * 1024 - len(start) - 9) + b"\nAllow: /public/only\n"),
        "split": answer(b"User-agent: scraper\nFoo: bar\nUser-agent: other\nDisallow: /\n"),
        "rate": answer(b"User-agent: *\nRequest-rate: 1/2\n"),
    }
    page, told = answer(b"<p>x", "Content-Type: text/html"), []
    for name, robots in files.items():
        with serving({"/robots.txt": robots, "/1": page, "/2": page}) as server:
            starts = [f"{server.url}/1", *([f"{server.url}/2"] if name == "rate" else [])]
            seen, ended = crawled(Asks, *starts, robots=True)
        told.append(f"{name}: {ended[0]}")
    gap = float(seen[-1]) - float(seen[0])
    return f"{'; '.join(told[:-1])}; Request-rate 1/2: {gap:.0f} s between pages"
