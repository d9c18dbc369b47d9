"""`scraper.open("books")`: what crawls have stored, from a program, while they go on storing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from scraper.core.sql_names import quoted
from scraper.errors import QueryError
from scraper.items import item_from_row, table_name
from scraper.query.connection import InlineReader, Reader, ThreadReader
from scraper.query.database import Parameters, QueryResult, ask
from scraper.query.tables import TableInfo, fill_rates, list_tables

__all__ = ["CONNECTIONS", "Dataset", "Row"]

T = TypeVar("T")
Row = dict[str, Any]

#: Connections kept, which is how many queries run at a time; and rows that cross from a thread at a time.
CONNECTIONS, CHUNK = 4, 500


class Dataset:
    """A read-only handle on a database, also while a crawl writes to it. Close it, or use `async with`.

    Each query sees the database as it is when it begins, and runs in a thread of its own: as many as there are
    connections at a time, the others wait. A query that is cancelled stops at once. Whatever is wrong with a
    question is a QueryError that says what was probably meant. Rows are dicts.

    Invariant: a reader is either idle, or used by exactly one query or iterator.
    """

    def __init__(self, path: str, *, connections: int = CONNECTIONS, inline: bool = False) -> None:
        self.path = path
        self._inline = inline
        self._most = connections
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[Reader] = []
        self._readers: set[Reader] = set()
        self._closed = False

    async def __aenter__(self) -> Dataset:
        async with self._reader():
            return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections; a query that still runs fails, nothing is waited for."""
        self._closed = True
        readers, self._readers = self._readers, set()
        self._idle.clear()
        for reader in readers:
            reader.stop()
        await asyncio.gather(*(reader.close() for reader in readers))

    async def query(self, sql: str, *parameters: Any) -> list[Row]:
        """All rows of an answer. Values for `?` come in order, those for `:name` as one mapping."""
        values = _values(parameters)
        async with self._turns, self._reader() as reader:
            return await reader.run(lambda conn: list(_dicts(ask(conn, sql, values))))

    def table(self, name: str, rest: str = "", *parameters: Any) -> AsyncGenerator[Row, None]:
        """The rows of a table, one by one; `rest` is the SQL after the table's name: `"WHERE price > ?"`."""
        return self._stream(f"SELECT * FROM {quoted(name)} {rest}", _values(parameters))  # noqa: S608 - quoted

    async def rows(self, item: type[T], rest: str = "", *parameters: Any) -> AsyncGenerator[T, None]:
        """The items of a class as they were yielded, one by one; `rest` is the SQL after the table's name.

        Raises QueryError where a row is none of that class any more, naming the field.
        """
        async with aclosing(self.table(table_name(item), rest, *parameters)) as rows:
            async for row in rows:
                try:
                    made: T = item_from_row(item, row)
                except ValueError as error:
                    raise QueryError(str(error)) from error
                yield made

    async def tables(self) -> list[TableInfo]:
        """The item tables: rows, columns, and how well each column is filled."""

        def look(conn: sqlite3.Connection) -> list[TableInfo]:
            return [fill_rates(conn, info) for info in list_tables(conn) if not info.internal]

        async with self._turns, self._reader() as reader:
            return await reader.run(look)

    async def runs(self) -> list[Row]:
        """The runs, newest first: the view `runs`."""
        return await self.query("SELECT * FROM runs ORDER BY id DESC")

    async def _stream(self, sql: str, parameters: Parameters) -> AsyncGenerator[Row, None]:
        # Not within the turns: who holds an iterator may well ask something else before it goes on.
        async with self._reader() as reader:
            answer = await reader.run(lambda conn: ask(conn, sql, parameters))
            rows = _dicts(answer)
            try:
                while chunk := await reader.run(lambda conn: list(islice(rows, CHUNK))):
                    for row in chunk:
                        yield row
            finally:
                with suppress(QueryError):  # closed meanwhile: then there is no statement any more
                    await reader.run(lambda conn: answer.close())

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Reader]:
        """An idle reader, or a new one; kept afterwards while there are not too many."""
        if self._closed:
            raise QueryError(f"{self.path}: this handle is closed")
        reader = self._idle.pop() if self._idle else await self._open()
        try:
            yield reader
        finally:
            if reader in self._readers and len(self._idle) < self._most:
                self._idle.append(reader)
            elif reader in self._readers:
                self._readers.discard(reader)
                await reader.close()

    async def _open(self) -> Reader:
        reader: Reader
        if self._inline:
            reader = InlineReader(self.path)
        else:
            reader = ThreadReader(self.path)
            await reader.open()
        if self._closed:  # meanwhile
            await reader.close()
            raise QueryError(f"{self.path}: this handle is closed")
        self._readers.add(reader)
        return reader


def _dicts(answer: QueryResult) -> Iterator[Row]:
    return (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)


def _values(parameters: tuple[Any, ...]) -> Parameters:
    if len(parameters) == 1 and isinstance(parameters[0], Mapping):
        return parameters[0]
    return parameters
