"""`scraper diff`: what two runs changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from scraper.cli.database import opened
from scraper.cli.terminal.formatting import number
from scraper.core.tracebacks import printable
from scraper.errors import UsageError
from scraper.reports.diff import Change, Kind, choose_runs, compare
from scraper.reports.json_form import to_json

__all__ = ["diff"]

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
