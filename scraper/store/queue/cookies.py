"""Cookies of a run in SQL: written with the page that changed them, read with the lease of a domain.

Working state: they go when the run does not need them any more, and `scraper query` does not show their values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from scraper.core.models import Cookie
from scraper.core.urls import domain_of

__all__ = ["cookies_for", "forget_cookies", "store_cookies"]

#: Cookies that travel with a lease; a jar keeps no more of one site anyway.
MOST = 100


def store_cookies(conn: sqlite3.Connection, run: int, cookies: Sequence[Cookie]) -> None:
    """What a page changed: cookies set, and those deleted (value None)."""
    for cookie in cookies:
        key = (run, cookie.site, cookie.domain, cookie.path, cookie.name)
        if cookie.value is None:
            conn.execute(
                "DELETE FROM _cookies WHERE run = ? AND site = ? AND domain = ? AND path = ? AND name = ?",
                key,
            )
        else:
            conn.execute(
                "INSERT OR REPLACE INTO _cookies"
                " (run, site, domain, path, name, value, host_only, secure, expires, port)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, cookie.value, cookie.host_only, cookie.secure, cookie.expires, cookie.port),
            )


def cookies_for(conn: sqlite3.Connection, run: int, host: str) -> tuple[Cookie, ...]:
    """The cookies that hosts of a politeness domain may need: those of its registrable domain."""
    rows = conn.execute(
        "SELECT name, value, domain, path, host_only, secure, expires, port FROM _cookies"
        " WHERE run = ? AND site = ? LIMIT ?",
        (run, domain_of(host), MOST),
    )
    return tuple(
        Cookie(name, value, domain, path, bool(host_only), bool(secure), expires, port)
        for name, value, domain, path, host_only, secure, expires, port in rows
    )


def forget_cookies(conn: sqlite3.Connection, run: int) -> None:
    """The run needs no more of them."""
    conn.execute("DELETE FROM _cookies WHERE run = ?", (run,))
