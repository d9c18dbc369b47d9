"""`scraper explain`: what became of one URL, and why."""

from __future__ import annotations

import click

from scraper.cli.opened import opened
from scraper.cli.words import number, shown_database
from scraper.clock import iso
from scraper.errors import QueryError
from scraper.project import find_database
from scraper.query.crawls import latest_run, trail_of
from scraper.trace import printable

__all__ = ["explain"]


@click.command()
@click.argument("database")
@click.argument("url")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
def explain(database: str, url: str, run: int | None) -> None:
    """Why URL was fetched, skipped, retried, or not, in a run of DATABASE."""
    with opened(database) as conn:
        chosen = latest_run(conn, run)
        trail = trail_of(conn, chosen, url)
    if trail is None:
        raise QueryError(
            f"run {chosen} of {shown_database(find_database(database))} never queued {url}: no page linked to it,"
            " or it was out of scope, too deep, or another URL counted as the same page"
        )
    click.echo(f"{trail.url}  {trail.state}{'  ' + printable(trail.reason) if trail.reason else ''}")
    click.echo(f"  found on  {trail.found_on or 'the start'}, depth {trail.depth}, for {trail.callback}")
    for kind, sent_to, sent, status in trail.sends:
        elsewhere = f"  {sent_to}" if sent_to != trail.url else ""
        click.echo(f"  {iso(sent)}  {kind}  {status if status is not None else 'no answer'}{elsewhere}")
    if not trail.sends:
        click.echo("  nothing was sent for it")
    elif trail.attempts:
        click.echo(f"  {number(trail.attempts)} of the tries failed and were repeated")
