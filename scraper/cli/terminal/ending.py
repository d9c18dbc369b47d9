"""The end of a crawl in a few lines: what it gave, what went wrong, where its time went, what to do next."""

from __future__ import annotations

import time
from collections.abc import Mapping

from scraper.cli.terminal.findings import finding_lines
from scraper.cli.terminal.formatting import (
    duration,
    number,
    of_table,
    plural,
    shown_database,
    shown_place,
    with_local_times,
)
from scraper.cli.terminal.quality import quality_lines
from scraper.net.retry import RETRY_KINDS, RETRY_STATUSES
from scraper.politeness import away_until
from scraper.reports.summary import Summary
from scraper.reports.time_shares import time_shares

__all__ = ["ending", "shares"]

#: Lines of the end at most.
LINES = 6


def ending(summary: Summary) -> list[str]:
    """At most six lines; the first says it all."""
    database = shown_database(summary.database)
    if summary.exit_code == 4:
        return [f"✗ {summary.start_problem}. Nothing crawled."]
    head = f"{_mark(summary)} {summary.spider}: {_counted(summary)} in {duration(summary.seconds)}"
    head += with_local_times(_because(summary), time.time())
    told = quality_lines(summary) + finding_lines(summary) + _unreadable(summary.counters)
    if summary.rejected:
        place, why = summary.refusal
        told.append(
            f"  rejected  {plural(summary.rejected, 'item')}      → scraper query {database} _rejected"
        )
        told.append(f"    first: {shown_place(place)}  {why}")
    waited = summary.counters.get("waited.machine", 0)
    if waited and "ulimit" not in (summary.reason or ""):
        told.append(f"  waited    {plural(waited, 'visit')} for what this machine lacked: raise ulimit -n")
    if summary.state == "stopped":
        after = [f"  continue with: scraper resume {database}{_not_before(summary)}"]
    elif summary.rows:
        after = [f"  next      scraper query {database} {summary.example}"]
    else:
        after = []
    if summary.state != "stopped" and summary.exit_code == 1 and _may_pass(summary):
        after.append(f"  again     scraper resume {database} --failed")
    took = shares(summary.counters) if summary.exit_code in {0, 130} else ""
    if took and len(told) + len(after) + 1 < LINES - 1:
        told.append(f"  time      {took}")
    return [head, *told[: LINES - 1 - len(after)], *after]


def _not_before(summary: Summary) -> str:
    """From when on a resume has something to do, where all that is left asked to be left alone until some time."""
    times = [away_until(why) for why in summary.parked.values()]
    known = [at for at in times if at is not None]
    if not known or len(known) < len(times) or not (summary.reason or "").startswith("parked: "):
        return ""
    return with_local_times(f"   (nothing is sent there until {min(known)})", time.time())


def _may_pass(summary: Summary) -> bool:
    """Whether requests failed in a way that may have passed by now: the site did not answer, or could not."""
    return any(
        problem.status in RETRY_STATUSES if problem.kind == "http" else problem.kind in RETRY_KINDS
        for problem in summary.problems
    )


def shares(counters: Mapping[str, int]) -> str:
    """Where the time went, most first: rate limit 81 % · network 15 %."""
    return " · ".join(f"{cause} {share} %" for cause, share in time_shares(counters).items())


def _mark(summary: Summary) -> str:
    return {0: "✓", 5: "!", 130: "!"}.get(summary.exit_code, "✗")


def _spared(counters: Mapping[str, int]) -> str:
    """What `revisit` spared: pages that had not changed, and those that were not asked for."""
    unchanged, left = counters.get("not-modified", 0), counters.get("not-revisited", 0)
    return (f" ({number(unchanged)} not modified)" if unchanged else "") + (
        f", {number(left)} not fetched again" if left else ""
    )


def _unreadable(counters: Mapping[str, int]) -> list[str]:
    """One line about pages whose text could not be read as it should be."""
    faulty, wrong = counters.get("text.unreadable", 0), counters.get("text.wrong-header", 0)
    told = [f"{plural(faulty, 'page')} not read in full"] * bool(faulty)
    told += [f"{plural(wrong, 'page')} in another charset than the header says"] * bool(wrong)
    return [f"  charset   {', '.join(told)}; the setting encoding names it"] * bool(told)


def _counted(summary: Summary) -> str:
    parts = [plural(summary.pages, "page") + _spared(summary.counters)]
    for table, counts in summary.items.items():
        rows = sum(counts.values())
        fates = {**counts, "gone": summary.gone.get(table, 0)}
        told = [
            f"{number(fates[what])} {what}" for what in ("new", "changed", "back", "gone") if fates.get(what)
        ]
        parts.append(of_table(rows, table) + (f" ({', '.join(told)})" if told else ""))
    if not summary.rows:
        parts.append("no items")
    return ", ".join(parts)


def _because(summary: Summary) -> str:
    if summary.exit_code == 3 and summary.empty_tables and summary.rows:
        return f"; no {', no '.join(summary.empty_tables)}"
    if summary.reason and summary.exit_code in {0, 5, 130} and summary.reason != "pages failed":
        left = f", {number(summary.queued)} queued" if summary.state == "stopped" else ""
        return f"; {summary.reason}{left}"
    return ""
