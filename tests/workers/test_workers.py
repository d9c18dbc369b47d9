"""Several processes, one crawl: nothing lost, nothing doubled, one rate, one budget, one end.

What is about time runs as several crawls in one virtual loop, each with a connection of its own; what is about
processes (kills, signals, freezes) runs as processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from scraper import Page, Spider
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.models import Run
from scraper.engine.options import Member
from scraper.errors import StoreError
from scraper.reports.politeness import politeness_of
from scraper.reports.summary import Summary
from scraper.store.file.database import Database
from scraper.store.file.lock import Living
from scraper.store.file.writer import InlineExecutor
from scraper.store.ledger import SqliteLedger
from scraper.testing import Hit, Site, VirtualLoop
from tests.support.command_line import SPIDER, Person, person, wait_for
from tests.support.outage_server import Outage, OutageServer, linked_pages
from tests.support.shop_server import PAGES, shop

__all__ = ["person", "shop"]  # fixtures

HOSTS = [f"shop{n}.example" for n in range(6)]


# ------------------------------------------------------------------------------- in virtual time


class Mortal(InlineExecutor):
    """A connection that is gone from one moment to the next, as that of a process killed with -9."""

    dead = False

    async def run(self, fn: Any) -> Any:
        if self.dead:
            raise StoreError("killed")
        return await super().run(fn)


class Team:
    """Workers of one crawl, each a task with its own connection; `kill` ends one without any farewell."""

    def __init__(self, spider: type[Spider], site: Site, path: Path, workers: int, **options: Any) -> None:
        self.crawls = [
            CrawlJob(spider, db=path, transport=site, inline=True, seed=n, **options) for n in range(workers)
        ]
        self.path = str(path)
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.executors: dict[int, Mortal] = {}
        self.writers: dict[int, asyncio.Task[None]] = {}
        self.clock = Clock()

    async def begin(self) -> Run:
        ledger = await self.crawls[0].open(self.clock)
        run = await self.crawls[0].begin(ledger, self.clock)
        await ledger.close()
        return run

    def start(self, run: Run, number: int) -> None:
        self.tasks[number] = asyncio.create_task(self._work(run, number))

    async def _work(self, run: Run, number: int) -> Any:
        crawl = self.crawls[number % len(self.crawls)]
        self.executors[number] = Mortal(self.path)
        database = Database(self.path, self.executors[number], None)
        ledger, clock = SqliteLedger(database, crawl._warn, joined=True), Clock()
        self.writers[number] = database.writer._task
        await ledger.anchor(clock)
        run = await ledger.find(run.id)
        member = Member(f"worker {number}", len(self.crawls), seeds=number % len(self.crawls) == 0)
        try:
            return await crawl.work(ledger, run, clock, member)
        finally:
            if not self.executors[number].dead:
                await ledger.close()

    async def kill(self, run: Run, number: int) -> None:
        """The kernel closes its connection and drops its lock; a successor finds its leases ended."""
        self.executors[number].dead = True
        self.tasks[number].cancel()
        await asyncio.wait([self.tasks[number]])
        await self.executors[number].close()
        self.writers[number].cancel()
        del self.tasks[number]
        ledger = await self.crawls[0].join(self.clock)
        frontier = self.crawls[0].frontier(ledger, run)
        await frontier.free_dead(lambda owner: owner == f"worker {number}", now=self.clock.unix())
        await ledger.close()

    async def conclude(self, run: Run, reason: str | None = None) -> Summary:
        """The summary; each worker must have ended for a `reason` that begins so, None: because nothing was left."""
        for ended in await asyncio.gather(*self.tasks.values()):
            assert ended.reason is None if reason is None else (ended.reason or "").startswith(reason)
        ledger = await self.crawls[0].join(self.clock)
        try:
            return await self.crawls[0].conclude(ledger, run, ended, self.clock, 0.0)
        finally:
            await ledger.close()


class SetLoop(VirtualLoop):
    """A loop beside a wall clock that is set."""

    shift = 0.0

    def wall(self) -> float:
        return super().wall() + self.shift


def crawl_together(
    spider: type[Spider],
    site: Site,
    path: Path,
    workers: int,
    kills: Sequence[float] = (),
    jump: float = 0.0,
    reason: str | None = None,
    **options: Any,
) -> Summary:
    """A whole crawl; at each of `kills` (seconds) the next worker dies and is replaced.

    After two seconds the wall clock is set by `jump`, and after four it is right again.
    """

    async def scene() -> Summary:
        team = Team(spider, site, path, workers, **options)
        run = await team.begin()
        for number in range(workers):
            team.start(run, number)
        for n, at in enumerate(kills):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            await team.kill(run, n)
            team.start(run, n + workers)
        return await team.conclude(run, reason)

    loop = SetLoop()
    loop.call_at(2.0, setattr, loop, "shift", jump)
    loop.call_at(4.0, setattr, loop, "shift", 0.0)
    try:
        return loop.run_until_complete(scene())
    finally:
        loop.close()


class Shops(Spider):
    """Six shops of twenty products, five requests a second each."""

    start_urls = [f"https://{host}/" for host in HOSTS]
    rate, concurrency, robots = "5/s", 2, False

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a", self.product)

    def product(self, page: Page) -> Any:
        yield {"url": page.url}


def shops() -> Site:
    listing = "".join(f'<a href="/{n}">x</a>' for n in range(20))
    return Site(lambda request: listing if request.url.path == "/" else "<h1>x</h1>", latency=0.15)


def worst_gap(hits: Sequence[Hit]) -> float:
    """The smallest time between two requests that one host saw."""
    gaps = []
    for host in {hit.host for hit in hits}:
        at = sorted(hit.at for hit in hits if hit.host == host)
        gaps += [after - before for before, after in pairwise(at)]
    return min(gaps)


def test_workers_share_the_domains_and_end_together(tmp_path: Path) -> None:
    """Every page once, each worker has domains of its own, and all see the end."""
    site = shops()
    summary = crawl_together(Shops, site, tmp_path / "a.db", 3)
    assert (summary.pages, summary.queued, summary.exit_code) == (126, 0, 0)
    assert Counter(hit.url for hit in site.hits).most_common(1)[0][1] == 1
    # Six domains at five a second: no worker had them one after the other.
    assert max(hit.at for hit in site.hits) < 6


@pytest.mark.parametrize("kills", [(), (1.3,), (0.4, 1.1, 2.05, 2.9, 3.0)])
def test_po_11_the_rate_holds_over_workers_and_hand_over(tmp_path: Path, kills: Sequence[float]) -> None:
    """In the joined log of all workers no two requests to a host are closer than the gap, whoever died."""
    site = shops()
    summary = crawl_together(Shops, site, tmp_path / "a.db", 3, kills)
    assert summary.pages == 126
    assert worst_gap(site.hits) >= 0.2 - 1e-6
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT url) FROM shops").fetchone() == (120, 120)
    # At most what was under way: two visits of each domain the dead one held, for each kill.
    assert len(site.hits) - 126 <= len(kills) * len(HOSTS) * 2


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.parametrize("kills", [(), (1.3, 2.6, 4.1)])
def test_workers_do_not_notice_that_the_clock_was_set(
    tmp_path: Path, kills: Sequence[float], jump: float
) -> None:
    """T4: the wall clock set by an hour and back: no lease looks over, so no page twice and no gap broken."""
    site = shops()
    summary = crawl_together(Shops, site, tmp_path / "a.db", 3, kills, jump)
    assert (summary.pages, summary.queued, summary.exit_code) == (126, 0, 0)
    assert worst_gap(site.hits) >= 0.2 - 1e-6
    assert len(site.hits) - 126 <= len(kills) * len(HOSTS) * 2


def test_budgets_are_exact_over_workers(tmp_path: Path) -> None:
    """`max_pages` pages end ok, not one more, however many workers race for the last."""
    for pages in (1, 37, 100):
        summary = crawl_together(
            Shops, shops(), tmp_path / f"{pages}.db", 3, settings={"max_pages": pages, "rate": None}
        )
        assert summary.pages == pages


def test_items_are_counted_over_workers(tmp_path: Path) -> None:
    """Workers stop once all of them together have `max_items` rows, though none has so many itself."""

    async def scene() -> None:
        team = Team(Shops, shops(), tmp_path / "a.db", 3, settings={"max_items": 40, "rate": "1/s"})
        run = await team.begin()
        for number in range(3):
            team.start(run, number)
        ends = await asyncio.gather(*team.tasks.values())
        assert [ended.reason for ended in ends] == ["max_items 40 reached"] * 3

    loop = VirtualLoop()
    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        ((rows,),) = conn.execute("SELECT count(*) FROM shops").fetchall()
    assert 40 <= rows <= 40 + 2 * len(HOSTS)  # at most what was under way


def test_max_items_ends_a_crawl_of_processes(person: Person, shop: tuple[str, list[str]]) -> None:
    """The supervisor hears from any worker that the run has its rows, and the crawl ends well and says why."""
    ran = person.runs("crawl", "shop.py", "--workers", "2", "--max-items", "5")
    assert ran.code == 0
    assert "max_items 5 reached" in ran.err


class Linked(Spider):
    """Six hosts with thirty pages each."""

    start_urls = tuple(f"https://{host}/" for host in HOSTS)
    rate = "2/s"
    robots = False

    def parse(self, page: Page):
        yield {"url": page.url}
        yield from page.follow_all("a")


def test_an_outage_over_workers_loses_no_page(tmp_path: Path) -> None:
    """Every host is down for half a minute: each is probed by the worker that has it, and every page is there."""
    server = OutageServer(linked_pages(30), [Outage(4, 34)])
    crawl_together(Linked, server, tmp_path / "a.db", workers=3)
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        assert conn.execute("select count(*), count(distinct url) from linked").fetchone() == (186, 186)
        assert politeness_of(conn).verdict.kept


def test_a_worker_whose_domains_are_all_down_does_not_end_the_crawl(tmp_path: Path) -> None:
    """Five of six hosts are down for good: they are parked, and the sixth is crawled to its end by whoever has it."""
    server = OutageServer(linked_pages(30), [Outage(4, 1e9, "connect", HOSTS[1:])])
    summary = crawl_together(Linked, server, tmp_path / "a.db", workers=3, settings={"outage_max": 6})
    assert sorted(summary.parked) == HOSTS[1:]
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        (pages,) = conn.execute("select count(*) from linked where url like ?", (f"%{HOSTS[0]}%",)).fetchone()
    assert pages == 31


def test_workers_whose_domains_are_all_down_end_the_crawl(tmp_path: Path) -> None:
    """No worker has an answer any more: the network is gone, the crawl stops, and no request is lost."""
    server = OutageServer(linked_pages(30), [Outage(4, 1e9)])
    options = {"settings": {"outage_max": 6}, "reason": "the network is gone"}
    summary = crawl_together(Linked, server, tmp_path / "a.db", workers=3, **options)
    assert (summary.exit_code, summary.counters.get("failed", 0), summary.parked) == (5, 0, {})


def test_start_is_run_by_one_worker(tmp_path: Path) -> None:
    """Three workers, one `start()`; the others learn from the database that it is through."""

    class Counted(Shops):
        ran = 0

        async def start(self) -> Any:
            type(self).ran += 1
            for url in self.start_urls:
                yield url

    assert crawl_together(Counted, shops(), tmp_path / "a.db", 3).pages == 126
    assert Counted.ran == 1


def test_a_worker_gives_away_what_it_has_too_much_of(tmp_path: Path) -> None:
    """One that began alone holds every domain; when a second one comes, it gets its share."""

    async def scene() -> set[str]:
        team = Team(Shops, shops(), tmp_path / "a.db", 2, settings={"rate": "1/s"})
        run = await team.begin()
        team.start(run, 0)
        await asyncio.sleep(5)
        team.start(run, 1)
        await asyncio.sleep(12)
        with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
            owners = Counter(owner for (owner,) in conn.execute("SELECT owner FROM _queues"))
        assert owners == {"worker 0": 3, "worker 1": 3}
        summary = await team.conclude(run)
        assert summary.pages == 126
        return set(owners)

    loop = VirtualLoop()
    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()


def test_a_dead_worker_is_known_by_its_lock(tmp_path: Path) -> None:
    """While a worker's process lives nobody takes it for dead; when it is gone everybody does."""
    database = str(tmp_path / "a.db")
    Path(database).touch()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        Living(database).enter(7)
        os.write(tell, b"!")
        signal.pause()
    os.read(told, 1)
    us = Living(database)
    us.enter(8)
    assert not us.is_dead(7)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert us.is_dead(7)
    us.leave()
    os.close(told)
    os.close(tell)


