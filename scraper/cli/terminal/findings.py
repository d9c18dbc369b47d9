"""What the end of a crawl says about what went wrong: the author's errors, silent selectors, the site's failures.

Four lines at most, so that with the first line and the next command a fault takes six.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from scraper.cli.terminal.formatting import number, plural, shown_database, shown_place
from scraper.project.folder import default_database
from scraper.reports.failures import Problem
from scraper.reports.findings import Failure, Findings, findings_of
from scraper.reports.selectors import MissedSelector
from scraper.reports.summary import Summary

__all__ = ["error_lines", "finding_lines", "kind_of", "missed_lines"]

MOST = 4
#: Characters of an error's message; the whole of it is in the database.
LONGEST = 160


def finding_lines(summary: Summary) -> list[str]:
    """The lines about problems and selectors, most telling first."""
    found = findings_of(summary)
    tail = _others(found, summary.database)
    silent = _silent(found.silent, with_advice=not summary.rows)
    if found.error is None:
        return (silent + tail)[:MOST]
    block = error_lines(found.error, summary.target, summary.database)
    if len(block) + len(tail) > MOST:
        del block[1]  # the line of code is in the file; the others are not
    return (block + tail + silent)[:MOST]


def error_lines(failure: Failure, target: str, database: str) -> list[str]:
    """An error in the author's code: where, how often, the line itself, how to see it again, a hint."""
    problem = failure.problem
    head = f"✗ {shown_place(problem.place)}   "
    if problem.kind == "selector":
        head = f"✗ {shown_place(problem.place.partition(' in ')[0])}  "
    first, *more = problem.why.split("\n")
    if problem.kind == "selector" and more:  # a selector and the caret below it
        lines = [f"{head}{first}", " " * len(head) + more[0]]
    else:
        first = first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"
        lines = [f"{head}{first}     {plural(problem.count, 'page')}"]
        lines += [f"    {failure.code}"] * bool(failure.code)
    lines.append(f"  first: {problem.url}{_reproduce(problem, target, database)}")
    return lines + [f"  hint: {failure.hint}"] * bool(failure.hint)


def _reproduce(problem: Problem, target: str, database: str) -> str:
    """The command that runs the failed page again; nothing for a crawl from a program, which has no target."""
    if not target:
        return ""
    path, colon, name = target.partition(":")
    shown = shown_place(path) + colon + name if path.endswith(".py") else target
    own = Path(database).resolve() == Path(default_database(Path(database).stem)).resolve()
    flag = "" if own else f" --db {shlex.quote(database)}"
    return f"     reproduce: scraper try {shlex.quote(shown)} {shlex.quote(problem.url)}{flag}"


def _others(found: Findings, database: str) -> list[str]:
    """One line for the rest: the most frequent failures of the site, and more of the author's."""
    told = [f"{plural(problem.count, 'page')} {kind_of(problem)}" for problem in found.site]
    if found.more_places:
        told.append(f"{plural(found.more_pages, 'page')} at {plural(found.more_places, 'more place')}")
    if not told:
        return []
    return [f"  problems  {', '.join(told)}      → scraper errors {shown_database(database)}"]


def _silent(silent: Sequence[MissedSelector], *, with_advice: bool) -> list[str]:
    lines = [line for missed in silent[:2] for line in missed_lines(missed)]
    if silent and with_advice and len(lines) < MOST:
        lines.append(f"  try it: scraper shell {shlex.quote(silent[0].hits.first_miss)}")
    return lines


def missed_lines(missed: MissedSelector) -> list[str]:
    """A selector that missed: on how many pages, since when, and what was probably meant."""
    hits = missed.hits
    head = f"  {shown_place(hits.place)}  "
    of = f"{number(hits.pages - hits.matched)} of {plural(hits.pages, 'page')}"
    line = f"{head}{missed.call} matched nothing on {of}"
    if hits.before is not None and not hits.matched:
        line += f"; it matched in run {hits.before}  first: {hits.first_miss}"
    if hits.meant is None or hits.matched:
        return [line]
    matches = plural(hits.meant_matches, "match")
    return [line, f'{" " * len(head)}did you mean "{hits.meant}"? ({matches} on the first page)']


def kind_of(problem: Problem) -> str:
    return f"HTTP {problem.status}" if problem.kind == "http" else problem.kind
