"""How well the columns of item tables were filled: counted as rows are written, stored with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from scraper.core.models import ItemRow, Table

__all__ = ["Fill"]

#: What counts as empty, in SQLite's own types: nothing, no text, an empty list.
EMPTY = frozenset({None, "", "[]"})


@dataclass(slots=True)
class _Count:
    """Of one column: rows with a value (tables of plain dicts only), rows without, and the first of these."""

    filled: int = 0
    empty: int = 0
    url: str | None = None
    place: str | None = None


@dataclass(slots=True)
class Fill:
    """Counts of one run, since the last flush.

    Invariant: what is stored, and what is held here, are of rows whose page is written; `flush` stores it in
    the transaction of these rows.
    """

    run: int
    _held: dict[tuple[str, str], _Count] = field(default_factory=dict)
    _tables: set[int] = field(default_factory=set)
    _seen: list[Table] = field(default_factory=list)

    def add(self, rows: Sequence[ItemRow], url: str) -> None:
        """The rows of a page that is written; the last thing of its savepoint."""
        for row in rows:
            if id(row.table) not in self._tables:
                self._begin(row.table)
            values = row.values
            if row.table.open or None in values or "" in values or "[]" in values:
                self._row(row, url)

    def _begin(self, table: Table) -> None:
        """A table's columns are all stored, those that are never empty too: so that a later run knows of them."""
        if len(self._seen) >= 1024:  # shapes of plain dicts
            self._tables.clear()
            self._seen.clear()
        self._tables.add(id(table))
        self._seen.append(table)  # its id stays its own
        for column in table.columns:
            self._held.setdefault((table.name, column.name), _Count())

    def _row(self, row: ItemRow, url: str) -> None:
        table = row.table
        for column, value in zip(table.columns, row.values, strict=True):
            if value is None or (isinstance(value, str) and value in EMPTY):
                count = self._held.setdefault((table.name, column.name), _Count())
                count.empty += 1
                if count.url is None:
                    count.url, count.place = url, row.place
            elif table.open:
                self._held.setdefault((table.name, column.name), _Count()).filled += 1

    def flush(self, conn: sqlite3.Connection) -> None:
        """Store what is held."""
        if self._held:
            conn.executemany(
                'INSERT INTO _fill (run, "table", "column", filled, empty, url, place) VALUES (?, ?, ?, ?, ?, ?, ?)'
                ' ON CONFLICT (run, "table", "column") DO UPDATE SET filled = filled + excluded.filled,'
                " empty = empty + excluded.empty, url = coalesce(url, excluded.url),"
                " place = coalesce(place, excluded.place)",
                [
                    (self.run, table, column, count.filled, count.empty, count.url, count.place)
                    for (table, column), count in self._held.items()
                ],
            )
            self._held.clear()
