"""Rates that domains share, measured at the server's log under virtual time: `total_rate` and `proxy_rate`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from benchmarks.mixes import excess
from scraper import Page, Request, Spider
from scraper.core.clock import Clock
from scraper.core.models import Limit, Proxy
from scraper.errors import SettingsError
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.testing import Answer, Hit, Simulation, Site, run_virtual, simulate


class Fleet(Spider[dict]):
    """Reads `pages` pages of each of `hosts` hosts."""

    scope = "any"
    hosts: int = 20
    pages: int = 10

    async def start(self):
        for page in range(self.pages):
            for host in range(self.hosts):
                yield Request(f"https://h{host}.test/{page}")

    def parse(self, page: Page):
        yield {"url": page.url}


def times(hits: Sequence[Hit]) -> list[float]:
    return sorted(hit.at for hit in hits)


def of_host(hits: Sequence[Hit], host: str) -> list[Hit]:
    return [hit for hit in hits if hit.host == host]


def redirecting(request: httpx.Request) -> Answer | str | None:
    """Every fifth page redirects once, every seventh is busy once."""
    path = request.url.path
    if path == "/robots.txt":
        return None
    if path.endswith("5"):
        return Answer(status=302, headers={"Location": f"{path}-there"})
    return Answer("x", latency=0.3)


# ------------------------------------------------------------------------------------------- the whole crawl


@pytest.mark.parametrize("rate", [0.5, 10.0, 40.0])
def test_no_window_of_a_crawl_holds_more_than_the_total_rate(rate: float) -> None:
    """In every window W all hosts together see at most rate * W + 1 requests: pages, redirects and robots.txt."""
    site = Site(redirecting)
    done = simulate(Fleet, site, arguments={"pages": 7}, settings={"rate": "5/s", "total_rate": rate})
    assert len(done.tables["fleet"]) == 140
    assert excess(times(site.hits), rate) == 0
    assert max(excess(times(of_host(site.hits, f"h{n}.test")), 5.0) for n in range(20)) == 0


def test_a_total_rate_is_used_up() -> None:
    """A crawl with enough domains is asked at 95 % of its total rate at least."""
    site = Site(lambda request: "x", latency=0.2)
    done = simulate(Fleet, site, settings={"rate": "2/s", "total_rate": "10/s"})
    assert len(site.hits) / done.seconds >= 0.95 * 10


def test_domains_take_turns_at_a_total_rate() -> None:
    """A domain without a limit of its own does not starve the others: each gets its share of the total rate."""

    class Uneven(Fleet):
        limits = {"h0.test": Limit("none", concurrency=32)}
        robots = False

        async def start(self):
            for page in range(400):
                yield Request(f"https://h0.test/{page}")
            for page in range(20):
                for host in range(1, 5):
                    yield Request(f"https://h{host}.test/{page}")

    site = Site(lambda request: "x", latency=0.1)
    simulate(Uneven, site, settings={"rate": "5/s", "total_rate": "10/s", "max_time": 40})
    last = {host: max(times(of_host(site.hits, f"h{host}.test"))) for host in range(1, 5)}
    assert all(len(of_host(site.hits, f"h{host}.test")) == 20 for host in range(1, 5))
    assert max(last.values()) < 1.2 * 20 * 5 / 10
    assert excess(times(site.hits), 10.0) == 0


def test_waiting_for_the_total_rate_never_shortens_a_gap() -> None:
    """Fetches in callbacks that stand in line for the total rate leave their own domain its gap."""

    class Fetches(Fleet):
        robots = False

        async def parse(self, page: Page):
            for number in range(3):
                await page.fetch(f"https://h0.test/more/{number}")
            yield {"url": page.url}

    site = Site(lambda request: "x", latency=0.05)
    settings = {"rate": "4/s", "total_rate": "6/s", "concurrency": 8}
    done = simulate(Fetches, site, arguments={"hosts": 6, "pages": 4}, settings=settings)
    assert len(done.tables["fetches"]) == 24
    assert excess(times(site.hits), 6.0) == 0
    assert min(b - a for a, b in pairwise(times(of_host(site.hits, "h0.test")))) >= 0.25 - 1e-6


def test_a_hold_that_comes_while_a_request_stands_in_line_counts_for_it() -> None:
    """A Retry-After is obeyed by requests that waited for the total rate when it came; others take their place."""

    async def run() -> tuple[list[float], list[float]]:
        settings = Settings.of(("test", {"rate": None, "total_rate": "1/s", "concurrency": 4}))
        politeness, clock = Politeness(settings, Clock()), Clock()
        sent: dict[str, list[float]] = {"a.test": [], "b.test": []}

        async def send(name: str) -> None:
            async with politeness.domain(name).turn() as turn:
                await turn.permit()
                sent[name].append(clock.mono())

        tasks = [asyncio.create_task(send(name)) for name in ("a.test", "a.test", "b.test", "b.test")]
        await asyncio.sleep(0.5)
        politeness.domain("a.test").hold(clock.mono() + 4)
        await asyncio.gather(*tasks)
        return sent["a.test"], sent["b.test"]

    a, b = run_virtual(run())
    assert [round(at, 3) for at in a] == [0.0, 4.5]
    assert [round(at, 3) for at in b] == [1.0, 2.0]


@pytest.mark.parametrize("kill", [(0.5,), (3.1,), (2.2, 4.9, 7.6)])
def test_a_resume_waits_out_the_gap_of_the_total_rate(tmp_path: Path, kill: tuple[float, ...]) -> None:
    """Over kills and resumes no two requests of a crawl are closer than the total rate allows."""
    site = Site(lambda request: "x", latency=0.1)
    settings = {"rate": None, "total_rate": "1/s"}
    arguments = {"hosts": 8, "pages": 2}
    done = simulate(Fleet, site, db=tmp_path / "a.db", kill=kill, arguments=arguments, settings=settings)
    assert (done.kills, done.summary.exit_code, len(done.tables["fleet"])) == (len(kill), 0, 16)
    assert min(b - a for a, b in pairwise(times(site.hits))) >= 1 - 1e-6


def test_workers_share_the_total_rate() -> None:
    """Each of N processes has the N-th part of the total rate and of each proxy's."""
    settings = Settings.of(("test", {"total_rate": "10/s", "proxy_rate": "4/s", "proxy": "p:1"}))

    async def gaps() -> tuple[float, float]:
        politeness = Politeness(settings, Clock(), workers=4)
        assert politeness.total is not None
        line = politeness.domain("a.test").turn()
        line.take_proxy(settings.proxy[0])
        await line.permit()
        at = Clock().mono()
        line.take_proxy(settings.proxy[0])
        await line.permit()
        return politeness.total.gap, Clock().mono() - at

    total, proxy = run_virtual(gaps())
    assert (total, proxy) == (pytest.approx(0.4), pytest.approx(1.0, abs=1e-6))


