"""The selectors of a run that found nothing, or not everywhere, with the place in the author's code."""

from __future__ import annotations

import linecache
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MissedSelector", "SelectorHits", "as_written", "missed_selectors"]


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


@dataclass(frozen=True, slots=True)
class MissedSelector:
    """A selector that missed, with the call `as_written` in the author's file."""

    hits: SelectorHits
    call: str


def as_written(hits: SelectorHits) -> str:
    """A selector as the author wrote it, as in `page.css("h1")`."""
    file, _, line = hits.place.rpartition(":")
    code = linecache.getline(file, int(line)) if line.isdigit() else ""
    found = re.search(rf"(\w+)\.{re.escape(hits.call)}\(", code)
    return f'{found[1] if found else "page"}.{hits.call}("{hits.selector}")'
