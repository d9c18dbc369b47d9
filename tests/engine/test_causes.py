"""What the time of a crawl is put down to: crawls whose shares can be worked out by hand. Under virtual time. (W23)"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import Page, Spider
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.ledger import Ledger
from scraper.core.models import Completed, DomainLease, Done, Run
from scraper.engine.options import Member
from scraper.events import Event, Observer, Stalled
from scraper.reports.summary import Summary
from scraper.testing import Answer, Simulation, Site, run_virtual, simulate

#: How far a share may be from what it is by hand: a look stands for a hundredth of the time.
CLOSE = 0.04


class Wide(Spider):
    """Forty pages that are known from the first one on."""

    start_urls = ("https://shop.example.com/",)

    def parse(self, page: Page):
        if page.url.endswith(".com/"):
            yield [page.request(f"/{number}") for number in range(40)]
        yield {"url": page.url}


class Chain(Spider):
    """Sixty pages, each known from the one before."""

    start_urls = ("https://shop.example.com/0",)

    def parse(self, page: Page):
        number = int(page.url.rpartition("/")[2])
        if number < 59:
            yield page.request(f"/{number + 1}")
        yield {"url": page.url}


class Two(Spider):
    """Two domains with forty pages each, known from the start."""

    def start(self):
        for host in ("a.test", "b.test"):
            for number in range(40):
                yield f"https://{host}/{number}"

    def parse(self, page: Page):
        yield {"url": page.url}


class Pondering(Wide):
    """Its callback waits five seconds for something else than its site."""

    async def parse(self, page: Page):
        await asyncio.sleep(5.0)
        for thing in super().parse(page):
            yield thing


class Asking(Spider):
    """One page whose callback fetches twenty more."""

    start_urls = ("https://shop.example.com/",)

    async def parse(self, page: Page):
        await asyncio.gather(*(page.fetch(f"/{number}") for number in range(20)))
        yield {"url": page.url}


def shares(summary: Summary, seconds: float) -> dict[str, float]:
    """The share of each cause; together they are the whole time of the crawl."""
    spent = {name[5:]: n / 1000 for name, n in summary.counters.items() if name.startswith("time.")}
    assert sum(spent.values()) == pytest.approx(seconds, rel=0.01)
    return {cause: n / seconds for cause, n in spent.items()}


def crawled(spider: type[Spider[Any]], site: Site, **settings: Any) -> dict[str, float]:
    done: Simulation = simulate(spider, site, settings={"robots": False, **settings})
    return shares(done.summary, done.seconds)


def plain(latency: float = 0.0) -> Site:
    return Site(lambda request: "<p>x</p>", latency=latency)


def busy_at(path: str, *answers: Answer, latency: float = 0.0) -> Site:
    """A site that gives these answers at one path before it gives the page."""
    left = list(answers)

    def answer(request: httpx.Request) -> Answer:
        return left.pop(0) if left and request.url.path == path else Answer("<p>x</p>", latency=latency)

    return Site(answer)


def wait(seconds: int, status: int = 429) -> Answer:
    return Answer("busy", status, {"Retry-After": str(seconds)})


# Each row: the spider, its site, its settings, and the shares that can be worked out by hand.
ROWS: dict[str, tuple[type[Spider[Any]], Any, dict[str, Any], dict[str, float]]] = {
    "no rate, one at a time": (Wide, lambda: plain(1.0), {"rate": None, "concurrency": 1}, {"network": 1.0}),
    "no rate, many at once": (Wide, lambda: plain(5.0), {"rate": None, "concurrency": 8}, {"network": 1.0}),
    "the rate alone": (Wide, lambda: plain(), {"rate": "2/s"}, {"rate limit": 1.0}),
    "a rate, answers slower than it": (
        Wide, lambda: plain(4.0), {"rate": "2/s", "concurrency": 2}, {"network": 1.0},
    ),
    "one page after the other": (
        Chain, lambda: plain(0.4), {"rate": "1/s"}, {"network": 0.4, "rate limit": 0.6},
    ),
    "Retry-After, the domain kept": (
        Wide, lambda: busy_at("/", wait(20)), {"rate": None}, {"Retry-After": 1.0},
    ),
    "Retry-After, the domain given back": (
        Wide, lambda: busy_at("/", wait(200)), {"rate": None}, {"Retry-After": 1.0},
    ),
    "Retry-After, one at a time": (
        Wide, lambda: busy_at("/7", wait(60, 503)), {"rate": "2/s", "concurrency": 1},
        {"Retry-After": 0.75, "rate limit": 0.25},
    ),
    "rate, network and Retry-After": (
        Chain, lambda: busy_at("/30", wait(30), latency=0.4), {"rate": "1/s"},
        {"network": 0.4 * 60 / 90, "rate limit": 0.6 * 60 / 90, "Retry-After": 30 / 90},
    ),
    "backoff of a request": (
        Chain, lambda: busy_at("/0", *[Answer("", 500)] * 3, latency=0.01), {"rate": None}, {"retries": 0.92},
    ),
    "callbacks that wait": (
        Pondering, lambda: plain(), {"rate": None, "in_flight": 4}, {"callbacks": 1.0},
    ),
    "callbacks that fetch": (Asking, lambda: plain(0.1), {"rate": "1/s"}, {"rate limit": 0.99}),
    "in_flight": (Wide, lambda: plain(1.0), {"rate": None, "in_flight": 1}, {"in_flight limit": 0.975}),
    "crawl delay": (Wide, lambda: plain(), {"rate": None, "delay": 2.0}, {"crawl delay": 1.0}),
    "crawl delay and slow answers": (
        Wide, lambda: plain(2.0), {"rate": None, "delay": 2.0}, {"crawl delay": 0.5, "network": 0.5},
    ),
    "two domains": (
        Two, lambda: Site(lambda request: Answer("x", latency=1.0 if request.url.host == "a.test" else 0.001)),
        {"rate": "1/s", "concurrency": 1}, {"rate limit": 0.5, "network": 0.5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_shares_are_what_they_are_by_hand(row: str) -> None:
    """A crawl's time is put down to what kept it from going on, and to nothing else. (W23)"""
    spider, site, settings, expected = ROWS[row]
    found = crawled(spider, site(), **settings)
    for cause, share in expected.items():
        assert found.get(cause, 0.0) == pytest.approx(share, abs=CLOSE), found
    if settings["rate"] is None:
        assert "rate limit" not in found


