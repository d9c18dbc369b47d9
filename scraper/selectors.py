"""Which selectors found something: counted per place in the author's code, so that a misspelt one is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.page import Page

__all__ = ["SelectorCounts", "Silent", "lost_selectors", "silent_selectors"]

#: Places counted at most; a spider has dozens.
MOST = 5_000


@dataclass(slots=True)
class _Count:
    """How often a selector was asked for and matched, in pages; the first page without a match."""

    pages: int = 0
    matched: int = 0
    first_miss: str | None = None
    meant: str | None = None
    meant_matches: int = 0


class SelectorCounts:
    """Counts of one crawl. Invariant: a page counts once per place, whether it matched once or often."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int, str, str], _Count] = {}

    def record(self, domain: str, page: Page) -> None:
        """Add what was asked of a page. A first miss also notes what was probably meant."""
        for (file, line, call, css), matched in page.hits.items():
            key = (domain, file, line, call, css)
            count = self._counts.get(key)
            if count is None:
                if len(self._counts) >= MOST:
                    return
                count = self._counts[key] = _Count()
            count.pages += 1
            if matched:
                count.matched += 1
            elif count.first_miss is None:
                count.first_miss = page.url
                if not count.matched and (meant := page.suggest(css)) is not None:
                    count.meant, count.meant_matches = meant

    def store(self, conn: sqlite3.Connection, run: int) -> None:
        """Add the counts to the run's, which a resumed run has from before."""
        conn.executemany(
            "INSERT INTO _selectors (run, domain, place, call, selector, pages, matched, first_miss, meant, meant_matches)"
            " VALUES (?, (SELECT id FROM _domains WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run, domain, place, call, selector) DO UPDATE SET pages = pages + excluded.pages,"
            " matched = matched + excluded.matched, first_miss = coalesce(first_miss, excluded.first_miss)",
            [
                (
                    run,
                    domain,
                    f"{file}:{line}",
                    call,
                    css,
                    c.pages,
                    c.matched,
                    c.first_miss,
                    c.meant,
                    c.meant_matches,
                )
                for (domain, file, line, call, css), c in self._counts.items()
            ],
        )
        self._counts.clear()


@dataclass(frozen=True, slots=True)
class Silent:
    """A selector that matched on none of `pages` pages; `meant` matches `meant_matches` times on the first."""

    place: str
    call: str
    selector: str
    pages: int
    first_miss: str
    meant: str | None = None
    meant_matches: int = 0


_SUMS = (
    "SELECT place, call, selector, sum(pages), min(first_miss), max(meant), max(meant_matches) FROM _selectors"
    " WHERE run = ? GROUP BY place, call, selector HAVING sum(matched) = 0 ORDER BY sum(pages) DESC, place"
)


def silent_selectors(conn: sqlite3.Connection, run: int) -> Sequence[Silent]:
    """The selectors of a run that never matched, most often asked first."""
    return [Silent(*row) for row in conn.execute(_SUMS, (run,))]


def lost_selectors(conn: sqlite3.Connection, run: int) -> Sequence[Silent]:
    """Those that never matched in this run but did in the one before it of the same series."""
    before = conn.execute(
        "SELECT max(o.id) FROM _runs o JOIN _runs r ON r.series = o.series AND o.id < r.id WHERE r.id = ?",
        (run,),
    ).fetchone()[0]
    if before is None:
        return []
    found = {
        selector
        for (selector,) in conn.execute(
            "SELECT DISTINCT selector FROM _selectors WHERE run = ? AND matched > 0", (before,)
        )
    }
    return [silent for silent in silent_selectors(conn, run) if silent.selector in found]
