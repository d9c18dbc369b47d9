"""A database opened for one command that reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from scraper.errors import QueryError
from scraper.project import find_database
from scraper.query import open_readonly

__all__ = ["opened"]


@contextmanager
def opened(database: str) -> Iterator[sqlite3.Connection]:
    """A read-only connection to DATABASE (a file, or a spider's name); its errors are QueryErrors."""
    with closing(open_readonly(find_database(database))) as conn:
        try:
            yield conn
        except sqlite3.Error as error:
            raise QueryError(f"{database}: {error}") from error
