"""The wall clock is set, or the machine sleeps, in the middle of a crawl (attack T4): nothing else changes.

Real seconds are those of the virtual loop; the wall clock beside it is set by the test, and the machine's own clock goes on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import Crawl, Page, Retry, Spider, store
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.machine_time import Machine
from scraper.core.models import Budget
from scraper.events import Event, PageDone
from scraper.reports.summary import Summary
from scraper.testing import Answer, Site, VirtualLoop
from scraper.testing.virtual_time import EPOCH

HOUR = 3600.0
GAP = 0.25


class World(VirtualLoop):
    """A machine whose wall clock is set by `shift` seconds, and which was suspended for `slept` seconds."""

    def __init__(self, begins: float = 0.0, shift: float = 0.0, boot: str | None = "a boot") -> None:
        super().__init__(begins)
        self.shift, self.slept = shift, 0.0
        self.machine = Machine(lambda: self.time() + self.slept, boot)

    def wall(self) -> float:
        return super().wall() + self.slept + self.shift

    def set_wall(self, shift: float) -> None:
        self.shift = shift

    def suspend(self, seconds: float) -> None:
        self.slept += seconds


class Paced(Spider[dict]):
    start_urls = ["https://a.example/", "https://b.example/"]
    rate, robots = "4/s", False

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a")
        yield {"url": page.url}


LISTING = "".join(f'<a href="/{n}">x</a>' for n in range(20))


def site_with(busy: dict[str, Answer] | None = None) -> Site:
    """Two hosts with twenty pages each; each of `busy` is what its path on a.example gives once."""
    left = dict(busy or {})

    def answer(request: httpx.Request) -> Answer | str:
        path = request.url.path
        if request.url.host == "a.example" and path in left:
            return left.pop(path)
        return LISTING if path == "/" else "x"

    return Site(answer, latency=0.05)


def crawl(site: Site, db: Path, loop: World, spider: type[Spider[Any]] = Paced, **options: Any) -> Summary:
    try:
        job = Crawl(spider, db=db, transport=site, inline=True, seed=0, **options)
        return loop.run_until_complete(job.run())
    finally:
        loop.close()


def proved_polite(db: Path) -> None:
    """What `scraper politeness` says of the stored sends."""
    from scraper.reports.politeness import politeness_of

    with closing(sqlite3.connect(db)) as conn:
        report = politeness_of(conn)
    assert report.verdict.kept, [proof.broken for proof in report.proofs]


def whole(site: Site, db: Path, again: int = 0) -> None:
    """Every page was stored once and fetched once, `again` of them once more; no gap was broken."""
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT url) FROM paced").fetchone() == (42, 42)
    assert len(site.hits) == 42 + again
    for host in ("a.example", "b.example"):
        at = sorted(hit.at for hit in site.hits if hit.host == host)
        assert min(after - before for before, after in pairwise(at)) >= GAP - 1e-6
    proved_polite(db)


JUMPS: list[Any] = [[(2.0, HOUR)], [(2.0, -HOUR)], [(1.0, HOUR), (4.0, 0.0)], [(1.0, -HOUR), (4.0, 0.0)]]


def setting(loop: World, jumps: list[tuple[float, float]]) -> World:
    for at, shift in jumps:
        loop.call_at(at, loop.set_wall, shift)
    return loop


@pytest.mark.parametrize("jumps", JUMPS)
def test_a_crawl_ends_as_if_the_clock_had_not_been_set(
    tmp_path: Path, jumps: list[tuple[float, float]]
) -> None:
    """T4: the wall clock set by an hour, forth or back, and right again: same pages, same pace, same end."""
    db, site = tmp_path / "a.db", site_with()
    loop = setting(World(), jumps)
    summary = crawl(site, db, loop)
    assert (summary.exit_code, summary.pages) == (0, 42)
    whole(site, db)
    assert max(hit.at for hit in site.hits) < 22 * GAP


@pytest.mark.parametrize("jumps", JUMPS)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_in_real_seconds(
    tmp_path: Path, status: int, jumps: list[tuple[float, float]]
) -> None:
    """T4: a Retry-After of a minute is a minute, however the wall clock is set meanwhile."""
    db, site = tmp_path / "a.db", site_with({"/1": Answer("", status, {"Retry-After": "60"})})
    crawl(site, db, setting(World(), jumps))
    whole(site, db, again=1)
    refused = next(hit for hit in site.hits if hit.status == status)
    after = min(hit.at for hit in site.hits if hit.host == "a.example" and hit.at > refused.ended)
    assert 60 - 1e-6 <= after - refused.ended <= 61


@pytest.mark.parametrize("jumps", JUMPS)
def test_a_retry_waits_its_backoff_and_no_hour(tmp_path: Path, jumps: list[tuple[float, float]]) -> None:
    """T4: a queued retry is due after its backoff in real seconds."""
    db, site = tmp_path / "a.db", site_with({"/1": Answer("", 500), "/2": Answer("", 500)})
    crawl(site, db, setting(World(), jumps))
    whole(site, db, again=2)
    first, second = (hit.at for hit in site.hits if hit.url == "https://a.example/1")
    assert 1 <= second - first <= 2 + 22 * GAP


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_callbacks_wish_to_wait_is_kept(tmp_path: Path, shift: float) -> None:
    """T4: `Retry(after=…)` counts real seconds."""
    asked: list[float] = []

    class Waits(Paced):
        start_urls = ["https://a.example/"]

        def parse(self, page: Page) -> Any:
            asked.append(asyncio.get_running_loop().time())
            if len(asked) == 1:
                raise Retry("later", after=100)
            yield {"url": page.url}

    crawl(site_with(), tmp_path / "a.db", setting(World(), [(5.0, shift)]), Waits)
    assert 100 <= asked[1] - asked[0] <= 101


def killed(site: Site, db: Path, loop: World, at: float) -> float:
    """A crawl that dies at a moment without any farewell. Returns when that was."""

    async def scene() -> None:
        job = CrawlJob(Paced, db=db, transport=site, inline=True, seed=0, resume="continue")
        task = asyncio.create_task(job.run())
        await asyncio.sleep(at - loop.time())
        with closing(sqlite3.connect(db)) as conn, closing(sqlite3.connect(f"{db}.killed")) as copy:
            conn.backup(copy)
        task.cancel()
        await asyncio.wait({task})

    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{db}{suffix}").unlink(missing_ok=True)
    Path(f"{db}.killed").replace(db)
    return at


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_resume_under_another_wall_clock_goes_on(tmp_path: Path, shift: float) -> None:
    """T4: killed under a pending Retry-After, the clock set, resumed: the rest of the minute is waited, and no more."""
    db, site = tmp_path / "a.db", site_with({"/1": Answer("", 429, {"Retry-After": "60"})})
    at = killed(site, db, World(), 5.0)
    before = len(site.hits)
    crawl(site, db, World(at, shift), resume="must")
    refused = next(hit for hit in site.hits if hit.status == 429)
    after = min(hit.at for hit in site.hits[before:] if hit.host == "a.example")
    assert 60 - 1e-6 <= after - refused.ended <= 61
    assert min(hit.at for hit in site.hits[before:]) < at + 2  # b.example need not wait
    proved_polite(db)


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_another_boot_goes_on_where_the_time_had_come_to(tmp_path: Path, shift: float) -> None:
    """T4: after a reboot the stored time never goes back; a wall clock that runs ahead is all that can shorten a wait."""
    db, site = tmp_path / "a.db", site_with({"/1": Answer("", 429, {"Retry-After": "60"})})
    at = killed(site, db, World(), 5.0)
    before = len(site.hits)
    crawl(site, db, World(at, shift, boot="another boot"), resume="must")
    refused = next(hit for hit in site.hits if hit.status == 429)
    waited = min(hit.at for hit in site.hits[before:] if hit.host == "a.example") - refused.ended
    assert waited < 2 + at if shift > 0 else 60 - 1e-6 <= waited <= 62
    proved_polite(db)


@pytest.mark.parametrize("boot", ["a boot", None])
def test_what_people_read_is_of_the_wall_clock(tmp_path: Path, boot: str | None) -> None:
    """T4: rows, runs and requests bear the time of the wall clock as it is when they are stored; sends do not."""
    db, site = tmp_path / "a.db", site_with()
    crawl(site, db, setting(World(boot=boot), [(2.0, HOUR)]))
    with closing(sqlite3.connect(db)) as conn:
        (first, last) = conn.execute("SELECT min(_at), max(_at) FROM paced").fetchone()
        started, ended = conn.execute("SELECT started, ended FROM _runs").fetchone()
        (fetched,) = conn.execute("SELECT max(ended) FROM _requests").fetchone()
        (sent,) = conn.execute("SELECT max(sent) FROM _sends").fetchone()
    assert (first[:13], last[:13]) == ("2026-01-01T00", "2026-01-01T01")
    assert started - EPOCH < 1
    assert ended - EPOCH > HOUR
    assert fetched - EPOCH > HOUR
    assert sent - EPOCH < 60


# ------------------------------------------------------------------------------------------- suspend


def test_a_suspended_machine_makes_no_burst_and_waits_no_longer(tmp_path: Path) -> None:
    """T4: two minutes of suspend end a Retry-After of a minute, and the leases; every page is fetched once, in its gap."""
    db, site = tmp_path / "a.db", site_with({"/1": Answer("", 429, {"Retry-After": "60"})})
    loop = World()
    loop.call_at(4.0, loop.suspend, 120.0)
    summary = crawl(site, db, loop)
    whole(site, db, again=1)
    assert summary.exit_code == 0
    refused = next(hit for hit in site.hits if hit.status == 429)
    after = min(hit.at for hit in site.hits if hit.host == "a.example" and hit.at > refused.ended)
    assert after - refused.ended <= 15  # seconds awake: the next look at the clocks


def test_nothing_is_sent_under_a_lease_that_ended_in_suspend(tmp_path: Path) -> None:
    """T4: after a suspend longer than a lease another owner may claim, and then the sleeper sends nothing."""
    db, site = tmp_path / "a.db", site_with()
    loop = World()

    async def another() -> None:
        await asyncio.sleep(3.0)
        ledger, clock = await store.join(str(db), now=loop.wall(), inline=True), Clock()
        await ledger.anchor(clock)
        frontier = ledger.frontier(1, Budget())
        loop.suspend(40.0)
        leases = await frontier.claim("another", domains=64, per_domain=1, lease=30.0, now=clock.unix())
        assert len(leases) == 2
        await asyncio.sleep(4.9)
        await frontier.release(leases, now=clock.unix())
        await ledger.close()

    task = loop.create_task(another())
    summary = crawl(site, db, loop)
    task.result()
    assert not [hit for hit in site.hits if 3.01 < hit.at < 7.9]
    assert summary.exit_code == 0
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT url) FROM paced").fetchone() == (42, 42)


# ------------------------------------------------------------------------------------------- hours of the day


def test_hours_follow_the_wall_clock(tmp_path: Path) -> None:
    """T4: set forward out of the open hours, the crawl sends nothing until they open again."""

    class Nightly(Spider[dict]):
        start_urls = [f"https://a.example/{n}" for n in range(4)]
        rate, hours, robots = "1/min", "00:00-02:00 UTC", False

        def parse(self, page: Page) -> Any:
            yield {"url": page.url}

    site, loop = site_with(), World()
    loop.call_at(90.0, loop.set_wall, 2 * HOUR)
    crawl(site, tmp_path / "a.db", loop, Nightly)
    sent = [hit.at for hit in site.hits]
    assert sent[:2] == pytest.approx([0, 60], abs=1)
    assert sent[2] == pytest.approx(22 * HOUR, abs=1)


# ------------------------------------------------------------------------------------------- events


def test_observers_are_told_once_of_each_page(tmp_path: Path) -> None:
    """T4: the counters and events of a crawl do not notice that the clock was set."""
    told: list[Event] = []
    db, site = tmp_path / "a.db", site_with()
    observe: Callable[[Event], None] = told.append
    crawl(site, db, setting(World(), [(1.0, HOUR), (3.0, 0.0)]), observers=[observe])
    assert sum(isinstance(event, PageDone) for event in told) == 42
