"""The last words of a run: what it did not see, what pages disagreed about, and room for the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scraper.events import Warned
from scraper.reports.summary import Summary
from scraper.store.file.writer import Writer
from scraper.store.queue.runs import counters, end_run
from scraper.store.rows.prune import prune_some

__all__ = ["close_run"]


async def close_run(
    writer: Writer, summary: Summary, *, keep_runs: int, now: float, tell: Callable[[Warned], None]
) -> Summary:
    """End the run as its summary says; the summary with what was gone or unknown counted."""
    run, state, reason = summary.run, summary.state, summary.reason
    await writer.submit(lambda conn: end_run(conn, run, state, reason, now))
    ended = replace(summary, counters=await writer.read(lambda conn: counters(conn, run)))
    for table, count in ended.conflicts.items():
        keys = f"{count} key{'' if count == 1 else 's'} of {table}"
        tell(
            Warned(
                f"{keys} came from several pages with different values; the same page wins every time:"
                f" where _conflict_run = {run}"
            )
        )
    while await writer.submit(lambda conn: prune_some(conn, keep_runs)):
        pass
    return ended
