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
from scraper.reports.hints import asked_in, hint_for
from scraper.reports.summary import Summary
from scraper.store.rows.selectors import SelectorHits

__all__ = ["error_lines", "findings", "kind_of", "missed_lines"]

MOST = 4
#: Characters of an error's message; the whole of it is in the database.
LONGEST = 160


def findings(summary: Summary) -> list[str]:
    """The lines about problems and selectors, most telling first."""
    authors = [problem for problem in summary.problems if problem.place]
    silent = _telling(summary, authors)
    tail = _others(summary, authors[1:])
    if not authors:
        return (_silent(silent, summary) + tail)[:MOST]
    block = error_lines(authors[0], summary.silent, summary.target, summary.database)
    if len(block) + len(tail) > MOST:
        del block[1]  # the line of code is in the file; the others are not
    return (block + tail + _silent(silent, summary))[:MOST]


def error_lines(problem: Problem, missed: Sequence[SelectorHits], target: str, database: str) -> list[str]:
    """An error in the author's code: where, how often, the line itself, how to see it again, a hint."""
    head = f"✗ {shown_place(problem.place)}   "
    if problem.kind == "selector":
        head = f"✗ {shown_place(problem.place.partition(' in ')[0])}  "
    first, *more = problem.why.split("\n")
    if problem.kind == "selector" and more:  # a selector and the caret below it
        lines = [f"{head}{first}", " " * len(head) + more[0]]
    else:
        first = first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"
        code = problem.detail.rpartition("\n")[2].strip()
        lines = [f"{head}{first}     {plural(problem.count, 'page')}"] + [f"    {code}"] * bool(code)
    lines.append(f"  first: {problem.url}{_reproduce(problem, target, database)}")
    hint = hint_for(problem, missed)
    return lines + [f"  hint: {hint}"] * bool(hint)


def _reproduce(problem: Problem, target: str, database: str) -> str:
    """The command that runs the failed page again; nothing for a crawl from a program, which has no target."""
    if not target:
        return ""
    path, colon, name = target.partition(":")
    shown = shown_place(path) + colon + name if path.endswith(".py") else target
    own = Path(database).resolve() == Path(default_database(Path(database).stem)).resolve()
    flag = "" if own else f" --db {shlex.quote(database)}"
    return f"     reproduce: scraper try {shlex.quote(shown)} {shlex.quote(problem.url)}{flag}"


def _others(summary: Summary, authors: Sequence[Problem]) -> list[str]:
    """One line for the rest: the most frequent failures of the site, and more of the author's."""
    told = [f"{plural(p.count, 'page')} {kind_of(p)}" for p in summary.problems if not p.place][:3]
    if authors:
        told.append(
            f"{plural(sum(p.count for p in authors), 'page')} at {plural(len(authors), 'more place')}"
        )
    if not told:
        return []
    return [f"  problems  {', '.join(told)}      → scraper errors {shown_database(summary.database)}"]


def _telling(summary: Summary, authors: Sequence[Problem]) -> list[SelectorHits]:
    """The silent selectors worth a line: all when there are no items, else those that used to match."""
    places = {problem.place.partition(" in ")[0] for problem in authors}
    silent = [hits for hits in summary.silent if hits.place not in places]
    if summary.rows or summary.exit_code == 130:
        return [hits for hits in silent if hits.before is not None]
    return sorted(silent, key=lambda hits: (hits.before is None, hits.meant is None))


def _silent(silent: Sequence[SelectorHits], summary: Summary) -> list[str]:
    lines = [line for hits in silent[:2] for line in missed_lines(hits)]
    if silent and not summary.rows and len(lines) < MOST:
        lines.append(f"  try it: scraper shell {shlex.quote(silent[0].first_miss)}")
    return lines


def missed_lines(hits: SelectorHits) -> list[str]:
    """A selector that missed: on how many pages, since when, and what was probably meant."""
    head = f"  {shown_place(hits.place)}  "
    of = f"{number(hits.pages - hits.matched)} of {plural(hits.pages, 'page')}"
    line = f"{head}{asked_in(hits)} matched nothing on {of}"
    if hits.before is not None and not hits.matched:
        line += f"; it matched in run {hits.before}  first: {hits.first_miss}"
    if hits.meant is None or hits.matched:
        return [line]
    matches = plural(hits.meant_matches, "match")
    return [line, f'{" " * len(head)}did you mean "{hits.meant}"? ({matches} on the first page)']


def kind_of(problem: Problem) -> str:
    return f"HTTP {problem.status}" if problem.kind == "http" else problem.kind
