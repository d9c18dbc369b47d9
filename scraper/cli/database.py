"""A database opened for one command that reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from scraper.errors import QueryError
from scraper.project.folder import find_database
from scraper.query import open_readonly
from scraper.store.file.schema import VERSION

__all__ = ["opened"]


@contextmanager
def opened(database: str) -> Iterator[sqlite3.Connection]:
    """A read-only connection to DATABASE (a file, or a spider's name); its errors are QueryErrors."""
    with closing(open_readonly(find_database(database))) as conn:
        try:
            yield conn
        except sqlite3.Error as error:
            raise QueryError(f"{database}: {_told(conn, str(error))}") from error


def _told(conn: sqlite3.Connection, message: str) -> str:
    """What SQLite says, or why it says so: reading never alters a database, so an older one lacks something."""
    version = conn.execute("PRAGMA user_version").fetchone()[0]
    if message.startswith("no such") and 0 < version < VERSION:
        return "an older version wrote this database; its next crawl, or scraper prune, updates it"
    return message
