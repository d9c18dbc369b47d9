"""Parquet, with the types the item class declared: decimals exact, aware datetimes as timestamps in UTC."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from importlib import import_module
from itertools import islice
from typing import Any

from scraper.core.extras import require as require_extra
from scraper.errors import QueryError
from scraper.query.columns import Shape, decimal_of, shapes_of
from scraper.query.database import QueryResult

__all__ = ["require", "write_parquet"]

#: Rows in memory at a time; each makes one row group.
GROUP = 32_768
#: The most digits a decimal of Arrow has.
LONGEST_128, LONGEST_256 = 38, 76

Convert = Callable[[Any], Any]


def require() -> Any:
    """pyarrow. Raises UsageError naming the command that installs it."""
    return require_extra("parquet", "writing Parquet")


def write_parquet(conn: sqlite3.Connection, ask: Callable[[], QueryResult], path: str) -> int:
    """Write an answer, asking twice: once for what the columns hold, once for the rows."""
    arrow = require()
    parquet = import_module("pyarrow.parquet")
    shapes = shapes_of(conn, ask)
    plans = [_plan(arrow, shape) for shape in shapes]
    schema = arrow.schema(
        [arrow.field(shape.name, kind) for shape, (kind, _) in zip(shapes, plans, strict=True)]
    )
    rows = iter(ask().rows)
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP)):
            arrays = [
                _array(arrow, shape, plan, values)
                for shape, plan, values in zip(shapes, plans, zip(*group, strict=True), strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _array(arrow: Any, shape: Shape, plan: tuple[Any, Convert | None], values: tuple[Any, ...]) -> Any:
    kind, convert = plan
    try:
        if convert is not None:
            return arrow.array([None if value is None else convert(value) for value in values], kind)
        return arrow.array(values, kind)
    except (arrow.ArrowException, ValueError, TypeError, ArithmeticError) as error:
        raise QueryError(
            f"column {shape.name} was declared as {shape.kind} and holds something else ({error}); "
            f"give it another name: SELECT … AS {shape.name}_text"
        ) from error


def _plan(arrow: Any, shape: Shape) -> tuple[Any, Convert | None]:
    """The Arrow type of a column, and what makes its values of SQLite's."""
    simple: dict[str, tuple[Any, Convert | None]] = {
        "text": (arrow.string(), None), "uuid": (arrow.string(), None), "json": (arrow.string(), None),
        "integer": (arrow.int64(), None), "real": (arrow.float64(), None), "boolean": (arrow.bool_(), bool),
        "bytes": (arrow.binary(), None), "date": (arrow.date32(), date.fromisoformat),
        "time": (arrow.time64("us"), _time), "timedelta": (arrow.duration("us"), _timedelta),
    }  # fmt: skip
    if shape.kind in simple:
        return simple[shape.kind]
    if shape.kind == "datetime" and shape.zoned != shape.naive:
        zone = "UTC" if shape.zoned else None
        return arrow.timestamp("us", tz=zone), datetime.fromisoformat
    if shape.kind == "decimal" and (digits := shape.whole + shape.digits) <= LONGEST_256:
        made = arrow.decimal128 if digits <= LONGEST_128 else arrow.decimal256
        return made(max(digits, 1), shape.digits), decimal_of
    return _looked_at(arrow, shape)


def _looked_at(arrow: Any, shape: Shape) -> tuple[Any, Convert | None]:
    """The type of a column nothing is declared of, from the values it has."""
    if shape.types == {int}:
        return arrow.int64(), None
    if shape.types and shape.types <= {int, float}:
        return arrow.float64(), float
    if shape.types == {bytes}:
        return arrow.binary(), None
    return arrow.string(), lambda value: value.hex() if isinstance(value, bytes) else str(value)


def _time(text: str) -> time:
    value = time.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError("Parquet has no time with a zone")
    return value


def _timedelta(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
