"""`self.db`: what a spider may ask, while it crawls, of the database that its crawl is filling."""

from __future__ import annotations

import sqlite3
from typing import Any, TypeVar

from scraper.core.codec import fields_of
from scraper.core.sql_names import quoted
from scraper.errors import QueryError
from scraper.items import column_type_of, item_from_row, table_name
from scraper.query.database import ask, open_readonly
from scraper.query.dataset import Dataset, Row
from scraper.settings import did_you_mean

__all__ = ["Past"]

T = TypeVar("T")

#: Steps of SQLite's machine in which `has` and `get` must be done, with how many of them at a time: about 20 ms.
STEPS, PIECES = 10_000, 50
#: Milliseconds they wait for a lock. Readers have none to wait for but while the log is folded into the file.
PATIENCE = 100


class Past:
    """The rows that are committed, of earlier runs and of this one.

    `has` and `get` answer at once, from an index, and refuse what would take longer; `query` awaits.
    """

    def __init__(self, path: str, *, inline: bool = False) -> None:
        self._path = path
        self._dataset = Dataset(path, inline=inline)
        self._conn: sqlite3.Connection | None = None
        self._left = 0

    def has(self, item: type, /, **values: Any) -> bool:
        """Whether a row with these values is stored: `self.db.has(Book, upc="x")`."""
        return self._first(item, values) is not None

    def get(self, item: type[T], /, **values: Any) -> T | None:
        """The item with these values as it is stored, or None."""
        row = self._first(item, values)
        try:
            return None if row is None else item_from_row(item, row)
        except ValueError as error:
            raise QueryError(str(error)) from error

    async def query(self, sql: str, *parameters: Any) -> list[Row]:
        """All rows of an answer, as dicts. Values for `?` come in order, those for `:name` as one mapping."""
        return await self._dataset.query(sql, *parameters)

    async def close(self) -> None:
        """End the connections."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        await self._dataset.close()

    def _first(self, item: type, values: dict[str, Any]) -> Row | None:
        name, wanted = table_name(item), _stored(item, values)
        conn = self._connection()
        self._left = PIECES
        if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
            return None
        where = " AND ".join(f"{quoted(field)} IS ?" for field in wanted) or "1"
        try:
            answer = ask(conn, f"SELECT * FROM {quoted(name)} WHERE {where}", [*wanted.values()], limit=1)  # noqa: S608 - quoted
            row = next(iter(answer.rows), None)
        except QueryError as error:
            if self._left > 0:
                raise
            raise QueryError(
                f"self.db.has({item.__name__}, {', '.join(wanted)}=…) would look through all of {name}; "
                f"make these a key or an index (@table(index=…)), or await self.db.query(…)"
            ) from error
        return None if row is None else dict(zip(answer.columns, row, strict=True))

    def _connection(self) -> sqlite3.Connection:
        if self._conn is None:
            self._conn = open_readonly(self._path)
            self._conn.execute(f"PRAGMA busy_timeout = {PATIENCE}")
            self._conn.set_progress_handler(self._tick, STEPS)
        return self._conn

    def _tick(self) -> bool:
        self._left -= 1
        return self._left <= 0


def _stored(item: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values as the table has them. Raises QueryError for a field that the class does not have."""
    fields = {field.name: field for field in fields_of(item)}
    made = {}
    for name, value in values.items():
        if name not in fields:
            raise QueryError(f"{item.__name__} has no field {name!r}{did_you_mean(name, fields)}")
        column = column_type_of(fields[name].annotation, fields[name].exact)
        try:
            made[name] = None if value is None else column.convert(value)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise QueryError(f"{item.__name__}.{name}: {error}") from error
    return made
