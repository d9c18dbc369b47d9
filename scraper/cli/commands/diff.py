"""`scraper diff` and `scraper undo`: what runs changed, and a bad one taken back."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from scraper.cli.database import opened
from scraper.cli.terminal.formatting import number, plural, shown_database
from scraper.core.tracebacks import printable
from scraper.errors import UsageError
from scraper.project.folder import find_database
from scraper.reports.diff import Change, Kind, choose_runs, compare
from scraper.reports.json_form import to_json
from scraper.store.file.maintenance import transaction, upkeep
from scraper.store.rows.undo import Undone
from scraper.store.rows.undo import undo as take_back

__all__ = ["diff", "undo"]

_SIGNS: Mapping[Kind, str] = {"appeared": "+", "vanished": "-", "changed": "~"}
#: Characters of a value shown on a line.
WIDEST = 60


@click.command()
@click.argument("database")
@click.argument("runs", nargs=-1, type=int, metavar="[RUN RUN]")
@click.option("--table", metavar="TABLE", help="Only this table.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def diff(database: str, runs: tuple[int, ...], table: str | None, as_json: bool) -> int:
    """What appeared, vanished and changed between two runs of DATABASE; without RUN RUN the last two complete ones.

    Exit code 0: nothing differs; 1: something does; 2: they cannot be compared.
    """
    if len(runs) not in {0, 2}:
        raise UsageError("name two runs, the older first, or none for the last two complete ones")
    write = _JsonArray() if as_json else _write_line
    with opened(database) as reading, reading.one_moment():
        pair = reading.read(choose_runs, runs)
        if pair.warning:
            click.echo(f"! {pair.warning}", err=True)
        found = reading.read(compare, pair, table, write)
    if isinstance(write, _JsonArray):
        write.end()
    sys.stdout.flush()
    for name, counts in found.tables.items():
        told = ", ".join(f"{number(counts[kind])} {kind}" for kind in _SIGNS if kind in counts)
        click.echo(f"{name}: {told} (run {pair.old} → {pair.new})", err=True)
    if not found.tables:
        click.echo(f"nothing differs between run {pair.old} and run {pair.new}", err=True)
    return 1 if found.tables else 0


def _write_line(change: Change) -> None:
    sys.stdout.write(printable(_line(change)) + "\n")


def _line(change: Change) -> str:
    start = f"{_SIGNS[change.change]} {change.table}"
    key = " ".join(f"{name}={_short(value)}" for name, value in change.key.items())
    if change.fields is not None:
        told = ", ".join(
            f"{n} {_short(one.before)} → {_short(one.after)}" for n, one in change.fields.items()
        )
    else:
        row = change.row or {}
        rest = {n: v for n, v in row.items() if n not in change.key and v is not None}
        told = ", ".join(f"{name} {_short(value)}" for name, value in rest.items())
    return "  ".join(part for part in (start, key, told) if part)


def _short(value: Any) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else "none" if value is None else str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


class _JsonArray:
    """Writes one JSON array, element by element."""

    def __init__(self) -> None:
        self._start = "[\n "

    def __call__(self, change: Change) -> None:
        sys.stdout.write(self._start + json.dumps(to_json(change), ensure_ascii=False))
        self._start = ",\n "

    def end(self) -> None:
        sys.stdout.write("[]\n" if self._start == "[\n " else "\n]\n")


@click.command()
@click.argument("database")
@click.argument("run", type=int)
def undo(database: str, run: int) -> None:
    """Take RUN of DATABASE back: rows with a key as they were before it, its rows without a key removed."""
    path = find_database(database)
    try:
        with upkeep(path, "scraper undo", time.time()) as conn, transaction(conn):
            done = take_back(conn, run, shown_database(path))
    except sqlite3.IntegrityError as error:
        raise UsageError(f"run {run} cannot be undone: {error}; a later row took a unique value") from error
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
