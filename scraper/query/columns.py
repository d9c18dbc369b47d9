"""What the columns of an answer hold, for formats that need to know before the first row is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from scraper.core.codec.parquet_types import Scan
from scraper.core.codec.value_kinds import JSON, kind_named
from scraper.query.database import QueryResult
from scraper.query.tables import kinds_of

__all__ = ["Contents", "contents_of", "json_columns"]


@dataclass(slots=True)
class Contents:
    """What a column of an answer holds. `kind` is the word for what was declared, empty for nothing or several things.

    `types` are the Python types that occur and `scan` what else one pass over the values found. Both are empty for
    columns whose kind says it all.
    """

    name: str
    kind: str
    types: set[type] = field(default_factory=set)
    scan: Scan = field(default_factory=Scan)


def contents_of(conn: sqlite3.Connection, ask: Callable[[], QueryResult]) -> list[Contents]:
    """The contents of an answer's columns: what was declared, and one pass over the values where that is not all."""
    answer = ask()
    columns = [Contents(name, word) for name, word in _kinds(conn, answer)]
    scanned = [(i, column) for i, column in enumerate(columns) if _needs_scan(column.kind)]
    if scanned:
        _scan(scanned, answer.rows)
    return columns


def _needs_scan(word: str) -> bool:
    kind = kind_named(word)
    return kind is None or kind.scan is not None


def json_columns(conn: sqlite3.Connection, answer: QueryResult) -> frozenset[str]:
    """The columns of an answer that were declared as lists, dicts or item classes, and so hold JSON."""
    return frozenset(name for name, kind in _kinds(conn, answer) if kind == JSON.word)


def _kinds(conn: sqlite3.Connection, answer: QueryResult) -> Iterator[tuple[str, str]]:
    known: dict[str, dict[str, str]] = {}
    for name in answer.columns:
        table, column = answer.sources.get(name, ("", ""))
        if table and table not in known:
            known[table] = kinds_of(conn, table)
        yield name, known[table].get(column, "") if table else ""


def _scan(columns: list[tuple[int, Contents]], rows: Iterable[tuple[Any, ...]]) -> None:
    scans = [(i, column, kind.scan if (kind := kind_named(column.kind)) else None) for i, column in columns]
    for row in rows:
        for i, column, scan in scans:
            value = row[i]
            if value is not None:
                column.types.add(type(value))
                if scan is not None and column.kind:
                    _look(column, scan, value)


def _look(column: Contents, scan: Callable[[Scan, Any], None], value: Any) -> None:
    try:
        scan(column.scan, value)
    except (TypeError, ValueError, ArithmeticError):
        column.kind = ""  # something wrote another thing there: then it is what its values are
