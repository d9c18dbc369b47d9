"""What the columns of item tables hold, for who reads them without the item class."""

from __future__ import annotations

import sqlite3

from scraper.core.models import Table

__all__ = ["remember_kinds"]


def remember_kinds(conn: sqlite3.Connection, table: Table) -> None:
    """Keep the kinds of a table's columns as its class declares them now.

    A column of plain dicts that held another kind before may hold anything from then on.
    """
    clash = "CASE WHEN kind = excluded.kind THEN kind ELSE '' END" if table.open else "excluded.kind"
    conn.executemany(
        'INSERT INTO _columns ("table", "column", kind) VALUES (?, ?, ?)'  # noqa: S608 - constant text
        f' ON CONFLICT ("table", "column") DO UPDATE SET kind = {clash}',
        [(table.name, column.name, column.kind) for column in table.columns if column.kind or not table.open],
    )