def test_a_crawl_delay_of_robots_txt_is_named() -> None:
    """Time that robots.txt asks for is a crawl delay, from its first page on."""
    site = Site(lambda r: "User-agent: *\nCrawl-delay: 3" if r.url.path == "/robots.txt" else "<p>x</p>")
    done = simulate(Wide, site, settings={"rate": "100/s"})
    assert shares(done.summary, done.seconds)["crawl delay"] > 0.97


def test_closed_hours_are_named() -> None:
    """Time outside of the hours a domain may be asked in is put down to them."""
    found = crawled(Wide, plain(), rate="1/s", hours="02:00-03:00 UTC")
    (named,) = [cause for cause in found if cause.startswith("hours")]
    assert found[named] == pytest.approx(7200 / 7240, abs=CLOSE)


# ------------------------------------------------------------------------------------------- the database, workers


class _Slow:
    """A frontier whose commits take two seconds."""

    def __init__(self, frontier: Frontier) -> None:
        self._frontier = frontier

    async def complete(self, lease: DomainLease, done: Done, *, now: float, at: float) -> Completed:
        await asyncio.sleep(2.0)
        return await self._frontier.complete(lease, done, now=now, at=at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frontier, name)


class _SlowJob(CrawlJob):
    def frontier(self, ledger: Ledger, run: Run) -> Frontier:
        slow: Any = _Slow(super().frontier(ledger, run))
        return slow  # type: ignore[no-any-return]  # what it lacks it hands on


def test_a_slow_database_is_named(tmp_path: Path) -> None:
    """Commits that are waited for are the database, whether or not more requests are queued."""

    async def main() -> tuple[Summary, float]:
        options: Any = {"transport": plain(0.1), "inline": True, "settings": {"rate": None, "in_flight": 2}}
        job = _SlowJob(Wide, db=tmp_path / "slow.db", **options)
        summary = await job.run()
        return summary, asyncio.get_running_loop().time()

    found = shares(*run_virtual(main()))
    assert found["database"] > 0.85


