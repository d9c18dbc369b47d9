"""Answers as text: an aligned table, CSV, JSON, JSON lines. Rows are written as they are read.

NULL is `NULL` in a table, an empty field in CSV (where an empty text is `""`), null in JSON. Bytes are hexadecimal
in all of them but the table. What is stored as JSON is nested in JSON, and its text in the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, TextIO

from scraper.core.json_depth import check_depth
from scraper.core.tracebacks import printable
from scraper.errors import QueryError
from scraper.query.database import QueryResult

__all__ = ["FORMATS", "excel_safe", "write_answer"]

#: Rows looked at to choose column widths, the widest a column gets, and that where nothing is cut.
SAMPLE, WIDEST, UNCUT = 500, 60, 1 << 30
#: What makes a spreadsheet take a text for a formula when it stands first (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")

Rows = Iterable[tuple[Any, ...]]


def write_answer(
    answer: QueryResult,
    out: TextIO,
    form: str = "table",
    *,
    safe: bool = False,
    nested: Set[str] = frozenset(),
    whole: bool = False,
) -> int:
    """Write an answer in a format of `FORMATS`; returns the number of rows.

    `safe`: CSV made `excel_safe`. `nested`: the columns whose texts are JSON and become part of it.
    `whole`: a table whose cells are not cut at `WIDEST` characters.
    """
    write = FORMATS[form]
    if safe and form == "csv":
        write = partial(_csv, safe=True)
    elif whole and form == "table":
        write = partial(_table, widest=UNCUT)
    if nested and form in ("json", "jsonl"):
        return write(answer.columns, _nested(answer.columns, answer.rows, nested), out)
    return write(answer.columns, answer.rows, out)


def _nested(columns: Sequence[str], rows: Rows, nested: Set[str]) -> Iterator[tuple[Any, ...]]:
    which = [name in nested for name in columns]
    for row in rows:
        yield tuple(_parsed(value) if is_ else value for value, is_ in zip(row, which, strict=True))


def _parsed(value: Any) -> Any:
    """The list or object a text is; any other text, which an SQL function may have made of one, as it is."""
    if isinstance(value, str) and value.startswith(("[", "{")):
        with suppress(ValueError):
            check_depth(value)
            return json.loads(value)
    return value


def excel_safe(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, with an apostrophe before it; all else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _table(columns: Sequence[str], rows: Rows, out: TextIO, *, widest: int = WIDEST) -> int:
    rows = iter(rows)
    first = list(islice(rows, SAMPLE))
    head = [[_cell(value) for value in row] for row in first]
    right = [
        any(row[i] is not None for row in first)
        and all(row[i] is None or isinstance(row[i], (int, float)) for row in first)
        for i in range(len(columns))
    ]
    names = [printable(name) for name in columns]
    widths = [min(widest, max([len(name), *(len(row[i]) for row in head)])) for i, name in enumerate(names)]

    def line(cells: Sequence[str]) -> None:
        shown = [_fit(cell, width, number) for cell, width, number in zip(cells, widths, right, strict=True)]
        out.write("  ".join(shown).rstrip() + "\n")

    line(names)
    out.write("  ".join("─" * width for width in widths) + "\n")
    count = 0
    for cells in head:
        line(cells)
        count += 1
    for row in rows:
        line([_cell(value) for value in row])
        count += 1
    return count


def _cell(value: Any) -> str:
    """A value on one line, without control characters: what a site wrote must not steer a terminal."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return printable(str(value))


def _fit(cell: str, width: int, right: bool) -> str:
    if len(cell) > width:
        return cell[: width - 1] + "…"
    return cell.rjust(width) if right else cell.ljust(width)


def _csv(columns: Sequence[str], rows: Rows, out: TextIO, *, safe: bool = False) -> int:
    field = (lambda value: _field(excel_safe(value))) if safe else _field
    out.write(",".join(map(field, columns)) + "\n")
    count = 0
    for row in rows:
        out.write(",".join(map(field, row)) + "\n")
        count += 1
    return count


def _field(value: Any) -> str:
    """One field of a CSV line (RFC 4180): text is quoted where it must be, and where it is empty."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    text = str(value)
    if not text or any(c in text for c in ',"\n\r') or text[0].isspace() or text[-1].isspace():
        return '"' + text.replace('"', '""') + '"'
    return text


def _jsonl(columns: Sequence[str], rows: Rows, out: TextIO) -> int:
    count = 0
    for row in rows:
        out.write(_record(columns, row) + "\n")
        count += 1
    return count


def _json(columns: Sequence[str], rows: Rows, out: TextIO) -> int:
    count = 0
    out.write("[")
    for row in rows:
        out.write(",\n " if count else "\n ")
        out.write(_record(columns, row))
        count += 1
    out.write("\n]\n" if count else "]\n")
    return count


def _record(columns: Sequence[str], row: tuple[Any, ...]) -> str:
    values = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in zip(columns, row, strict=True)
    }
    try:
        return _dumps(values)
    except ValueError as error:  # inf, which SQL can compute and no item table holds
        raise QueryError("JSON has no infinity; write a .csv, or CAST that column AS TEXT") from error


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

#: Writers by name.
FORMATS: Mapping[str, Callable[[Sequence[str], Rows, TextIO], int]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
}
