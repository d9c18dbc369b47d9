"""The one writer: every change to the database is a function run inside its transaction.

All tasks of a crawl share one connection owned by one task. Work arrives as `fn(conn)`; whatever waits is run in
ONE transaction, a savepoint each, so that one bad page harms no other and pages share the cost of a commit.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import aiosqlite

from scraper.core.machine_limits import has_free_files, is_limit, limit_sentence, reason_of
from scraper.core.timing import timed
from scraper.errors import StoreError
from scraper.store.file.schema import check
from scraper.store.file.write_ahead_log import BUSY, KEPT, Log

__all__ = [
    "AiosqliteExecutor",
    "Executor",
    "InlineExecutor",
    "Writer",
    "check_path",
    "connect",
    "explain",
    "explaining",
]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

#: Pages in one transaction at most, and how long (seconds) a group may wait for more while there is plenty
#: to fetch meanwhile.
GROUP, PATIENCE = 256, 0.05


class Executor(Protocol):
    """Where `fn(conn)` runs: aiosqlite's thread in a crawl, inline in simulation."""

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...
    async def close(self) -> None: ...


class AiosqliteExecutor:
    """Runs functions in the thread of one aiosqlite connection.

    aiosqlite has no public `fn(conn)`; `_execute` and `_conn` are its internals, pinned by version and held
    by tests/store/test_writer.py::test_aiosqlite_contract.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, path: str) -> AiosqliteExecutor:
        """The thread of a connection that writes."""
        return await cls.over(lambda: connect(path))

    @classmethod
    async def over(cls, opening: Callable[[], sqlite3.Connection]) -> AiosqliteExecutor:
        """The thread of whatever connection `opening` makes, in it."""
        opened: list[sqlite3.Connection] = []
        wanted = [True]

        def open_wanted() -> sqlite3.Connection:
            opened.append(opening())
            if not wanted[0]:
                opened[0].close()
            return opened[0]

        connection = aiosqlite.Connection(open_wanted, iter_chunk_size=64)
        # A crawl that dies must not wait for a thread that waits for work.
        connection._thread.daemon = True
        try:
            return cls(await connection)
        except BaseException:
            # aiosqlite forgets what it opens for a caller who was cancelled meanwhile.
            wanted[0] = False
            for connection_left in opened:
                connection_left.close()
            # It has told its thread to stop; until it did, it may still report to this loop.
            await asyncio.to_thread(connection._thread.join)
            raise

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        execute = cast("Callable[..., Awaitable[T]]", self._connection._execute)
        return await execute(fn, self._connection._conn)

    async def close(self) -> None:
        try:
            await self._connection.close()
        finally:
            # Told to stop; it ends within microseconds, and then nothing of ours is left behind.
            self._connection._thread.join(timeout=1.0)


class InlineExecutor:
    """Runs functions at once, in the loop's thread: for simulation under a virtual clock."""

    def __init__(self, path: str = ":memory:") -> None:
        self.connection = connect(path)

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return fn(self.connection)

    async def close(self) -> None:
        self.connection.close()


def connect(path: str) -> sqlite3.Connection:
    """Open a crawl database for writing; created readable by its owner only.

    Raises StoreError, in a sentence, when it cannot be used; a database of another program is left untouched.
    """
    check_path(path)
    with explaining(path):
        conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY)
        try:
            check(conn, path)
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute("PRAGMA synchronous = NORMAL")
            conn.execute("PRAGMA foreign_keys = ON")
            conn.execute("PRAGMA secure_delete = ON")  # what is cleared is not left in the file's free space
            conn.execute(f"PRAGMA journal_size_limit = {KEPT}")
        except sqlite3.Error as error:
            explained = explain(error, path)  # before a descriptor is free again
            conn.close()
            raise explained from error
        except BaseException:
            conn.close()
            raise
    return conn


def check_path(name: str) -> None:
    """Make sure `name` is a file that can be written, created readable by its owner only.

    Raises StoreError with what to do otherwise.
    """
    if name == ":memory:":
        return
    path = Path(name)
    if path.is_dir():
        raise StoreError(f"{path} is a directory; name a file with --db")
    if not path.parent.is_dir():
        raise StoreError(f"no directory {path.parent}; create it or choose another file with --db")
    try:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif not os.access(path, os.R_OK | os.W_OK):
            # Not by opening it: closing any descriptor of the file would drop SQLite's locks of this process.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if is_limit(error):
            raise StoreError(f"cannot open {path}: {reason_of(error)}") from error
        raise StoreError(f"cannot write {path}: {error.strerror}; choose another file with --db") from error


class explaining:
    """Translate sqlite3's errors into StoreError sentences; the only place that does."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise explain(error, self._path) from error


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """The sentence for a database error.

    SQLite says "cannot open" and "I/O error" for a file that this process has no descriptor left for.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOMEM":
        return StoreError(f"cannot use {path}: {limit_sentence(errno.ENOMEM)}; then resume")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) and not has_free_files():
        return StoreError(f"cannot open {path}: {limit_sentence(errno.EMFILE)}; then resume")
    sentences = {
        "SQLITE_NOTADB": f"{path} is not a database; choose another file with --db",
        "SQLITE_FULL": f"the disk is full: {path}; make room, then resume",
        "SQLITE_IOERR": f"cannot read or write {path}: the disk is full, failing, or a limit was hit; then resume",
        "SQLITE_BUSY": f"{path} is locked by another program; close it, then resume",
        "SQLITE_READONLY": f"{path} is read-only; change its permissions, then resume",
        "SQLITE_CORRUPT": f"{path} is damaged; restore a backup",
        "SQLITE_CANTOPEN": f"cannot open {path}; check the directory and its permissions",
    }
    for code, sentence in sentences.items():
        if name.startswith(code):
            return StoreError(sentence)
    return StoreError(f"{path}: {error}")


