"""Looking at crawls, live or dead, from another terminal: runs."""

from __future__ import annotations

import sys

import click

from scraper.cli.database import opened
from scraper.query import write_answer
from scraper.reports.runs import runs_of

__all__ = ["runs"]


@click.command()
@click.argument("database")
def runs(database: str) -> None:
    """The runs of DATABASE (a file, or a spider's name), newest first."""
    with opened(database) as conn:
        write_answer(runs_of(conn), sys.stdout)
