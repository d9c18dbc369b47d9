"""W18: a Digest challenge with `qop="auth-int"`, which httpx cannot answer."""

from __future__ import annotations

from typing import Any

import httpx

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import FetchError, Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = (
    "failed credentials, told to the spider: the credentials for ORIGIN cannot answer what it asks for"
)


class Asks(Spider[Any]):
    """Tells what went wrong."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}

    def failed(self, error: FetchError) -> Any:
        yield {"seen": str(error)}


def replay() -> str:
    """Crawl one page that asks for it."""
    challenge = 'WWW-Authenticate: Digest realm="a", nonce="n", qop="auth-int"'
    with serving({"/": answer(b"", challenge, status="401 Unauthorized")}) as server:
        seen, ended = crawled(Asks, f"{server.url}/", auth={server.url: httpx.DigestAuth("u", "p")})
    told = seen[0].replace(server.url, "ORIGIN").partition(": ")[0] if seen else "nothing"
    return f"{ended[0]}, told to the spider: {told}"
