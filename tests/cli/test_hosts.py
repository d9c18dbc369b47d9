"""Other limits for a crawl that runs, from another terminal; and what the scheduler costs."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from scraper import Page, Request, Spider
from scraper.cli.commands.hosts import hosts
from scraper.core.clock import Clock
from scraper.core.models import DomainLease, Limit, Options, QueuedRequest
from scraper.engine.domain_scheduler import Lane, Schedule
from scraper.errors import QueryError, SettingsError, UsageError
from scraper.events import Event, PageDone
from scraper.politeness import Domain, Politeness
from scraper.reports.politeness import prove
from scraper.settings import Settings
from scraper.store.file.lock import CrawlLock
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect
from scraper.store.queue.leases import Leases
from scraper.store.queue.orders import set_limit
from scraper.store.queue.requests import Queue
from scraper.store.queue.runs import begin
from scraper.testing import Answer, Site, run_virtual, simulate


class Slow(Spider[dict]):
    rate = "1/s"
    concurrency = 3
    robots = False
    count: int = 30

    async def start(self):
        for i in range(self.count):
            yield Request(f"https://a.test/{i}")

    def parse(self, page: Page):
        yield {"url": page.url}


def order(db: Path, after: int, **changes: str) -> Callable[[Event], None]:
    """An observer that gives a.test other limits when so many pages are done."""
    done = 0

    def observe(event: Event) -> None:
        nonlocal done
        if isinstance(event, PageDone):
            done += 1
            if done == after:
                now = 1_767_225_600.0 + asyncio.get_running_loop().time()
                with closing(sqlite3.connect(db)) as conn, conn:
                    set_limit(conn, 1, "a.test", changes, now)

    return observe


def test_a_rate_set_from_outside_holds_within_a_second(tmp_path: Path) -> None:
    """From one a second to ten, while the crawl runs: picked up within a second, and the proof knows both."""
    db, site = tmp_path / "s.db", Site(lambda request: "x")
    simulate(Slow, site, db=db, observers=[order(db, 5, rate="10/s")])
    times = [hit.at for hit in site.hits]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= 1 - 1e-6 for gap in gaps[:4])
    assert all(0.1 - 1e-6 <= gap < 0.11 for gap in gaps[7:])
    with closing(sqlite3.connect(db)) as conn:
        (proof,) = prove(conn)
    assert proof.broken == []
    assert proof.gaps == (0.1, 1.0)


def test_a_lowered_rate_and_concurrency_hold_too(tmp_path: Path) -> None:
    """From no rate and three at once to one every two seconds, one at a time."""
    db, site = tmp_path / "s.db", Site(lambda request: Answer("x", latency=0.5))
    simulate(
        Slow, site, db=db, settings={"rate": None}, observers=[order(db, 6, rate="30/min", concurrency="1")]
    )
    at = [hit.at for hit in sorted(site.hits, key=lambda hit: hit.at)]
    set_at = sorted(hit.ended for hit in site.hits)[5]
    later = [moment for moment in at if moment > set_at + 1]
    assert len(later) > 15
    assert min(after - before for before, after in pairwise(later)) >= 2 - 1e-6
    with closing(sqlite3.connect(db)) as conn:
        assert [proof.broken for proof in prove(conn)] == [[]]


def test_a_domain_that_was_given_back_hears_it_too(tmp_path: Path) -> None:
    """One an hour, so that nobody holds the domain: the new rate wakes it all the same, and holds after a resume."""
    db, site = tmp_path / "s.db", Site(lambda request: "x")
    options = {"db": db, "arguments": {"count": 5}, "settings": {"rate": "1/h"}}
    first = simulate(Slow, site, kill=(8.5,), observers=[order(db, 1, rate="1/s")], **options)
    assert first.summary.exit_code == 0
    assert first.seconds < 20
    assert len({hit.url for hit in site.hits}) == 5


def running(tmp_path: Path) -> Path:
    """A database with a run of Slow, on which somebody seems to crawl."""
    db = tmp_path / "s.db"
    simulate(Slow, Site(lambda request: "x"), db=db, arguments={"count": 1})
    return db


def test_the_command_leaves_an_order(tmp_path: Path) -> None:
    """`scraper hosts DB --set HOST KEY=VALUE…` takes a host for its domain and leaves the limits as typed."""
    db = running(tmp_path)
    lock = CrawlLock(str(db))
    lock.acquire("slow", "now")
    try:
        done = CliRunner().invoke(
            hosts, [str(db), "--set", "www.a.test", "rate=2/s", "concurrency=1"], standalone_mode=False
        )
    finally:
        lock.release()
    assert done.exception is None, done.exception
    with closing(sqlite3.connect(db)) as conn:
        what, argument = conn.execute("SELECT what, argument FROM _commands").fetchone()
    assert (what, argument) == (
        "limit",
        '{"domain": "a.test", "changes": {"rate": "2/s", "concurrency": "1"}}',
    )


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--set", "a.test", "rate=2/s"], UsageError, "no crawl is running"),
        (["--set", "a.test"], UsageError, "what is to change"),
        (["--set", "a.test", "rte=2/s"], UsageError, 'Did you mean "rate"'),
        (["--set", "a.test", "rate"], UsageError, "rate=2/s"),
        (["--set", "a.test", "rate=fast"], SettingsError, "limits of a.test: rate = 'fast' is not valid"),
        (["--set", "b.test", "rate=2/s"], QueryError, 'Did you mean "a.test"'),
        (["rate=2/s"], UsageError, "which domain"),
    ],
)
def test_what_cannot_be_set_is_said(
    tmp_path: Path, words: list[str], error: type[Exception], said: str
) -> None:
    """A wrong order names what is wrong and the next step, and changes nothing."""
    done = CliRunner().invoke(hosts, [str(running(tmp_path)), *words], standalone_mode=False)
    assert isinstance(done.exception, error)
    assert said in str(done.exception)


def test_hosts_shows_rate_and_wait(tmp_path: Path) -> None:
    """The rate in force, an adaptive one with its reason, and what a domain waits for."""
    db = tmp_path / "h.db"

    class Both(Slow):
        limits = {"b.test": Limit("auto<=3/s")}

        async def start(self):
            for host in ("a", "b", "c"):
                for i in range(6):
                    yield Request(f"https://{host}.test/{i}")

    def answer(request):
        if request.url.host == "c.test":
            return Answer(status=429, headers={"Retry-After": "9999"})
        return "x"

    simulate(Both, Site(answer), db=db)
    told = CliRunner().invoke(hosts, [str(db)], standalone_mode=False).output.splitlines()
    rows = {line.split()[0]: line for line in told[2:]}
    assert "  1/s  " in rows["a.test"]
    assert "auto 1.5/s: answers are level" in rows["b.test"]
    assert "parked: HTTP 429 with a Retry-After" in rows["c.test"]


# ------------------------------------------------------------------------------------------- the scheduler


def _queued(number: int, domain: str) -> QueuedRequest:
    return QueuedRequest(
        id=number,
        url=f"https://{domain}/{number}",
        domain=domain,
        fingerprint=b"1",
        options=Options(callback="p"),
    )


def calls(work: Callable[[], None]) -> int:
    """How many Python functions are called while `work` runs."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def decisions(domains: int) -> int:
    """The calls that two hundred decisions take among so many domains with work."""

    async def counted() -> int:
        clock = Clock()
        politeness, schedule = Politeness(Settings.of(("test", {"rate": "1/s"})), clock), Schedule()
        for i in range(domains):
            name = f"d{i}.test"
            queued = [
                QueuedRequest(n, name, f"https://{name}/{n}", b"", Options(callback="p")) for n in range(4)
            ]
            lease = DomainLease(name, 1, "me", 1e12, requests=tuple(queued))
            schedule.add(Lane(lease, politeness.domain(name), 1e12))

        def decide() -> None:
            for _ in range(200):
                lane = schedule.pick(clock.mono())
                assert lane is not None
                schedule.take(lane)
                lane.domain.reserve()
                schedule.offer(lane)
                schedule.held()

        made = calls(decide)
        assert schedule.held() == 4 * domains - 200
        return made

    return run_virtual(counted())


