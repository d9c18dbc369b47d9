"""A crawl database, open for writing: file, lock, schema and the one writer."""

from __future__ import annotations

from collections.abc import Sequence

from scraper.core.clock import iso
from scraper.store.file.lock import CrawlLock
from scraper.store.file.schema import prepare
from scraper.store.file.writer import (
    AiosqliteExecutor,
    Executor,
    InlineExecutor,
    Writer,
    check_path,
    explaining,
)

__all__ = ["Database"]


class Database:
    """An open database, locked by this crawl. Made by `Database.open` or `Database.join`, ended by `close`.

    `notes` say what opening did to the database of an older version, in sentences.
    """

    def __init__(
        self, path: str, executor: Executor, lock: CrawlLock | None, notes: Sequence[str] = ()
    ) -> None:
        self.path = path
        self.notes = notes
        self._lock = lock
        self.writer = Writer(executor, path, beside=not isinstance(executor, InlineExecutor))

    @classmethod
    async def open(cls, path: str, *, holder: str, now: float, inline: bool = False) -> Database:
        """Open or create a database and lock it. Raises StoreError or DatabaseInUse.

        `inline` runs all work in the loop's own thread (simulation under a virtual clock); `:memory:` needs it.
        """
        check_path(path)
        lock = None
        if path != ":memory:":
            lock = CrawlLock(path)
            lock.acquire(holder, iso(now))
        try:
            executor, notes = await _executor(path, now, inline=inline)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(path, executor, lock, notes)

    @classmethod
    async def join(cls, path: str, *, now: float, inline: bool = False) -> Database:
        """Open a database that the crawl this process belongs to has locked."""
        executor, notes = await _executor(path, now, inline=inline)
        return cls(path, executor, None, notes)

    def keep_lock(self) -> CrawlLock | None:
        """The lock outlives this object: whoever asked for it releases it."""
        lock, self._lock = self._lock, None
        return lock

    async def close(self) -> None:
        """Commit what waits, fold the log into the file, free the lock."""
        try:
            await self.writer.close()
        finally:
            if self._lock is not None:
                self._lock.release()


async def _executor(path: str, now: float, *, inline: bool) -> tuple[Executor, Sequence[str]]:
    """A connection with the present schema, and what was done to get there."""
    executor = InlineExecutor(path) if inline else await AiosqliteExecutor.open(path)
    try:
        with explaining(path):
            notes = await executor.run(lambda conn: prepare(conn, now))
            if not inline:
                await executor.run(lambda conn: conn.execute("PRAGMA wal_autocheckpoint = 0"))
            return executor, notes
    except BaseException:
        await executor.close()
        raise
