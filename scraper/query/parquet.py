"""Parquet, with the types the item class declared: decimals exact, aware datetimes as timestamps in UTC."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib import import_module
from itertools import islice
from typing import Any

from scraper.core.codec.value_kinds import kind_named, kind_of_type
from scraper.core.extras import require as require_extra
from scraper.errors import QueryError
from scraper.query.columns import Contents, contents_of
from scraper.query.database import QueryResult

__all__ = ["require", "write_parquet"]

#: Rows in memory at a time; each makes one row group.
GROUP = 32_768

Convert = Callable[[Any], Any]


def require() -> Any:
    """pyarrow. Raises UsageError naming the command that installs it."""
    return require_extra("parquet", "writing Parquet")


def write_parquet(conn: sqlite3.Connection, ask: Callable[[], QueryResult], path: str) -> int:
    """Write an answer, asking twice: once for what the columns hold, once for the rows."""
    arrow = require()
    parquet = import_module("pyarrow.parquet")
    columns = contents_of(conn, ask)
    plans = [_plan(arrow, column) for column in columns]
    schema = arrow.schema(
        [arrow.field(column.name, kind) for column, (kind, _) in zip(columns, plans, strict=True)]
    )
    rows = iter(ask().rows)
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP)):
            arrays = [
                _array(arrow, column, plan, values)
                for column, plan, values in zip(columns, plans, zip(*group, strict=True), strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _array(arrow: Any, column: Contents, plan: tuple[Any, Convert | None], values: tuple[Any, ...]) -> Any:
    kind, convert = plan
    try:
        if convert is not None:
            return arrow.array([None if value is None else convert(value) for value in values], kind)
        return arrow.array(values, kind)
    except (arrow.ArrowException, ValueError, TypeError, ArithmeticError) as error:
        raise QueryError(
            f"column {column.name} was declared as {column.kind} and holds something else ({error}); "
            f"give it another name: SELECT … AS {column.name}_text"
        ) from error


def _plan(arrow: Any, column: Contents) -> tuple[Any, Convert | None]:
    """The Arrow type of a column, and what makes its values of SQLite's."""
    kind = kind_named(column.kind)
    made = kind.parquet(arrow, column.scan) if kind else None
    return _by_values(arrow, column) if kind is None or made is None else (made, kind.to_parquet)


def _by_values(arrow: Any, column: Contents) -> tuple[Any, Convert | None]:
    """The type of a column nothing is declared of, from the values it has."""
    if len(column.types) == 1 and (kind := kind_of_type(*column.types)):
        return kind.parquet(arrow, column.scan), None
    if column.types == {int, float}:
        return arrow.float64(), float
    return arrow.string(), _as_text


def _as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
