"""What the end of a crawl says about what went wrong: the site's failures, the author's errors, silent selectors."""

from __future__ import annotations

from scraper.cli.words import number, plural, shown_database, shown_place
from scraper.summary import Problem, Summary

__all__ = ["findings"]


def findings(summary: Summary) -> list[str]:
    """The lines about problems and selectors, most telling first."""
    return _problems(summary) + _silent(summary)


def _problems(summary: Summary) -> list[str]:
    """One line for the most frequent failures that are the site's, then one per place in the user's code."""
    lines = []
    database = shown_database(summary.database)
    site = [p for p in summary.problems if not p.place]
    if site:
        told = ", ".join(f"{plural(p.count, 'page')} {_kind(p)}" for p in site[:3])
        lines.append(f"  problems  {told}      → scraper errors {database}")
    for problem in [p for p in summary.problems if p.place][:2]:
        head = f"  {shown_place(problem.place)}   "
        first, *more = problem.why.split("\n")
        lines.append(f"{head}{first}     {plural(problem.count, 'page')}")
        lines += [" " * len(head) + line for line in more[:1]]
        lines.append(f"    first: {problem.url}")
    return lines


def _silent(summary: Summary) -> list[str]:
    """Selectors that found nothing: all when the crawl has no items, else those that used to find something."""
    lines = []
    for silent in (summary.silent if summary.exit_code == 3 else summary.lost)[:2]:
        head = f"  {shown_place(silent.place)}  "
        of = f"{number(silent.pages)} of {plural(silent.pages, 'page')}"
        lines.append(f'{head}{silent.call}("{silent.selector}") matched nothing on {of}')
        if silent.meant is not None:
            matches = "1 match" if silent.meant_matches == 1 else f"{number(silent.meant_matches)} matches"
            lines.append(f'{" " * len(head)}did you mean "{silent.meant}"? ({matches} on the first page)')
        elif summary.exit_code != 3:
            lines[-1] += f"; it matched in the run before  first: {silent.first_miss}"
    return lines


def _kind(problem: Problem) -> str:
    return f"HTTP {problem.status}" if problem.kind == "http" else problem.kind
