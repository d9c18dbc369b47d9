"""What the columns of an answer hold, for formats that need to know before the first row is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scraper.query.database import QueryResult
from scraper.query.tables import kinds_of

__all__ = ["Shape", "decimal_of", "json_columns", "shapes_of"]

#: Kinds that need a look at the values: an unknown column, the digits of a decimal, the zone of a datetime.
_LOOKED_AT = frozenset({"", "decimal", "datetime"})


@dataclass(slots=True)
class Shape:
    """What a column holds. `kind` as declared, `types` the Python types that occur where it was looked at.

    `whole` and `digits` are the most digits before and after a decimal's point; `zoned` and `naive` say what
    datetimes there are.
    """

    name: str
    kind: str
    types: set[type]
    whole: int = 1
    digits: int = 0
    zoned: bool = False
    naive: bool = False


def shapes_of(conn: sqlite3.Connection, ask: Callable[[], QueryResult]) -> list[Shape]:
    """The shapes of an answer's columns: what was declared, and one pass over the values where that is not all."""
    answer = ask()
    shapes = [Shape(name, kind, set()) for name, kind in _kinds(conn, answer)]
    looked_at = [(i, shape) for i, shape in enumerate(shapes) if shape.kind in _LOOKED_AT]
    if looked_at:
        _look(looked_at, answer.rows)
    return shapes


def json_columns(conn: sqlite3.Connection, answer: QueryResult) -> frozenset[str]:
    """The columns of an answer that were declared as lists, dicts or item classes, and so hold JSON."""
    return frozenset(name for name, kind in _kinds(conn, answer) if kind == "json")


def _kinds(conn: sqlite3.Connection, answer: QueryResult) -> Iterator[tuple[str, str]]:
    known: dict[str, dict[str, str]] = {}
    for name in answer.columns:
        table, column = answer.sources.get(name, ("", ""))
        if table and table not in known:
            known[table] = kinds_of(conn, table)
        yield name, known[table].get(column, "") if table else ""


def _look(shapes: list[tuple[int, Shape]], rows: Iterable[tuple[Any, ...]]) -> None:
    lookers = [(i, shape, {"decimal": _digits, "datetime": _zone}.get(shape.kind)) for i, shape in shapes]
    for row in rows:
        for i, shape, look in lookers:
            value = row[i]
            if value is not None:
                shape.types.add(type(value))
                if look is not None:
                    look(shape, value)


def _digits(shape: Shape, value: Any) -> None:
    try:
        _, digits, exponent = decimal_of(value).as_tuple()
    except ArithmeticError:
        shape.kind = ""
        return
    if isinstance(exponent, int):
        shape.digits = max(shape.digits, -exponent)
        shape.whole = max(shape.whole, len(digits) + exponent)


def _zone(shape: Shape, value: Any) -> None:
    zoned = isinstance(value, str) and value.endswith("Z")
    shape.zoned |= zoned
    shape.naive |= not zoned


def decimal_of(value: Any) -> Decimal:
    """The decimal that was stored: NUMERIC keeps one as the integer or float that comes back exactly."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
