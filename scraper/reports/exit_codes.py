"""The exit code of a crawl, decided from the numbers of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scraper.events import INTERRUPTED, STOPPED
from scraper.politeness import away_until
from scraper.reports.summary import Summary

__all__ = ["EXIT_CODES", "judged"]

#: Exit codes of the command line, in the order in which the first that applies is taken.
EXIT_CODES: Mapping[int, str] = {
    2: "usage, configuration, or a spider that does not load",
    7: "a crawl on this database is already running",
    6: "disk, database or permission; resumable",
    130: "stopped by a person; resumable",
    4: "no start could be reached or was allowed",
    5: "work is left: parked domains, Stop, too many failures in a row; resumable",
    1: "a callback raised, failures above max_failed, or an expectation broken",
    3: "finished without items, or a declared table stayed empty",
    0: "good; a budget that was reached is good, and said",
}

#: Reasons to stop that a person set, and that are good endings.
BUDGETS = ("max_pages", "max_items", "max_time")


def judged(summary: Summary, max_failed: float) -> Summary:
    """The exit code, by the order of `EXIT_CODES`, and the state of the run that follows from it."""
    budget = summary.reason is not None and summary.reason.startswith(BUDGETS)
    spent = budget or bool(summary.queued and not summary.parked and summary.reason is None)
    code, state, reason = 0, "complete", summary.reason
    failed = summary.counters.get("failed", 0) - summary.counters.get("failed.gone", 0)
    callback = sum(p.count for p in summary.problems if p.kind.startswith("callback"))
    if summary.reason in {INTERRUPTED, STOPPED}:
        code, state = 130, "stopped"
    elif summary.start_problem:
        code, state, reason = 4, "finished", summary.start_problem
    elif (summary.queued and not spent) or (reason or "").startswith("broken callback:"):
        code, state = 5, "stopped"
        reason = summary.reason or _parked(summary.parked)
    elif callback or failed > max_failed * max(1, summary.pages + failed):
        code, state, reason = 1, "finished", reason or "pages failed"
    elif summary.broken:
        code, state, reason = 1, "finished", reason or summary.broken[0]
    elif not summary.rows or summary.empty_tables:
        code, state, reason = 3, "finished", reason or "no items"
    elif spent:
        state, reason = "finished", reason or "max_pages reached"
    elif failed:
        state, reason = "finished", "pages failed"
    elif summary.parked:
        state, reason = "finished", _parked(summary.parked)
    return replace(summary, exit_code=code, state=state, reason=reason)


def _until(name: str, why: str) -> str:
    """A parked domain, with the time until which it asked to be left alone."""
    until = away_until(why)
    return name if until is None else f"{name} (Retry-After until {until})"


def _parked(parked: Mapping[str, str]) -> str:
    """Which domains are parked; of one that is down, since when and why."""
    down = [name for name, why in parked.items() if why.startswith("down since ")]
    if down != list(parked):
        return f"parked: {', '.join(_until(name, why) for name, why in parked.items())}"
    return f"{down[0]} is {parked[down[0]]}" if len(down) == 1 else f"down: {', '.join(down)} (outage_max)"
