"""`scraper undo`: a bad run undone."""

from __future__ import annotations

import time

import click

from scraper.api.database import maintain
from scraper.cli.terminal.formatting import plural, shown_database
from scraper.core.maintenance import Undone
from scraper.project.folder import find_database

__all__ = ["undo"]


@click.command()
@click.argument("database")
@click.argument("run", type=int)
def undo(database: str, run: int) -> None:
    """Undo RUN of DATABASE: rows with a key are as before it again, its rows without a key are removed."""
    path = find_database(database)
    done = maintain(path).undo(run, shown=shown_database(path), now=time.time())
    for one in done:
        if told := _told(one):
            click.echo(f"{one.table}: {told}", err=True)
    unchanged = "" if any(map(_told, done)) else ": it had changed nothing"
    click.echo(f"run {run} is undone{unchanged}", err=True)


def _told(one: Undone) -> str:
    parts = [
        (one.restored, "as before again"),
        (one.removed, "removed"),
        (one.unmarked, "not gone any more"),
    ]
    return ", ".join(f"{plural(count, 'row')} {what}" for count, what in parts if count)
