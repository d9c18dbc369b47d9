"""A database opened for reading: functions are run on its connection, and SQLite's errors come as QueryErrors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from scraper.errors import QueryError
from scraper.query.database import Interrupted, open_readonly
from scraper.store.file.schema import VERSION

__all__ = ["Reading", "Unavailable"]

P = ParamSpec("P")
T = TypeVar("T")

#: Steps of SQLite's machine between two looks for a Ctrl-C: a few hundred microseconds.
STEPS = 20_000


class Unavailable(QueryError):
    """The database could not answer: it is locked for too long, or it lacks what was asked for."""


class Reading:
    """A read-only handle on a database. Close it, or use `with`.

    Functions of `scraper.query` and `scraper.reports` take a connection first; `read` calls them with this one. The
    connection itself never leaves the handle.
    """

    def __init__(
        self,
        path: str,
        *,
        name: str = "",
        attach: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> None:
        """Open `path`. `name` is what messages call it; `attach` maps names to further files, read as `name.table`;
        `patience` is how many seconds to wait for a lock. Raises QueryError when a file is not a database.
        """
        self._name = name or path
        self._conn = open_readonly(path, attach)
        if patience is not None:
            self._conn.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._conn.close()

    def read(self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **more: P.kwargs) -> T:
        """`fn(connection, *args, **more)`.

        Raises QueryError for what SQLite refuses, Unavailable where that may pass or the database is an older one,
        Interrupted when a signal stopped it.
        """
        try:
            return fn(self._conn, *args, **more)
        except sqlite3.Error as error:
            if str(error) == "interrupted":
                raise Interrupted("the query was stopped") from error
            passing = isinstance(error, sqlite3.OperationalError)
            raise (Unavailable if passing else QueryError)(
                f"{self._name}: {self._told(str(error))}"
            ) from error

    def heed_signals(self) -> None:
        """Let a signal stop a statement while it runs: SQLite hands over to Python for a moment, again and again."""
        self._conn.set_progress_handler(lambda: 0, STEPS)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Everything read inside is from one moment of the database, whatever a crawl writes meanwhile."""
        self._conn.execute("BEGIN")
        try:
            yield
        finally:
            self._conn.execute("ROLLBACK")

    def _told(self, message: str) -> str:
        """What SQLite says, or why it says so: reading never alters a database, so an older one lacks something."""
        if not message.startswith("no such"):
            return message  # a locked or damaged file would not tell its version either
        version = self._conn.execute("PRAGMA user_version").fetchone()[0]
        if 0 < version < VERSION:
            return "an older version wrote this database; its next crawl, or scraper prune, updates it"
        return message
