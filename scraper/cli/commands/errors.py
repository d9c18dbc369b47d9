"""`scraper errors`: what failed in a run, and which selectors found nothing."""

from __future__ import annotations

import click

from scraper.cli.database import opened
from scraper.cli.terminal.findings import error_lines, kind_of, missed_lines
from scraper.cli.terminal.formatting import plural
from scraper.core.tracebacks import printable
from scraper.errors import KINDS, UsageError
from scraper.project.folder import find_database
from scraper.reports.failures import Problem, problems_of
from scraper.reports.runs import latest_run
from scraper.settings import did_you_mean
from scraper.store.queue.runs import run_of
from scraper.store.rows.selectors import missed_selectors

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
    with opened(database) as conn:
        run = run_of(conn, latest_run(conn, number))
        problems = problems_of(conn, run.id, kind)
        missed = missed_selectors(conn, run.id, partly=full) if kind is None else ()
    path = find_database(database)
    for problem in problems:
        for line in error_lines(problem, missed, run.target, path) if problem.place else _site(problem):
            click.echo(printable(line))
        for line in problem.detail.splitlines() if full else ():
            click.echo(f"    {printable(line)}")
    for hits in missed:
        for line in missed_lines(hits):
            click.echo(printable(line))
    if kind is not None and not problems and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}{did_you_mean(kind, KINDS)} Kinds: {', '.join(sorted(KINDS))}")
    if not problems and not missed:
        click.echo("nothing failed", err=True)


def _site(problem: Problem) -> list[str]:
    """A failure that is not the author's: how often, what was said, the first URL."""
    what = kind_of(problem)
    message = problem.why.partition("\n")[0]
    said = f"  {message}" if message and message != what else ""
    return [f"{plural(problem.count, 'page')}  {what}{said}", f"    first: {problem.url}"]
