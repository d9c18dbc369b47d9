"""The tables of a database: rows, columns, how well each is filled, and which columns emptied in the newest run."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.query.tables import TableInfo, fill_rates, list_tables
from scraper.reports.quality import Emptied, emptied

__all__ = ["Column", "TableReport", "Tables", "tables_of"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as `scraper.query.ColumnInfo` has it."""

    name: str
    type: str
    kind: str
    key: bool
    filled: float | None


@dataclass(frozen=True, slots=True)
class TableReport:
    """A table or view. `sampled` says from how many rows the fill rates are, 0 for all of them."""

    table: str
    rows: int
    sampled: int
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables, the names of views, and the columns that `emptied` in `run`, the newest (None: there is none)."""

    tables: Sequence[TableReport]
    views: Sequence[str]
    run: int | None
    emptied: Sequence[Emptied]


def tables_of(conn: sqlite3.Connection, *, everything: bool = False) -> Tables:
    """The item tables of a database; `everything`: internal tables and views too."""
    listed = list_tables(conn)
    found = [_table(fill_rates(conn, info)) for info in listed if everything or not info.internal]
    views = [info.name for info in listed if info.internal and not info.name.startswith("_")]
    return Tables(found, views, *_emptied(conn))


def _table(info: TableInfo) -> TableReport:
    columns = [Column(one.name, one.type, one.kind, one.key, one.filled) for one in info.columns]
    return TableReport(info.name, info.rows, info.sampled, columns)


def _emptied(conn: sqlite3.Connection) -> tuple[int | None, Sequence[Emptied]]:
    """The newest run and the columns that emptied in it."""
    try:
        run = conn.execute("SELECT max(id) FROM _runs").fetchone()[0]
        return run, (emptied(conn, run) if run is not None else [])
    except sqlite3.OperationalError:
        return None, []  # a database of another program, or of an earlier version
