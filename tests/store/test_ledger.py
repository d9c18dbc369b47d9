"""The promises of `scraper.core.ledger` and `scraper.core.maintenance`, as SQLite keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from scraper import store
from scraper.core.frontier import Frontier
from scraper.core.ledger import Ledger
from scraper.core.models import (
    Budget,
    Column,
    Command,
    DomainLease,
    Ending,
    ItemRow,
    NewRun,
    Options,
    Outcome,
    QueuedRequest,
    Run,
    Table,
)
from scraper.errors import DatabaseInUse, StoreError, TableError, UsageError
from tests.support.finished_visit import finished

NOW = 1_000_000.0
BOOKS = NewRun("books", "books.py", "books", {"arguments": {}, "start": [], "settings": {}})
BOOK = Table("book", (Column("sku", "TEXT", key=True, required=True), Column("title", "TEXT")))
#: The class as it could be later: more of it, and something that stored values do not survive.
WIDER = Table("book", (*BOOK.columns, Column("price", "NUMERIC")))
NUMBERED = Table("book", (BOOK.columns[0], Column("title", "INTEGER")))


@asynccontextmanager
async def opened(path: Path | str, said: list[str] | None = None) -> AsyncIterator[Ledger]:
    warn = (said if said is not None else []).append
    ledger = await store.open(str(path), holder="books", now=NOW, inline=True, warn=warn)
    try:
        yield ledger
    finally:
        await ledger.close()


async def end_page(frontier: Frontier, outcome: Outcome, items: list[ItemRow], name: str = "1") -> None:
    """One page of a domain of its own: queued, claimed, and ended as told."""
    host = f"{name}.example"
    request = QueuedRequest(
        f"https://{host}/", name.encode().ljust(16, b"."), host, Options(callback="parse")
    )
    await frontier.add([request], now=NOW)
    (lease,) = await claimed(frontier)
    assert (
        await frontier.complete(lease, finished(lease.requests[0], outcome, items=items), now=NOW + 1)
    ).written
    await frontier.release([lease], now=NOW + 1)


async def claimed(frontier: Frontier) -> list[DomainLease]:
    return await frontier.claim("me", domains=8, per_domain=8, lease=30.0, now=NOW)


async def with_a_book(ledger: Ledger) -> Run:
    """A complete run that stored one row."""
    run = await ledger.begin(BOOKS, [BOOK], now=NOW)
    await end_page(ledger.frontier(run.id, Budget()), Outcome.ok(200), [ItemRow(BOOK, ("1", "One"), 0)])
    await ledger.end(run.id, Ending("complete", None, 10), now=NOW + 2)
    return run


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(sql).fetchall()


# ------------------------------------------------------------------------------------------- which run


async def test_a_run_is_begun_and_found(tmp_path: Path) -> None:
    """A new run is running; it is found by number, as the newest, and as unfinished of its series alone."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        assert (run.state, run.options, run.started, run.seeded) == ("running", BOOKS.options, NOW, False)
        assert await ledger.find(run.id) == await ledger.latest() == run
        assert await ledger.unfinished() == await ledger.unfinished("books") == run
        assert await ledger.unfinished("prices") is None
        assert await ledger.find(99) is None


async def test_tables_are_adapted_with_the_run(tmp_path: Path) -> None:
    """A class that gained a field has its column once the run has begun, and that is said once."""
    said: list[str] = []
    async with opened(tmp_path / "a.db", said) as ledger:
        await with_a_book(ledger)
        assert said == []
        await ledger.begin(BOOKS, [WIDER], now=NOW + 3)
        assert said == ["table book: new column price, NULL in the rows stored before"]
    assert rows(tmp_path / "a.db", "SELECT sku, price FROM book") == [("1", None)]


async def test_a_refused_table_leaves_no_run(tmp_path: Path) -> None:
    """Where a table cannot be brought to its class without loss there is neither a run nor a changed table."""
    said: list[str] = []
    async with opened(tmp_path / "a.db", said) as ledger:
        first = await with_a_book(ledger)
        with pytest.raises(TableError, match="accept the loss"):
            await ledger.begin(BOOKS, [NUMBERED], now=NOW + 3)
        newest = await ledger.latest()
        assert newest is not None
        assert newest.id == first.id
    assert said == []
    assert rows(tmp_path / "a.db", "SELECT typeof(title) FROM book") == [("text",)]


