"""Where the time of a crawl goes, and what is said when nothing moves. Under virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from scraper import Crawl, Page, Spider
from scraper.core.models import CrawlStatus
from scraper.events import Event, PageDone, Stalled
from scraper.testing import Answer, Simulation, Site, run_virtual, simulate


class Shop(Spider):
    start_urls = ("https://shop.example.com/",)

    def parse(self, page: Page):
        if page.url.endswith(".com/"):
            yield [page.request(f"/{number}") for number in range(40)]
        yield {"url": page.url}


def shares(done: Simulation) -> dict[str, float]:
    """The share of each cause in the time of a crawl."""
    spent = {name[5:]: n for name, n in done.summary.counters.items() if name.startswith("time.")}
    return {cause: n / sum(spent.values()) for cause, n in spent.items()}


def crawl(latency: float = 0.0, **settings: Any) -> Simulation:
    return simulate(Shop, Site(lambda request: "<p>x</p>", latency=latency), settings=settings)


def test_a_fast_site_waits_for_its_rate() -> None:
    """Where answers take no time, the rate limit takes it all."""
    assert shares(crawl(rate="2/s"))["rate limit"] > 0.95


def test_a_slow_site_waits_for_the_network() -> None:
    """Without a rate limit, one answer at a time: the network takes it all."""
    assert shares(crawl(latency=1.0, rate=None, concurrency=1))["network"] > 0.95


def test_the_time_is_the_whole_time() -> None:
    """The shares add up to how long the crawl took."""
    done = crawl(latency=0.3, rate="2/s", concurrency=1)
    spent = sum(n for name, n in done.summary.counters.items() if name.startswith("time."))
    assert spent / 1000 == pytest.approx(done.seconds, rel=0.01)


def stalls(site: Site, **options: Any) -> tuple[list[Stalled], Simulation]:
    said: list[Event] = []
    done = simulate(Shop, site, observers=[said.append], **options)
    return [event for event in said if isinstance(event, Stalled)], done


def test_a_stall_by_retry_after_is_explained() -> None:
    """All domains wait because a site said so: after thirty seconds it is said, with the time, once."""
    answers = [Answer("busy", 429, {"Retry-After": "120"})]
    site = Site(lambda request: answers.pop() if answers and request.url.path == "/" else "<p>x</p>")
    said, done = stalls(site, settings={"rate": None})
    assert done.summary.exit_code == 0
    (stall,) = said
    assert 30 <= stall.seconds < 31
    assert stall.why.startswith("example.com waits: Retry-After until ")


def test_a_stall_by_the_network_is_explained() -> None:
    """One answer that does not come: the domain is named, and that it is the answer that is waited for."""
    site = Site(lambda request: Answer("<p>x</p>", latency=45.0 if request.url.path == "/7" else 0.0))
    (stall,), _ = stalls(site, settings={"rate": None})
    assert stall.why == "example.com waits for the answer to a request"


def test_each_stall_is_said_once() -> None:
    """Two standstills are two lines, however long each one is."""
    slow = {"/7": 45.0, "/30": 50.0}
    site = Site(lambda request: Answer("<p>x</p>", latency=slow.get(request.url.path, 0.0)))
    said, _ = stalls(site, settings={"rate": None, "concurrency": 1})
    assert len(said) == 2


def test_the_status_says_what_each_domain_waits_for() -> None:
    """While a crawl runs, its status names the domains it holds and what keeps them back."""
    seen: list[CrawlStatus] = []

    def look(event: Event) -> None:
        if isinstance(event, PageDone):
            seen.append(crawl.status())

    crawl: Crawl

    async def main() -> None:
        nonlocal crawl
        site = Site(lambda request: "<p>x</p>")
        crawl = Crawl(
            Shop, db=":memory:", transport=site, inline=True, observers=[look], settings={"rate": "1/s"}
        )
        assert crawl.status() == CrawlStatus()
        await crawl.run()

    run_virtual(main())
    names = {domain.name for status in seen for domain in status.domains}
    assert names == {"example.com"}
    assert {domain.waits for status in seen for domain in status.domains} >= {"rate limit"}