def shared(
    spider: type[Spider[Any]], site: Site, path: Path, *observers: Observer, **settings: Any
) -> dict[str, float]:
    """The shares of a crawl that two workers do together."""

    async def main() -> tuple[Summary, float]:
        clock = Clock()
        first, second = (
            CrawlJob(
                spider,
                db=path,
                transport=site,
                inline=True,
                observers=observers,
                settings={"robots": False, **settings},
            )
            for _ in range(2)
        )
        ledger = await first.open(clock)
        run = await first.begin(ledger, clock)
        ended, _ = await asyncio.gather(
            first.work(ledger, run, clock, Member("worker 0", 2)),
            second.work(ledger, run, clock, Member("worker 1", 2, seeds=False)),
        )
        summary = await first.conclude(ledger, run, ended, clock, clock.mono())
        await ledger.close()
        return summary, clock.mono()

    return shares(*run_virtual(main()))


def test_a_domain_of_another_worker_is_neither_a_retry_nor_a_rate(tmp_path: Path) -> None:
    """Two workers and one domain: the time is what its holder says, and counted once. (W23)"""
    found = shared(Wide, plain(), tmp_path / "one.db", rate="1/s")
    assert found["rate limit"] > 0.95
    assert "retries" not in found


def test_a_wait_that_all_workers_see_counts_once(tmp_path: Path) -> None:
    """A domain that no worker holds, because of its Retry-After, has its share of the time and no more."""
    found = shared(Chain, busy_at("/30", wait(60)), tmp_path / "one.db", rate="1/s")
    assert found["Retry-After"] == pytest.approx(0.5, abs=2 * CLOSE)
    assert found["rate limit"] == pytest.approx(0.5, abs=2 * CLOSE)


def test_workers_with_a_domain_each_share_the_time(tmp_path: Path) -> None:
    """Where each worker has a domain, each one's causes are half of the time."""
    site = Site(lambda request: Answer("x", latency=1.0 if request.url.host == "a.test" else 0.001))
    found = shared(Two, site, tmp_path / "two.db", rate="1/s", concurrency=1)
    assert found["rate limit"] == pytest.approx(0.5, abs=2 * CLOSE)
    assert found["network"] == pytest.approx(0.5, abs=2 * CLOSE)


# ------------------------------------------------------------------------------------------- what is said meanwhile


def stalls(spider: type[Spider[Any]], site: Site, **settings: Any) -> Sequence[str]:
    said: list[Event] = []
    simulate(spider, site, observers=[said.append], settings={"robots": False, **settings})
    return [event.why for event in said if isinstance(event, Stalled)]


def test_a_standstill_names_the_same_causes() -> None:
    """What is said when nothing moves is what the summary counts."""
    (why,) = stalls(Wide, busy_at("/", Answer("", 500), latency=40.0), rate=None, concurrency=1, max_pages=1)
    assert why == "example.com waits for the answer to a request"
    (why,) = stalls(Wide, busy_at("/", wait(100)), rate="1/s", concurrency=1)
    assert why.startswith("example.com waits: Retry-After until ")


def test_a_worker_that_has_nothing_explains_no_standstill(tmp_path: Path) -> None:
    """Of two workers the one that holds the domain says what it waits for; the other is silent."""
    said: list[Event] = []
    shared(Wide, busy_at("/7", Answer("x", latency=50.0)), tmp_path / "one.db", said.append, rate=None)
    (why,) = [event.why for event in said if isinstance(event, Stalled)]
    assert why == "example.com waits for the answer to a request"


def test_a_domain_that_waits_for_a_retry_says_so(tmp_path: Path) -> None:
    """What its requests wait for is not put down to the rate that it has as well. (W23)"""
    found = crawled(Chain, busy_at("/0", *[Answer("", 500)] * 3), rate="2/s")
    assert found["retries"] == pytest.approx(8.5 / 38, abs=2 * CLOSE)


def test_a_hold_that_is_over_is_no_longer_the_reason(tmp_path: Path) -> None:
    """A 429 holds its domain for its backoff; what its request waits beyond that is a retry, in every report."""
    found = crawled(Chain, busy_at("/0", *[Answer("", 429)] * 3), rate=None)
    assert found["backoff"] > 0.5
    assert found.get("backoff", 0.0) + found.get("retries", 0.0) > 0.95
