"""`scraper errors`: what failed in a run."""

from __future__ import annotations

import click

from scraper.cli.opened import opened
from scraper.cli.words import plural, shown_place
from scraper.query.crawls import FailureGroup, errors_of, latest_run
from scraper.trace import printable

__all__ = ["errors"]


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
@click.option("--kind", metavar="KIND", help="Only this kind of failure.")
@click.option("--full", is_flag=True, help="With the lines of code that led there.")
def errors(database: str, run: int | None, kind: str | None, full: bool) -> None:
    """What failed in a run of DATABASE, grouped by kind and place."""
    with opened(database) as conn:
        groups = errors_of(conn, latest_run(conn, run), kind)
    for group in groups:
        _show(group, full=full)
    if not groups:
        click.echo("nothing failed", err=True)


def _show(group: FailureGroup, *, full: bool) -> None:
    what = f"HTTP {group.status}" if group.kind == "http" else group.kind
    message = printable(group.message.partition("\n")[0])
    said = f"  {message}" if message and message != what else ""
    click.echo(f"{plural(group.count, 'page')}  {what}  {shown_place(group.place)}{said}".rstrip())
    click.echo(f"    first: {printable(group.url)}")
    if full and group.detail:
        for line in group.detail.splitlines():
            click.echo(f"    {printable(line)}")
