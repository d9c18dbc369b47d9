"""Page results applied later, by another process: the rows are those of an ordinary crawl."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from scraper import Key, Page, Spider
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.journal import JournalEntry, encode
from scraper.core.ledger import Ledger
from scraper.core.models import Budget, PageResult, Run
from scraper.engine.options import Member
from scraper.errors import StoreError
from scraper.store.file.database import Database
from scraper.store.journal import JournalWriter
from scraper.store.ledger import SqliteLedger
from scraper.store.queue.runs import end_run
from scraper.testing import Answer, Site, VirtualLoop

#: What a process does that has only the file of entries and the database.
APPLY = """
import asyncio, base64, json, sys
from pathlib import Path
from scraper.store.file.database import Database
from scraper.store.journal import JournalWriter

async def main(database, entries):
    opened = await Database.open(database, holder="collector", now=0.0)
    try:
        journal = JournalWriter(opened.writer, entries)
        for position, line in enumerate(Path(entries).read_text().splitlines(), 1):
            print(await journal.apply(position, base64.b64decode(line)))
        await journal.flush()
    finally:
        await opened.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Journal:
    """Takes page results as bytes."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.entries: list[bytes] = []

    def apply(
        self,
        conn: sqlite3.Connection,
        deltas: defaultdict[str, int],
        domain: int,
        result: PageResult,
        at: float,
    ) -> None:
        self.entries.append(encode(JournalEntry(self.run, at, result)))

    def forget(self) -> None:
        raise AssertionError("nothing fails in this test")


@dataclass
class Book:
    id: Annotated[str, Key]
    price: str | None
    cover: bytes = b"\x00\xff"


class Books(Spider[Any]):
    start_urls = ("https://a.test/0",)
    robots = False
    rate = None
    revisit = 1.0

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a")
        if page.url.endswith("/3"):
            raise ValueError("this page is broken")
        yield Book(page.text("i"), page.text("p", None))
        yield Book("same", page.url)
        yield {"note": page.url, "empty": page.text("b", "")}
        yield {"note": float("nan")}
        page.text(".misspelt", None)


class JournalledCrawl(CrawlJob):
    """Writes the effects on the queue; what is found goes into a journal."""

    journal: Journal | None = None

    def frontier(self, ledger: Ledger, run: Run) -> Frontier:
        self.journal = self.journal or Journal(run.id)
        assert isinstance(ledger, SqliteLedger)
        return ledger.frontier(run.id, Budget(), self.journal)


def site(run: int) -> Site:
    def answer(request: Any) -> Answer:
        number = int(request.url.path[1:] or 0)
        links = "".join(f"<a href=/{n}>x</a>" for n in range(number * 2 + 1, number * 2 + 3) if n < 12)
        etag = {"ETag": f'"{number if number % 2 else run}"'}
        if request.headers.get("if-none-match") == etag["ETag"]:
            return Answer("", 304, etag)
        price = f"<p>{run}</p>" if number % 4 else ""
        return Answer(f"<i>{number}</i>{price}{links}", headers=etag)

    return Site(answer)


def crawl(cls: type[CrawlJob], database: Path, number: int, folder: Path) -> None:
    """A run whose page results are in the tables at its end, however they came there."""
    loop = VirtualLoop(1_000.0 * number)
    made = cls(Books, db=database, transport=site(number), inline=True, seed=0)

    async def work() -> int:
        clock = Clock()
        opened = await made.open(clock)
        try:
            run = await made.begin(opened, clock)
            await made.work(opened, run, clock, Member("one"))
            return run.id
        finally:
            await opened.close()

    async def end(run: int) -> None:
        opened = await Database.open(database, holder="end", now=loop.time(), inline=True)
        await opened.writer.submit(lambda conn: end_run(conn, run, "complete", None, 5_000.0 * number))
        await opened.close()

    try:
        run = loop.run_until_complete(work())
        if isinstance(made, JournalledCrawl):
            assert made.journal is not None
            assert made.journal.entries
            entries = folder / f"entries{number}"
            entries.write_text("\n".join(b64encode(entry).decode() for entry in made.journal.entries))
            for first in ("True", "False"):  # the second time is after a crash: all is there already
                done = subprocess.run(
                    [sys.executable, "-c", APPLY, str(database), str(entries)],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
                assert set(done.stdout.split()) == {first}
        loop.run_until_complete(end(run))
    finally:
        loop.close()


def contents(database: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(database)) as conn:
        names = [n for (n,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {n: sorted(conn.execute(f'SELECT * FROM "{n}"').fetchall(), key=repr) for n in names}
    found.pop("_journal", None)
    # What the processor's time and the machine decide is not of the pages.
    found["_counters"] = [row for row in found["_counters"] if not row[1].startswith("time.")]
    return found


def test_results_applied_later_by_another_process_give_the_same_rows(tmp_path: Path) -> None:
    """All tables equal those of an ordinary crawl, over two runs with changes; applied twice, they are written once."""
    plain, late = tmp_path / "plain.db", tmp_path / "late.db"
    for number in (1, 2):
        crawl(CrawlJob, plain, number, tmp_path)
        crawl(JournalledCrawl, late, number, tmp_path)
    wanted, found = contents(plain), contents(late)
    assert found.keys() == wanted.keys()
    for table in wanted:
        assert found[table] == wanted[table], table
    for table in (
        "book",
        "_book_history",
        "_rejected",
        "_errors",
        "_selectors",
        "_pages",
        "_fill",
        "_visits",
    ):
        assert wanted[table], table


def test_an_entry_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    """The position stays where it was, so that the entry is applied when it can be."""

    async def apply() -> bool:
        opened = await Database.open(tmp_path / "x.db", holder="test", now=0.0)
        try:
            journal = JournalWriter(opened.writer, "test")
            with pytest.raises(StoreError, match="not a journal entry"):
                await journal.apply(1, json.dumps({"version": 1}).encode())
            entry = JournalEntry(1, 0.0, PageResult(1, b"", "a.test", "https://a.test/"))
            return await journal.apply(1, encode(entry))
        finally:
            await opened.close()

    assert asyncio.run(apply())
