"""What is worth saying about what went wrong: failures with a hint, selectors that missed, the most telling first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.reports.failures import Problem, problems_of
from scraper.reports.hints import advice_for, hint_for
from scraper.reports.runs import chosen_run
from scraper.reports.selectors import MissedSelector, SelectorHits, as_written, missed_selectors
from scraper.reports.summary import Summary

__all__ = ["Failure", "Failures", "Findings", "failure_of", "failures_of", "findings_of", "with_calls"]

#: The site's kinds of failure that are named at the end of a crawl.
KINDS_NAMED = 3
#: The exit code of a crawl that a person stopped.
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """A problem, the author's line of code it happened on, and what to write or to set; both empty where not known."""

    problem: Problem
    code: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Failures:
    """What failed in a run, most frequent first, and its selectors that missed.

    `target` is what was asked for when the run began, "" for a crawl from a program.
    """

    run: int
    target: str
    failures: Sequence[Failure]
    missed: Sequence[MissedSelector]


@dataclass(frozen=True, slots=True)
class Findings:
    """The failures of a run in short.

    `error` is the most frequent one in the author's code; `more_pages` failed at `more_places` other places there.
    `site` are the site's most frequent failures. `silent` are the selectors worth a line.
    """

    error: Failure | None
    more_pages: int
    more_places: int
    site: Sequence[Problem]
    silent: Sequence[MissedSelector]


def failure_of(problem: Problem, missed: Sequence[SelectorHits]) -> Failure:
    """A problem with its line of code and a hint; `missed` are the selectors that found nothing."""
    if not problem.place:
        return Failure(problem, hint=advice_for(problem.kind, problem.why, problem.unrepeated))
    return Failure(problem, problem.detail.rpartition("\n")[2].strip(), hint_for(problem, missed))


def failures_of(
    conn: sqlite3.Connection, run: int | None = None, kind: str | None = None, *, partly: bool = False
) -> Failures:
    """What failed in a run (None: the newest), of one kind or of any; selectors only where no kind is named.

    `partly`: also selectors that missed on some pages only. Raises QueryError when there is no such run.
    """
    chosen = chosen_run(conn, run)
    problems = problems_of(conn, chosen.id, kind)
    missed = missed_selectors(conn, chosen.id, partly=partly) if kind is None else ()
    return Failures(
        chosen.id, chosen.target, [failure_of(problem, missed) for problem in problems], with_calls(missed)
    )


def with_calls(missed: Sequence[SelectorHits]) -> list[MissedSelector]:
    """Selectors with their calls as the author wrote them."""
    return [MissedSelector(hits, as_written(hits)) for hits in missed]


def findings_of(summary: Summary) -> Findings:
    """What the end of a crawl says about its problems and its selectors."""
    authors = [problem for problem in summary.problems if problem.place]
    site = [problem for problem in summary.problems if not problem.place]
    return Findings(
        failure_of(authors[0], summary.silent) if authors else None,
        sum(problem.count for problem in authors[1:]),
        len(authors[1:]),
        site[:KINDS_NAMED],
        with_calls(_telling(summary, authors)),
    )


def _telling(summary: Summary, authors: Sequence[Problem]) -> list[SelectorHits]:
    """The silent selectors worth a line: all when there are no items, else those that used to match."""
    places = {problem.place.partition(" in ")[0] for problem in authors}
    silent = [hits for hits in summary.silent if hits.place not in places]
    if summary.rows or summary.exit_code == INTERRUPTED:
        return [hits for hits in silent if hits.before is not None]
    return sorted(silent, key=lambda hits: (hits.before is None, hits.meant is None))
