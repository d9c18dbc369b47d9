"""Memory is flat: every cache, queue and log has a bound, and nothing is counted or loaded to begin."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from scraper import Page, Spider
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.models import OriginFacts
from scraper.events import Event, Warned
from scraper.net.robots import Robots
from scraper.store.file import write_ahead_log
from scraper.store.file.database import Database
from scraper.store.file.writer import Writer
from scraper.store.ledger import SqliteLedger
from scraper.testing import Answer, Site, VirtualLoop, simulate

NOW = 1_767_225_600.0
FREE: dict[str, Any] = {"settings": {"robots": False, "rate": None}}


class Wide(Spider):
    """One page with very many links."""

    start_urls = ["https://a.example/"]
    links = 8_000

    def parse(self, page: Page) -> Any:
        yield from (page.request(f"/{n}", self.leaf) for n in range(self.links))

    def leaf(self, page: Page) -> Any:
        yield {"url": page.url}


def test_me_03_a_page_with_very_many_links_is_stored_in_pieces(tmp_path: Path) -> None:
    """Eight thousand links are inserted a thousand at a time, in the page's one transaction, and few are in memory."""
    loop, held = VirtualLoop(), []

    async def scene() -> None:
        crawl = CrawlJob(
            Wide, db=tmp_path / "a.db", transport=Site(lambda _: "x"), inline=True, seed=0,
            settings={"robots": False, "rate": None, "max_pages": 300},
        )  # fmt: skip

        def watch(event: Any) -> None:
            if crawl._engine is not None:
                held.append(crawl._engine._lanes.schedule.held())

        crawl.observe(watch)
        await crawl.run()

    loop.run_until_complete(scene())
    loop.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        assert conn.execute("SELECT count(*) FROM _requests").fetchone() == (8_001,)
    assert max(held) <= 128


@pytest.mark.parametrize("what", ["items", "requests"])
def test_cr_10_a_callback_that_never_stops_fails_its_page(what: str) -> None:
    """More than max_yield items or requests for one page: the page fails with what to do, nothing of it is stored."""

    class Endless(Wide):
        def parse(self, page: Page) -> Any:
            n = 0
            while True:
                n += 1
                yield {"n": n} if what == "items" else page.request(f"/{n}")

    done = simulate(
        Endless, Site({"https://a.example/": "x"}), settings={**FREE["settings"], "max_yield": 500}
    )
    (problem,) = done.summary.problems
    assert problem.kind == "callback"
    assert f"more than 500 {what} for one page (max_yield)" in problem.why
    assert (done.tables, done.summary.queued) == ({}, 0)


def test_me_06_robots_in_memory_are_bounded_by_their_size() -> None:
    """Origins with a large robots.txt push out older ones; the size held is exact over replacements."""
    robots = Robots(lambda: NOW)
    for n in range(100):
        robots.restore(OriginFacts(f"https://{n}.example", "x" * 500_000, NOW + 100.0))
    assert robots.known("https://99.example") is not None
    assert robots.known("https://0.example") is None
    kept = [n for n in range(100) if robots.known(f"https://{n}.example")]
    assert robots._size == 500_000 * len(kept) <= 16 * 2**20


def test_me_02_nothing_is_counted_or_loaded_at_the_start(tmp_path: Path) -> None:
    """Every statement from opening a database to the first claim finds its rows by an index."""
    path = tmp_path / "a.db"
    simulate(Wide, Site(lambda _: "x"), db=path, settings={**FREE["settings"], "max_pages": 5})
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "UPDATE _runs SET state = 'running', options = json_remove(options, '$.settings.max_pages')"
        )
    plans = asyncio.run(_statements(path))
    assert len(plans) > 8
    # The columns of a table, and the few runs, are no rows of a crawl.
    scans = {text: plan for text, plan in plans.items() if "SCAN" in plan and "SCAN pragma_" not in plan}
    assert not [(text, plan) for text, plan in scans.items() if "_runs" not in plan]


async def _statements(path: Path) -> dict[str, str]:
    """What is asked from opening a database to its first claim, and how each is answered."""
    asked: list[str] = []
    crawl, clock = CrawlJob(Wide, db=path, resume="must", inline=True, **FREE), Clock()
    ledger = await crawl.open(clock)
    assert isinstance(ledger, SqliteLedger)
    writer = ledger._writer
    await writer.read(lambda conn: conn.set_trace_callback(asked.append))
    frontier = crawl.frontier(ledger, await crawl.begin(ledger, clock))
    (lease,) = await frontier.claim("one", domains=64, per_domain=16, lease=30.0, now=clock.unix())
    await frontier.pending(now=clock.unix())
    await writer.read(lambda conn: conn.set_trace_callback(None))
    assert len(lease.requests) == 16
    kinds = {"SELECT", "UPDATE", "DELETE"}
    plans = await _plans(writer, [text for text in asked if text.lstrip()[:6] in kinds])
    await ledger.close()
    return plans


async def _plans(writer: Writer, statements: list[str]) -> dict[str, str]:
    def explain(conn: sqlite3.Connection) -> dict[str, str]:
        return {
            text: "; ".join(str(row[3]) for row in conn.execute(f"EXPLAIN QUERY PLAN {text}"))
            for text in statements
        }

    return await writer.read(explain)


