"""W8: links to `/%7Ea` and `/~a`, `/x%2fy` and `/x%2Fy`, and to `/x/y`, which is another page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

RIGHT: str = "asked for /%7Ea /x%2fy /x/y"


def _answer(path: str, headers: Mapping[str, str]) -> Reply:
    links = ("/%7Ea", "/~a", "/x%2fy", "/x%2Fy", "/x/y")
    return Reply("".join(f'<a href="{link}">x</a>' for link in links).encode())


def _parse(self: Any, page: Any) -> Any:
    yield page.follow_all("a")


def replay() -> str:
    """Crawl the site."""
    done = crawled(_parse, _answer, concurrency=1)
    return f"asked for {' '.join(path for path in done.asked if path != '/')}"
