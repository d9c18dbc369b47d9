"""Where the time goes: `scraper crawl --profile`, `scraper bench`, and the profile that both show."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from conftest import ROOT

from scraper import Page, Spider, UsageError, run
from scraper.cli.terminal.profile import profile_lines
from scraper.core.timing import POINTS, TimingPoint
from scraper.demo.endless import EndlessCrawl, Pages, path_of, serving
from scraper.profiling import Profile
from scraper.profiling.figures import KEPT, Durations
from scraper.profiling.timer import Steps, Timer
from scraper.testing import Site, simulate
from tests.support.command_line import SPIDER, Person, person, wait_for
from tests.support.shop_server import PAGES, shop

__all__ = ["person", "shop"]  # fixtures

#: Milliseconds a callback sleeps while it keeps the loop, and while it lets others run.
NAP, WAIT = 40, 60


def html(path: str) -> str:
    links = "".join(f'<a href="/{i}">{i}</a>' for i in range(1, 6))
    return f"<h1>{path}</h1>{links}<p class=price>£3.50</p>"


class Slow(Spider):
    start_urls = ("http://shop.test/0",)
    rate = None
    robots = False

    def parse(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
        yield page.follow_all("a", self.late)
        yield {"name": page.text("h1")}

    async def late(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
        if page.url.endswith("/3"):
            time.sleep(NAP / 1000)  # noqa: ASYNC251 - what is to be found
        await asyncio.sleep(WAIT / 1000)
        yield {"name": page.text("h1"), "price": page.decimal(".price")}


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html=html(request.url.path))


def test_a_profile_tells_callbacks_selectors_and_parts_apart(tmp_path: Path) -> None:
    with Profile() as profile:
        run(Slow, db=tmp_path / "slow.db", transport=httpx.MockTransport(answer), observers=[profile])
    found = profile.measured()
    assert found.pages == 6
    late, parse = found.callbacks
    assert (late.name, late.calls, parse.name, parse.calls) == ("late", 5, "parse", 1)
    assert late.place == f"{__file__}:{Slow.late.__code__.co_firstlineno}"
    # It kept the loop once, on one page; the other time it let others run.
    assert NAP / 1000 <= late.longest <= late.busy < NAP / 1000 + 0.2
    assert late.page == "http://shop.test/3"
    assert late.waited >= 5 * WAIT / 1000
    selectors = {(one.call, one.selector): one for one in found.selectors}
    assert set(selectors) == {("follow_all", "a"), ("text", "h1"), ("decimal", ".price")}
    price = selectors["decimal", ".price"]
    assert price.calls == 5
    assert price.function == "late"
    assert Path(price.place.rpartition(":")[0]) == Path(__file__)
    assert 0 < price.longest <= price.seconds
    # The parts are all there is: none counted twice. A sleep is no CPU.
    assert sum(found.parts.values()) == pytest.approx(found.cpu, rel=0.05)
    assert {"reading HTML", "selectors", "callbacks", "links", "items", "database"} <= set(found.parts)
    assert found.parts["callbacks"] < NAP / 1000
    assert found.fetches["median"] <= found.fetches["p95"] <= found.fetches["longest"]


def test_a_callback_that_runs_beside_the_loop_is_busy_there() -> None:
    """Large pages have their plain callbacks run in a thread: that is still the time of the callback."""

    class Large(Spider):
        start_urls = ("http://shop.test/0",)
        rate = None
        robots = False

        def parse(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
            time.sleep(NAP / 1000)
            yield {"name": page.text("h1"), "links": len(page.css("a"))}

    text = html("/0") + "<p>some text</p>" * 200_000
    with Profile() as profile:
        summary = run(
            Large, db=":memory:", observers=[profile],
            transport=httpx.MockTransport(lambda request: httpx.Response(200, html=text)),
        )  # fmt: skip
    assert summary.rows == 1
    (found,) = profile.measured().callbacks
    assert found.busy == found.longest >= NAP / 1000
    assert found.page == "http://shop.test/0"


def standing(point: TimingPoint) -> object:
    """What stands at a timing point now."""
    place = sys.modules[point.function.__module__]
    for name in point.function.__qualname__.split("."):
        place = vars(place)[name]
    return place


def test_a_profile_leaves_nothing_behind() -> None:
    """Off, a timing point is the function itself, so it costs nothing: before, after, and after an error."""
    parts = {point.part for point in POINTS}
    assert {"reading HTML", "selectors", "links", "items", "database", "requests and bodies"} <= parts
    assert all(standing(point) is point.function for point in POINTS)
    with Profile():
        assert all(standing(point) is not point.function for point in POINTS)
    assert all(standing(point) is point.function for point in POINTS)
    with pytest.raises(ZeroDivisionError), Profile():
        1 / 0  # noqa: B018 - an error inside
    assert all(standing(point) is point.function for point in POINTS)


def test_two_profiles_at_once_are_refused() -> None:
    with Profile(), pytest.raises(UsageError, match="a profile is on"), Profile():
        raise AssertionError("never reached")


def test_a_profiled_crawl_finds_what_another_does() -> None:
    """The functions that stand in give back what the others do, errors included."""

    class Broken(Spider):
        start_urls = ("http://shop.test/0",)
        rate = None

        def parse(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
            yield page.follow_all("a")
            yield {"name": page.text("h1"), "missing": page.text("h6" if page.url.endswith("4") else "h1")}

    site = Site(lambda request: html(request.url.path))
    plain = simulate(Broken, site)
    with Profile() as profile:
        seen = simulate(Broken, site, observers=[profile])
    told = [
        {name: value for name, value in one.summary.counters.items() if not name.startswith("time.")}
        for one in (plain, seen)
    ]
    assert told[0] == told[1]
    assert seen.summary.exit_code == plain.summary.exit_code == 1
    assert profile.measured().pages == 6


def test_durations_stay_small_and_keep_their_shape() -> None:
    durations = Durations()
    for number in range(10 * KEPT):
        durations.add(number % 1000 / 1000, f"http://x/{number}")
    durations.add(7.0, "http://x/slow")
    assert len(durations._kept) <= KEPT + 1
    shares = durations.shares()
    assert shares["median"] == pytest.approx(0.5, abs=0.05)
    assert shares["p95"] == pytest.approx(0.95, abs=0.05)
    assert (shares["longest"], durations.whose) == (7.0, "http://x/slow")
    assert Durations().shares() == {"median": 0.0, "p95": 0.0, "longest": 0.0}


async def test_steps_pass_on_what_a_coroutine_gives_raises_and_is_told() -> None:
    timer = Timer()

    async def good() -> int:
        await asyncio.sleep(0)
        return 7

    async def bad() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    async def long() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    told: list[str] = []
    assert await Steps(good(), timer, "a") == 7
    with pytest.raises(KeyError):
        await Steps(bad(), timer, "b")

    async def over() -> None:
        await Steps(long(), timer, "c")

    task = asyncio.create_task(over())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]
    assert set(timer.parts()) == {"a", "b", "c"}


# ------------------------------------------------------------------------------------------- the command line


def test_crawl_profile_is_printed_after_the_summary(person: Person) -> None:
    ran = person.types("crawl", "shop.py", "--profile")
    assert ran.code == 0
    lines = ran.err.splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("✓"))
    start = next(number for number, line in enumerate(lines) if line.startswith("  profile   61 pages in"))
    assert end < start
    text = "\n".join(lines[start:])
    assert re.search(r"^    product +\d+\.\d+ ms .* 60  shop\.py:20$", text, re.MULTILINE)
    assert re.search(r"^      longest on http://127.0.0.1:\d+/p/\d+$", text, re.MULTILINE)
    assert re.search(r" 60  text\('h1'\)  shop\.py:21 in product$", text, re.MULTILINE)
    assert "reading HTML" in text
    assert ran.out == ""
    assert "profile" not in person.types("crawl", "shop.py").err


def test_crawl_profile_as_json_is_an_event_before_the_last(person: Person) -> None:
    ran = person.types("crawl", "shop.py", "--profile", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events[-2:]] == ["profile", "ended"]
    profile = events[-2]
    assert profile["pages"] == PAGES + 1
    assert {one["name"]: one["calls"] for one in profile["callbacks"]} == {"parse": 1, "product": PAGES}
    assert {one["selector"] for one in profile["selectors"]} == {"a.product", "h1", "b"}
    assert profile["cpu"] > 0
    assert sum(profile["parts"].values()) == pytest.approx(profile["cpu"], rel=0.05)


def test_crawl_profile_survives_ctrl_c(person: Person, shop: tuple[str, list[str]]) -> None:
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py", "--profile")
    wait_for(lambda: len(asked) >= 15)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.search(r"^  profile   \d+ pages in", err, re.MULTILINE)
    assert "    waited    rate limit" in err


def test_crawl_profile_is_of_one_process(person: Person) -> None:
    ran = person.types("crawl", "shop.py", "--profile", "--workers", "2")
    assert ran.code == 2
    assert ran.err == "✗ --profile looks at one process: leave --workers out\n"


def test_a_profile_of_nothing_has_no_lines_of_nothing() -> None:
    with Profile() as profile:
        pass
    text = "\n".join(profile_lines(profile.measured()))
    assert "0 pages in" in text
    assert "callback  " not in text
    assert "longest" not in text


# ------------------------------------------------------------------------------------------- bench


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "scraper", "bench", *words],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_bench_measures_a_crawl_and_says_where_the_time_goes(tmp_path: Path) -> None:
    db = tmp_path / "kept.db"
    ran = bench("--seconds", "2s", "--json", "--db", str(db))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["pages"] > 20
    assert found["items"] == pytest.approx(0.95 * found["pages"], rel=0.1)
    assert found["pages_per_second"] == pytest.approx(found["pages"] / found["seconds"], rel=0.01)
    assert found["cpu"] > 0
    assert found["server_cpu"] > 0
    assert {one["name"] for one in found["profile"]["callbacks"]} == {"parse", "product"}
    assert re.search(r"^✓ [\d ]+ pages a second: [\d ]+ in", ran.stderr, re.MULTILINE)
    assert re.search(r"^  server    \d+ % of a core", ran.stderr, re.MULTILINE)
    assert "resume" not in ran.stderr
    assert db.is_file()
    again = bench("--seconds", "2s", "--db", str(db))
    assert again.returncode == 2
    assert "is there already" in again.stderr


@pytest.mark.parametrize(("given", "said"), [("0.1s", "1 s or more"), ("soon", "--seconds")])
def test_bench_says_what_a_time_is(given: str, said: str) -> None:
    ran = bench("--seconds", given)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_bench_ends_well_at_ctrl_c() -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "scraper", "bench", "--seconds", "60s"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "scraper" in process.stderr.readline()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(r"^! [\d ]+ pages a second", err, re.MULTILINE)


async def test_the_shop_of_bench_answers_as_it_says(tmp_path: Path) -> None:
    """Its server: robots.txt, pages as they are computed, 404 for the rest; several requests in one piece."""
    with serving(100) as place:
        async with httpx.AsyncClient(base_url=f"http://{place.netloc}") as client:
            assert (await client.get("/index.html")).content == Pages(100).page(0)
            assert (await client.get(path_of(7))).content == Pages(100).page(7)
            assert "Disallow: /account/" in (await client.get("/robots.txt")).text
            for path in ("/", "/shop/0/x.html", "/elsewhere"):
                assert (await client.get(path)).status_code == 404
        host, port = place.netloc.split(":")
        reader, writing = await asyncio.open_connection(host, int(port))
        writing.write(b"GET /robots.txt HTTP/1.1\r\n\r\nGET /robots.txt HTTP/1.1\r\n\r\n")
        for _ in range(2):
            answer = await asyncio.wait_for(reader.readuntil(b"Disallow: /account/\n"), 10)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        writing.close()
        summary = await EndlessCrawl(place, seconds=30, db=tmp_path / "shop.db").run()
    assert (summary.pages, summary.rows, summary.state) == (100, 95, "complete")
    assert place.process.returncode == 0