# ------------------------------------------------------------------------------------------- each proxy


class Proxied(Site):
    """A site behind proxies; `through` is the log of each."""

    guarantees = frozenset({"before_send", "proxy"})
    through: dict[str, list[float]]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.extensions["before_send"]()
        del request.extensions["before_send"]
        proxy = request.extensions.get("proxy")
        name = "" if proxy is None else proxy.host
        self.through.setdefault(name, []).append(asyncio.get_running_loop().time())
        return await super().handle_async_request(request)


def proxied(latency: float = 0.1, **options: object) -> tuple[Proxied, Simulation]:
    site = Proxied(redirecting, latency=latency)
    site.through = {}
    return site, simulate(Fleet, site, **options)  # type: ignore[arg-type]  # options of simulate


def test_no_window_of_a_proxy_holds_more_than_its_rate() -> None:
    """Through each of three proxies go at most rate * W + 1 requests in every window W, and each is used in turn."""
    settings = {"rate": "5/s", "proxy": ["a:1", "b:1", "c:1"], "proxy_rate": "4/s", "total_rate": "11/s"}
    site, done = proxied(arguments={"pages": 7}, settings=settings)
    assert len(done.tables["fleet"]) == 140
    assert {name: excess(sorted(at), 4.0) for name, at in site.through.items()} == {"a": 0, "b": 0, "c": 0}
    counts = Counter({name: len(at) for name, at in site.through.items()})
    assert counts.most_common()[-1][1] > 0.9 * counts.total() / 3
    assert excess(times(site.hits), 11.0) == 0
    assert max(excess(times(of_host(site.hits, f"h{n}.test")), 5.0) for n in range(20)) == 0


