"""Every version of a keyed row: what a run replaced is kept in `_<table>_history`, readable as `<table>_history`.

A version begins with the run that first stored it (`_from_run`) and ends with the run that found something else
(`_until_run`; NULL for the one that stands in the table). Rows without a key have no versions: each belongs to
its run.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from scraper.core.sql_names import quoted

__all__ = ["BEGUN", "Found", "columns_of", "history_of", "item_tables", "keep_history", "keys_of"]

#: The run since which a row is as it is, in SQL over the columns of an item table or of its history.
BEGUN = "max(_first_run, coalesce(_changed_run, 0), coalesce(_back_run, 0))"


class Found(NamedTuple):
    """A column as it is in the database; `pk` is its place in the primary key, 0 for none."""

    name: str
    type: str
    pk: int


def columns_of(conn: sqlite3.Connection, table: str) -> list[Found]:
    """The columns of a table; empty when there is none of that name."""
    rows = conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table,))
    return [Found(name, kind.upper(), pk) for name, kind, pk in rows]


def keys_of(columns: list[Found]) -> list[str]:
    """The names of the key's columns, in its order."""
    return [column.name for column in sorted(columns, key=lambda c: c.pk) if column.pk]


def item_tables(conn: sqlite3.Connection) -> list[str]:
    """The item tables of a database, by name: those that say which run saw a row first."""
    rows = conn.execute(
        "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND substr(m.name, 1, 1) <> '_' AND c.name = '_first_run' ORDER BY m.name"
    )
    return [name for (name,) in rows]


def history_of(table: str) -> str:
    """The internal table of the versions that were replaced."""
    return f"_{table}_history"


def keep_history(conn: sqlite3.Connection, table: str) -> None:
    """Make the history of a keyed table, or bring it to the columns the table has now. Schema step 2 uses it."""
    columns = columns_of(conn, table)
    keys = keys_of(columns)
    if not keys:
        return
    kept, name = {column.name for column in columns_of(conn, history_of(table))}, quoted(history_of(table))
    if not kept:
        listed = ", ".join(f"{quoted(c.name)} {c.type}" for c in columns)
        conn.execute(f"CREATE TABLE {name} ({listed}, _until_run INTEGER NOT NULL)")
    else:
        for column in columns:
            if column.name not in kept:
                conn.execute(f"ALTER TABLE {name} ADD COLUMN {quoted(column.name)} {column.type}")
    index = quoted(f"{history_of(table)}_key")
    conn.execute(f"DROP INDEX IF EXISTS {index}")
    conn.execute(f"CREATE INDEX {index} ON {name} ({', '.join(map(quoted, keys))}, _until_run)")
    _make_view(conn, table, columns)


def _make_view(conn: sqlite3.Connection, table: str, columns: list[Found]) -> None:
    own = [quoted(column.name) for column in columns if not column.name.startswith("_")]
    own += [f"{BEGUN} AS _from_run", "_run AS _last_run"]
    name, source = quoted(f"{table}_history"), "_gone_run, _url, _at FROM"
    conn.execute(f"DROP VIEW IF EXISTS {name}")
    conn.execute(
        f"CREATE VIEW {name} AS SELECT {', '.join(own)}, _until_run, {source} {quoted(history_of(table))}"
        f" UNION ALL SELECT {', '.join(own)}, NULL, {source} {quoted(table)}"
    )
