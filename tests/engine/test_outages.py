"""Outages: a domain that answered and does not now is waited for, and costs no request its tries."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import Page, Request, Spider
from scraper.net.wire.errors import Broken, NotConnected
from scraper.reports.politeness import politeness_of
from scraper.testing import Simulation, simulate
from tests.support.outage_server import MODES, Attempt, Outage, OutageServer, Said, linked_pages

FOR_EVER = 1e9
HOSTS = ("a.test", "b.test")


class Linked(Spider[dict]):
    """Follows every link of one host."""

    start_urls = ("https://a.test/",)
    rate = "2/s"

    def parse(self, page: Page):
        yield {"url": page.url}
        yield from page.follow_all("a")


class Chain(Spider[dict]):
    """Each page leads to the next: one request at a time is known."""

    start_urls = ("https://a.test/0",)
    rate = "2/s"

    def parse(self, page: Page):
        yield {"url": page.url}
        if (number := int(page.url.rpartition("/")[2])) < 40:
            yield page.request(f"/{number + 1}")


class Pair(Linked):
    """Two hosts with the same pages."""

    start_urls = ("https://a.test/", "https://b.test/")


class Inside(Spider[dict]):
    """Fetches one more page within each callback."""

    start_urls = ("https://a.test/",)
    rate = "2/s"

    async def parse(self, page: Page):
        if page.url.endswith("/"):
            for link in page.follow_all("a"):
                yield link
        else:
            more = await page.fetch(page.url + "/more")
            yield {"url": more.url}


def plain(request: httpx.Request) -> str | None:
    """A page for every URL but robots.txt."""
    return None if request.url.path == "/robots.txt" else "x"


def failed(done: Simulation) -> int:
    return done.summary.counters.get("failed", 0)


def gaps(attempts: Sequence[Attempt], host: str = "a.test") -> list[float]:
    times = sorted(attempt.at for attempt in attempts if attempt.host == host)
    return [after - before for before, after in pairwise(times)]


def is_kept(db: Path) -> bool:
    with closing(sqlite3.connect(db)) as conn:
        return politeness_of(conn).verdict.kept


# ------------------------------------------------------------------------------------------- the smallest case


@pytest.mark.parametrize("mode", MODES)
def test_w1_a_restart_of_the_server_loses_no_page(tmp_path: Path, mode: str) -> None:
    """W1: / links to 400 pages at 2/s and the server is gone for 30 s: 401 of 401 pages, never more than the rate, exit 0."""
    db = tmp_path / "a.db"
    server = OutageServer(linked_pages(400), [Outage(1.5, 31.5, mode)])
    done = simulate(Linked, server, db=db)
    assert (done.summary.exit_code, done.summary.pages, failed(done)) == (0, 401, 0)
    assert server.fullest_second() <= 3
    assert min(gaps(server.attempts)) >= 0.5 - 0.005
    assert len([attempt for attempt in server.attempts if 2 < attempt.at < 31.5]) < 30
    assert is_kept(db)


@pytest.mark.parametrize("mode", MODES)
def test_one_request_at_a_time_probes_a_domain_that_is_down(mode: str) -> None:
    """Without a rate, sixteen requests were under way when the server went; after them single ones come, ever more seldom."""
    server = OutageServer(linked_pages(300), [Outage(0.3, 60, mode)])
    done = simulate(Linked, server, settings={"rate": None, "concurrency": 16, "robots": False})
    assert (done.summary.exit_code, done.summary.pages) == (0, 301)
    probes = [attempt.at for attempt in server.attempts if 5 < attempt.at < 60]
    assert 2 <= len(probes) < 20  # with what answered before asked again after each
    assert done.seconds < 110


SETTINGS: Sequence[dict[str, Any]] = (
    {"rate": "4/s", "concurrency": 4},
    {"rate": None, "concurrency": 8},
    {"rate": "auto<=5/s"},
    {"delay": 0.5},
    {"rate": "5/s", "total_rate": "3/s"},
    {"rate": "3/s", "outage_pause": 5},
    {"robots": False},
    {"retries": 0},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("mode", ["connect", "reset", "502"])
def test_outages_under_every_limit(tmp_path: Path, mode: str, settings: dict[str, Any]) -> None:
    """Whatever limits a domain, an outage loses no page, and the database proves that the limits were kept."""
    db = tmp_path / "a.db"
    server = OutageServer(linked_pages(40), [Outage(4, 24, mode)], latency=0.2, connect=0.1)
    done = simulate(Linked, server, db=db, settings=settings)
    assert (done.summary.exit_code, done.summary.pages, failed(done)) == (0, 41, 0)
    assert is_kept(db)


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_of_pages_survives_an_outage(mode: str) -> None:
    """Where one request at a time is known, it alone probes the domain, and loses no try."""
    server = OutageServer(plain, [Outage(5, 35, mode)])
    done = simulate(Chain, server)
    assert (done.summary.exit_code, done.summary.pages, failed(done)) == (0, 41, 0)


@pytest.mark.parametrize("mode", MODES)
def test_page_fetch_in_an_outage_costs_no_try(mode: str) -> None:
    """What a callback fetches is a send as any other: its visit is made again after the outage."""
    server = OutageServer(linked_pages(20), [Outage(4, 34, mode)])
    done = simulate(Inside, server, settings={"retries": 2})
    assert (failed(done), len(done.tables["inside"]), done.summary.exit_code) == (0, 20, 0)


@pytest.mark.parametrize("mode", ["connect", "reset", "502"])
def test_a_robots_txt_that_is_read_again_in_an_outage_costs_no_try(tmp_path: Path, mode: str) -> None:
    """In a later run robots.txt is the first thing that is asked for, and the domain is down: it is waited for."""
    db, pages = tmp_path / "a.db", linked_pages(10)
    assert simulate(Linked, OutageServer(pages), db=db).summary.exit_code == 0
    day = 2 * 86_400.0
    server = OutageServer(pages, [Outage(day, day + 30, mode)])
    done = simulate(Linked, server, db=db, begins=day)
    assert (done.summary.exit_code, done.summary.pages) == (0, 11)


@pytest.mark.parametrize("mode", MODES)
def test_redirects_in_an_outage_cost_no_try(mode: str) -> None:
    """A redirect is followed to its end after the outage, however often its first hop was answered."""

    def answer(request: httpx.Request) -> Said:
        path = request.url.path
        if path.isascii() and path[1:].isdigit():
            return httpx.Response(302, headers={"Location": f"/to{path}"})
        return linked_pages(20)(request)

    done = simulate(Linked, OutageServer(answer, [Outage(4, 34, mode)]), settings={"retries": 2})
    assert (failed(done), done.summary.pages, done.summary.exit_code) == (0, 21, 0)


class Posts(Linked):
    """Sends a form for every link of its first page."""

    robots = False

    def parse(self, page: Page):
        yield {"url": page.url}
        for number in range(30 if page.url.endswith("/") else 0):
            yield Request(f"https://a.test/{number}", form={"number": number})


@pytest.mark.parametrize("mode", MODES)
def test_an_outage_takes_three_posts_at_most(tmp_path: Path, mode: str) -> None:
    """A POST that may have arrived is not sent again; after three of them what may be repeated is asked before any other is."""
    db = tmp_path / "a.db"
    server = OutageServer(linked_pages(0), [Outage(4, 94, mode)])
    done = simulate(Posts, server, db=db)
    lost = 3 if mode in {"reset", "502", "504"} else 0
    assert (done.summary.pages, failed(done)) == (31 - lost, lost)
    assert len(server.attempts) < 60
    assert is_kept(db)


def test_posts_that_the_site_cannot_take_are_no_outage() -> None:
    """Every POST is answered with 502, pages are not: each fails at once, and none waits."""

    def answer(request: httpx.Request) -> Said:
        return 502 if request.method == "POST" else "x"

    server = OutageServer(answer)
    done = simulate(Posts, server)
    assert (done.summary.pages, failed(done), done.summary.parked) == (1, 30, {})
    assert done.seconds < 40


# ------------------------------------------------------------------------------------------- what is no outage


@pytest.mark.parametrize("what", [502, 504, Broken("reset"), NotConnected("refused")], ids=str)
def test_some_bad_urls_are_no_outage(what: int | Exception) -> None:
    """A server that fails for every fifth URL fails them after four tries each, while the others are crawled."""
    pages = linked_pages(40)

    def answer(request: httpx.Request) -> Said:
        name = request.url.path[1:]
        return what if name.isdigit() and int(name) % 5 == 0 else pages(request)

    server = OutageServer(answer)
    done = simulate(Linked, server)
    tries = [sum(attempt.path == f"/{number}" for attempt in server.attempts) for number in range(5, 41, 5)]
    assert (done.summary.pages, done.summary.parked) == (33, {})
    assert failed(done) == 8
    assert all(3 <= count <= 6 for count in tries), tries


@pytest.mark.parametrize("what", [502, Broken("reset")], ids=str)
@pytest.mark.parametrize("bad", [1, 2, 3, 8])
def test_bad_urls_at_the_end_are_no_outage(what: int | Exception, bad: int) -> None:
    """Nothing but bad URLs is left: what was answered before still is, so their tries count, and none waits for half an hour."""
    pages = linked_pages(10)

    def answer(request: httpx.Request) -> Said:
        name = request.url.path[1:]
        return what if name.isdigit() and int(name) > 10 - bad else pages(request)

    server = OutageServer(answer)
    done = simulate(Linked, server)
    assert (failed(done), done.summary.pages, done.summary.parked) == (bad, 11 - bad, {})
    assert done.seconds < 60


@pytest.mark.parametrize("mode", MODES)
def test_a_domain_that_never_answered_is_not_waited_for(mode: str) -> None:
    """A typo must not wait half an hour: four tries within seconds, exit 4."""
    done = simulate(Linked, OutageServer(linked_pages(3), [Outage(0, FOR_EVER, mode)]))
    assert done.summary.exit_code == 4
    assert done.seconds < 60


def test_a_host_that_never_answered_is_no_outage_of_its_domain() -> None:
    """The links to a dead host of the same domain fail after their tries; the host that answers goes on."""

    def answer(request: httpx.Request) -> str | None:
        if request.url.path == "/":
            return "".join(
                f'<a href="https://www.a.test/{i}">x</a><a href="https://dead.a.test/{i}">x</a>'
                for i in range(5)
            )
        return plain(request)

    class Wide(Linked):
        start_urls = ("https://www.a.test/",)

    server = OutageServer(answer, [Outage(0, FOR_EVER, "connect", ["dead.a.test"])])
    done = simulate(Wide, server)
    assert (done.summary.pages, failed(done), done.summary.parked) == (6, 5, {})
    assert done.seconds < 60


# ------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize("mode", MODES)
def test_after_outage_max_the_domain_is_parked(tmp_path: Path, mode: str) -> None:
    """Half an hour later the domain is parked: exit 5, the reason says since when and why; a resume does the rest."""
    db = tmp_path / "a.db"
    done = simulate(Linked, OutageServer(linked_pages(20), [Outage(4, FOR_EVER, mode)]), db=db)
    assert (done.summary.exit_code, failed(done)) == (5, 0)
    assert (done.summary.reason or "").startswith("a.test is down since ")
    assert 1700 < done.seconds < 2000
    assert is_kept(db)
    again = simulate(Linked, OutageServer(linked_pages(20)), db=db, resume="must", begins=3000)
    assert (again.summary.exit_code, again.summary.pages) == (0, 21)


def test_outage_max_of_one_host() -> None:
    """`limits` says for single hosts how long an outage is waited for; 0: tries count as those of other failures do."""
    limits = {"a.test": {"outage_max": "1m"}, "b.test": {"outage_max": 0}}
    server = OutageServer(linked_pages(10), [Outage(4, FOR_EVER)])
    done = simulate(Pair, server, settings={"limits": limits})
    assert list(done.summary.parked) == ["a.test"]
    assert failed(done) > 0
    assert done.seconds < 90


def test_other_domains_go_on() -> None:
    """One of two domains is down: the other is crawled at its rate, and the first one afterwards."""
    server = OutageServer(linked_pages(40), [Outage(3, 60, "connect", ["a.test"])])
    done = simulate(Pair, server)
    assert (done.summary.exit_code, done.summary.pages) == (0, 82)
    assert max(attempt.at for attempt in server.attempts if attempt.host == "b.test") < 25


@pytest.mark.parametrize(("ends", "code", "lines"), [(60.0, 0, 2), (FOR_EVER, 5, 1)])
def test_a_network_that_is_gone_is_one_state(ends: float, code: int, lines: int) -> None:
    """No domain answers: that is said once, and once when it is over; for half an hour, then the crawl stops with exit 5."""
    said: list[str] = []
    server = OutageServer(linked_pages(10), [Outage(3, ends)])
    done = simulate(Pair, server, observers=[lambda event: said.append(str(event))])
    warned = [line for line in said if line.startswith("Warned")]
    assert (done.summary.exit_code, failed(done)) == (code, 0)
    assert [("network" in line, "is down" in line) for line in warned] == [(True, False)] * lines


def test_the_network_is_back_for_every_domain_at_once() -> None:
    """The first answer after the network was gone: the other domains are asked within seconds, not when their waits end."""
    pages = linked_pages(60)
    server = OutageServer(
        pages, [Outage(3, 400, "connect", ["a.test"]), Outage(3, 440, "connect", ["b.test"])]
    )
    settings = {"outage_pause": "10m"}
    done = simulate(Pair, server, settings=settings)
    back = [
        next(a.at for a in server.attempts if a.host == host and a.status and a.at > 400) for host in HOSTS
    ]
    assert (done.summary.exit_code, done.summary.pages) == (0, 122)
    assert max(back) - min(back) < 2


def test_a_resume_counts_the_wait_as_the_outage_it_is(tmp_path: Path) -> None:
    """Killed and resumed in mid-outage: the time of the wait is `outage`, whatever the database says of its beginning."""
    db = tmp_path / "a.db"
    pages, ends = linked_pages(20), 300.0
    done = simulate(Linked, OutageServer(pages, [Outage(4, ends)]), db=db, kill=(100.0,))
    assert (done.summary.pages, done.summary.exit_code) == (21, 0)
    spent = {name for name in done.summary.counters if name.startswith("time.")}
    assert "time.outage" in spent
    assert not [name for name in spent if "down since" in name], spent


@pytest.mark.parametrize("kill", [(4.5,), (6.0, 9.5, 20.0), (29.0,)])
@pytest.mark.parametrize("mode", ["connect", "502"])
def test_a_kill_in_an_outage(tmp_path: Path, mode: str, kill: Sequence[float]) -> None:
    """Killed and resumed in mid-outage: the wait goes on, no page is lost, the rate is kept."""
    db = tmp_path / "a.db"
    server = OutageServer(linked_pages(40), [Outage(4, 34, mode)])
    done = simulate(Linked, server, db=db, kill=kill)
    assert (done.summary.exit_code, done.summary.pages, done.kills) == (0, 41, len(kill))
    assert server.fullest_second() <= 3


def test_a_flapping_server_is_crawled() -> None:
    """Up for ten seconds, down for five, again and again: every page is there in the end."""
    server = OutageServer(linked_pages(100), [Outage(at, at + 5) for at in range(3, 5000, 15)])
    done = simulate(Linked, server)
    assert (done.summary.exit_code, done.summary.pages) == (0, 101)


def test_a_retry_after_that_is_pending_is_kept() -> None:
    """A Retry-After of 60 s counts in an outage that begins meanwhile: nothing is sent before, nor any connection opened."""
    asked: list[float] = []

    def answer(request: httpx.Request) -> Said:
        if request.url.path == "/3" and not asked:
            asked.append(asyncio.get_running_loop().time())
            return httpx.Response(503, headers={"Retry-After": "60"})
        return linked_pages(10)(request)

    server = OutageServer(answer, [Outage(5, 90)])
    done = simulate(Linked, server)
    assert (done.summary.exit_code, done.summary.pages) == (0, 11)
    assert not [at for at in server.times if asked[0] + 1 < at < asked[0] + 59.9]


# ------------------------------------------------------------------------------------------- what waits holds nothing


def test_w4_max_time_is_kept_in_a_hold() -> None:
    """W4: 503 with Retry-After 40 at 2/s, connects of 0.3 s, answers of 0.6 s, max_time 8: over within 18 s, not 42."""

    def answer(request: httpx.Request) -> Said:
        if request.url.path in {"/2", "/3"}:
            return httpx.Response(503, headers={"Retry-After": "40"})
        return linked_pages(40)(request)

    server = OutageServer(answer, connect=0.3, latency=0.6, keeps=False)
    done = simulate(Linked, server, settings={"max_time": 8})
    assert done.seconds <= 8.1
    assert done.summary.reason == "max_time 8 s reached"


def test_w4_what_is_under_way_at_max_time_has_the_grace_of_ctrl_c() -> None:
    """An answer that takes 50 s does not delay `max_time` by its deadline: 8 s and 10 s of grace."""
    server = OutageServer(lambda request: linked_pages(4)(request), latency=50)
    done = simulate(Linked, server, settings={"max_time": 8, "robots": False})
    assert done.seconds == pytest.approx(18, abs=0.1)


def test_w4_a_hold_that_comes_late_sends_the_visit_back() -> None:
    """A hold that arrives between the check and the send: the visit holds no slot meanwhile, and no try is counted."""

    def answer(request: httpx.Request) -> Said:
        if request.url.host == "a.test" and request.url.path == "/1" and not asked:
            asked.append(True)
            return httpx.Response(503, headers={"Retry-After": "100"})
        return linked_pages(12)(request)

    asked: list[bool] = []
    server = OutageServer(answer, connect=0.3, latency=0.6, keeps=False)
    settings = {"in_flight": 2, "retries": 0, "robots": False}
    done = simulate(Pair, server, settings=settings)
    assert failed(done) == 1  # the one that was answered with 503
    assert max(attempt.at for attempt in server.attempts if attempt.host == "b.test") < 30
