"""One connection for questions, in a thread of its own: what it is asked can be given up at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from scraper.errors import QueryError
from scraper.query.database import open_readonly
from scraper.store.file.writer import AiosqliteExecutor

__all__ = ["InlineReader", "Reader", "ThreadReader"]

T = TypeVar("T")
Asking = Callable[[sqlite3.Connection], T]

#: Steps of SQLite's machine between two looks whether the answer is still wanted: some hundred microseconds.
STEPS = 20_000


class Reader(Protocol):
    """Runs functions on a connection that can only read, one at a time, in order."""

    async def run(self, fn: Asking[T]) -> T: ...
    def stop(self) -> None: ...
    async def close(self) -> None: ...


class ThreadReader:
    """A connection in a thread. Invariant: a function nobody waits for any more ends within microseconds."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._executor: AiosqliteExecutor | None = None
        self._wanted = [True]
        self._stopped = False

    async def open(self) -> None:
        """Open the connection. Raises QueryError when the file is no database."""
        self._executor = await AiosqliteExecutor.over(self._connect)

    async def run(self, fn: Asking[T]) -> T:
        """`fn(conn)`. Cancelled, it stops the statement that runs and waits for that alone."""
        assert self._executor is not None
        wanted = [True]

        def call(conn: sqlite3.Connection) -> T:
            self._wanted = wanted
            if self._stopped or not wanted[0]:
                raise QueryError("nobody waits for the answer any more")
            return fn(conn)

        task = asyncio.ensure_future(self._executor.run(call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            wanted[0] = False
            await asyncio.wait({task})
            task.exception()
            raise

    def stop(self) -> None:
        """Let the statement that runs fail, now, and every later one."""
        self._stopped = True

    async def close(self) -> None:
        """End the thread, once what it does has failed."""
        self.stop()
        if self._executor is not None:
            await self._executor.close()

    def _connect(self) -> sqlite3.Connection:
        conn = open_readonly(self._path)
        conn.set_progress_handler(lambda: self._stopped or not self._wanted[0], STEPS)
        return conn


class InlineReader:
    """A connection in the loop's own thread: for simulation, as a thread does not move a virtual clock."""

    def __init__(self, path: str) -> None:
        self._conn = open_readonly(path)

    async def run(self, fn: Asking[T]) -> T:
        return fn(self._conn)

    def stop(self) -> None:
        """Nothing runs when somebody else does."""

    async def close(self) -> None:
        self._conn.close()