class Writer:
    """Runs work in order, grouped, one transaction at a time.

    Invariants: `submit`'s result is there only after the COMMIT that holds it; work that raises changes
    nothing and harms no other in its group; after a failed COMMIT every waiter gets the StoreError and the
    writer takes no more work. What is in `before_commit` runs last in every transaction. `patient` (set by
    the engine while plenty is ready to fetch) lets a group wait a moment for more; nothing waits otherwise.
    """

    def __init__(self, executor: Executor, path: str, *, beside: bool = False) -> None:
        """`beside`: the connection leaves the log alone (`wal_autocheckpoint` is 0), and it is folded beside it."""
        self._executor = executor
        self.log = Log(path, executor, beside=beside)
        self._path = path
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failed: StoreError | None = None
        self._closing = False
        self._file = _identity(path)
        self.patient: Callable[[], bool] = lambda: False
        self.before_commit: list[Callable[[sqlite3.Connection], None]] = []
        self._task = asyncio.get_running_loop().create_task(self._drain(), name="scraper-writer")

    def check_file(self) -> None:
        """Raise StoreError when the file this writes to is not the one people find under its name any more."""
        if self._path != ":memory:" and _identity(self._path) != self._file:
            raise StoreError(
                f"{self._path} was removed or replaced while the crawl ran; what it stored since is lost with the file"
            )

    async def submit(self, fn: Callable[[sqlite3.Connection], T], *, urgent: bool = True) -> T:
        """Run `fn(conn)` in the next transaction; its result once that is committed.

        Raises what `fn` raised (its changes are undone), or StoreError for an error of the database. Not
        `urgent` work may wait for company.
        """
        if self._failed is not None:
            raise self._failed
        if self._closing:
            raise StoreError(f"{self._path} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((fn, future))
        self._wake.set()
        if urgent or len(self._waiting) >= GROUP:
            self._hurry.set()
        return await future

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn(conn)` outside a transaction, between two groups."""
        with explaining(self._path):
            return await self._executor.run(fn)

    async def close(self) -> None:
        """Commit what waits, fold the log into the file, close the connection."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        try:
            # Not awaited itself: a cancelled close must not cancel a commit.
            await asyncio.wait({self._task})
        finally:
            # A log that cannot be folded now (disk full, a reader) is read and folded at the next opening.
            await self.log.close()
            await self._executor.close()

    async def _drain(self) -> None:
        try:
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await self._company()
                batch = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                if not self._waiting:
                    self._hurry.clear()
                await self._commit([(fn, future) for fn, future in batch if not future.done()])
        except asyncio.CancelledError:
            # Somebody cancels every task there is: whoever waits, or will, must not wait for ever.
            self._fail((), StoreError(f"{self._path}: the writer was cancelled"))
            raise

    async def _company(self) -> None:
        """Give others a moment to join the group, unless somebody is in a hurry."""
        if not self._hurry.is_set() and self.patient():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._hurry.wait()

    async def _commit(self, group: Sequence[tuple[Work, asyncio.Future[Any]]]) -> None:
        work = [fn for fn, _ in group]
        try:
            with explaining(self._path):
                results = await self._executor.run(lambda conn: _run_group(conn, work, self.before_commit))
        except BaseException as error:
            self._fail(group, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), (value, problem) in zip(group, results, strict=True):
            if future.done():
                continue
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(self._explained(problem))
        await self.log.look()

    def _explained(self, problem: BaseException) -> BaseException:
        if not isinstance(problem, sqlite3.Error):
            return problem
        error = explain(problem, self._path)
        error.__cause__ = problem
        return error

    def _fail(self, group: Sequence[tuple[Work, asyncio.Future[Any]]], error: BaseException) -> None:
        if self._failed is None:
            self._failed = error if isinstance(error, StoreError) else StoreError(f"{self._path}: {error!r}")
        for _, future in (*group, *self._waiting):
            if not future.done():
                future.set_exception(self._failed)
        self._waiting.clear()


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@timed("database")
def _run_group(
    conn: sqlite3.Connection,
    work: Sequence[Work],
    before_commit: Sequence[Callable[[sqlite3.Connection], None]],
) -> list[tuple[Any, BaseException | None]]:
    """Run each function in a savepoint of one IMMEDIATE transaction, `before_commit` last.

    An error that ended the whole transaction (disk full rolls back by itself) is raised; any other stays
    with the function that caused it.
    """
    results: list[tuple[Any, BaseException | None]] = []
    conn.execute("BEGIN IMMEDIATE")
    try:
        for fn in work:
            conn.execute("SAVEPOINT page")
            try:
                results.append((fn(conn), None))
            except Exception as error:
                if not conn.in_transaction or _fatal(error):
                    raise
                conn.execute("ROLLBACK TO page")
                results.append((None, error))
            conn.execute("RELEASE page")
        for last in before_commit:
            last(conn)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return results


_FATAL = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_CORRUPT",
    "SQLITE_READONLY",
    "SQLITE_NOTADB",
    "SQLITE_CANTOPEN",
)


def _fatal(error: Exception) -> bool:
    """Whether the medium itself failed, so that no other function can succeed either."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "").startswith(_FATAL)