async def test_a_refused_table_leaves_a_run_as_it_was(tmp_path: Path) -> None:
    """A run that cannot go on because of its tables is not reopened, and nothing that failed is queued again."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await with_a_book(ledger)
        await end_page(ledger.frontier(run.id, Budget()), Outcome.failed("http", "HTTP 500", 500), [], "2")
        for going_on in (
            ledger.reopen(run, [NUMBERED], now=NOW + 3),
            ledger.requeue_failed(run, None, [NUMBERED], now=NOW + 3),
        ):
            with pytest.raises(TableError):
                await going_on
        assert (await ledger.counters(run.id))["failed"] == 1
        found = await ledger.find(run.id)
        assert found is not None
        assert found.state == "complete"


async def test_a_run_goes_on(tmp_path: Path) -> None:
    """A stopped run is unfinished; reopened it runs, and the order that stopped it is forgotten."""
    path = str(tmp_path / "a.db")
    async with opened(path) as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        store.live_crawl(path).stop(run.id, now=NOW)
        await ledger.end(run.id, Ending("stopped", "stopped", 10), now=NOW + 1)
        found = await ledger.unfinished()
        assert found is not None
        assert (found.state, found.reason) == ("stopped", "stopped")
        await ledger.reopen(found, [], now=NOW + 2)
        again = await ledger.find(run.id)
        assert again is not None
        assert (again.state, again.reason) == ("running", None)
        assert list(await ledger.frontier(run.id, Budget()).commands(0)) == []


async def test_what_failed_is_queued_again(tmp_path: Path) -> None:
    """The failed requests of a finished run are queued again with it, by kind; without any that is an error."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        frontier = ledger.frontier(run.id, Budget())
        await end_page(frontier, Outcome.failed("http", "HTTP 500", 500), [])
        await ledger.end(run.id, Ending("finished", "pages failed", 10), now=NOW + 2)
        with pytest.raises(UsageError, match="nothing failed with 'timeout' in run 1"):
            await ledger.requeue_failed(run, "timeout", [], now=NOW + 3)
        done = await ledger.requeue_failed(run, "http", [], now=NOW + 3)
        assert (done.run, done.queued, done.left) == (run.id, 1, 0)
        assert await ledger.unfinished() is not None
        assert (await frontier.pending(now=NOW + 3)).queued == 1


async def test_chosen_requests_are_queued_again(tmp_path: Path) -> None:
    """Failed requests are queued again by their ids; what did not fail is left alone."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await with_a_book(ledger)
        frontier = ledger.frontier(run.id, Budget())
        await end_page(frontier, Outcome.failed("callback", "ValueError", 200), [], "2")
        await ledger.requeue(run.id, [1, 2, 77], now=NOW + 3)
        counted = await ledger.counters(run.id)
        assert (counted["pages"], counted["failed"], counted["queued"]) == (1, 0, 1)


# ------------------------------------------------------------------------------------------- within a run


async def test_counts_add_up(tmp_path: Path) -> None:
    """Counts are added to what is counted; counters of one run are not those of another."""
    async with opened(tmp_path / "a.db") as ledger:
        one, two = [await ledger.begin(BOOKS, [], now=NOW) for _ in range(2)]
        await ledger.count(one.id, {"time.network": 3, "time.parsing": 0})
        await ledger.count(one.id, {"time.network": 4})
        assert await ledger.counters(one.id) == {"time.network": 7}
        assert await ledger.counters(two.id) == {}


async def test_items_are_counted_over_processes(tmp_path: Path) -> None:
    """A run has its items whichever process stored them; rows seen again count, rejected ones do not."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        mate = await store.join(str(tmp_path / "a.db"), now=NOW, inline=True)
        try:
            books = [ItemRow(BOOK, (sku, "x"), n) for n, sku in enumerate(["1", "2", None])]
            await end_page(ledger.frontier(run.id, Budget()), Outcome.ok(200), books)
            assert not await mate.has_items(run.id, 3)
            await end_page(mate.frontier(run.id, Budget()), Outcome.ok(200), books[:1], "2")
            assert [await ledger.has_items(run.id, n) for n in (1, 3, 4)] == [True, True, False]
        finally:
            await mate.close()


