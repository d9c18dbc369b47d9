"""SQLite: the queue, the results and the state of crawls, behind one writer.

What is above knows `Frontier`, `Ledger` and `Maintenance` (`scraper.core`); this is where it gets them. What makes them is
imported when it is asked for: a command that reads a table loads nothing that writes one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from scraper.core.ledger import Ledger, LiveCrawl, Membership
from scraper.core.maintenance import Maintenance

__all__ = ["SQLITE_VERSION", "Warn", "join", "live_crawl", "maintain", "membership", "open"]

SQLITE_VERSION = sqlite3.sqlite_version

#: Takes a sentence that a person should read.
Warn = Callable[[str], None]


def _say_nothing(message: str) -> None:
    return


async def open(
    path: str, *, holder: str, now: float, inline: bool = False, warn: Warn = _say_nothing
) -> Ledger:
    """The ledger of a database, created where there is none, and held by this crawl; `holder` names it in words.

    `warn` is told what a person should know. `inline` is for simulation: no thread is used. `:memory:` is a
    database that is not kept. Raises StoreError, or DatabaseInUse naming the crawl that holds it.
    """
    from scraper.store.ledger import SqliteLedger

    return await SqliteLedger.open(path, holder=holder, now=now, inline=inline, warn=warn)


async def join(path: str, *, now: float, inline: bool = False, warn: Warn = _say_nothing) -> Ledger:
    """The ledger of a database that the crawl of this process holds already. Raises StoreError."""
    from scraper.store.ledger import SqliteLedger

    return await SqliteLedger.join(path, now=now, inline=inline, warn=warn)


def maintain(path: str) -> Maintenance:
    """The upkeep of a database that exists."""
    from scraper.store.maintenance import SqliteMaintenance

    return SqliteMaintenance(path)


def live_crawl(path: str) -> LiveCrawl:
    """The crawl that runs on a database, if one does."""
    from scraper.store.live_crawls import SqliteLiveCrawl

    return SqliteLiveCrawl(path)


def membership(path: str) -> Membership:
    """Which workers of the crawl on a database are alive."""
    from scraper.store.file.lock import Living

    return Living(path)
