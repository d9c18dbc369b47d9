"""Who is crawling into a database: an OS lock on a file beside it, which the kernel drops at any death.

A process id would mean nothing inside a container; a lock does. The file names its holder for people.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from scraper.core.machine_limits import is_limit, reason_of
from scraper.errors import DatabaseInUse, StoreError

__all__ = ["CrawlLock", "Living", "holder_of"]


class CrawlLock:
    """Held by the crawl that writes to a database. Invariant: while held, no other crawl opens it.

    It belongs to the open file, not to the process: workers forked from the crawl hold it too, and it is free
    only when the last of them is gone.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._path = _lock_path(database)
        self._file: int | None = None

    def acquire(self, holder: str, now: str) -> None:
        """Take the lock, or raise DatabaseInUse naming who has it and since when.

        Raises StoreError where no lock can be had (no permission, a file system without locks).
        """
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock(file, json.dumps({"holder": holder, "pid": os.getpid(), "since": now}).encode())
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            raise StoreError(f"cannot lock {self._path}: {reason_of(error)}") from error
        self._file = file

    def _lock(self, file: int, told: bytes) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatabaseInUse(self._in_use(os.read(file, 4096))) from error
        os.ftruncate(file, 0)
        os.write(file, told)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it could let two crawls lock two files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _in_use(self, told: bytes) -> str:
        who = _named(told)
        return f"a crawl is already running on {self._database}: {who}; wait for it, or use another --db"


class Living:
    """Which workers of one crawl are alive: each has locked the byte of its number in a file beside the database.

    The kernel lets go of the byte at any death, in any container. One object in a process: closing any
    descriptor of the file would drop the lock (POSIX).
    """

    def __init__(self, database: str) -> None:
        self._path = Path(f"{os.path.realpath(database)}-workers")
        self._file: int | None = None

    def enter(self, number: int) -> None:
        """This process is worker `number` from now on. Raises StoreError where no lock can be had."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            raise StoreError(f"cannot lock {self._path}: {reason_of(error)}") from error

    def is_dead(self, number: int) -> bool:
        """Whether nobody is worker `number`. Not to be asked about oneself."""
        if self._file is None:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return True

    def leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_path(database: str) -> Path:
    """Beside the file itself: two links to one database are one database."""
    return Path(f"{os.path.realpath(database)}-lock")


def _named(told: bytes) -> str:
    try:
        holder = json.loads(told)
        return f"{holder['holder']} (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


def holder_of(database: str) -> str | None:
    """Who crawls into a database right now, in words; None when nobody does.

    Raises StoreError where this machine lets no file be opened, so that it cannot be known.
    """
    try:
        file = os.open(_lock_path(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:  # no lock file, or none for us: nobody whom we could ask
        if is_limit(error):
            raise StoreError(f"cannot open {_lock_path(database)}: {reason_of(error)}") from error
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(os.read(file, 4096))
    finally:
        os.close(file)
    return None
