"""The write-ahead log of a database: folded into the file beside the writer, and bounded.

SQLite by itself folds the log within the commit that makes it 4 MB long: thousands of pages are then written and
synced while the writer waits, 50 ms and more. Here another connection does it in a thread, and the writer goes on.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from scraper.core.machine_limits import is_limit
from scraper.store.file.lock_holders import readers_of

__all__ = ["BUSY", "KEPT", "Log", "fold"]

#: Seconds to wait for another program that has the database locked.
BUSY = 30.0
#: Bytes by which the log grows before it is folded beside the writer; above LOG the writer itself makes room, between
#: two commits; above HUGE somebody must be told: a reader keeps it from being folded.
FOLD, LOG, HUGE = 8 * 2**20, 56 * 2**20, 256 * 2**20
#: To this the file is cut when the log begins anew. Less than LOG would make every round allocate its blocks again,
#: and the writer waits for the file system's journal then, which a fold beside it keeps busy.
KEPT = 64 * 2**20
#: Bytes of a page in the log (sqlite.org/fileformat2.html, 4.1), and those a commit is taken to write at least.
PAGE, LEAST = 4096 + 24, 4 * 4096
#: Seconds that the writer waits for readers before it begins the log anew; and at most until it waits again, when that
#: was in vain again and again.
WAIT, PAUSE = 0.1, 5.0


class _Executor(Protocol):
    async def run(self, fn: Callable[[sqlite3.Connection], Any]) -> Any: ...


class Log:
    """Looks after the log of one database, for the one who writes to it.

    Nobody tells how long the log is while its file keeps its size: it was `_length` bytes long `_commits` commits ago,
    each of which wrote about `_each`.

    Invariants: at most one fold is under way beside the writer; an error of a fold is nobody's here, for the next
    commit meets it as well and has somebody to be told.
    """

    def __init__(self, path: str, executor: _Executor, *, beside: bool) -> None:
        """`beside` false leaves it to SQLite (simulation, where nothing runs beside)."""
        self._path = os.path.realpath(path)  # SQLite keeps the log beside the file a link leads to
        self._executor = executor
        self._beside = beside
        self._folding: asyncio.Task[None] | None = None
        self._length = self._commits = self._largest = 0
        self._each = LEAST
        self._began, self._folded = 0, -1
        self._restart_at = self._pause = 0.0
        self._huge = HUGE
        #: Who was inside a transaction all the time since nothing more could be folded; None before.
        self._readers: dict[int, str] | None = None
        self.warn: Callable[[str], None] = lambda message: None

    async def look(self) -> None:
        """After a commit: fold the log when it has grown long enough."""
        if not self._beside:
            return
        self._commits += 1
        if (size := self.size()) > self._largest:  # the file grows when the log needs more than it has
            self._largest = size
            self._measured(size)
        if self._folding is not None:
            return
        length = self._length + self._commits * self._each
        if length > LOG and asyncio.get_running_loop().time() >= self._restart_at:
            await self._restart()
        elif length - self._began > FOLD:
            self._began = length
            self._folding = asyncio.create_task(self._fold(), name="scraper-log")

    def _measured(self, length: int) -> None:
        if self._commits and length >= self._length:
            self._each = max(LEAST, (length - self._length) // self._commits)
        self._length, self._commits = length, 0

    async def _restart(self) -> None:
        """What is written while it is folded keeps it growing: fold what is left since the last fold while nobody writes."""
        with suppress(sqlite3.Error):
            if await self._executor.run(_restart):
                self._length = self._commits = self._began = 0
                self._pause = 0.0
            else:
                self._pause = min(2 * self._pause + WAIT, PAUSE)
            self._restart_at = asyncio.get_running_loop().time() + self._pause

    async def close(self) -> None:
        """Nothing of it is under way any more, and the log is folded as far as readers let us."""
        if self._folding is not None:
            await asyncio.wait({self._folding})
        with suppress(sqlite3.Error):
            await self._executor.run(fold)

    def size(self) -> int:
        """Bytes of the log."""
        try:
            return os.stat(f"{self._path}-wal").st_size
        except FileNotFoundError:
            return 0

    async def _fold(self) -> None:
        try:
            with suppress(sqlite3.Error):
                _, length, folded = await asyncio.to_thread(_fold_beside, self._path)
                self._measured(length * PAGE)
                self._began = self._length
                if folded < length and folded == self._folded:
                    self._held()
                else:
                    self._readers = None
                self._folded = folded
        except RuntimeError as error:
            if not is_limit(error):  # no thread can be started: folded the next time
                raise
        finally:
            self._folding = None

    def _held(self) -> None:
        """Nothing could be folded, though there is something: somebody reads what is older."""
        readers = readers_of(self._path)
        if self._readers is not None:
            readers = {pid: name for pid, name in readers.items() if pid in self._readers}
        self._readers = readers
        if (size := self.size()) > self._huge:
            self._huge = 4 * size
            who = ", ".join(f"{name} (process {pid})" for pid, name in readers.items()) or "another program"
            self.warn(
                f"{self._path}-wal has grown to {size / 1e6:,.0f} MB: {who} keeps one reading transaction open;"
                " end it, or it grows until the disk is full"
            )


def _fold_beside(path: str) -> tuple[int, int, int]:
    """As far as readers let us, without keeping anybody: whether it was busy, pages in the log, pages folded."""
    uri = f"file:{quote(str(Path(path).absolute()))}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)) as conn:
        busy, length, folded = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return busy, length, folded


def fold(conn: sqlite3.Connection) -> None:
    """At the end: as far as readers let us, within a second."""
    conn.execute("PRAGMA busy_timeout = 1000")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _restart(conn: sqlite3.Connection) -> bool:
    """Fold all of it, so that it begins anew; False where readers do not let us within `WAIT`."""
    conn.execute(f"PRAGMA busy_timeout = {WAIT * 1000:.0f}")
    try:
        busy, length, folded = conn.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    finally:
        conn.execute(f"PRAGMA busy_timeout = {BUSY * 1000:.0f}")
    return not busy and length == folded
