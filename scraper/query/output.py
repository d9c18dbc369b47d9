"""Answers as text: an aligned table, CSV, JSON, JSON lines. Rows are written as they are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TextIO

from scraper.query.database import Answer
from scraper.trace import printable

__all__ = ["FORMATS", "write_answer"]

#: Rows looked at to choose column widths, and the widest a column gets.
SAMPLE, WIDEST = 500, 60


def write_answer(answer: Answer, out: TextIO, form: str = "table") -> int:
    """Write an answer in a format of `FORMATS`. Returns the number of rows."""
    return FORMATS[form](answer.columns, answer.rows, out)


def _table(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], out: TextIO) -> int:
    rows = iter(rows)
    head = [[_cell(value) for value in row] for row in islice(rows, SAMPLE)]
    numeric = [bool(head) and all(_is_number(row[i]) for row in head) for i in range(len(columns))]
    widths = [min(WIDEST, max([len(name), *(len(row[i]) for row in head)])) for i, name in enumerate(columns)]

    def line(cells: Sequence[str]) -> None:
        shown = [_fit(cell, width, right) for cell, width, right in zip(cells, widths, numeric, strict=True)]
        out.write("  ".join(shown).rstrip() + "\n")

    line(columns)
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
        return ""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return printable(str(value))


def _is_number(cell: str) -> bool:
    return cell == "" or cell.replace(".", "", 1).removeprefix("-").isdigit()


def _fit(cell: str, width: int, right: bool) -> str:
    if len(cell) > width:
        return cell[: width - 1] + "…"
    return cell.rjust(width) if right else cell.ljust(width)


def _csv(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], out: TextIO) -> int:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([value.hex() if isinstance(value, bytes) else value for value in row])
        count += 1
    return count


def _jsonl(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], out: TextIO) -> int:
    count = 0
    for row in rows:
        out.write(_record(columns, row) + "\n")
        count += 1
    return count


def _json(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], out: TextIO) -> int:
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
    return json.dumps(values, ensure_ascii=False)


#: Writers by name; bytes are hex in all of them but the table.
FORMATS: Mapping[str, Callable[[Sequence[str], Iterable[tuple[Any, ...]], TextIO], int]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
}