class Relay(threading.Thread):
    """Readers that hand over to one another: each begins its transaction before the one before it ends."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.over = threading.Event()
        self.reads = 0

    def run(self) -> None:
        before = self._begin()
        while not self.over.is_set():
            now = self._begin()
            before.close()
            before = now
        before.close()

    def _begin(self) -> sqlite3.Connection:
        reader = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        reader.execute("BEGIN")
        reader.execute("SELECT max(rowid) FROM t").fetchone()
        self.reads += 1
        return reader


async def test_me_07_readers_that_overlap_do_not_let_the_log_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is always some reader, none of them for long, the log is folded and begun anew."""
    monkeypatch.setattr(write_ahead_log, "LOG", 6 * 2**20)
    monkeypatch.setattr(
        write_ahead_log, "PAUSE", 0.02
    )  # on a busy machine the readers may be late: ask again soon
    path, sizes = str(tmp_path / "a.db"), []
    database = await Database.open(path, holder="test", now=NOW)
    await database.writer.submit(put(0))
    relay = Relay(path)
    relay.start()
    for _ in range(1_600):
        await database.writer.submit(put(40_000))
        sizes.append(os.stat(f"{path}-wal").st_size)
    relay.over.set()
    relay.join()
    await database.close()
    assert relay.reads > 100
    assert 40_000 * len(sizes) > 60 * 2**20
    assert max(sizes) < 30 * 2**20


READ_ON = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN")
conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def reading_on(path: str) -> Iterator[int]:
    """Another process inside one reading transaction; its id."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READ_ON, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        yield reader.pid
    finally:
        reader.communicate("", timeout=30)


def put(octets: int) -> Callable[[sqlite3.Connection], None]:
    def work(conn: sqlite3.Connection) -> None:
        conn.execute("CREATE TABLE IF NOT EXISTS t (x)")
        conn.execute("INSERT INTO t VALUES (zeroblob(?))", [octets])

    return work


async def test_me_07_a_reader_that_never_ends_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that one reader keeps growing is said once, with the process to end; then it begins anew."""
    for name, value in (("FOLD", 2**16), ("HUGE", 2**20)):
        monkeypatch.setattr(write_ahead_log, name, value)
    path = str(tmp_path / "a.db")
    said: list[str] = []
    database = await Database.open(path, holder="test", now=NOW)
    database.writer.log.warn = said.append

    async def write(octets: int) -> int:
        await database.writer.submit(put(octets))
        await asyncio.sleep(0.02)
        return database.writer.log.size()

    await write(1)
    with reading_on(path) as reader:
        assert [await write(100_000) for _ in range(25)][-1] > 25 * 100_000
    assert len(said) == 1
    assert f"{path}-wal has grown to 1 MB: " in said[0]
    if sys.platform == "linux":
        assert f" (process {reader}) keeps one reading transaction open; end it" in said[0]
    await database.close()
    assert not database.writer.log.size()


async def test_me_07_the_log_is_found_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is named by a symbolic link has its log beside the file; it is folded there as well."""
    monkeypatch.setattr(write_ahead_log, "FOLD", 2**16)
    (tmp_path / "else").mkdir()
    (tmp_path / "else/a.db").touch()
    (tmp_path / "a.db").symlink_to(tmp_path / "else/a.db")
    database = await Database.open(str(tmp_path / "a.db"), holder="test", now=NOW)
    file = tmp_path / "else/a.db"
    before = file.stat().st_size
    for _ in range(400):
        await database.writer.submit(put(10_000))
        await asyncio.sleep(0.005)
        if file.stat().st_size > before:
            break
    assert file.stat().st_size > before
    assert database.writer.log.size()
    await database.close()


async def test_me_07_a_crawl_says_that_somebody_keeps_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning about a long log reaches whoever looks at the crawl."""
    for name, value in (("FOLD", 2**16), ("HUGE", 2**18)):
        monkeypatch.setattr(write_ahead_log, name, value)
    path, events = str(tmp_path / "a.db"), list[Event]()

    class Long(Spider):
        start_urls = tuple(f"https://a.example/{n}" for n in range(200))

        async def parse(self, page: Page) -> Any:
            await asyncio.sleep(0.005)
            yield {"url": page.url, "text": "x" * 9_000}

    crawl = CrawlJob(Long, db=path, transport=Site(lambda r: "x"), observers=[events.append], **FREE)
    database = await Database.open(path, holder="test", now=NOW)
    await database.close()
    with reading_on(path):
        summary = await crawl.run()
    assert summary.pages == 200
    said = [event.message for event in events if isinstance(event, Warned)]
    assert 1 <= len(said) <= 3  # again when it has grown to four times that
    assert said[0].startswith(f"{path}-wal has grown to ")


def test_me_05_a_failure_leaves_nothing_behind() -> None:
    """Error pages of several kinds by the hundred: no task, no lane and no domain state stays."""
    loop = VirtualLoop()
    answers = [Answer("", 500), Answer("", 404), Answer(error=ConnectionError("reset")), Answer("<h1>")]

    class Failing(Wide):
        links = 400

        def leaf(self, page: Page) -> Any:
            raise ValueError("broken") if page.url.endswith("3") else LookupError("odd")

    async def scene() -> tuple[int, int]:
        site = Site(lambda r: "x" if r.url.path == "/" else answers[int(r.url.path[1:]) % 4])
        crawl = CrawlJob(Failing, db=":memory:", transport=site, inline=True, seed=0, **FREE)
        await crawl.run()
        assert crawl._engine is not None
        return len(crawl._engine._tasks), len(crawl._engine._lanes.schedule.lanes)

    left = loop.run_until_complete(scene())
    loop.close()
    assert left == (0, 0)
