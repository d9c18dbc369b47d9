"""`scraper tables` and `scraper query`."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

import click

from scraper.cli.words import number
from scraper.errors import QueryError
from scraper.project import find_database
from scraper.query import ask, list_tables, open_readonly, write_answer

__all__ = ["query", "tables"]


@click.command()
@click.argument("database")
@click.option("--all", "everything", is_flag=True, help="Internal tables too.")
def tables(database: str, everything: bool) -> None:
    """The tables of DATABASE (a file, or a spider's name) with their rows and columns."""
    with closing(open_readonly(find_database(database))) as conn:
        found = [info for info in list_tables(conn) if everything or not info.name.startswith("_")]
    for info in found:
        columns = ", ".join(
            f"{name} {type_}".strip() for name, type_ in info.columns if not name.startswith("_")
        )
        click.echo(f"{info.name}  {number(info.rows)} rows  ({columns})")
    if not found:
        click.echo("no tables yet", err=True)


@click.command()
@click.argument("database")
@click.argument("question")
@click.option("--csv", "form", flag_value="csv", help="Comma separated.")
@click.option("--json", "form", flag_value="json", help="One JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N rows.")
def query(database: str, question: str, form: str | None, limit: int | None) -> None:
    """Ask DATABASE a QUESTION: an SQL statement, or the name of a table."""
    with closing(open_readonly(find_database(database))) as conn:
        answer = ask(conn, question, limit)
        try:
            write_answer(answer, sys.stdout, form or "table")
        except sqlite3.Error as error:
            raise QueryError(f"the query failed: {error}") from error
        sys.stdout.flush()