# ------------------------------------------------------------------------------- as processes


def workers_of(process: Popen[str]) -> list[int]:
    """The processes a crawl has forked, oldest first."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")


def rows_of(person: Person) -> tuple[Any, ...]:
    with closing(sqlite3.connect(person.folder / "data/shop.db")) as conn:
        assert conn.execute("pragma integrity_check").fetchone() == ("ok",)
        return conn.execute("select count(*), count(distinct name), sum(price) from product").fetchone()


def counter(person: Person, name: str) -> int:
    with closing(sqlite3.connect(person.folder / "data/shop.db")) as conn:
        row = conn.execute("select value from _counters where name = ?", (name,)).fetchone()
        return row[0] if row else 0


@on_linux
def test_cr_01_killed_workers_are_replaced(person: Person, shop: tuple[str, list[str]]) -> None:
    """kill -9 of the worker that fetches: another goes on at once, every row is there once, exit 0."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'90/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--workers", "2")
    for least in (12, 30):
        wait_for(lambda least=least: len(asked) >= least)
        for pid in workers_of(process):
            os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("died by signal 9; another goes on") == 4
    assert rows_of(person) == (60, 60, 1800)
    assert len(asked) <= PAGES + 2 + 4 * 4 + 2
    assert counter(person, "taken") == counter(person, "queued") == 0