def test_po_09_a_decision_costs_the_same_among_many_domains() -> None:
    """To pick a domain and to say how much is held takes as many calls among 3,000 domains as among 300."""
    assert decisions(3000) <= 1.1 * decisions(300)


def test_po_09_claims_use_their_indexes(tmp_path: Path) -> None:
    """Whatever the queue holds, claiming and taking search by index: no scan of the queue, no sort of all of it."""
    statements: list[str] = []
    with closing(connect(str(tmp_path / "q.db"))) as conn:
        prepare(conn)
        run = begin(conn, spider="s", target="s", series="s", options={}, now=0.0)
        queue = Queue(run.id)
        conn.set_trace_callback(statements.append)
        queue.insert(conn, [_queued(0, "a.test")], 1.0)
        ((name, _, row),) = Leases(run.id, queue).due(conn, 2.0, 64)
        assert len(queue.take(conn, row.domain, name, row.epoch + 1, 16, 2.0)) == 1
        conn.set_trace_callback(None)
        claiming = [sql for sql in statements if "_queues q" in sql or "taken_epoch" in sql]
        assert len(claiming) >= 2
        for sql in claiming:
            steps = [step for _, _, _, step in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
            assert not [s for s in steps if "SCAN" in s or "TEMP B-TREE" in s], (sql, steps)


def test_po_10_domains_are_forgotten_when_they_are_done() -> None:
    """Of 1,500 hosts with one page each never more are in memory than may be leased at a time."""

    class Wide(Spider[dict]):
        robots = False

        async def start(self):
            for host in range(1500):
                yield Request(f"https://host{host}.test/")

        def parse(self, page: Page):
            yield {"url": page.url}

    in_memory: list[int] = []
    pages = 0

    def count(event: Event) -> None:
        nonlocal pages
        if isinstance(event, PageDone):
            pages += 1
            if pages % 150 == 0:
                in_memory.append(sum(isinstance(thing, Domain) for thing in gc.get_objects()))

    simulate(Wide, Site(lambda request: "x", latency=0.05), observers=[count])
    assert len(in_memory) == 10
    assert max(in_memory) <= 1024 + 64
    assert in_memory[-1] < 300
