"""W7: 50 links that redirect to one page; 150 old links that redirect to /home, and then 100 good ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

RIGHT: str = "/new fetched 1 time, 2 rows; /home fetched 1 time, 100 of 100 good pages"
HOME = b"<p>home" + b"." * 400


def _links(*paths: str) -> bytes:
    return "".join(f'<a href="{path}">x</a>' for path in paths).encode()


def _to_new(path: str, headers: Mapping[str, str]) -> Reply:
    if path.startswith("/go"):
        return Reply(status=301, headers={"Location": "/new"})
    return Reply(b"<p>new" if path == "/new" else _links(*(f"/go?id={n}" for n in range(50)), "/new"))


def _to_home(path: str, headers: Mapping[str, str]) -> Reply:
    if path.startswith("/old"):
        return Reply(status=301, headers={"Location": "/home"})
    if path == "/":
        return Reply(_links(*(f"/old{n}" for n in range(150)), *(f"/good{n}" for n in range(100))))
    return Reply(HOME if path == "/home" else f"<p>{path}".encode() + b"-" * 400)


def _parse(self: Any, page: Any) -> Any:
    yield {"url": page.url}
    if page.url.count("/") == 3 and page.url.endswith("/"):
        yield page.follow_all("a")


def replay() -> str:
    """Crawl both sites."""
    first, second = crawled(_parse, _to_new), crawled(_parse, _to_home, concurrency=1)
    news, homes = first.asked.count("/new"), second.asked.count("/home")
    good = sum("/good" in row["url"] for row in second.rows)
    return f"/new fetched {_times(news)}, {len(first.rows)} rows; /home fetched {_times(homes)}, {good} of 100 good pages"


def _times(number: int) -> str:
    return f"{number} time{'' if number == 1 else 's'}"
