"""Politeness, measured at the server's log under virtual time."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.mixes import JITTER, MIXES, Mix, measure
from benchmarks.mixes import excess as beyond
from benchmarks.politeness import fast_ones, serve
from benchmarks.realmixes import REAL, RealMix, measure_real
from scraper import Page, Request, Spider
from scraper.core.clock import Clock
from scraper.core.models import Limit, Rate
from scraper.engine import lanes
from scraper.politeness import Politeness
from scraper.reports.politeness import prove
from scraper.settings import Settings
from scraper.testing import Answer, Hit, Site, run_virtual, simulate


def by_host(hits: list[Hit]) -> dict[str, list[Hit]]:
    found: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        found[hit.host].append(hit)
    return found


def excess(hits: list[Hit], rate: float) -> int:
    """How many requests end a window with more than rate * W + 1 of them."""
    return beyond(sorted(hit.at for hit in hits), rate)


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


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
@pytest.mark.parametrize(("rate", "hosts"), [(1.0, 3), (20.0, 2)])
def test_po_01_no_window_holds_more_than_the_rate_allows(mix: Mix, rate: float, hosts: int) -> None:
    """In every window W a domain sees at most rate * W + 1 requests, whatever it answers, over kills and resumes;
    never more than it allows at once (PO-02), and nothing before a Retry-After (PO-05)."""
    seen = measure(mix, rate, hosts, 120)
    assert seen.requests >= 120
    assert seen.violations == 0
    assert seen.smallest >= 1 - rate * JITTER


@pytest.mark.soak
@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
def test_po_01_in_every_mix_of_twenty_thousand_requests(mix: Mix) -> None:
    """The same for 20,000 requests of each mix; the benchmark does it for each rate and number of hosts."""
    assert measure(mix, 5.0, 10, 20_000).violations == 0


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
    """One host that takes 30 s a page beside 49 fast ones: those finish within 1.2 times of their time alone."""
    alone = fast_ones(slow=False, urls=10)
    assert fast_ones(slow=True, urls=10) <= 1.2 * alone


@pytest.mark.parametrize(("rate", "pages"), [(5.0, 5), (0.1, 4)], ids=["no room for all", "time for all"])
def test_po_09_busy_hosts_take_turns_where_not_all_have_a_place(
    rate: float, pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With places for 20 hosts in memory 90 busy ones are all served, at their rate or evenly, and no gap is shortened."""
    monkeypatch.setattr(lanes, "MOST_LANES", 20)

    class Crowd(Spider[dict]):
        robots = False
        scope = "any"

        async def start(self):
            for page in range(300):
                for host in range(90):
                    yield Request(f"https://host{host}.test/{page}")

        def parse(self, page: Page):
            return None

    site = Site(lambda request: "x", latency=0.1)
    simulate(Crowd, site, settings={"rate": rate, "in_flight": 8, "max_time": 45})
    served = {host: len(hits) for host, hits in by_host(site.hits).items()}
    assert len(served) == 90
    assert min(served.values()) >= pages
    assert sum(excess(hits, rate) for hits in by_host(site.hits).values()) == 0


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


