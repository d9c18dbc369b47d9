"""The one writer: groups, savepoints, what a failed COMMIT and cancellation leave behind."""

from __future__ import annotations

import asyncio
import inspect
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import aiosqlite
import pytest

from scraper.errors import StoreError
from scraper.store.file.schema import prepare
from scraper.store.file.writer import (
    GROUP,
    PATIENCE,
    AiosqliteExecutor,
    Executor,
    InlineExecutor,
    Writer,
    connect,
)
from scraper.testing import run_virtual

Work = Callable[[sqlite3.Connection], None]


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "crawl.db")
    with closing(connect(path)) as conn:
        prepare(conn)
        conn.execute("CREATE TABLE t (name TEXT, half INTEGER, body BLOB)")
    return path


@asynccontextmanager
async def writing(path: str, executor: Executor | None = None) -> AsyncIterator[Writer]:
    writer = Writer(executor or await AiosqliteExecutor.open(path), path)
    try:
        yield writer
    finally:
        await writer.close()


def put(name: str, half: int = 0, body: bytes = b"") -> Work:
    def work(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO t VALUES (?, ?, ?)", (name, half, body))

    return work


def put_and_fail(conn: sqlite3.Connection) -> None:
    conn.execute("INSERT INTO t VALUES ('half', 0, '')")
    raise ValueError("the page is broken")


def names(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return [name for (name,) in conn.execute("SELECT name FROM t ORDER BY rowid")]


def log_size(path: str) -> int:
    log = Path(f"{path}-wal")
    return log.stat().st_size if log.exists() else 0


def traced(executor: InlineExecutor) -> list[str]:
    """The statements that begin and end transactions, as they happen."""
    statements: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            statements.append(statement)

    executor.connection.set_trace_callback(note)
    return statements


# ---------------------------------------------------------------------------------------- groups


async def test_what_waits_shares_one_transaction(path: str) -> None:
    """Work of many tasks costs one COMMIT, and runs in the order it came."""
    executor = InlineExecutor(path)
    statements = traced(executor)
    async with writing(path, executor) as writer:
        await asyncio.gather(*(writer.submit(put(str(n))) for n in range(100)))
        assert statements == ["BEGIN IMMEDIATE", "COMMIT"]
    assert names(path) == [str(n) for n in range(100)]


async def test_a_group_is_bounded(path: str) -> None:
    """No transaction takes more than so many functions."""
    executor = InlineExecutor(path)
    statements = traced(executor)
    async with writing(path, executor) as writer:
        await asyncio.gather(*(writer.submit(put("x")) for _ in range(GROUP + 1)))
    assert statements == ["BEGIN IMMEDIATE", "COMMIT"] * 2


async def test_cr_10_a_failing_function_harms_no_other(path: str) -> None:
    """What raised is undone as a whole; what shares its transaction is stored."""
    async with writing(path) as writer:
        good, bad, also_good = await asyncio.gather(
            writer.submit(put("a")),
            writer.submit(put_and_fail),
            writer.submit(put("b")),
            return_exceptions=True,
        )
    assert (good, also_good) == (None, None)
    assert isinstance(bad, ValueError)
    assert names(path) == ["a", "b"]


async def test_a_result_comes_after_its_commit(path: str) -> None:
    """Whoever has a result can rely on it: every other connection sees it too."""
    async with writing(path) as writer:
        for name in ("a", "b", "c"):
            await writer.submit(put(name))
            assert names(path)[-1] == name


async def test_the_last_word_is_part_of_the_transaction(path: str) -> None:
    """What runs before a COMMIT sees the whole group, and is stored with it or not at all."""
    seen: list[int] = []
    executor = InlineExecutor(path)
    statements = traced(executor)

    def last(conn: sqlite3.Connection) -> None:
        seen.append(conn.execute("SELECT count(*) FROM t").fetchone()[0])
        conn.execute("INSERT INTO t VALUES ('last', 0, '')")

    async with writing(path, executor) as writer:
        writer.before_commit.append(last)
        await asyncio.gather(*(writer.submit(put("x")) for _ in range(3)))
    assert (seen, statements) == ([3], ["BEGIN IMMEDIATE", "COMMIT"])
    assert names(path) == ["x", "x", "x", "last"]


async def test_reading_happens_between_transactions(path: str) -> None:
    """A read never sees half a group."""
    async with writing(path) as writer:
        counts = []
        for _ in range(20):
            writes = [asyncio.ensure_future(writer.submit(put(f"{n}"))) for n in range(10)]
            counts.append(
                await writer.read(lambda conn: conn.execute("SELECT count(*) FROM t").fetchone()[0])
            )
            await asyncio.gather(*writes)
    assert all(count % 10 == 0 for count in counts)


# ---------------------------------------------------------------------------------------- patience


def patiently(path: str, scene: Callable[[Writer], Any], *, patient: bool = True) -> list[str]:
    """Play a scene under virtual time; the statements of its transactions."""
    executor = InlineExecutor(path)
    statements = traced(executor)

    async def main() -> None:
        async with writing(path, executor) as writer:
            writer.patient = lambda: patient
            await scene(writer)

    run_virtual(main())
    return statements


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_group_waits_a_moment_while_there_is_plenty(path: str) -> None:
    """Work that is not urgent waits at most 50 ms for company, and shares its transaction."""

    async def scene(writer: Writer) -> None:
        first = asyncio.ensure_future(writer.submit(put("a"), urgent=False))
        await asyncio.sleep(PATIENCE / 2)
        second = asyncio.ensure_future(writer.submit(put("b"), urgent=False))
        await asyncio.gather(first, second)
        assert now() == pytest.approx(PATIENCE, abs=1e-6)

    assert patiently(path, scene) == ["BEGIN IMMEDIATE", "COMMIT"]


def test_nothing_waits_when_there_is_little_else_to_do(path: str) -> None:
    """A crawl with nothing else to fetch commits at once."""

    async def scene(writer: Writer) -> None:
        await writer.submit(put("a"), urgent=False)
        assert now() < 1e-6

    patiently(path, scene, patient=False)


def test_urgent_work_takes_along_what_waits(path: str) -> None:
    """Who needs an answer gets it at once, and nobody waits any longer then."""

    async def scene(writer: Writer) -> None:
        waiting = asyncio.ensure_future(writer.submit(put("a"), urgent=False))
        await asyncio.sleep(PATIENCE / 10)
        await writer.submit(put("b"))
        await waiting
        assert now() == pytest.approx(PATIENCE / 10, abs=1e-6)

    assert patiently(path, scene) == ["BEGIN IMMEDIATE", "COMMIT"]


def test_a_full_group_does_not_wait(path: str) -> None:
    """More company than a group holds is no reason to wait; what is left over of it goes at once, too."""

    async def scene(writer: Writer) -> None:
        await asyncio.gather(
            *(writer.submit(put("x"), urgent=False) for _ in range(GROUP)),
            *(writer.submit(put("y")) for _ in range(9)),
        )
        assert now() < 1e-6

    assert patiently(path, scene) == ["BEGIN IMMEDIATE", "COMMIT"] * 2


# ---------------------------------------------------------------------------------------- failures


@pytest.fixture
def small(path: str) -> Iterator[InlineExecutor]:
    """A database that cannot grow by more than a few pages."""
    executor = InlineExecutor(path)
    pages = executor.connection.execute("PRAGMA page_count").fetchone()[0]
    executor.connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    yield executor
    executor.connection.close()


async def test_cr_05_disk_full_is_one_error_for_all(path: str, small: InlineExecutor) -> None:
    """The disk fills up: every waiter and all who come later get one sentence, and what was stored stays."""
    writer = Writer(small, path)
    await asyncio.gather(*(writer.submit(put("kept", body=bytes(1000))) for _ in range(10)))
    answers = await asyncio.gather(
        *(writer.submit(put("lost", body=bytes(20_000))) for _ in range(GROUP + 44)), return_exceptions=True
    )
    errors = {id(answer): answer for answer in answers}
    assert len(errors) == 1
    (error,) = errors.values()
    assert isinstance(error, StoreError)
    assert str(error) == f"the disk is full: {path}; make room, then resume"
    with pytest.raises(StoreError) as later:
        await writer.submit(put("later"))
    assert later.value is error
    assert not small.connection.in_transaction
    await writer.close()
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert names(path) == ["kept"] * 10


async def test_a_commit_that_fails_stores_nothing_of_its_group(path: str) -> None:
    """The COMMIT itself fails: nobody has a result, nothing is stored, no transaction stays open."""
    executor = InlineExecutor(path)
    executor.connection.executescript(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
    )
    writer = Writer(executor, path)
    answers = await asyncio.gather(
        writer.submit(put("a")),
        writer.submit(lambda conn: conn.execute("INSERT INTO child VALUES (1)").rowcount),
        writer.submit(put("b")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert not executor.connection.in_transaction
    await writer.close()
    assert names(path) == []


async def test_another_program_that_locks_is_waited_for(path: str) -> None:
    """CR-06: while somebody else writes, work waits; nothing is lost."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    async with writing(path) as writer:
        waiting = asyncio.ensure_future(writer.submit(put("a")))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
    other.close()
    assert names(path) == ["a"]


# ---------------------------------------------------------------------------------------- cancellation


def pair(number: int) -> Work:
    """Two rows that belong together."""

    def work(conn: sqlite3.Connection) -> None:
        put(str(number), 1)(conn)
        put(str(number), 2)(conn)

    return work


def halves(path: str) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(conn.execute("SELECT name, sum(half) FROM t GROUP BY name").fetchall())


@pytest.mark.parametrize("seed", range(5))
async def test_cr_09_cancelled_waiters_leave_nothing_half_written(path: str, seed: int) -> None:
    """Tasks are cancelled at any moment: what answered is stored, no page is there by half."""
    chance = random.Random(seed)
    async with writing(path) as writer:
        writer.patient = lambda: chance.random() < 0.5
        tasks: list[asyncio.Future[None]] = []
        for _ in range(200):
            urgent = chance.random() < 0.5
            tasks += [
                asyncio.ensure_future(writer.submit(pair(len(tasks) + n), urgent=urgent)) for n in range(5)
            ]
            for task in chance.sample(tasks, min(len(tasks), 20)):
                task.cancel()
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert not await writer.read(lambda conn: conn.in_transaction)
    stored = halves(path)
    assert set(stored.values()) <= {3}
    answered = {str(n) for n, task in enumerate(tasks) if not task.cancelled()}
    assert 0 < len(answered) < len(tasks)
    assert answered <= stored.keys()


async def test_cr_09_a_cancelled_close_still_commits(path: str) -> None:
    """Ctrl-C while a crawl closes its database: a page is stored as a whole or not at all, and all is closed."""
    executor = await AiosqliteExecutor.open(path)
    writer = Writer(executor, path)
    work = asyncio.ensure_future(writer.submit(pair(1)))
    await asyncio.sleep(0)
    closing_it = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    closing_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing_it
    await asyncio.wait({work})
    assert halves(path) in ({}, {"1": 3})
    with pytest.raises(ValueError, match="no active connection"):
        await executor.run(lambda conn: conn.in_transaction)


async def test_cr_09_nobody_waits_for_a_writer_that_was_cancelled(path: str) -> None:
    """Somebody cancels every task there is: whoever waits for the writer, or comes later, is told."""
    async with writing(path) as writer:
        waiting = asyncio.ensure_future(writer.submit(put("a")))
        await asyncio.sleep(0)
        for task in asyncio.all_tasks():
            if task.get_name() == "scraper-writer":
                task.cancel()
        with pytest.raises(StoreError, match="cancelled"):
            await waiting
        with pytest.raises(StoreError, match="cancelled"):
            await writer.submit(put("b"))


# ---------------------------------------------------------------------------------------- the end


async def test_me_07_close_commits_what_waits_and_leaves_no_log(path: str) -> None:
    """At the end everything is in the one file."""
    executor = await AiosqliteExecutor.open(path)
    writer = Writer(executor, path)
    writer.patient = lambda: True
    waiting = [asyncio.ensure_future(writer.submit(put(str(n)), urgent=False)) for n in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    assert all(task.done() for task in waiting)
    assert names(path) == [str(n) for n in range(10)]
    assert log_size(path) == 0
    with pytest.raises(StoreError, match="is closed"):
        await writer.submit(put("late"))


async def test_me_07_a_log_that_a_reader_holds_is_folded_later(path: str) -> None:
    """A reader that stays open does not keep a crawl from ending, nor loses it a row."""
    reader = sqlite3.connect(path, isolation_level=None)
    async with writing(path) as writer:
        await writer.submit(put("a"))
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        await writer.submit(put("b"))
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    reader.close()
    assert names(path) == ["a", "b"]


# ---------------------------------------------------------------------------------------- aiosqlite


async def test_aiosqlite_contract(path: str) -> None:
    """What the adapter uses of aiosqlite's inside exists and behaves as it assumes."""
    before = set(threading.enumerate())
    executor = await AiosqliteExecutor.open(path)
    (thread,) = set(threading.enumerate()) - before
    connection = cast("Any", executor)._connection
    assert isinstance(connection, aiosqlite.Connection)
    assert connection._thread is thread
    assert thread.daemon
    assert inspect.iscoroutinefunction(connection._execute)
    assert isinstance(connection._conn, sqlite3.Connection)
    order: list[int] = []
    names = await asyncio.gather(*(executor.run(lambda _, n=n: order.append(n)) for n in range(20)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert (names, order) == ([None] * 20, list(range(20)))
    assert await executor.run(lambda conn: (threading.current_thread(), conn)) == (thread, connection._conn)
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda _: 1 // 0)
    await executor.close()
    assert not thread.is_alive()
    with pytest.raises(ValueError, match="no active connection"):
        await executor.run(lambda conn: None)


@pytest.mark.parametrize("opened_before", [True, False], ids=["opened-before", "opened-after"])
async def test_a_connection_that_opens_for_a_cancelled_caller_is_closed(
    path: str, opened_before: bool
) -> None:
    """Whether it was open when its caller gave up or opens only then, nobody is left holding it."""
    made: list[sqlite3.Connection] = []
    reached, gate = threading.Event(), threading.Event()

    def opening() -> sqlite3.Connection:
        if not opened_before:
            reached.set()
            gate.wait(10)
        made.append(connect(path))
        reached.set()
        return made[0]

    task = asyncio.create_task(AiosqliteExecutor.over(opening))
    await asyncio.sleep(0)
    assert reached.wait(10)  # without a turn of the loop, which would learn that the connection is open
    task.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].execute("SELECT 1")


async def test_a_function_goes_on_when_its_caller_is_cancelled(path: str) -> None:
    """aiosqlite's thread ends what it began, and what was asked next comes after it."""
    executor = await AiosqliteExecutor.open(path)
    started, gate = threading.Event(), threading.Event()

    def slow(conn: sqlite3.Connection) -> None:
        started.set()
        gate.wait(10)
        put("slow")(conn)

    task = asyncio.ensure_future(executor.run(slow))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await executor.run(lambda conn: conn.execute("SELECT name FROM t").fetchall()) == [("slow",)]
    await executor.close()


async def test_a_connection_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    """An open that fails has ended its thread."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but a longer text than a header would be " * 9)
    before = set(threading.enumerate())
    with pytest.raises(StoreError, match="not a database"):
        await AiosqliteExecutor.open(str(path))
    assert not {thread for thread in set(threading.enumerate()) - before if "worker_thread" in thread.name}
