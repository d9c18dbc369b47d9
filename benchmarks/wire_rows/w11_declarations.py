"""W11: `<meta charset="windows-1251">` inside the CDATA of a UTF-8 feed, in an og:title, and behind a bogus one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

META = '<meta charset="windows-1251">'
PAGES = {
    "feed": ("application/rss+xml", f"<rss><![CDATA[{META}]]><title>é</title></rss>".encode()),
    "og:title": (
        "text/html",
        '<meta property="og:title" content="charset=windows-1251 explained"><title>é</title>'.encode(),
    ),
    "bogus first": ("text/html", f"<meta charset=bogus>{META}<title>я</title>".encode("cp1251")),
}
RIGHT: str = "feed é; og:title é; bogus first я"


def _parse(self: Any, page: Any) -> Any:
    yield {"title": page.text("title")}


def replay() -> str:
    """Crawl each page, and tell the title that was read."""
    told = []
    for name, (kind, body) in PAGES.items():

        def answer(path: str, headers: Mapping[str, str], body: bytes = body, kind: str = kind) -> Reply:
            return Reply(body, headers={"Content-Type": kind})

        rows = crawled(_parse, answer).rows
        told.append(f"{name} {rows[0]['title'] if rows else 'nothing'}")
    return "; ".join(told)