KEYS = [
    ("example.com", "example.com"),
    ("www.example.com", "example.com"),
    ("a.b.c.example.com", "example.com"),
    ("example.co.uk", "example.co.uk"),
    ("www.example.co.uk", "example.co.uk"),
    ("shop.example.co.uk", "example.co.uk"),
    ("a.github.io", "a.github.io"),
    ("www.a.github.io", "a.github.io"),
    ("b.github.io", "b.github.io"),
    ("github.io", "github.io"),
    ("x.blogspot.com", "x.blogspot.com"),
    ("user.s3.amazonaws.com", "user.s3.amazonaws.com"),
    ("example.com.au", "example.com.au"),
    ("www.example.com.au", "example.com.au"),
    ("foo.kawasaki.jp", "foo.kawasaki.jp"),
    ("bar.foo.kawasaki.jp", "bar.foo.kawasaki.jp"),
    ("city.kawasaki.jp", "city.kawasaki.jp"),
    ("www.city.kawasaki.jp", "city.kawasaki.jp"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("www.xn--bcher-kva.de", "xn--bcher-kva.de"),
    ("localhost", "localhost"),
    ("intranet", "intranet"),
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.2", "127.0.0.2"),
    ("192.168.1.10", "192.168.1.10"),
    ("::1", "::1"),
    ("2001:db8::1", "2001:db8::1"),
    ("com", "com"),
    ("example.invalidtld", "example.invalidtld"),
    ("www.example.invalidtld", "example.invalidtld"),
    ("example.com.", "example.com"),
    ("WWW.EXAMPLE.COM", "example.com"),
]


@pytest.mark.parametrize(("host", "key"), KEYS)
def test_po_04_which_hosts_share_a_turn(host: str, key: str) -> None:
    """The registrable domain by the public suffix list with its private section; an address or a single label itself."""

    async def keys() -> tuple[str, str, str]:
        made = [
            Politeness(Settings.of(("test", {"limits": limits})), Clock())
            for limits in ({}, {"*": "1/s"}, {host.lower().rstrip("."): "1/s"})
        ]
        plain, star, named = (politeness.key(host.lower().rstrip(".")) for politeness in made)
        assert Politeness(Settings(), Clock()).key(host) == plain
        return plain, star, named

    assert run_virtual(keys()) == (key, key, host.lower().rstrip("."))


def test_po_04_registrable_domains_share_a_turn() -> None:
    """www.x.co.uk and x.co.uk are one domain; a.github.io and b.github.io are two."""
    hosts = ["www.x.co.uk", "x.co.uk", "a.github.io", "b.github.io"]

    class Four(Chain):
        start_urls = [f"https://{host}/{i}" for i in range(10) for host in hosts]
        robots = False

    site = Site(lambda request: "x")
    simulate(Four, site)
    found = by_host(site.hits)
    assert excess(found["x.co.uk"] + found["www.x.co.uk"], 5) == 0
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


SLOW_SITE = {"https://a.test/": links(*(f"/{i}" for i in range(1, 9)))} | {
    f"https://a.test/{i}": Answer("x", latency=0.3) for i in range(1, 9)
}


@pytest.mark.parametrize("delay", [0.0, 2.0])
@pytest.mark.parametrize("kill", [(2.05,), (0.1,), (2.2, 3.9, 6.6)])
def test_po_06_a_resume_waits_out_the_gap(tmp_path: Path, kill: tuple[float, ...], delay: float) -> None:
    """No two requests are closer than the gap, or than Crawl-delay, across kill -9 and resume at any moment."""

    class Slow(Chain):
        start_urls = ["https://a.test/"]
        rate = "1/s"

    robots = f"User-agent: *\nCrawl-delay: {delay}"
    site = Site(
        {**SLOW_SITE, "https://a.test/robots.txt": Answer(robots, headers={"Content-Type": "text/plain"})}
    )
    db = tmp_path / "a.db"
    done = simulate(Slow, site, db=db, kill=kill)
    assert done.kills == len(kill)
    assert done.summary.exit_code == 0
    assert {row["url"] for row in done.tables["slow"]} == set(SLOW_SITE)
    hits = sorted(site.hits, key=lambda hit: hit.at)
    assert all(after.at - before.at >= 1 - JITTER for before, after in pairwise(hits))
    assert all(after.at - before.ended >= delay - JITTER for before, after in pairwise(hits))
    with closing(sqlite3.connect(db)) as conn:
        assert [proof.broken for proof in prove(conn)] == [[]]


def test_a_stop_and_a_later_run_keep_the_gap(tmp_path: Path) -> None:
    """The first request of a run waits for what the run before it sent last."""

    class Slow(Chain):
        start_urls = ["https://a.test/"]
        rate = "6/min"
        max_pages = 2

    site = Site(SLOW_SITE)
    first = simulate(Slow, site, db=tmp_path / "a.db")
    simulate(Slow, site, db=tmp_path / "a.db", begins=first.seconds)
    times = sorted(hit.at for hit in site.hits)
    assert len(times) >= 5
    assert min(after - before for before, after in pairwise(times)) >= 10 - JITTER


def test_po_01_at_the_log_of_a_real_server() -> None:
    """Sockets, threads and all: the requests that were asked for arrive, none too many, never too many at once.

    A busy machine delays what it runs; only the benchmark holds the log to 5 ms.
    """
    seen = serve(40.0, 4, 20, jitter=0.25)
    assert seen.pages == 80
    assert seen.requests == 4 * (
        20 + 2 + 4 + 1 + 1
    )  # pages; robots.txt and others redirect; one refusal, one failure
    assert seen.violations == 0
    assert seen.most_open <= 4


def test_po_01_at_the_log_of_a_real_server_over_kills() -> None:
    """A crawl of redirects, failures and broken connections that is killed five times and resumed keeps the rate at the
    server's log: what was under way when it died was sent, though no database says so."""
    mix = next(mix for mix in REAL if mix.kills)
    seen = measure_real(mix, 200, jitter=0.03)
    assert seen.requests >= 200
    assert seen.violations == 0


@pytest.mark.soak
@pytest.mark.parametrize("mix", REAL, ids=lambda mix: mix.name)
def test_po_01_at_the_log_of_a_real_server_in_every_mix(mix: RealMix) -> None:
    """20,000 requests of each mix at a real server's log."""
    seen = measure_real(mix, 20_000)
    assert seen.requests >= 20_000
    assert seen.violations == 0


@pytest.mark.soak
def test_po_01_at_the_log_of_a_real_server_for_thousands_of_requests() -> None:
    """5,000 requests to ten hosts at 50/s each, to 5 ms where the server may run ahead of others."""
    seen = serve(50.0, 10, 400)
    assert seen.requests > 5_000
    assert seen.violations == 0


def test_a_named_host_gets_its_own_turn() -> None:
    """A host that `limits` names does not share the turn of its registrable domain."""

    class Named(Chain):
        start_urls = [f"https://{host}.shop.test/{i}" for i in range(10) for host in ("api", "www")]
        limits = {"api.shop.test": Limit("20/s", concurrency=8)}
        robots = False

    site = Site(lambda request: "x")
    simulate(Named, site)
    found = by_host(site.hits)
    assert excess(found["api.shop.test"], 20) == 0
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
