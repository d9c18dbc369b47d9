"""Work on a database while nobody crawls into it: opened, locked, brought to the schema, one transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from scraper.core.clock import iso
from scraper.errors import StoreError
from scraper.store.file.lock import CrawlLock
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect, explaining

__all__ = ["backup", "transaction", "upkeep"]


@contextmanager
def upkeep(path: str, holder: str, now: float) -> Iterator[sqlite3.Connection]:
    """A connection for writing to an existing database. Raises StoreError, or DatabaseInUse during a crawl."""
    lock = CrawlLock(path)
    lock.acquire(holder, iso(now))
    try:
        with explaining(path), closing(connect(path)) as conn:
            prepare(conn, now)
            yield conn
    finally:
        lock.release()


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing when it raises."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def backup(conn: sqlite3.Connection, out: Path) -> None:
    """Copy the database as it is at one moment, also while a crawl writes to it; never over another file.

    Raises StoreError when the copy cannot be made; nothing is left of it then.
    """
    try:
        os.close(os.open(out, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        raise StoreError(f"{out} exists; a backup never overwrites: name another file") from error
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}") from error
    try:
        with explaining(str(out)), closing(sqlite3.connect(out)) as copy:
            conn.backup(copy)  # all pages in one step: one moment of the original
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, complete by itself
    except BaseException:
        with suppress(FileNotFoundError):
            out.unlink()
        raise
