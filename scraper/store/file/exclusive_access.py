"""Work on a database while nobody crawls into it: opened, locked, brought to the schema, one transaction."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from scraper.core.clock import iso
from scraper.core.machine_limits import has_free_files, limit_sentence, reason_of
from scraper.errors import QueryError, StoreError
from scraper.store.file.lock import CrawlLock
from scraper.store.file.schema import prepare
from scraper.store.file.write_ahead_log import BUSY
from scraper.store.file.writer import connect, explaining

__all__ = ["backup", "reading", "transaction", "upkeep"]


def reading(path: str) -> sqlite3.Connection:
    """A connection that changes nothing, to a file that perhaps cannot be written. Raises QueryError."""
    if not Path(path).is_file():
        raise QueryError(f"no database {path}")
    uri = f"file:{quote(path)}?mode=ro"
    # A file in a folder that cannot be written has no log to share while nothing writes to it.
    uris = [uri] if Path(f"{path}-wal").exists() else [uri, f"{uri}&immutable=1"]
    errors = []
    for name in uris:
        conn = None
        try:
            conn = sqlite3.connect(name, uri=True, timeout=BUSY, isolation_level=None)
            conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            return conn
        except sqlite3.Error as error:
            is_limited = not has_free_files()  # asked before one is free again
            if conn is not None:
                conn.close()
            if is_limited:
                raise StoreError(f"cannot open {path}: {limit_sentence(errno.EMFILE)}") from error
            errors.append(error)
    raise QueryError(f"{path} cannot be read: {errors[0]}") from errors[0]


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
        raise StoreError(f"cannot write {out}: {reason_of(error)}") from error
    try:
        with explaining(str(out)), closing(sqlite3.connect(out)) as copy:
            conn.backup(copy)  # all pages in one step: one moment of the original
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, complete by itself
    except BaseException:
        with suppress(FileNotFoundError):
            out.unlink()
        raise
