"""Which selectors found something: counted per place in the author's code, so that a misspelt one is named."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.core.models import Done, Site

__all__ = ["SelectorCounts", "SelectorHits", "missed_selectors"]

#: Selectors and domains counted one by one in a run: a selector may be made up from data, domains are many.
MOST_SITES, MOST_DOMAINS = 5_000, 1_000
#: The domain under which all others are counted together.
OTHERS = 0
#: Seconds between two writes, which ride along with commits of pages.
EVERY = 1.0

_ADD = (
    "INSERT INTO _selectors (run, domain, place, function, call, selector, pages, matched, first_miss, meant,"
    " meant_matches) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (run, domain, place, call, selector) DO UPDATE SET pages = pages + excluded.pages,"
    " matched = matched + excluded.matched, first_miss = coalesce(first_miss, excluded.first_miss),"
    " meant_matches = iif(meant IS NULL, excluded.meant_matches, meant_matches),"
    " meant = coalesce(meant, excluded.meant)"
)


@dataclass(slots=True)
class _Count:
    """How often a selector was asked for and matched, in pages; the first page without a match."""

    pages: int = 0
    matched: int = 0
    first_miss: str | None = None
    meant: str | None = None
    meant_matches: int = 0


class SelectorCounts:
    """Counts of one run, added up in memory and written with the pages they are about.

    Invariants: a page counts once per place, whether it matched there once or often, and only when its visit
    is over; what is held is less than `EVERY` seconds of it, unless nothing is committed. All of it runs in
    the writer's transaction.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._held: dict[int, dict[Site, _Count]] = {}
        self._domains: set[int] = set()
        self._sites: set[Site] = set()
        self._written = float("-inf")

    def add(self, domain: int, done: Done) -> None:
        """Count what was asked of a page."""
        if done.outcome.name == "retry" and done.error is None:
            return  # it comes again
        counts = self._held.get(domain)
        if counts is None:
            counts = self._held.setdefault(self._own(domain), {})
        for site, matched in done.hits.items():
            count = counts.get(site)
            if count is None:
                if not self._may_count(site):
                    continue
                count = counts[site] = _Count()
            count.pages += 1
            if matched:
                count.matched += 1
            elif count.first_miss is None:
                count.first_miss = done.url
            if site in done.meant:
                count.meant, count.meant_matches = done.meant[site]

    def _own(self, domain: int) -> int:
        """The domain under which to count: itself for the first ones."""
        if domain not in self._domains and len(self._domains) >= MOST_DOMAINS:
            return OTHERS
        self._domains.add(domain)
        return domain

    def _may_count(self, site: Site) -> bool:
        if site not in self._sites and len(self._sites) >= MOST_SITES:
            return False
        self._sites.add(site)
        return True

    def flush_some(self, conn: sqlite3.Connection) -> None:
        """Write what is held, unless something was written a moment ago."""
        if self._held and (now := time.monotonic()) - self._written >= EVERY:
            self._written = now
            self.flush(conn)

    def flush(self, conn: sqlite3.Connection) -> None:
        """Add what is held to what the run has."""
        conn.executemany(
            _ADD,
            [
                (self._run, domain, f"{file}:{line}", function, call, css, c.pages, c.matched, c.first_miss,
                 c.meant, c.meant_matches)
                for domain, counts in self._held.items()
                for (file, line, function, call, css), c in counts.items()
            ],
        )  # fmt: skip
        self._held.clear()


@dataclass(frozen=True, slots=True)
class SelectorHits:
    """A selector that missed: it matched on `matched` of `pages` pages, not on `first_miss`.

    `meant` matches `meant_matches` times where it was first asked for. `before` is the last earlier run of the
    same series in which the selector of this function matched, wherever in the file it stood then.
    """

    place: str
    function: str
    call: str
    selector: str
    pages: int
    matched: int
    first_miss: str
    meant: str | None
    meant_matches: int
    before: int | None


_MISSED = """
SELECT place, function, call, selector, sum(pages), sum(matched), min(first_miss), max(meant), max(meant_matches),
    (SELECT max(e.run) FROM _selectors e JOIN _runs o ON o.id = e.run JOIN _runs r ON r.series = o.series
     WHERE r.id = :run AND e.run < :run AND e.matched > 0 AND e.selector = s.selector
     AND e.function IN (s.function, ''))
FROM _selectors s WHERE run = :run
GROUP BY place, function, call, selector
HAVING sum(matched) = 0 OR (:partly AND sum(matched) < sum(pages))
ORDER BY sum(matched) > 0, sum(pages) DESC, place
"""


def missed_selectors(conn: sqlite3.Connection, run: int, *, partly: bool = False) -> Sequence[SelectorHits]:
    """The selectors of a run that never matched, most often asked first; `partly`: and those that sometimes did."""
    return [SelectorHits(*row) for row in conn.execute(_MISSED, {"run": run, "partly": partly})]
