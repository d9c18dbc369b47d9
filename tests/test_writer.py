"""The one writer: groups, savepoints, failures of the medium, cancellation."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from pathlib import Path

import aiosqlite
import pytest

from scraper.errors import StoreError
from scraper.store.writer import AiosqliteExecutor, InlineExecutor, Writer
from scraper.testing import run_virtual


class Counting:
    """An executor that counts transactions."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.groups = 0

    async def run(self, fn):
        self.groups += 1
        return await self.inner.run(fn)

    async def close(self) -> None:
        await self.inner.close()


async def opened(path: Path) -> tuple[Writer, Counting]:
    executor = Counting(await AiosqliteExecutor.open(str(path)))
    writer = Writer(executor, str(path))
    await writer.submit(lambda conn: conn.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, x)"))
    return writer, executor


def insert(n: int, x: object = None):
    return lambda conn: conn.execute("INSERT INTO t VALUES (?, ?)", (n, x)).lastrowid


def stored(path: Path) -> list[int]:
    conn = sqlite3.connect(path)
    try:
        return [n for (n,) in conn.execute("SELECT n FROM t ORDER BY n")]
    finally:
        conn.close()


async def test_what_waits_is_one_transaction(tmp_path: Path) -> None:
    """Work submitted together is committed together, and each caller gets its own result."""
    writer, executor = await opened(tmp_path / "a.db")
    before = executor.groups
    assert await asyncio.gather(*(writer.submit(insert(n)) for n in range(100))) == list(range(100))
    assert executor.groups - before <= 3
    await writer.close()


async def test_a_failing_function_harms_no_other(tmp_path: Path) -> None:
    """A function that raises is undone by itself; the others of its group are committed."""
    writer, _ = await opened(tmp_path / "a.db")

    def half(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO t VALUES (50, 'half')")
        raise ValueError("no")

    results = await asyncio.gather(
        writer.submit(insert(1)), writer.submit(half), writer.submit(insert(1)), writer.submit(insert(2)),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(result).__name__ for result in results] == ["int", "ValueError", "IntegrityError", "int"]
    assert stored(tmp_path / "a.db") == [1, 2]
    await writer.close()


async def test_a_result_is_there_only_after_its_commit(tmp_path: Path) -> None:
    """When `submit` returns, another connection sees the change."""
    writer, _ = await opened(tmp_path / "a.db")
    for n in range(5):
        await writer.submit(insert(n))
        assert stored(tmp_path / "a.db") == list(range(n + 1))
    await writer.close()


async def test_cr_05_a_full_disk_is_one_clear_error_and_the_database_is_whole(tmp_path: Path) -> None:
    """CR-05: when the disk is full everyone gets the same sentence, nothing is half-written, nothing more is taken."""
    path = tmp_path / "a.db"
    writer, _ = await opened(path)
    await writer.submit(insert(0))
    await writer.read(lambda conn: conn.execute("PRAGMA max_page_count = 8").fetchall())
    results = await asyncio.gather(
        *(writer.submit(insert(n, "x" * 5000)) for n in range(1, 20)), return_exceptions=True
    )
    failed = [result for result in results if isinstance(result, Exception)]
    assert failed
    assert {str(error) for error in failed} == {f"the disk is full: {path}; make room, then resume"}
    with pytest.raises(StoreError, match="disk is full"):
        await writer.submit(insert(99))
    await writer.close()
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()
    assert stored(path)[0] == 0


async def test_cr_06_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    """CR-06: another program's lock delays the commit; when it goes, nothing is lost."""
    path = tmp_path / "a.db"
    writer, _ = await opened(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.create_task(writer.submit(insert(1)))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    await asyncio.to_thread(other.execute, "ROLLBACK")
    other.close()
    assert await waiting == 1
    await writer.close()


async def test_cr_09_cancelled_waiters_leave_nothing_half_done(tmp_path: Path) -> None:
    """CR-09: waiters cancelled at random; every function ran whole or not at all, and the connection is clean."""
    path = tmp_path / "a.db"
    writer, _ = await opened(path)
    chance = random.Random(7)

    def pair(n: int):
        def work(conn: sqlite3.Connection) -> None:
            conn.execute("INSERT INTO t VALUES (?, 1)", (2 * n,))
            conn.execute("INSERT INTO t VALUES (?, 2)", (2 * n + 1,))

        return work

    for start in range(0, 2000, 50):
        tasks = [asyncio.create_task(writer.submit(pair(n))) for n in range(start, start + 50)]
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        for task in tasks:
            if chance.random() < 0.5:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await writer.read(lambda conn: conn.in_transaction) is False
    await writer.close()
    numbers = stored(path)
    assert len(numbers) >= 1000
    assert {n // 2 for n in numbers if n % 2 == 0} == {n // 2 for n in numbers if n % 2}


async def test_close_commits_what_waits_and_folds_the_log(tmp_path: Path) -> None:
    """Closing loses nothing and leaves an empty or no write-ahead log; afterwards the writer says it is closed."""
    path = tmp_path / "a.db"
    writer, _ = await opened(path)
    waiting = [asyncio.create_task(writer.submit(insert(n))) for n in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    await asyncio.gather(*waiting)
    assert stored(path) == list(range(10))
    log = tmp_path / "a.db-wal"
    assert not log.exists() or log.stat().st_size == 0
    with pytest.raises(StoreError, match="closed"):
        await writer.submit(insert(11))


def test_a_group_waits_only_while_patient() -> None:
    """Work that is not urgent waits up to 50 ms for company while the engine is patient, else not at all."""

    async def main() -> None:
        executor = Counting(InlineExecutor())
        writer = Writer(executor, ":memory:")
        await writer.submit(lambda conn: conn.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x)"))
        loop = asyncio.get_running_loop()

        async def spread() -> float:
            executor.groups, start = 0, loop.time()
            tasks = []
            for _ in range(10):
                numbers[0] += 1
                tasks.append(asyncio.create_task(writer.submit(insert(numbers[0]), urgent=False)))
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)
            return loop.time() - start

        numbers = [0]
        await spread()
        assert executor.groups == 10
        writer.patient = lambda: True
        await spread()
        assert executor.groups <= 3
        start = loop.time()
        await writer.submit(insert(1000), urgent=True)
        assert loop.time() - start < 0.001
        await writer.close()

    run_virtual(main())


async def test_aiosqlite_contract(tmp_path: Path) -> None:
    """What the adapter uses of aiosqlite's inside is there: _execute, _conn, _thread; no thread outlives close."""
    before = threading.active_count()
    connection = await aiosqlite.connect(tmp_path / "a.db")
    assert await connection._execute(lambda conn: conn is connection._conn, connection._conn) is True
    assert connection._thread.is_alive()
    thread = connection._thread
    await connection.close()
    thread.join(5)
    assert threading.active_count() == before


async def test_a_database_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    """A failed opening raises the sentence and its thread is gone."""
    (tmp_path / "text.db").write_text("this is no database " * 100)
    before = threading.active_count()
    with pytest.raises(StoreError, match="is not a database"):
        await AiosqliteExecutor.open(str(tmp_path / "text.db"))
    assert threading.active_count() <= before + 1  # asyncio's own pool may keep one
