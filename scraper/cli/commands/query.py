"""`scraper tables` and `scraper query`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from scraper.cli.terminal.formatting import number
from scraper.core.tracebacks import printable
from scraper.errors import QueryError, UsageError
from scraper.project.folder import find_database
from scraper.query import FORMATS, Interrupted, Reading, ask, write_answer
from scraper.query.columns import json_columns
from scraper.query.error_hints import placeholders
from scraper.reports.json_form import to_json
from scraper.reports.tables import TableReport, Tables, tables_of
from scraper.settings import did_you_mean

__all__ = ["attaching", "parameters", "query", "reading", "tables"]

attaching = click.option(
    "--attach",
    multiple=True,
    metavar="DB",
    help="A further database, read as its name: other.book (repeatable).",
)


@contextmanager
def reading(database: str, attach: Sequence[str] = ()) -> Iterator[Reading]:
    """A handle for questions; Ctrl-C stops one at once, and so does SIGTERM: nothing half done is left behind."""
    path = find_database(database)
    others = {Path(found).stem: found for found in map(find_database, attach)}
    if len(others) < len(attach) or "main" in others or "temp" in others:
        raise UsageError(f"--attach: each database needs a name of its own, not {', '.join(attach)}")
    with Reading(path, name=database, attach=others) as handle:
        handle.heed_signals()
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield handle
        except Interrupted as error:
            raise KeyboardInterrupt from error
        finally:
            signal.signal(signal.SIGTERM, before)


def parameters(sql: str, given: Sequence[str]) -> Sequence[Any] | Mapping[str, Any]:
    """The values of `-p`: by name where the statement has names, else in order.

    Raises UsageError for a name that the statement does not have, and one it has without a value.
    """
    names, _ = placeholders(sql)
    if not names:
        return [_value(text) for text in given]
    values = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        name = name.lstrip(":@$")
        if not equals:
            raise UsageError(f"-p {pair}: the statement has names; write -p {names[0]}=VALUE")
        if name not in names:
            raise UsageError(f"-p {pair}: the statement has no :{name}{did_you_mean(name, names)}")
        values[name] = _value(text)
    if missing := [name for name in names if name not in values]:
        raise UsageError(f"no value for :{missing[0]}; give one: -p {missing[0]}=VALUE")
    return values


def _value(text: str) -> Any:
    """A number where the text is just how the number is written; a column of text compares it as text anyway."""
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if str(number) == text and abs(number) < 2**63:
            return number
    return text


@click.command()
@click.argument("database")
@click.option("--all", "everything", is_flag=True, help="Internal tables and columns too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def tables(database: str, everything: bool, as_json: bool) -> None:
    """The tables of DATABASE (a file, or a spider's name): rows, columns, and how well each column is filled."""
    with reading(database) as handle:
        found = handle.read(tables_of, everything=everything)
    if as_json:
        click.echo(json.dumps(to_json(found.tables), indent=1, ensure_ascii=False))
        return
    lost = _emptied(found)
    for table in found.tables:
        _show(table, everything, lost)
    if not found.tables:
        click.echo("no tables yet", err=True)
    elif found.views and not everything:
        click.echo(f"views: {', '.join(found.views)}")


def _emptied(found: Tables) -> dict[tuple[str, str], str]:
    """What to say of columns that emptied in the newest run."""
    return {
        (one.table, one.column): f"⚠ empty in {number(one.empty)} of {number(one.rows)} in run {found.run}"
        f" ({number(one.before_empty)} of {number(one.before_rows)} in run {one.before})"
        for one in found.emptied
    }


def _show(table: TableReport, everything: bool, lost: Mapping[tuple[str, str], str]) -> None:
    of = f"  (fill rates of {number(table.sampled)} rows, spread evenly)" if table.sampled else ""
    click.echo(f"{printable(table.table)}  {number(table.rows)} {'row' if table.rows == 1 else 'rows'}{of}")
    columns = [c for c in table.columns if everything or not c.name.startswith("_")]
    said = [lost.get((table.table, c.name), "") for c in columns]
    lines = [
        (printable(c.name), c.kind or c.type, "key" if c.key else "", _percent(c.filled)) for c in columns
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for (name, kind, key, filled), warning in zip(lines, said, strict=True):
        cells = f"  {name:{widths[0]}}  {kind:{widths[1]}}  {key:{widths[2]}}  {filled:>6}"
        click.echo(f"{cells}  {warning}".rstrip())


def _percent(share: float | None) -> str:
    """A share that is not all is never shown as 100 %, one that is not none never as 0 %."""
    if share is None:
        return ""
    percent = share * 100
    if 0 < share < 1:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.3g} %"


@click.command()
@click.argument("database")
@click.argument("question")
@click.option(
    "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter: of :NAME, or the next ?."
)
@attaching
@click.option("--csv", "form", flag_value="csv", help="Comma separated.")
@click.option("--excel-safe", "safe", is_flag=True, help="CSV in which no text is run as a formula.")
@click.option("--json", "form", flag_value="json", help="One JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N rows.")
@click.option("--all", "everything", is_flag=True, help="Of a table: the internal columns too.")
def query(
    database: str, question: str, given: Sequence[str], attach: Sequence[str], form: str | None, safe: bool,
    limit: int | None, everything: bool,
) -> None:  # fmt: skip
    """Ask DATABASE a QUESTION: an SQL statement, or the name of a table."""
    form = form or ("csv" if safe else "table")
    if safe and form != "csv":
        raise UsageError("--excel-safe is about CSV; write --csv --excel-safe")
    assert form in FORMATS
    with reading(database, attach) as handle:
        values = parameters(question, given)
        answer = handle.read(ask, question, values, limit=limit, everything=everything)
        nested = handle.read(json_columns, answer)
        try:
            write_answer(answer, sys.stdout, form, safe=safe, nested=nested)
        except UnicodeEncodeError as error:
            raise QueryError(
                f"this terminal cannot show {error.object[error.start]!r}; set PYTHONUTF8=1"
            ) from error
        sys.stdout.flush()