FROZEN = """
import scraper.engine.crawl, scraper.engine.lanes
scraper.engine.lanes.LEASE, scraper.engine.crawl.EXTEND_EVERY = 1.0, 0.3
from scraper.cli import main
main()
"""

SLOW = SPIDER.replace("    def product", "    async def product").replace(
    "        yield Product(", "        await __import__('asyncio').sleep(0.3)\n        yield Product("
)


@on_linux
def test_a_frozen_worker_is_fenced(person: Person, shop: tuple[str, list[str]]) -> None:
    """SIGSTOP past the lease: another worker takes the domain over; what the frozen one then commits is refused."""
    url, asked = shop
    person.write("shop.py", SLOW.format(url=url, rate="'90/s'"))
    person.write("frozen.py", FROZEN)
    asked.clear()
    command = [sys.executable, "-W", "error", "frozen.py", "crawl", "shop.py", "--workers", "2"]
    process = Popen(command, cwd=person.folder, env=person.environment, text=True, stderr=-1)
    wait_for(lambda: len(asked) >= 15)
    with closing(sqlite3.connect(person.folder / "data/shop.db")) as conn:
        (owner,) = conn.execute("SELECT owner FROM _queues WHERE owner IS NOT NULL").fetchone()
    frozen = workers_of(process)[int(owner.split()[1])]
    os.kill(frozen, signal.SIGSTOP)
    seen = len(asked)
    wait_for(lambda: len(asked) >= seen + 10)
    os.kill(frozen, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert rows_of(person) == (60, 60, 1800)
    assert counter(person, "fenced") >= 1
    assert Counter(asked).most_common(1)[0][1] <= 2


STUCK = """
import os, signal, threading
import scraper.workers.supervisor as supervisor
import scraper.store.file.writer as writer
supervisor.LOOK, supervisor.SILENT, supervisor.HOLDING = 0.3, 3, 2
group, main_process = writer._run_group, os.getpid()
def stopped(conn, work, last):
    def stop(conn):
        if os.getpid() != main_process and os.path.exists("stop"):
            os.unlink("stop")
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread stops here, not a moment later
    return group(conn, work, [*last, stop])
writer._run_group = stopped
from scraper.cli import main
main()
"""


@on_linux
def test_a_worker_frozen_in_a_transaction_is_ended(person: Person, shop: tuple[str, list[str]]) -> None:
    """SIGSTOP while a worker writes: no other can, until the supervisor ends it; then all goes on, and nothing is lost."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'90/s'"))
    person.write("stuck.py", STUCK)
    asked.clear()
    command = [sys.executable, "-W", "error", "stuck.py", "crawl", "shop.py", "--workers", "2"]
    process = Popen(command, cwd=person.folder, env=person.environment, text=True, stderr=-1)
    wait_for(lambda: len(asked) >= 15)
    (person.folder / "stop").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("is frozen while it writes, so that no other can; it is ended") == 1, err
    assert err.count("died by signal 9; another goes on") == 1
    assert rows_of(person) == (60, 60, 1800)


@on_linux
def test_a_replaced_worker_knows_how_much_time_is_left(person: Person, shop: tuple[str, list[str]]) -> None:
    """`max_time` is the crawl's: a worker that began late ends with the others."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'10/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--workers", "2", "--max-time", "4s")
    wait_for(lambda: len(asked) >= 25)
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert "max_time 4 s reached" in err
    assert "another goes on" in err
    assert 25 <= len(asked) < PAGES  # four seconds after its own start it would have fetched all


def test_every_page_of_every_worker_is_told(person: Person, shop: tuple[str, list[str]]) -> None:
    """`-v` and `--json` have a line for each page, as with one process."""
    url, _ = shop
    person.write("shop.py", SPIDER.format(url=url, rate="None"))
    told = {}
    for workers in ("1", "3"):
        ran = person.runs("crawl", "shop.py", "--db", f"{workers}.db", "--workers", workers, "-v", "--json")
        events = [json.loads(line) for line in ran.out.splitlines()]
        pages = {event["url"]: event for event in events if event["event"] == "page"}
        lines = sorted(line.rpartition("  ")[0] for line in ran.err.splitlines() if line.startswith("  200"))
        told[workers] = (
            lines,
            {
                address: {name: value for name, value in page.items() if name not in {"at", "seconds"}}
                for address, page in pages.items()
            },
        )
        assert (ran.code, len(pages), len(lines)) == (0, PAGES + 1, PAGES + 1)
    assert told["1"] == told["3"]


MOVED = """
from scraper import Page, Spider

class Moved(Spider):
    start_urls = ["{here}/p/0", *["{there}/go/%d" % n for n in range(40)], *["{here}/go/%d" % n for n in range(20, 60)]]
    rate = None
    concurrency = 4
    robots = False
    private_hosts = ["localhost:{port}", "127.0.0.1:{port}"]
    scope = "any"

    def parse(self, page: Page):
        yield {{"url": page.url}}
"""


@on_linux
def test_a_page_that_redirects_of_two_workers_lead_to_is_fetched_once(
    person: Person, shop: tuple[str, list[str]]
) -> None:
    """Redirects inside a domain and into another, in two processes: each page has one row and one request."""
    url, asked = shop
    port = url.rpartition(":")[2]
    person.write("moved.py", MOVED.format(here=url, there=f"http://localhost:{port}", port=port))
    asked.clear()
    ran = person.runs("crawl", "moved.py", "--db", "m.db", "--workers", "2")
    assert ran.code == 0, ran.err
    told = person.types("query", "m.db", "select count(*), count(distinct url) from moved")
    assert told.out.split()[-2:] == ["60", "60"]
    assert Counter(path for path in asked if path.startswith("/p/")) == {f"/p/{n}": 1 for n in range(60)}


@on_linux
def test_cr_08_signals_reach_all_workers(person: Person, shop: tuple[str, list[str]]) -> None:
    """SIGTERM once: all end in good order, one summary, exit 130, and a resume refetches nothing."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'90/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--workers", "2")
    wait_for(lambda: len(asked) >= 15)
    pids = workers_of(process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.count("continue with: scraper resume shop") == 1
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert person.types("resume", "shop").code == 0
    assert len(asked) == len(set(asked)) == PAGES + 2


@on_linux
def test_cr_08_a_second_signal_leaves_at_once(person: Person, shop: tuple[str, list[str]]) -> None:
    """Twice: every worker is gone at once, and nothing stored is lost."""
    url, asked = shop
    person.write("shop.py", SLOW.format(url=url, rate="'90/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--workers", "2")
    wait_for(lambda: len(asked) >= 15)
    pids = workers_of(process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])
    assert person.runs("resume", "shop", "--workers", "2").code == 0
    assert rows_of(person) == (60, 60, 1800)


@on_linux
def test_cr_07_a_dead_supervisor_ends_its_workers(person: Person, shop: tuple[str, list[str]]) -> None:
    """kill -9 of the process that was started: its workers stop by themselves, and only then may another crawl."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'90/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--workers", "2")
    wait_for(lambda: len(asked) >= 15)
    pids = workers_of(process)
    second = person.types("resume", "shop")
    assert (second.code, f"process {process.pid}" in second.err) == (7, True)
    process.kill()
    process.communicate()
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])
    assert person.runs("resume", "shop", "--workers", "2").code == 0
    assert rows_of(person) == (60, 60, 1800)


