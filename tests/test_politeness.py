"""Politeness, measured at the server's log under virtual time."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from itertools import pairwise

import pytest

from scraper import Crawl, Page, Spider
from scraper.models import Limit, Rate
from scraper.settings import Settings
from scraper.testing import Answer, Hit, Site, VirtualLoop, simulate

#: Seconds of jitter the promise allows.
JITTER = 0.005


def excess(hits: list[Hit], rate: float) -> float:
    """How far any window holds more than rate * W + 1 requests (PO-01); at most 0 when the rate is kept."""
    worst, least = float("-inf"), float("inf")
    for i, at in enumerate(sorted(hit.at for hit in hits)):
        least = min(least, i - rate * at)
        worst = max(worst, (i - rate * at) - least - rate * JITTER)
    return worst


def by_host(hits: list[Hit]) -> dict[str, list[Hit]]:
    found: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        found[hit.host].append(hit)
    return found


class Chain(Spider[dict]):
    """Follows every link of every page."""

    rate = "5/s"
    concurrency = 4
    scope = "any"

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")


def links(*targets: str) -> str:
    return "".join(f'<a href="{target}">x</a>' for target in targets)


@pytest.mark.parametrize("rate", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("hosts", [1, 10])
def test_po_01_no_window_holds_more_than_the_rate_allows(rate: float, hosts: int) -> None:
    """In every window W a domain sees at most rate * W + 1 requests, pages, redirects and robots.txt together."""

    def answer(request):
        path, host = request.url.path, request.url.host
        if path == "/robots.txt":
            return Answer("", 404)
        number = int(path.strip("/") or 0)
        if number % 7 == 3 and not request.url.query:
            return Answer(status=302, headers={"Location": f"https://{host}/{number}?again"})
        if number % 11 == 5:
            return Answer(status=503)
        return Answer(
            links(*(f"/{10 * number + i}" for i in range(1, 6) if 10 * number + i < 300)), latency=0.3
        )

    class Paced(Chain):
        start_urls = [f"https://h{i}.test/" for i in range(hosts)]

    site = Site(answer)
    simulate(Paced, site, settings={"rate": rate, "max_failed": 1.0})
    for host, hits in by_host(site.hits).items():
        assert len(hits) > 30
        assert excess(hits, rate) <= 1, host
        assert site.most_open[host] <= 4


def test_po_03_one_host_gets_95_percent_of_its_rate() -> None:
    """Polite does not mean slow: a host that answers quickly is asked at 95 % of its rate at least."""

    class Wide(Chain):
        start_urls = ["https://a.test/"]

    site = Site(
        {"https://a.test/": links(*(f"/{i}" for i in range(200)))}
        | {f"https://a.test/{i}": "x" for i in range(200)}
    )
    done = simulate(Wide, site)
    assert len(done.hits) / done.seconds >= 0.95 * 5


def test_po_03_fifty_hosts_get_90_percent_of_theirs() -> None:
    """Fifty hosts together are asked at 90 % of fifty times the rate at least."""
    pages = {}
    for host in range(50):
        pages[f"https://h{host}.test/"] = links(*(f"/{i}" for i in range(40)))
        pages |= {f"https://h{host}.test/{i}": Answer("x", latency=0.2) for i in range(40)}

    class Many(Chain):
        start_urls = [f"https://h{host}.test/" for host in range(50)]

    done = simulate(Many, Site(pages))
    assert len(done.hits) == 50 * 42
    assert len(done.hits) / done.seconds >= 0.90 * 50 * 5


def fast_ones(*, slow: bool) -> float:
    """When the last of seven fast hosts is done, with or without a host that takes 30 s a page beside them."""
    pages: dict[str, Answer | str] = {}
    for host in range(7):
        pages[f"https://fast{host}.test/"] = links(*(f"/{i}" for i in range(50)))
        pages |= {f"https://fast{host}.test/{i}": Answer("x", latency=0.05) for i in range(50)}
    pages["https://slow.test/"] = Answer(links(*(f"/{i}" for i in range(100))), latency=30.0)
    pages |= {f"https://slow.test/{i}": Answer("x", latency=30.0) for i in range(100)}

    class Hosts(Chain):
        start_urls = (["https://slow.test/"] if slow else []) + [f"https://fast{i}.test/" for i in range(7)]

    site = Site(pages)
    simulate(Hosts, site, settings={"in_flight": 16, "max_time": 600})
    return max(hit.ended for hit in site.hits if hit.host.startswith("fast"))


def test_an_unlimited_domain_keeps_all_its_slots_busy() -> None:
    """Without a rate the only limit is concurrency: 320 pages of one second, 32 at a time, take ten seconds."""

    class Unlimited(Chain):
        start_urls = ["https://a.test/"]
        rate = None
        concurrency = 32
        robots = False

    pages = {"https://a.test/": links(*(f"/{i}" for i in range(320)))}
    pages |= {f"https://a.test/{i}": Answer("x", latency=1.0) for i in range(320)}
    done = simulate(Unlimited, Site(pages))
    assert done.seconds < 10.1


def test_po_08_a_slow_host_does_not_slow_fast_ones() -> None:
    """One slow host, seven fast ones, 16 tasks: the fast ones finish within 1.2 times of their time alone."""
    assert fast_ones(slow=True) <= 1.2 * fast_ones(slow=False)


def test_po_09_a_large_host_does_not_starve_small_ones() -> None:
    """A host queued first with very many pages leaves each small host within 1.5 times of its ideal time."""
    pages: dict[str, str] = {"https://big.test/": links(*(f"/{i}" for i in range(2000)))}
    pages |= {f"https://big.test/{i}": "x" for i in range(2000)}
    for host in range(20):
        pages[f"https://s{host}.test/"] = links(*(f"/{i}" for i in range(20)))
        pages |= {f"https://s{host}.test/{i}": "x" for i in range(20)}

    class Uneven(Chain):
        start_urls = ["https://big.test/"] + [f"https://s{host}.test/" for host in range(20)]

    site = Site(pages, latency=0.05)
    simulate(Uneven, site, settings={"in_flight": 16, "max_time": 60})
    for host, hits in by_host(site.hits).items():
        if host.startswith("s"):
            assert len(hits) == 22
            assert hits[-1].at <= 1.5 * 22 / 5


def test_po_04_registrable_domains_share_a_turn() -> None:
    """www.x.co.uk and x.co.uk are one domain; a.github.io and b.github.io are two."""
    hosts = ["www.x.co.uk", "x.co.uk", "a.github.io", "b.github.io"]

    class Four(Chain):
        start_urls = [f"https://{host}/{i}" for i in range(10) for host in hosts]
        robots = False

    site = Site(lambda request: "x")
    simulate(Four, site)
    found = by_host(site.hits)
    assert excess(found["x.co.uk"] + found["www.x.co.uk"], 5) <= 1
    apart = sorted(found["a.github.io"] + found["b.github.io"], key=lambda hit: hit.at)
    assert apart[1].at - apart[0].at < 0.01


@pytest.mark.parametrize("latency", [0.0, 0.15, 0.39, 1.0])
def test_po_05_retry_after_holds_the_whole_domain(latency: float) -> None:
    """After a 429 with Retry-After no request reaches the domain before that, and others go on."""

    def answer(request):
        if request.url.path == "/robots.txt":
            return None
        if request.url.host == "busy.test" and request.url.path == "/3" and not asked.setdefault("busy", 0):
            asked["busy"] = 1
            return Answer(status=429, headers={"Retry-After": "20"}, latency=latency)
        return Answer("x", latency=latency)

    asked: dict[str, int] = {}

    class Two(Chain):
        start_urls = [f"https://{host}.test/{i}" for i in range(12) for host in ("busy", "calm")]

    site = Site(answer)
    done = simulate(Two, site)
    busy = sorted(by_host(site.hits)["busy.test"], key=lambda hit: hit.at)
    refused = next(hit for hit in busy if hit.status == 429)
    after = [hit.at for hit in busy if hit.at > refused.ended]
    assert min(after) >= refused.ended + 20 - 1e-6  # unix seconds carry seven digits after the point
    assert max(hit.at for hit in by_host(site.hits)["calm.test"]) < 10
    assert done.summary.exit_code == 0
    assert len(done.tables["two"]) == 24


def test_po_06_crawl_delay_wins_over_the_rate() -> None:
    """Crawl-delay 2 with rate 10/s: two seconds from the end of a response to the next request."""

    class Slow(Chain):
        start_urls = ["https://a.test/"]
        rate = 10

    site = Site(
        {
            "https://a.test/robots.txt": "User-agent: *\nCrawl-delay: 2",
            "https://a.test/": links("/1", "/2", "/3"),
        }
        | {f"https://a.test/{i}": Answer("x", latency=0.5) for i in (1, 2, 3)}
    )
    simulate(Slow, site)
    hits = sorted(site.hits, key=lambda hit: hit.at)
    assert len(hits) == 5
    assert all(after.at - before.ended >= 2 - 1e-6 for before, after in pairwise(hits))


def test_host_55_a_crawl_delay_beyond_the_cap_parks_the_domain() -> None:
    """A site that asks for a day between requests is parked with a reason, not hammered, and exit is 5."""

    class Slow(Chain):
        start_urls = ["https://a.test/"]

    done = simulate(
        Slow, Site({"https://a.test/robots.txt": "User-agent: *\nCrawl-delay: 86400", "https://a.test/": "x"})
    )
    assert [hit.url for hit in done.hits] == ["https://a.test/robots.txt"]
    assert done.summary.exit_code == 5
    assert "86400" in done.summary.parked["a.test"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_resume_waits_out_the_gap(tmp_path, how: str) -> None:
    """No two requests are closer than the gap across a stop, or a kill, and a resume."""

    class Slow(Chain):
        start_urls = ["https://a.test/"]
        rate = "1/s"

    site = Site(
        {"https://a.test/": links("/1", "/2", "/3")} | {f"https://a.test/{i}": "x" for i in (1, 2, 3)}
    )
    options = {"db": tmp_path / "a.db", "transport": site, "inline": True}
    loop = VirtualLoop()
    first = Crawl(Slow, **options)
    task = loop.create_task(first.run())
    if how == "stop":
        loop.call_later(2.1, first.stop)
        loop.run_until_complete(task)
    else:
        # As after kill -9: nothing is given back, the lock is dropped by the kernel.
        loop.run_until_complete(asyncio.sleep(2.1))
        kept = tmp_path / "b.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{options['db']}{suffix}", f"{kept}{suffix}")
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        options["db"] = kept
    summary = loop.run_until_complete(Crawl(Slow, resume="must", **options).run())
    loop.close()
    times = sorted(hit.at for hit in site.hits)
    assert summary.exit_code == 0
    assert {hit.url for hit in site.hits} >= {f"https://a.test/{i}" for i in (1, 2, 3)}
    assert min(after - before for before, after in pairwise(times)) >= 1 - JITTER


def test_a_named_host_gets_its_own_turn() -> None:
    """A host that `limits` names does not share the turn of its registrable domain."""

    class Named(Chain):
        start_urls = [f"https://{host}.shop.test/{i}" for i in range(10) for host in ("api", "www")]
        limits = {"api.shop.test": Limit("20/s", concurrency=8)}
        robots = False

    site = Site(lambda request: "x")
    simulate(Named, site)
    found = by_host(site.hits)
    assert excess(found["api.shop.test"], 20) <= 1
    assert max(hit.at for hit in found["api.shop.test"]) < 0.6
    assert max(hit.at for hit in found["www.shop.test"]) > 1.7


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("5/s", 5),
        ("30/min", 0.5),
        ("1000/h", 1000 / 3600),
        (2, 2),
        ("2", 2),
        ("1/10s", 0.1),
        (None, None),
        ("none", None),
    ],
)
def test_rates_are_read_as_people_write_them(text: object, per_second: float | None) -> None:
    """Every documented form of a rate is understood."""
    rate = Settings.of(("test", {"rate": text})).rate
    assert (rate and rate.per_second) == per_second


@pytest.mark.parametrize("text", ["fast", "5", "0/s", "-1/s", "5/y", ""])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Anything else is an error that names the forms (a bare "5" is one of them)."""
    if text == "5":
        assert Rate.parse(text) == Rate(5)
        return
    with pytest.raises(ValueError, match="5/s"):
        Rate.parse(text)
