"""`scraper diff`: what two runs changed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from scraper.cli.database import opened
from scraper.cli.terminal.formatting import number
from scraper.core.tracebacks import printable
from scraper.errors import UsageError
from scraper.reports.diff import Change, changes, choose_runs

__all__ = ["diff"]

_SIGNS = {"appeared": "+", "vanished": "-", "changed": "~"}
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
    with opened(database) as conn:
        conn.execute("BEGIN")  # one moment of the database, whatever a crawl writes meanwhile
        pair = choose_runs(conn, runs)
        if pair.warning:
            click.echo(f"! {pair.warning}", err=True)
        counted: Counter[tuple[str, str]] = Counter()
        found = _counting(changes(conn, pair, table), counted)
        (_write_json if as_json else _write_lines)(found)
        sys.stdout.flush()
    for name in dict.fromkeys(name for name, _ in counted):
        told = ", ".join(f"{number(counted[name, kind])} {kind}" for kind in _SIGNS if counted[name, kind])
        click.echo(f"{name}: {told} (run {pair.old} → {pair.new})", err=True)
    if not counted:
        click.echo(f"nothing differs between run {pair.old} and run {pair.new}", err=True)
    return 1 if counted else 0


def _counting(found: Iterable[Change], counted: Counter[tuple[str, str]]) -> Iterator[Change]:
    for change in found:
        counted[change.table, change.kind] += 1
        yield change


def _write_lines(found: Iterable[Change]) -> None:
    for change in found:
        sys.stdout.write(printable(_line(change)) + "\n")


def _line(change: Change) -> str:
    start = f"{_SIGNS[change.kind]} {change.table}"
    key = " ".join(f"{name}={_short(value)}" for name, value in change.key.items())
    if change.kind == "changed":
        told = ", ".join(f"{n} {_short(old)} → {_short(new)}" for n, (old, new) in change.fields.items())
    else:
        rest = {
            n: v for n, v in (change.after or change.before).items() if n not in change.key and v is not None
        }
        told = ", ".join(f"{name} {_short(value)}" for name, value in rest.items())
    return "  ".join(part for part in (start, key, told) if part)


def _short(value: Any) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else "none" if value is None else str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _write_json(found: Iterable[Change]) -> None:
    start = "[\n "
    for change in found:
        sys.stdout.write(start + json.dumps(_record(change), ensure_ascii=False))
        start = ",\n "
    sys.stdout.write("[]\n" if start == "[\n " else "\n]\n")


def _record(change: Change) -> dict[str, Any]:
    record: dict[str, Any] = {"table": change.table, "change": change.kind, "key": _plain(change.key)}
    if change.kind == "changed":
        pairs = change.fields.items()
        record["fields"] = {n: {"before": _value(old), "after": _value(new)} for n, (old, new) in pairs}
    else:
        record["row"] = _plain(change.after or change.before)
    return record


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
