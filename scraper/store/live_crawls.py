"""The crawl that runs on a database, seen from another process: who it is, and orders to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from scraper.core.models import RETRY, STOP
from scraper.store.file.lock import holder_of
from scraper.store.file.lock_holders import writer_of
from scraper.store.file.writer import connect, explaining
from scraper.store.queue.orders import send_command, set_limit

__all__ = ["SqliteLiveCrawl"]


class SqliteLiveCrawl:
    """`scraper.core.ledger.LiveCrawl` over the locks of a database file and its table of orders."""

    def __init__(self, path: str) -> None:
        self._path = path

    def holder(self) -> str | None:
        return holder_of(self._path)

    def writer(self) -> int | None:
        return writer_of(self._path)

    def stop(self, run: int, *, now: float) -> None:
        self._order(lambda conn: send_command(conn, run, STOP, {}, now))

    def set_limit(self, run: int, domain: str, changes: Mapping[str, str], *, now: float) -> None:
        self._order(lambda conn: set_limit(conn, run, domain, changes, now))

    def retry_now(self, run: int, domains: Sequence[str], *, now: float) -> None:
        self._order(lambda conn: send_command(conn, run, RETRY, {"domains": list(domains)}, now))

    def _order(self, give: Callable[[sqlite3.Connection], None]) -> None:
        with explaining(self._path), closing(connect(self._path)) as conn:
            give(conn)
