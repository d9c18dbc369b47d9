"""Reading from programs: `scraper.open`, and `self.db` inside a spider."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest

import scraper
from scraper import Key, Page, Spider, UsageError
from scraper.errors import QueryError, SpiderError
from scraper.query.dataset import CONNECTIONS, Dataset
from scraper.query.spider_database import Past
from scraper.spider import define
from scraper.testing import Site, VirtualLoop, simulate

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Decimal
    at: datetime
    tags: list[str]


def book(n: int) -> Book:
    return Book(str(n), f"title {n}", Decimal(n) / 4, AT, ["a", str(n)])


class Books(Spider[Book]):
    start_urls = ("https://a.test/",)
    robots = False

    def parse(self, page: Page) -> Any:
        yield [book(n) for n in range(1200)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("dataset") / "books.db"
    assert simulate(Books, Site({"https://a.test/": "x"}), db=made).summary.exit_code == 0
    return str(made)


async def test_rows_come_back_as_items(path: str) -> None:
    """Rows are given back as the items that were yielded, one by one; a part of them when asked."""
    async with scraper.open(path) as db:
        assert [item async for item in db.rows(Book, "ORDER BY _ordinal")] == [book(n) for n in range(1200)]
        assert [b.upc async for b in db.rows(Book, "WHERE price > ? AND upc < ?", 298, "2")] == [
            row["upc"] for row in await db.query("select upc from book where price > 298 and upc < '2'")
        ]
        rows = [row async for row in db.table("book", "WHERE upc = :upc", {"upc": "3"})]
        assert [(row["title"], row["_run"]) for row in rows] == [("title 3", 1)]


async def test_runs_and_tables(path: str) -> None:
    """The runs newest first, and the tables with their fill rates."""
    async with scraper.open(path) as db:
        assert [(run["id"], run["state"]) for run in await db.runs()] == [(1, "complete")]
        (table,) = await db.tables()
        assert (table.name, table.rows) == ("book", 1200)


async def test_queries_run_in_parallel(path: str) -> None:
    """While as many endless queries run as there are connections but one, another is answered."""
    async with Dataset(path) as db:
        endless = [asyncio.create_task(db.query(ENDLESS)) for _ in range(CONNECTIONS - 1)]
        await asyncio.sleep(0)
        assert await db.query("select 1 as one") == [{"one": 1}]
        assert not any(task.done() for task in endless)
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)
        assert all(task.cancelled() for task in endless)
        many = await asyncio.gather(*(db.query("select ? as n", n) for n in range(50)))
        assert [rows[0]["n"] for rows in many] == list(range(50))
        assert len(db._readers) <= CONNECTIONS


async def test_a_query_that_waits_for_its_turn_can_be_cancelled(path: str) -> None:
    """A cancelled query gives its turn back, whether it runs or waits; the rest is answered."""
    async with Dataset(path, connections=1) as db:
        runs, waits = (asyncio.create_task(db.query(ENDLESS)) for _ in range(2))
        await asyncio.sleep(0)
        waits.cancel()
        runs.cancel()
        await asyncio.wait({runs, waits})
        assert await db.query("select 1 as one") == [{"one": 1}]


async def test_closing_waits_for_nothing(path: str) -> None:
    """Closing lets a query that runs fail, and what is asked afterwards is refused."""
    async with scraper.open(path) as db:
        task = asyncio.create_task(db.query(ENDLESS))
        await asyncio.sleep(0)
    with pytest.raises(QueryError):
        await task
    with pytest.raises(QueryError, match="this handle is closed"):
        await db.query("select 1")


async def test_closing_while_a_connection_is_opened(path: str) -> None:
    """A connection that is only being opened when the handle is closed is closed as well."""
    db = Dataset(path)
    task = asyncio.create_task(db.query("select 1"))
    await asyncio.sleep(0)
    await db.close()
    with pytest.raises(QueryError, match="closed"):
        await task
    assert not db._readers


async def test_an_iterator_that_is_left_gives_its_connection_back(path: str) -> None:
    """Iterators hold a connection of their own, however many are open, and leave no statement behind."""
    async with Dataset(path, connections=1) as db:
        async with aclosing(db.rows(Book)) as first, aclosing(db.rows(Book)) as second:
            assert (await anext(first)) == (await anext(second))
            assert await db.query("select count(*) as n from book") == [{"n": 1200}]
        assert len(db._readers) == 1


async def test_mistakes_are_explained_as_in_the_terminal(path: str) -> None:
    """The same sentences as of `scraper query`; an item class that does not fit is named with its field."""
    async with scraper.open(path) as db:
        with pytest.raises(QueryError, match='Did you mean "book"'):
            await db.query("select * from bok")
        with pytest.raises(QueryError, match="reading only"):
            await db.query("delete from book")

        @scraper.table(name="book")
        @dataclass
        class Other:
            title: int

        with pytest.raises(QueryError, match=r"Other\.title"):
            [item async for item in db.rows(Other)]
    with pytest.raises(UsageError, match="no database 'boooks'"):
        scraper.open("boooks")


async def test_a_dataset_reads_while_a_crawl_writes(path: str, tmp_path: Path) -> None:
    """Rows that another connection commits are seen by the next query."""
    file = tmp_path / "live.db"
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (n)")
        async with scraper.open(file) as db:
            for n in range(3):
                writer.execute("INSERT INTO t VALUES (?)", (n,))
                assert len(await db.query("select * from t")) == n
                writer.commit()


# ------------------------------------------------------------------------------------------- self.db


class Asking(Spider[Book]):
    start_urls = ("https://a.test/",)
    robots = False

    async def parse(self, page: Page) -> Any:
        yield {"was": self.db.has(Book, upc="1"), "rows": await self._count()}
        yield book(1)
        yield page.request("https://a.test/2", self.second)

    async def _count(self) -> int:
        if not self.db.has(Book):
            return 0
        return int((await self.db.query("select count(*) as n from book"))[0]["n"])

    def second(self, page: Page) -> Any:
        found = self.db.get(Book, upc="1", price=Decimal("0.25"))
        yield {"was": found == book(1), "rows": None}


def test_a_spider_asks_what_it_already_has(tmp_path: Path) -> None:
    """`self.db` answers from what is committed, of this run and of earlier ones, also under virtual time."""
    file = tmp_path / "asking.db"
    site = Site({"https://a.test/": "x", "https://a.test/2": "y"})
    simulate(Asking, site, db=file)
    done = simulate(Asking, site, db=file)
    assert [(row["was"], row["rows"]) for row in done.tables["asking"]] == [
        (0, 0), (1, None), (1, 1), (1, None),
    ]  # fmt: skip


async def test_has_refuses_what_would_block_the_loop(path: str) -> None:
    """A look through a whole big table is refused with the way to do it; the same by key is not."""
    past = Past(path)
    try:
        assert past.has(Book, upc="7")
        assert not past.has(Book, upc="7", title="other")
        with pytest.raises(QueryError, match="Book has no field 'tilte'"):
            past.has(Book, tilte="x")
        with pytest.raises(QueryError, match="Decimal expected"):
            past.has(Book, price="x")
        past._connection().set_progress_handler(past._tick, 20)  # as if the table were huge
        with pytest.raises(QueryError, match=r"has\(Book, title=…\) would look through all of book"):
            past.has(Book, title="none")
        assert len(await past.query("select * from book where title = ?", "title 7")) == 1
    finally:
        await past.close()


def test_db_is_reserved() -> None:
    """An attribute of that name is refused, and outside a crawl there is nothing to ask."""

    class Wrong(Spider[Book]):
        db: str

        def parse(self, page: Page) -> None: ...

    Wrong.db = "x"  # type: ignore[misc, assignment]  # what an author may write
    with pytest.raises(SpiderError, match="db is the database of the crawl"):
        define(Wrong)
    with pytest.raises(SpiderError, match="only while a crawl runs"):
        _ = Books().db


def test_no_thread_under_virtual_time(path: str) -> None:
    """In a simulation `self.db.query` runs inline: a thread would not move the virtual clock."""
    loop = VirtualLoop()

    async def asked() -> Any:
        past = Past(path, inline=True)
        rows = await past.query("select 1 as one")
        await past.close()
        return rows

    try:
        assert loop.run_until_complete(asked()) == [{"one": 1}]
    finally:
        loop.close()
