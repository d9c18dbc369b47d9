"""Each package earns its place: with it a promise holds, and with its part replaced by a no-op the promise breaks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiolimiter
import aiosqlite
import httpx
import pytest
import respx
import tenacity

from benchmarks.mixes import excess
from scraper import Page, Spider
from scraper.core.clock import Clock
from scraper.page import document
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.store.file.writer import AiosqliteExecutor
from scraper.testing import Answer, Simulation, Site, run_virtual, simulate
from scraper.testing.saved_case import Case, accept

pytest_plugins = ["pytester"]


class Shop(Spider[dict]):
    """Reads the headings of ten pages."""

    start_urls = [f"https://a.test/{number}" for number in range(10)]

    def parse(self, page: Page):
        yield {"name": page.text("h1")}


async def nothing(*args: object, **options: object) -> None:
    """In the place of a coroutine function."""


# ------------------------------------------------------------------------------------------- aiolimiter


def sends_of_many_turns() -> list[float]:
    """The times of what many tasks send to one domain, each as soon as it may: no scheduler spaces them out."""

    async def run() -> list[float]:
        settings = Settings.of(("test", {"rate": "20/s", "concurrency": 16}))
        domain, clock, sent = Politeness(settings, Clock()).domain("a.test"), Clock(), []

        async def visit() -> None:
            async with domain.turn() as turn:
                for _ in range(3):  # a page and two redirects
                    await turn.permit()
                    sent.append(clock.mono())
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(visit() for _ in range(20)))
        return sent

    return run_virtual(run())


def sends_of_fetches() -> list[float]:
    """The times at which a site sees what callbacks fetch, eight at once, over redirects."""

    class Fetches(Spider[dict]):
        start_urls = [f"https://a.test/{number}" for number in range(8)]
        rate = "20/s"
        concurrency = 16
        robots = False

        async def parse(self, page: Page):
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(page.fetch(f"{page.url}/old/{number}"))
            yield {"url": page.url}

    def answer(request: httpx.Request) -> Answer:
        path = request.url.path
        if "old" in path:
            return Answer(status=302, headers={"Location": path.replace("old", "new")})
        return Answer("x", latency=0.01)

    site = Site(answer)
    simulate(Fetches, site)
    return sorted(hit.at for hit in site.hits)


def sends_of_a_crawl() -> list[float]:
    """The times at which a site sees a crawl of many hosts with a rate of the whole crawl."""

    class Wide(Spider[dict]):
        start_urls = [f"https://h{number}.test/" for number in range(60)]
        scope = "any"

        async def parse(self, page: Page):
            await page.fetch(f"{page.url}more")
            yield {"url": page.url}

    site = Site(lambda request: "x", latency=0.2)
    simulate(Wide, site, settings={"rate": None, "total_rate": "20/s"})
    return sorted(hit.at for hit in site.hits)


@pytest.mark.parametrize("sends", [sends_of_many_turns, sends_of_fetches, sends_of_a_crawl])
def test_aiolimiter_enforces_the_send(sends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No window holds more than rate * W + 1 sends where the scheduler does not protect; without `acquire` some do."""
    assert excess(sends(), 20.0) == 0
    monkeypatch.setattr(aiolimiter.AsyncLimiter, "acquire", nothing)
    assert excess(sends(), 20.0) > 0


# ------------------------------------------------------------------------------------------- tenacity


def tries(status: int) -> list[float]:
    """When a page with this status is asked for."""

    class One(Shop):
        start_urls = ["https://a.test/"]

    site = Site(lambda request: Answer("x", status=status))
    settings = {"robots": False, "rate": None, "max_time": 100}
    simulate(One, site, settings=settings)
    return [hit.at for hit in site.hits]


def waits(at: Sequence[float]) -> list[int]:
    return [int(after - before) for before, after in pairwise(at)]


def test_tenacity_decides_how_often() -> None:
    """A page that always fails is tried four times, as `retries` says; where nothing stops it is tried for ever."""
    assert len(tries(500)) == 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenacity.stop_after_attempt, "__call__", lambda self, state: False)
        assert len(tries(500)) > 4


def test_tenacity_decides_when() -> None:
    """The tries are one, two and four seconds apart, and more; where the wait is nothing they are not."""
    assert waits(tries(500)) == [1, 2, 4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenacity.wait_exponential, "__call__", lambda self, state: 0.0)
        assert waits(tries(500)) == [0, 0, 0]


def test_tenacity_decides_what() -> None:
    """A failure that may pass is tried again, one that stays is not; where all or nothing is, one of both is wrong."""
    assert (len(tries(500)), len(tries(404))) == (4, 1)
    for answer, wrong in ((True, 404), (False, 500)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tenacity.retry_if_exception, "__call__", lambda self, state, answer=answer: answer)
            assert len(tries(wrong)) == {404: 4, 500: 1}[wrong]


# ------------------------------------------------------------------------------------------- aiosqlite


