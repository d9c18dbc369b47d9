"""The tables of a database: rows, columns with their types and keys, and how well each column is filled."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scraper.core.sql_names import quoted

__all__ = ["ColumnInfo", "TableInfo", "fill_rates", "kinds_of", "list_tables", "own_tables", "table_names"]

#: Tables with more rows are sampled: so many pieces, spread evenly, of so many rows each.
PIECES, PIECE = 100, 1_000
#: Kinds of the columns every item table has.
_INTERNAL = {"_url": "text", "_at": "datetime"}
_BY_TYPE = {"TEXT": "text", "INTEGER": "integer", "REAL": "real"}


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column. `kind` says what its values are, in a word of `scraper.core.codec.value_kinds`; empty for several things.

    `filled` is the share of rows with a value that is neither NULL nor empty; None where nothing was counted.
    """

    name: str
    type: str
    key: bool = False
    kind: str = ""
    filled: float | None = None


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table or view. `sampled` says of how many rows the fill rates are, 0 for all of them."""

    name: str
    rows: int
    columns: Sequence[ColumnInfo]
    internal: bool
    sampled: int = 0


def list_tables(conn: sqlite3.Connection) -> list[TableInfo]:
    """All tables and views, item tables first, without fill rates."""
    rows = conn.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    listed = sorted((name.startswith("_"), kind == "view", name) for name, kind in rows)
    return [_info(conn, name, internal=hidden or view) for hidden, view, name in listed]


def table_names(conn: sqlite3.Connection, *, internal: bool = False) -> list[str]:
    """The names of tables and views, sorted; `internal`: those that begin with an underscore too."""
    rows = conn.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
    return [name for (name,) in rows if internal or not name.startswith(("_", "sqlite_"))]


def own_tables(conn: sqlite3.Connection) -> list[str]:
    """The item tables, by name."""
    rows = conn.execute(
        "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        " AND substr(m.name, 1, 1) <> '_' AND c.name = '_ordinal' ORDER BY m.name"
    ).fetchall()
    return [name for (name,) in rows]


def _info(conn: sqlite3.Connection, name: str, internal: bool) -> TableInfo:
    count = conn.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0]  # noqa: S608 - quoted name
    kinds = kinds_of(conn, name)
    rows = conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    columns = [ColumnInfo(column, type_, pk > 0, kinds.get(column, "")) for column, type_, pk in rows]
    return TableInfo(name, count, columns, internal)


def kinds_of(conn: sqlite3.Connection, table: str) -> dict[str, str]:
    """What the values of a table's columns are, by name: as the item class declared them, else by column type."""
    rows = conn.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
    kinds = {name: _INTERNAL.get(name) or _BY_TYPE.get(type_.upper(), "") for name, type_ in rows}
    try:
        declared = conn.execute('SELECT "column", kind FROM _columns WHERE "table" = ?', (table,)).fetchall()
    except sqlite3.OperationalError:
        return kinds  # a database of an earlier version, or of another program
    return kinds | {name: kind for name, kind in declared if name in kinds}


def fill_rates(conn: sqlite3.Connection, table: TableInfo) -> TableInfo:
    """The table with the fill rate of each column: in one scan, or from a sample of a big one."""
    names = [column.name for column in table.columns]
    counts = ", ".join(
        f"total({quoted(n)} IS NOT NULL AND {quoted(n)} NOT IN ('', '[]', '{{}}'))" for n in names
    )
    big = table.rows > PIECES * PIECE
    places = _places(conn, table.name) if big else []
    if not places:
        found = [conn.execute(f"SELECT count(*), {counts} FROM {quoted(table.name)}").fetchone()]  # noqa: S608 - quoted
    else:
        sql = (
            f"SELECT count(*), {counts} FROM"  # noqa: S608 - quoted names
            f" (SELECT * FROM {quoted(table.name)} WHERE rowid >= ? LIMIT {PIECE})"
        )
        found = [conn.execute(sql, (place,)).fetchone() for place in places]
    rows, *filled = [sum(column) for column in zip(*found, strict=True)]
    columns = [
        replace(column, filled=n / rows if rows else None)
        for column, n in zip(table.columns, filled, strict=True)
    ]
    return replace(table, columns=columns, sampled=rows if places else 0)


def _places(conn: sqlite3.Connection, name: str) -> list[int]:
    """Rowids spread over a table; none for one without rowids."""
    try:
        ends = conn.execute(f"SELECT min(rowid), max(rowid) FROM {quoted(name)}").fetchone()  # noqa: S608 - quoted
    except sqlite3.OperationalError:
        return []
    low, high = ends
    if not isinstance(low, int) or not isinstance(high, int):
        return []
    step = max(PIECE, (high - low + 1) // PIECES)
    return list(range(low, high + 1, step))
