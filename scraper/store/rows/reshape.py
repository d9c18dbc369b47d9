"""A table in another shape: every row read, every value converted, those that do not survive counted.

SQLite cannot change the type or the key of a column, so the table is made anew and the rows are copied. All of
it happens in the transaction of the caller: a crash in the middle leaves the table as it was.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scraper.core.sql_names import fold, quoted
from scraper.store.rows.history import Found, columns_of, history_of, keep_history, keys_of

__all__ = ["Loss", "convert", "losses", "rebuild"]


@dataclass(frozen=True, slots=True)
class Loss:
    """Stored values of a column that another type would not keep: how many, and one of them."""

    count: int
    example: Any


def convert(value: Any, kind: str) -> tuple[Any, bool]:
    """The value as a column of `kind` holds it, and whether it survives: comes back equal, digit for digit."""
    if value is None or kind == "BLOB":
        return value, True
    if isinstance(value, bytes):
        return None, False
    if kind == "TEXT":
        return (value if isinstance(value, str) else repr(value)), True
    number = value if isinstance(value, (int, float)) else _number(value)
    if number is None:
        return None, False
    made = _whole(number) if kind == "INTEGER" else float(number) if kind == "REAL" else number
    return made, made == number and (not isinstance(value, str) or repr(number) == value)


def _number(text: str) -> int | float | None:
    """The number a text is, as SQLite can hold it; None for any other text."""
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            if -(2**63) <= number < 2**63 if kind is int else math.isfinite(number):
                return number
    return None


def _whole(number: float) -> int | None:
    return int(number) if -(2.0**63) <= number < 2**63 else None


def losses(conn: sqlite3.Connection, table: str, column: str, kind: str) -> Loss:
    """What a column of `table` and of its history would lose as `kind`."""
    count, example = 0, None
    for name in (table, history_of(table)):
        if fold(column) not in {fold(c.name) for c in columns_of(conn, name)}:
            continue
        with _function(conn, "_lost", lambda value: not convert(value, kind)[1]):
            found = conn.execute(
                f"SELECT count(*), min({quoted(column)}) FROM {quoted(name)} WHERE _lost({quoted(column)})"  # noqa: S608 - quoted
            ).fetchone()
        count, example = count + found[0], found[1] if example is None else example
    return Loss(count, example)


def rebuild(
    conn: sqlite3.Connection, table: str, kinds: Mapping[str, str], keys: Sequence[str] | None = None
) -> int:
    """Make a table anew: columns with the types of `kinds` (by folded name), and with `keys` as its key.

    Without `keys` the key stays. Values that do not survive become NULL; of rows that would share a key the
    one seen last stays. Returns how many rows are gone. Indexes and triggers of the table are made again.
    """
    columns = [Found(c.name, kinds.get(fold(c.name), c.type), c.pk) for c in columns_of(conn, table)]
    order = "_rowid_" if keys is None else "_run DESC, _rowid_ DESC"
    keys = keys_of(columns) if keys is None else keys
    extras = conn.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (table,),
    ).fetchall()
    rows = _count(conn, table)
    conn.execute(f"DROP VIEW IF EXISTS {quoted(f'{table}_history')}")
    _copy(conn, table, columns, _constraints(columns, keys), order)
    past = [c._replace(type=kinds.get(fold(c.name), c.type)) for c in columns_of(conn, history_of(table))]
    if past:
        _copy(conn, history_of(table), past, "", "_rowid_")
    for (sql,) in extras:
        conn.execute(sql)
    keep_history(conn, table)
    return rows - _count(conn, table)


def _constraints(columns: Sequence[Found], keys: Sequence[str]) -> str:
    if not keys:
        return ", UNIQUE (_request, _ordinal)"
    wanted = {fold(key) for key in keys}
    return f", PRIMARY KEY ({', '.join(quoted(c.name) for c in columns if fold(c.name) in wanted)})"


def _copy(
    conn: sqlite3.Connection, table: str, columns: Sequence[Found], constraints: str, order: str
) -> None:
    """Copy a table into one of other types and constraints that takes its name."""
    name, made = quoted(table), quoted("_rebuilt")
    old = {c.name: c.type for c in columns_of(conn, table)}
    keyed = constraints.startswith(", PRIMARY KEY")
    key = constraints if keyed else ""
    parts = [f"{quoted(c.name)} {c.type}{' NOT NULL' if quoted(c.name) in key else ''}" for c in columns]
    conn.execute(f"CREATE TABLE {made} ({', '.join(parts)}{constraints})")
    taken = [
        quoted(c.name) if old[c.name] == c.type else f"_as({quoted(c.name)}, '{c.type}')" for c in columns
    ]
    with _function(conn, "_as", lambda value, kind: convert(value, kind)[0]):
        conn.execute(
            f"INSERT OR IGNORE INTO {made} ({', '.join(quoted(c.name) for c in columns)})"  # noqa: S608 - quoted
            f" SELECT {', '.join(taken)} FROM {name} ORDER BY {order}"
        )
    # What other views and triggers say of the table is none of our business; do not let SQLite parse it now.
    conn.execute("PRAGMA legacy_alter_table = ON")
    try:
        conn.execute(f"DROP TABLE {name}")
        conn.execute(f"ALTER TABLE {made} RENAME TO {name}")
    finally:
        conn.execute("PRAGMA legacy_alter_table = OFF")


def _count(conn: sqlite3.Connection, table: str) -> int:
    return int(conn.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted


@contextmanager
def _function(conn: sqlite3.Connection, name: str, function: Callable[..., Any]) -> Any:
    """A Python function under a name in SQL, for as long as it is needed."""
    arguments = function.__code__.co_argcount
    conn.create_function(name, arguments, function, deterministic=True)
    try:
        yield
    finally:
        conn.create_function(name, arguments, None)
