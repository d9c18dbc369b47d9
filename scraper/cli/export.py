"""`scraper export`, and the files of `scraper crawl -o`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from scraper.cli.query import attaching, parameters, reading
from scraper.cli.words import plural
from scraper.names import quoted
from scraper.query import Export, check_output, export, open_readonly
from scraper.query.database import own_columns
from scraper.query.tables import own_tables
from scraper.summary import Summary

__all__ = ["check_run_output", "export_command", "export_run"]


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
    with reading(database, attach) as conn:
        what = Export(question, parameters(question, given), everything, safe, limit)
        rows = export(conn, what, out, force=force)
    click.echo(f"{out}: {plural(rows, 'row')}", err=True)


def check_run_output(out: str) -> None:
    """See before a crawl that its rows can be written to `out` after it."""
    check_output(out, force=True)


def export_run(summary: Summary, out: str) -> list[tuple[str, int]]:
    """Write the rows a run saw: one table to `out`, several to `out` with the table's name in it.

    Returns the files with their numbers of rows; `out` is replaced when it exists, as a shell's `>` does.
    """
    path = Path(out)
    written = []
    with closing(open_readonly(summary.database)) as conn:
        names = [name for name in own_tables(conn) if sum(summary.items.get(name, {}).values())]
        for name in names or own_tables(conn)[:1]:
            target = path if len(names) < 2 else path.with_name(f"{path.stem}.{name}{path.suffix}")
            columns = ", ".join(map(quoted, own_columns(conn, name)))
            sql = f"SELECT {columns} FROM {quoted(name)} WHERE _run = {summary.run}"  # noqa: S608 - quoted
            written.append((str(target), export(conn, Export(sql), target, force=True)))
    return written