async def test_altered_tables_are_told_once_stored(tmp_path: Path) -> None:
    """A table of plain dicts that a page widens says so when the page is stored, once."""
    said: list[str] = []
    async with opened(tmp_path / "a.db", said) as ledger:
        run = await with_a_book(ledger)
        frontier = ledger.frontier(run.id, Budget())
        for name in ("2", "3"):
            await end_page(frontier, Outcome.ok(200), [ItemRow(WIDER, (name, "x", 1), 0)], name)
    assert said == ["table book: new column price, NULL in the rows stored before"]


# ------------------------------------------------------------------------------------------- the end


async def test_a_complete_run_marks_what_it_did_not_see(tmp_path: Path) -> None:
    """The end of a complete run marks the rows of earlier runs as gone, and its counters say how many."""
    async with opened(tmp_path / "a.db") as ledger:
        await with_a_book(ledger)
        run = await ledger.begin(BOOKS, [BOOK], now=NOW + 3)
        counted = await ledger.end(run.id, Ending("complete", None, 10), now=NOW + 4)
    assert counted["gone.book"] == 1
    assert rows(tmp_path / "a.db", "SELECT _gone_run FROM book") == [(run.id,)]
    assert rows(tmp_path / "a.db", f"SELECT state, ended FROM _runs WHERE id = {run.id}") == [
        ("complete", NOW + 4)
    ]


async def test_the_end_prunes_old_runs(tmp_path: Path) -> None:
    """What the runs before the newest N left behind is removed when a run ends; their items and themselves stay."""
    async with opened(tmp_path / "a.db") as ledger:
        await with_a_book(ledger)
        for _ in range(2):
            run = await ledger.begin(BOOKS, [BOOK], now=NOW + 3)
            await end_page(ledger.frontier(run.id, Budget()), Outcome.ok(200), [])
            await ledger.end(run.id, Ending("finished", None, 1), now=NOW + 4)
    assert rows(tmp_path / "a.db", "SELECT DISTINCT run FROM _requests") == [(3,)]
    assert rows(tmp_path / "a.db", "SELECT id, pruned FROM _runs") == [(1, 1), (2, 1), (3, 0)]
    assert rows(tmp_path / "a.db", "SELECT count(*) FROM book") == [(1,)]


async def test_a_run_is_given_up(tmp_path: Path) -> None:
    """A run whose start is broken is finished, with the reason; nothing is left to resume."""
    async with opened(tmp_path / "a.db") as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        await ledger.give_up(run.id, "start() yields no requests", now=NOW + 1)
        assert await ledger.unfinished() is None
        found = await ledger.find(run.id)
        assert found is not None
        assert (found.state, found.reason) == ("finished", "start() yields no requests")


async def test_a_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """`check` is silent while the file is there and raises once another one has its name."""
    path = tmp_path / "a.db"
    async with opened(path) as ledger:
        ledger.check()
        path.rename(tmp_path / "b.db")
        path.touch()
        with pytest.raises(StoreError, match="was removed or replaced"):
            ledger.check()


async def test_memory_is_not_kept() -> None:
    """`:memory:` is a database that others can read while it is open; its file and folder are gone then."""
    async with opened(":memory:") as ledger:
        await with_a_book(ledger)
        file = Path(ledger.path)
        assert rows(file, "SELECT sku FROM book") == [("1",)]
        assert ledger.keep_hold() is None
    assert not file.parent.exists()


# ------------------------------------------------------------------------------------------- who crawls, and orders


async def test_a_database_has_one_crawl(tmp_path: Path) -> None:
    """While a ledger is open its crawl holds the database: another is refused, and is told by whom."""
    path = str(tmp_path / "a.db")
    live = store.live_crawl(path)
    assert live.holder() is None
    async with opened(path):
        holder = live.holder()
        assert holder is not None
        assert holder.startswith("books (process ")
        with pytest.raises(DatabaseInUse, match="books"):
            await store.open(path, holder="prices", now=NOW, inline=True)
        with pytest.raises(DatabaseInUse):
            store.maintain(path).prune(1, history=False, now=NOW)
    assert live.holder() is None