@on_linux
def test_workers_that_keep_dying_stop_the_crawl(person: Person) -> None:
    """After five deaths in a minute no further worker is started: exit 5, resumable."""
    person.write(
        "shop.py",
        SPIDER.format(url=person.url, rate="None").replace(
            "yield page.follow_all", "import os; os.kill(os.getpid(), 9); yield page.follow_all"
        ),
    )
    ran = person.runs("crawl", "shop.py", "--workers", "2")
    assert ran.code == 5, ran.err
    assert "died 5 times in a minute, last by signal 9" in ran.err
    assert "continue with: scraper resume shop" in ran.err


@on_linux
def test_an_error_in_a_worker_is_the_crawls(person: Person) -> None:
    """A start() that raises: exit 2 and its place, once; as with one process."""
    person.write("shop.py", SPIDER.format(url="127.0.0.1", rate="None"))
    ran = person.runs("crawl", "shop.py", "--workers", "2")
    alone = person.runs("crawl", "shop.py")
    assert (ran.code, ran.err) == (2, alone.err.replace("run 2", "run 1"))


def test_a_domain_that_another_worker_has_is_waited_for(tmp_path: Path) -> None:
    """`page.fetch` from a domain another worker holds: the visit is done again when it is free, as no failed try."""

    class Both(Spider):
        start_urls = ["https://a.example/", "https://b.example/"]
        rate, robots, retries = "2/s", False, 0

        def parse(self, page: Page) -> Any:
            yield page.follow_all("a", self.leaf)

        async def leaf(self, page: Page) -> Any:
            other = "b" if "//a." in page.url else "a"
            await page.fetch(f"https://{other}.example/api")
            yield {"url": page.url}

    listing = "".join(f'<a href="/{n}">x</a>' for n in range(4))
    site = Site(lambda request: listing if request.url.path == "/" else "x", latency=0.05)
    summary = crawl_together(Both, site, tmp_path / "a.db", 2)
    assert (summary.pages, summary.counters.get("failed", 0)) == (10, 0)
