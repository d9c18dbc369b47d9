"""W18: a refused connection to an IPv6 address, and a proxy that takes CONNECT and says nothing."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import scraper
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "connect: no connection to [::1]:1; proxy: the proxy is named"


class Reads(Spider[Any]):
    """Nothing of it is ever read."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl one page by each way."""
    refused = _failure("http://[::1]:1/")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kind, message = _failure("https://a.test/", proxy=proxy, private_hosts={"a.test:443"})
    told = "the proxy is named" if proxy in message else message
    return f"{refused[0]}: {refused[1].rpartition(': ')[0]}; {kind}: {told}"


def _failure(url: str, **settings: Any) -> tuple[str, str]:
    """Kind and message of the failure of a page."""
    quick = {"robots": False, "rate": None, "retries": 0, "deadline": 5, "connect_timeout": 1, "max_time": 30}
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        path = str(Path(folder, "found.db"))
        scraper.run(Reads, db=path, start=[url], settings={**quick, **settings})
        with contextlib.closing(sqlite3.connect(path)) as conn:
            found = conn.execute("SELECT kind, why FROM _requests").fetchone()
    return found or ("no error", "")