def test_waiting_for_a_proxy_holds_no_slot() -> None:
    """Hosts with a slow proxy leave the slots to those without: these are done as if they were alone."""
    limits = {f"h{host}.test": Limit(proxy="none") for host in range(5)}
    settings = {"rate": "2/s", "proxy": ["a:1"], "proxy_rate": "1/s", "limits": limits, "in_flight": 8}
    site, done = proxied(arguments={"pages": 6}, settings=settings | {"robots": False})
    assert len(done.tables["fleet"]) == 120
    assert max(hit.ended for n in range(5) for hit in of_host(site.hits, f"h{n}.test")) < 1.2 * 7 / 2
    assert excess(site.through["a"], 1.0) == 0
    assert len(site.through["a"]) / done.seconds >= 0.95


def test_a_proxy_of_several_hosts_has_one_rate() -> None:
    """The same proxy, named for some hosts and for all, is one proxy with one rate."""
    limits = {"h0.test": Limit(proxy="a:1"), "h1.test": Limit(proxy=["a:1", "b:1"])}
    settings = {"rate": "5/s", "proxy": ["a:1"], "proxy_rate": "3/s", "limits": limits}
    site, done = proxied(arguments={"hosts": 3}, settings=settings)
    assert done.summary.exit_code == 0
    assert max(excess(sorted(at), 3.0) for at in site.through.values()) == 0


# ------------------------------------------------------------------------------------------- what is said


def shares(done: Simulation) -> dict[str, float]:
    spent = {name[5:]: n for name, n in done.summary.counters.items() if name.startswith("time.")}
    return {cause: n / sum(spent.values()) for cause, n in spent.items()}


def test_the_summary_names_the_shared_rate_that_was_waited_for() -> None:
    """Time that domains wait for the whole crawl's rate, or their proxy's, is put down to it."""
    done = simulate(Fleet, Site(lambda request: "x"), settings={"rate": "5/s", "total_rate": "4/s"})
    assert shares(done)["total_rate limit"] > 0.9
    _, done = proxied(settings={"rate": "5/s", "proxy": ["a:1"], "proxy_rate": "4/s"})
    assert shares(done)["proxy_rate limit"] > 0.9


@pytest.mark.parametrize("name", ["total_rate", "proxy_rate"])
@pytest.mark.parametrize("value", ["fast", "0/s", -1, "auto", "auto<=5/s", True])
def test_what_is_not_a_shared_rate_is_refused(name: str, value: object) -> None:
    """Anything but a fixed rate is an error that names the setting, the value and the form."""
    with pytest.raises(SettingsError, match=f'{name} = .* is not valid; expected a rate such as "10/s"'):
        Settings.of(("test", {name: value}))


def test_shared_rates_are_read_as_rates_are() -> None:
    """Every form of a fixed rate is understood, none lifts it, and without one there is no limit."""
    settings = Settings.of(("test", {"total_rate": "300/min", "proxy_rate": "none"}))
    assert settings.total_rate is not None
    assert settings.total_rate.per_second == 5
    assert settings.proxy_rate is None
    assert Settings().total_rate is None
    assert Proxy.parse("a:1") == Proxy.parse("http://a:1")