async def test_a_hold_that_is_kept_outlives_its_ledger(tmp_path: Path) -> None:
    """The hold of a closed ledger lasts until it is released; the processes of the crawl join meanwhile."""
    path = str(tmp_path / "a.db")
    async with opened(path) as ledger:
        run = await ledger.begin(BOOKS, [], now=NOW)
        hold = ledger.keep_hold()
    assert hold is not None
    assert store.live_crawl(path).holder() is not None
    mate = await store.join(path, now=NOW, inline=True)
    assert await mate.find(run.id) == run
    await mate.close()
    hold.release()
    assert store.live_crawl(path).holder() is None


async def test_orders_reach_the_run_they_are_for(tmp_path: Path) -> None:
    """Orders given from outside are read in order, from the one last heard on, by the run they name."""
    path = str(tmp_path / "a.db")
    async with opened(path) as ledger:
        one, two = [await ledger.begin(BOOKS, [], now=NOW) for _ in range(2)]
        live = store.live_crawl(path)
        live.set_limit(two.id, "a.example", {"rate": "2/s"}, now=NOW)
        live.stop(two.id, now=NOW + 1)
        frontier = ledger.frontier(two.id, Budget())
        limit, stop = await frontier.commands(0)
        assert limit == Command(1, "limit", {"domain": "a.example", "changes": {"rate": "2/s"}})
        assert stop == Command(2, "stop", {})
        assert list(await frontier.commands(limit.id)) == [stop]
        assert list(await ledger.frontier(one.id, Budget()).commands(0)) == []


# ------------------------------------------------------------------------------------------- maintenance


async def test_an_undo_that_a_later_row_forbids_is_a_sentence(tmp_path: Path) -> None:
    """A run whose rows cannot come back, because a later row has their unique value, is not undone."""
    path = tmp_path / "a.db"
    unique = Table("book", BOOK.columns, unique=(("title",),))
    async with opened(path) as ledger:
        for books in ([("1", "One")], [("1", "Other")], [("2", "One")]):
            run = await ledger.begin(BOOKS, [unique], now=NOW)
            rows_ = [ItemRow(unique, book, n) for n, book in enumerate(books)]
            await end_page(ledger.frontier(run.id, Budget()), Outcome.ok(200), rows_)
            await ledger.end(run.id, Ending("finished", None, 10), now=NOW + 2)
    with pytest.raises(UsageError, match=r"run 2 cannot be undone: .*; a later row took a unique value"):
        store.maintain(str(path)).undo(2, shown="a", now=NOW)
    assert rows(path, "SELECT state FROM _runs WHERE id = 2") == [("finished",)]
    assert rows(path, "SELECT title FROM book ORDER BY sku") == [("Other",), ("One",)]


async def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    """Tables are brought to their classes and every change is said; a loss only where it is accepted."""
    path = tmp_path / "a.db"
    async with opened(path) as ledger:
        await with_a_book(ledger)
    upkeep = store.maintain(str(path))
    with pytest.raises(TableError):
        upkeep.migrate([NUMBERED], accept_loss=False, now=NOW)
    (told,) = upkeep.migrate([NUMBERED], accept_loss=True, now=NOW)
    assert told == "table book: column title is INTEGER now (it was TEXT); 1 values were lost"
    assert list(upkeep.migrate([NUMBERED], accept_loss=False, now=NOW)) == []


async def test_a_backup_is_made_during_a_crawl(tmp_path: Path) -> None:
    """A copy holds what was committed; it is made while a crawl holds the database, never over another file."""
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    async with opened(path) as ledger:
        await with_a_book(ledger)
        store.maintain(str(path)).backup(copy)
        with pytest.raises(StoreError, match="a backup never overwrites"):
            store.maintain(str(path)).backup(copy)
    assert rows(copy, "SELECT sku FROM book") == [("1",)]
