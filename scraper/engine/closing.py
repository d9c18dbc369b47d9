"""What a crawl says at its end of pages that disagreed."""

from __future__ import annotations

from collections.abc import Iterator

from scraper.events import Warned
from scraper.reports.summary import Summary

__all__ = ["conflict_warnings"]


def conflict_warnings(summary: Summary) -> Iterator[Warned]:
    """One warning for each table with keys for which several pages had different values."""
    for table, count in summary.conflicts.items():
        keys = f"{count} key{'' if count == 1 else 's'} of {table}"
        yield Warned(
            f"{keys} came from several pages with different values; the same page wins every time:"
            f" where _conflict_run = {summary.run}"
        )
