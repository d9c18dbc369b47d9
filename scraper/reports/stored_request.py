"""What a crawl's database knows of a URL: the request as it was queued, and the page it failed on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scraper.core.models import KeptPage, Options
from scraper.core.urls import normalize, split
from scraper.store.queue.requests import decode_options

__all__ = ["StoredRequest", "stored_request"]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request of an earlier run. `robots` is the robots.txt stored for its origin, None for none.

    `whole` is False where its headers or body were cleared when it ended: sent now, it would be another one.
    """

    run: int
    url: str
    depth: int
    options: Options
    arguments: Mapping[str, Any]
    page: KeptPage | None
    robots: str | None
    whole: bool


_FIND = """
SELECT r.run, r.url, r.depth, r.callback, r.priority, r.options, r.body, o.options, p.url, p.status, p.headers, p.body
FROM _requests r JOIN _runs o ON o.id = r.run LEFT JOIN _pages p ON p.request = r.id
WHERE r.url = :url OR p.url = :url ORDER BY r.run DESC, p.url IS NULL, r.id DESC LIMIT 1
"""


def stored_request(conn: sqlite3.Connection, url: str) -> StoredRequest | None:
    """The request of the newest run that has this URL, one whose page was kept before others."""
    try:
        row = conn.execute(_FIND, {"url": normalize(url)}).fetchone()
    except ValueError:
        return None
    if row is None:
        return None
    run, found, depth, callback, priority, options, body, begun, page_url, status, headers, octets = row
    page = None
    if page_url is not None:
        page = KeptPage(page_url, status, [(n, v) for n, v in json.loads(headers)], octets)
    robots = conn.execute("SELECT robots FROM _origins WHERE origin = ?", (split(found).origin,)).fetchone()
    return StoredRequest(
        run, found, depth, decode_options(callback, priority, options, body),
        json.loads(begun)["arguments"], page, robots[0] if robots else None, body != b"",
    )  # fmt: skip
