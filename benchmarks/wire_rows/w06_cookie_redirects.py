"""W6: `/self` answers 302 to itself with `Set-Cookie`, and 200 with the cookie; A to /set and back to A likewise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

RIGHT: str = "/self: 1 page, exit 0; /a: 1 page, exit 0; /loop: 0 pages, exit 4"


def _answer(path: str, headers: Mapping[str, str]) -> Reply:
    if "sid=1" in headers.get("Cookie", "") and path in ("/self", "/a"):
        return Reply(b"<p>here")
    to = {"/self": "/self", "/a": "/set", "/set": "/a", "/loop": "/loop"}[path]
    cookie = {} if path in ("/a", "/loop") else {"Set-Cookie": "sid=1"}
    return Reply(status=302, headers={"Location": to, **cookie})


def _parse(self: Any, page: Any) -> Any:
    yield {"url": page.url}


def replay() -> str:
    """Crawl each start by itself."""
    told = []
    for start in ("/self", "/a", "/loop"):
        done = crawled(_parse, _answer, (start,))
        pages = f"{done.summary.pages} page{'' if done.summary.pages == 1 else 's'}"
        told.append(f"{start}: {pages}, exit {done.summary.exit_code}")
    return "; ".join(told)
