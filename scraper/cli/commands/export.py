"""`scraper export`: a table or an answer as a file."""

from __future__ import annotations

from collections.abc import Sequence

import click

from scraper.cli.commands.query import attaching, parameters, reading
from scraper.cli.terminal.formatting import plural
from scraper.query import Export, check_output, export

__all__ = ["export_command"]


@click.command("export")
@click.argument("database")
@click.argument("question")
@click.argument("out")
@click.option(
    "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter: of :NAME, or the next ?."
)
@attaching
@click.option("--all", "everything", is_flag=True, help="Of a table: the internal columns too.")
@click.option("--excel-safe", "safe", is_flag=True, help="CSV in which no text is run as a formula.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N rows.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
def export_command(
    database: str, question: str, out: str, given: Sequence[str], attach: Sequence[str], everything: bool,
    safe: bool, limit: int | None, force: bool,
) -> None:  # fmt: skip
    """Write a table of DATABASE, or the answer to an SQL statement, to OUT: .csv, .json, .jsonl, .parquet, .xlsx."""
    check_output(out, force=force)
    with reading(database, attach) as handle:
        what = Export(question, parameters(question, given), everything, safe, limit)
        rows = handle.read(export, what, out, force=force)
    click.echo(f"{out}: {plural(rows, 'row')}", err=True)
