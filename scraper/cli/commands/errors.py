"""`scraper errors`: what failed in a run, and which selectors found nothing."""

from __future__ import annotations

from collections.abc import Iterator

import click

from scraper.cli.database import opened
from scraper.cli.terminal.findings import error_lines, kind_of, missed_lines
from scraper.cli.terminal.formatting import plural
from scraper.core.tracebacks import printable
from scraper.errors import KINDS, UsageError
from scraper.project.folder import find_database
from scraper.reports.findings import Failure, Failures, failures_of
from scraper.settings import did_you_mean

__all__ = ["errors"]


@click.command()
@click.argument("database")
@click.option("--run", "number", type=int, metavar="N", help="This run instead of the newest.")
@click.option("--kind", metavar="KIND", help="Only this kind of failure.")
@click.option(
    "--full",
    is_flag=True,
    help="With all lines of code on the way, and selectors that missed on some pages only.",
)
def errors(database: str, number: int | None, kind: str | None, full: bool) -> None:
    """What failed in a run of DATABASE, grouped by kind and place; and the selectors that found nothing."""
    with opened(database) as reading:
        found = reading.read(failures_of, number, kind, partly=full)
    for line in _lines(found, find_database(database), full=full):
        click.echo(printable(line))
    if kind is not None and not found.failures and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}{did_you_mean(kind, KINDS)} Kinds: {', '.join(sorted(KINDS))}")
    if not found.failures and not found.missed:
        click.echo("nothing failed", err=True)


def _lines(found: Failures, database: str, *, full: bool) -> Iterator[str]:
    for failure in found.failures:
        yield from _failure(failure, found.target, database)
        if full:
            yield from (f"    {line}" for line in failure.problem.detail.splitlines())
    for missed in found.missed:
        yield from missed_lines(missed)


def _failure(failure: Failure, target: str, database: str) -> list[str]:
    if failure.problem.place:
        return error_lines(failure, target, database)
    return _site(failure)


def _site(failure: Failure) -> list[str]:
    """A failure that is not the author's: how often, what was said, the first URL, what to set."""
    problem = failure.problem
    what = kind_of(problem)
    message = problem.why.partition("\n")[0]
    said = f"  {message}" if message and message != what else ""
    lines = [f"{plural(problem.count, 'page')}  {what}{said}", f"    first: {problem.url}"]
    return lines + [f"    hint: {failure.hint}"] * bool(failure.hint)
