"""`scraper runs`: the runs of a database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from scraper.cli.database import opened
from scraper.query import QueryResult, write_answer
from scraper.reports.runs import RunNumbers, runs_of

__all__ = ["runs"]

COLUMNS = (
    "id",
    "spider",
    "state",
    "reason",
    "started",
    "seconds",
    "pages",
    "items",
    "failed",
    "queued",
)


@click.command()
@click.argument("database")
def runs(database: str) -> None:
    """The runs of DATABASE (a file, or a spider's name), newest first."""
    with opened(database) as reading:
        found = reading.read(runs_of)
    write_answer(QueryResult(COLUMNS, _rows(found)), sys.stdout, whole=not sys.stdout.isatty())


def _rows(found: Sequence[RunNumbers]) -> Iterator[tuple[Any, ...]]:
    for run in found:
        yield (
            run.id, run.spider, run.state, run.reason, _utc(run.started), run.seconds,
            run.pages, run.items, run.failed, run.queued,
        )  # fmt: skip


def _utc(unix: float) -> str:
    return datetime.fromtimestamp(round(unix, 3), UTC).strftime("%Y-%m-%d %H:%M:%S")
