"""Looking at crawls, live or dead, from another terminal: runs and hosts."""

from __future__ import annotations

import sys

import click

from scraper.cli.opened import opened
from scraper.query import write_answer
from scraper.query.crawls import hosts_of, latest_run, runs_of

__all__ = ["hosts", "runs"]


@click.command()
@click.argument("database")
def runs(database: str) -> None:
    """The runs of DATABASE (a file, or a spider's name), newest first."""
    with opened(database) as conn:
        write_answer(runs_of(conn), sys.stdout)


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
def hosts(database: str, run: int | None) -> None:
    """The domains of a run of DATABASE: sends, the smallest gap between two, what is parked and why."""
    with opened(database) as conn:
        write_answer(hosts_of(conn, latest_run(conn, run)), sys.stdout)
