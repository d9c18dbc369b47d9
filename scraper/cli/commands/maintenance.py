"""`scraper prune`, `scraper backup`, `scraper migrate`: the upkeep of a database."""

from __future__ import annotations

import time
from pathlib import Path

import click

from scraper.api.database import maintain
from scraper.cli.terminal.formatting import number, plural
from scraper.errors import UsageError
from scraper.items import Items
from scraper.project.folder import find_database
from scraper.project.target import find_target
from scraper.settings import Settings

__all__ = ["backup", "migrate", "prune"]


@click.command()
@click.argument("database")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N runs; default 10.")
@click.option("--history", is_flag=True, help="Old versions of rows too, of before those runs.")
def prune(database: str, keep: int | None, history: bool) -> None:
    """Remove what old runs of DATABASE left behind, and give the space back. Items stay."""
    path = find_database(database)
    kept = keep if keep is not None else Settings().keep_runs
    before = _size(path)
    pruned = maintain(path).prune(kept, history=history, now=time.time())
    told = plural(pruned.runs, "run") + (
        f" and {plural(pruned.versions, 'version')} of rows" if history else ""
    )
    click.echo(f"pruned {told}; {_megabytes(before)} → {_megabytes(_size(path))}", err=True)


def _size(path: str) -> int:
    return sum(file.stat().st_size for file in (Path(path), Path(f"{path}-wal")) if file.exists())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{number(round(size / 1e3))} kB"


@click.command()
@click.argument("database")
@click.argument("out", type=click.Path(path_type=Path))
def backup(database: str, out: Path) -> None:
    """Copy DATABASE to the new file OUT, as it is at one moment; a crawl may be running on it."""
    maintain(find_database(database)).backup(out)
    click.echo(f"{out}: {_megabytes(_size(str(out)))}", err=True)


@click.command()
@click.argument("database")
@click.argument("target")
@click.option("--accept-loss", is_flag=True, help="Alter also what loses values or rows.")
def migrate(database: str, target: str, accept_loss: bool) -> None:
    """Bring the tables of DATABASE to what the item classes of the spider TARGET say now."""
    definition = find_target(target).definition
    tables = Items(definition.name, definition.items).tables
    if not tables:
        raise UsageError(
            f"{target} does not say which items it yields; write class {definition.cls.__name__}(Spider[Item])"
        )
    notes = maintain(find_database(database)).migrate(tables, accept_loss=accept_loss, now=time.time())
    for note in notes:
        click.echo(note, err=True)
    if not notes:
        click.echo(f"nothing to do: {', '.join(table.name for table in tables)}", err=True)
