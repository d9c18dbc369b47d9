"""What robots.txt said at some time in the past, from the database."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import NamedTuple

from scraper.core.models import OriginFacts
from scraper.core.urls import split
from scraper.net.robots import Rules

__all__ = ["RulesThen"]

#: Origins whose rules are kept parsed.
CACHE = 64
#: Seconds a stored time may be off.
SLACK = 0.001


class _Version(NamedTuple):
    since: float
    until: float
    rules: Rules


class RulesThen:
    """Answers which rules held for a URL at a time. Invariant: at most `CACHE` origins are in memory."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._known: OrderedDict[str, list[_Version]] = OrderedDict()

    def url_of(self, send: int) -> str:
        """The URL of a send: its own where it is not that of its request."""
        row = self._conn.execute(
            "SELECT coalesce(s.url, r.url, '') FROM _sends s LEFT JOIN _requests r ON r.id = s.request WHERE s.id = ?",
            (send,),
        ).fetchone()
        return str(row[0])

    def at(self, url: str, moment: float) -> Rules | None:
        """The rules for a URL at a time (unix); None when none had been read."""
        origin = split(url).origin
        versions = self._known.get(origin)
        if versions is None:
            versions = self._known[origin] = self._read(origin)
            if len(self._known) > CACHE:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(origin)
        for version in versions:
            if version.since - SLACK <= moment < version.until:
                return version.rules
        return None

    def _read(self, origin: str) -> list[_Version]:
        rows = self._conn.execute(
            "SELECT robots, since, NULL FROM _origins WHERE origin = :origin"
            " UNION ALL SELECT robots, since, until FROM _robots WHERE origin = :origin ORDER BY since DESC",
            {"origin": origin},
        ).fetchall()
        return [
            _Version(since, float("inf") if until is None else until, Rules(OriginFacts(origin, robots, 0.0)))
            for robots, since, until in rows
        ]