async def turns_while_writing(path: Path, patience: float) -> int:
    """How many turns, up to a hundred, the loop makes while a statement takes `patience` seconds or until they are made."""
    executor = await AiosqliteExecutor.open(str(path))
    turns, go_on = 0, threading.Event()
    try:
        writing = asyncio.create_task(executor.run(lambda conn: go_on.wait(patience)))
        while turns < 100 and not writing.done():
            turns += 1
            await asyncio.sleep(0)
        go_on.set()
        await writing
    finally:
        await executor.close()
    return turns


async def test_aiosqlite_keeps_the_database_off_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on while a statement waits; where aiosqlite runs it in the caller's thread it stands still."""
    assert await turns_while_writing(tmp_path / "a.db", 60) == 100

    async def at_once(self: aiosqlite.Connection, fn: Any, *args: Any) -> Any:
        return fn(*args)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", at_once)
    assert await turns_while_writing(tmp_path / "b.db", 0.01) < 100


# ------------------------------------------------------------------------------------------- selectolax


def shop() -> Simulation:
    return simulate(Shop, Site(lambda request: f"<h1>{request.url.path}</h1>"), settings={"rate": None})


def test_selectolax_reads_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a selector finds is stored; where the parser sees an empty page nothing is, and the crawl says so."""
    done = shop()
    assert (len(done.tables["shop"]), done.summary.exit_code) == (10, 0)
    parse = document.LexborHTMLParser
    monkeypatch.setattr(document, "LexborHTMLParser", lambda html, **options: parse("", **options))
    broken = shop()
    assert broken.tables.get("shop", []) == []
    assert broken.summary.exit_code != 0


# ------------------------------------------------------------------------------------------- httpx


def behind_a_login() -> Simulation:
    """A crawl of a site that answers those alone who answer its challenge (RFC 7616)."""

    def answer(request: httpx.Request) -> Answer | str | None:
        if request.url.path == "/robots.txt":
            return None
        if request.headers.get("authorization", "").startswith('Digest username="me"'):
            return f"<h1>{request.url.path}</h1>"
        challenge = 'Digest realm="shop", nonce="abc", qop="auth", algorithm=SHA-256'
        return Answer(status=401, headers={"WWW-Authenticate": challenge})

    settings = {"rate": None, "auth": {"https://a.test": httpx.DigestAuth("me", "password")}}
    return simulate(Shop, Site(answer), settings=settings)


def test_httpx_answers_challenges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of httpx open a site; where their flow sends the request as it is, no page is read."""
    assert len(behind_a_login().tables["shop"]) == 10

    async def as_it_is(
        self: httpx.Auth, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        yield request

    monkeypatch.setattr(httpx.DigestAuth, "async_auth_flow", as_it_is)
    assert behind_a_login().tables.get("shop", []) == []


# ------------------------------------------------------------------------------------------- respx


def over_respx() -> list[str]:
    """The rows of a crawl over a router of respx, as docs/testing.md shows it."""
    router = respx.Router(assert_all_called=False)
    router.get("https://a.test/robots.txt").respond(404)
    router.get(url__regex=r"https://a\.test/(?P<number>\d)").mock(
        side_effect=lambda request, number: httpx.Response(200, html=f"<h1>{number}</h1>")
    )
    done = simulate(Shop, httpx.MockTransport(router.async_handler), settings={"rate": None})
    return sorted(row["name"] for row in done.tables.get("shop", []))


def test_respx_answers_for_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole crawl runs over the routes of a test; where they are not asked, it finds nothing."""
    assert over_respx() == [str(number) for number in range(10)]

    async def unrouted(self: respx.Router, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    monkeypatch.setattr(respx.Router, "async_handler", unrouted)
    assert over_respx() == []


# ------------------------------------------------------------------------------------------- pytest


def test_pytest_replays_saved_pages(pytester: pytest.Pytester) -> None:
    """A saved page that a spider reads differently fails the tests of a project; without the plugin it is not seen."""
    pytester.path.joinpath("scraper.toml").touch()
    spider = pytester.mkdir("spiders").joinpath("shop.py")
    spider.write_text(
        "from scraper import Spider\n\n\nclass Shop(Spider):\n    start_urls = ['https://a.test/']\n\n"
        "    def parse(self, page):\n        yield {'name': page.text('h1')}\n"
    )
    case = pytester.path.joinpath("page.case.json")
    saved = Case(
        "spiders/shop.py", {}, "https://a.test/", "parse", None, 200, [("content-type", "text/html")], {}
    )
    case.write_text(json.dumps(asdict(saved)))
    pytester.path.joinpath("page.body").write_text("<h1>One</h1><h2>Two</h2>")
    accept(case)
    spider.write_text(spider.read_text().replace("h1", "h2"))
    quiet = ("-p", "no:cacheprovider", "-p", "no:respx", "-p", "no:xdist")
    with_it = pytester.runpytest_subprocess(*quiet, "-p", "scraper.pytest_plugin")
    with_it.assert_outcomes(failed=1)
    with_it.stdout.fnmatch_lines(["-*One*", "+*Two*"])
    without = pytester.runpytest_subprocess(*quiet, "-p", "no:scraper.pytest_plugin")
    without.assert_outcomes()
    assert without.ret == pytest.ExitCode.NO_TESTS_COLLECTED
