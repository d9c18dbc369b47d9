"""What the end of a crawl, and `scraper tables`, say about the data: broken expectations, emptied fields, shrunk tables."""

from __future__ import annotations

from scraper.cli.terminal.formatting import number, plural, shown_place
from scraper.reports.quality import Emptied
from scraper.reports.summary import Summary

__all__ = ["emptied_line", "quality_lines"]

#: Lines about the data at most, of each sort.
MOST = 2


def quality_lines(summary: Summary) -> list[str]:
    """The lines about the data; empty when it is as it was and as it was expected."""
    lines = [f"  {said}" for said in summary.broken[:MOST]]
    if len(summary.broken) > MOST:
        lines[-1] += f"; and {plural(len(summary.broken) - MOST, 'more expectation')} broken"
    lines += [emptied_line(one) for one in summary.emptied[:MOST]]
    if not summary.rows:
        return lines  # no items at all: that is said already
    lines += [
        f"⚠ {one.table} has {plural(one.rows, 'row')} in this run ({number(one.before_rows)} in run {one.before})"
        for one in summary.shrunk[:MOST]
    ]
    return lines


def emptied_line(one: Emptied) -> str:
    """A field that has emptied: how often, how often before, and the first page with the place in the code."""
    then = f"{number(one.before_empty)} of {number(one.before_rows)} in run {one.before}"
    told = (
        f"⚠ {one.table}.{one.column} is empty in {number(one.empty)} of {plural(one.rows, 'item')} ({then})"
    )
    return f"{told}  first: {one.url}" + (f"  {shown_place(one.place)}" if one.place else "")
