"""Sites that never end: each ends here, or says what to set."""

from __future__ import annotations

import asyncio
import re
import zlib

import httpx
import pytest

from scraper import Page, Spider
from scraper.core.urls import SESSIONS, canonical
from scraper.engine.links import BREATH
from scraper.engine.traps import DEEP, is_endless
from scraper.events import DomainParked, PageDone, Warned
from scraper.testing import Answer, Simulation, Site, simulate

FREE = {"robots": False, "rate": None, "max_failed": 1.0}
GOOD = 20


class Everything(Spider):
    """Follows every link and keeps every page."""

    start_urls = ["https://trap.test/", "https://one.test/0", "https://two.test/0"]

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")


def crawl_beside(trap, **settings) -> tuple[Simulation, list[object]]:
    """A crawl of `trap(request)` as trap.test beside two good hosts of 20 pages; what it did and said."""

    def site(request: httpx.Request) -> Answer | str | None:
        if request.url.host == "trap.test":
            return trap(request)
        number = int(request.url.path[1:])
        return f"<p>{request.url.host} {number}</p>" + f"<a href=/{number + 1}>next</a>" * (number + 1 < GOOD)

    said: list[object] = []
    done = simulate(Everything, Site(site), settings={**FREE, **settings}, observers=[said.append])
    good = [row["url"] for row in done.tables["everything"] if "trap.test" not in row["url"]]
    assert len(good) == len(set(good)) == 2 * GOOD
    return done, said


def warnings(said: list[object]) -> list[str]:
    return [event.message for event in said if isinstance(event, Warned) and "trap.test" in event.message]


def parked(said: list[object]) -> list[str]:
    return [event.why for event in said if isinstance(event, DomainParked)]


def calendar(request: httpx.Request) -> str:
    day = int(request.url.path.strip("/") or 0)
    return f"<h1>Day {day}</h1><a href=/{day + 1}>tomorrow</a>"


@pytest.mark.parametrize("links", [10_000, pytest.param(200_000, marks=pytest.mark.soak)])
def test_host_31_very_many_links_are_queued_once_while_others_run(links: int) -> None:
    """All of them are stored with their page, each once however often it stands there; other tasks run in between."""
    body = "".join(f'<a href="/p/{number % links}">x</a>' for number in range(links * 5 // 4))
    turns: list[int] = []

    async def others() -> None:
        for turn in range(links):
            turns.append(turn)
            await asyncio.sleep(0)

    class Follows(Everything):
        start_urls = ["https://trap.test/"]

        def parse(self, page: Page):
            task = asyncio.ensure_future(others())
            task.add_done_callback(asyncio.Task.result)
            yield page.follow_all("a")

    stored: list[int] = []
    seen = [lambda event: stored.append(len(turns)) if isinstance(event, PageDone) else None]
    done = simulate(
        Follows, Site({"https://trap.test/": body}), settings={**FREE, "max_pages": 1}, observers=seen
    )
    assert done.summary.counters["links"] == links
    assert stored[0] >= links // BREATH


def test_host_32_a_calendar_ends_at_its_depth_or_budget() -> None:
    """An endless calendar ends at `max_depth` or `max_pages_per_domain`; other hosts are complete."""
    done, _ = crawl_beside(calendar, max_depth=50)
    assert done.summary.counters["links.too-deep"] == 1
    done, _ = crawl_beside(calendar, max_pages_per_domain=60)
    assert (done.summary.exit_code, done.summary.reason) == (0, "max_pages_per_domain reached: trap.test")
    assert sum("trap.test" in row["url"] for row in done.tables["everything"]) == 60


def test_host_32_a_calendar_without_bounds_is_said() -> None:
    """Who set no bound is told once, at 500 steps, what to set."""
    _, said = crawl_beside(calendar, max_pages=DEEP + 2 * GOOD + 20)
    assert warnings(said) == [
        "trap.test: 500 steps from the start; if it has no end, set max_depth or max_pages_per_domain"
    ]


def test_host_33_session_ids_make_no_new_pages() -> None:
    """The usual session parameters, in path or query, in any case, are no part of a page's identity."""
    number = iter(range(10_000))

    def shop(request: httpx.Request) -> str:
        ids = [f"{next(number):08x}" for _ in range(3)]
        return f"<a href='/p;jsessionid={ids[0]}'>a</a><a href='/q?PHPSESSID={ids[1]}'>b</a><a href='/?x=1&zenid={ids[2]}'>c</a>"

    done, _ = crawl_beside(shop)
    paths = [httpx.URL(hit.url).path for hit in done.hits if hit.host == "trap.test"]
    assert len(paths) == 4
    assert done.summary.exit_code == 0


def test_host_33_the_same_page_under_new_urls_parks_the_domain() -> None:
    """A hundred identical pages in a row park the domain with a reason that says what to set; others go on."""
    number = iter(range(10_000))

    def shop(request: httpx.Request) -> Answer:
        links = (
            "".join(f"<a href='/p?sid={i}'>{'x'}</a>" for i in range(150))
            if request.url.path == "/"
            else "the same " * 99
        )
        return Answer(
            f"{links}<a href='/p?sid={next(number) + 1_000}'>more</a>" if request.url.path == "/" else links
        )

    done, said = crawl_beside(shop)
    (why,) = parked(said)
    assert why.startswith("100 different URLs in a row gave the same page (max_identical)")
    assert "ignore_params" in why
    assert done.summary.exit_code == 5
    done, said = crawl_beside(shop, ignore_params=["sid"])
    assert parked(said) == []
    done, said = crawl_beside(shop, max_identical="none")
    assert parked(said) == []
    assert sum("trap.test" in row["url"] for row in done.tables["everything"]) == 152


def test_host_33_identical_data_and_starts_do_not_park() -> None:
    """Only HTML pages behind links count: start requests, and data such as `[]`, may repeat."""

    class Numbers(Spider):
        start_urls = [f"https://a.test/{i}" for i in range(150)]

        def parse(self, page: Page):
            yield page.request(page.url + ".json", self.data)

        def data(self, page: Page):
            yield {"url": page.url}

    def site(request: httpx.Request) -> Answer:
        if request.url.path.endswith(".json"):
            return Answer("[]", headers={"Content-Type": "application/json"})
        return Answer("the same page " * 99)

    done = simulate(Numbers, Site(site), settings=FREE)
    assert len(done.tables["numbers"]) == 150


def test_host_34_links_below_themselves_are_left_out() -> None:
    """A relative link that leads below itself ends after two repetitions; it is counted and said once."""
    done, said = crawl_beside(lambda request: f"<p>{request.url.path}</p><a href='a/'>again</a>")
    paths = {httpx.URL(hit.url).path for hit in done.hits if hit.host == "trap.test"}
    assert paths == {"/", "/a/", "/a/a/", "/a/a/a/"}
    assert done.summary.counters["links.trap"] == 1
    assert warnings(said) == [
        "trap.test: links with long or repeating paths are left out (max_path_depth, max_repetitions)"
    ]


def test_host_34_urls_of_70_kb_are_left_out() -> None:
    """A link longer than `max_url` is counted and not followed."""
    done, _ = crawl_beside(lambda request: f"<a href='/{'x' * 70_000}'>long</a>")
    assert done.summary.counters["links.bad-url"] == 1
    assert sum(hit.host == "trap.test" for hit in done.hits) == 1


def test_host_35_soft_404s_end_at_the_budget() -> None:
    """A site that answers 200 to whatever is asked ends at its page budget, though every page differs."""

    def soft(request: httpx.Request) -> str:
        return f"<p>No {request.url.path} here</p>" + "".join(
            f"<a href='/{zlib.crc32((request.url.path + str(i)).encode())}'>x</a>" for i in range(5)
        )

    done, _ = crawl_beside(soft, max_pages_per_domain=80)
    assert sum("trap.test" in row["url"] for row in done.tables["everything"]) == 80


@pytest.mark.parametrize(
    ("path", "endless"),
    [
        ("/", False),
        ("/a/a/a/", False),
        ("/a/a/a/a/", True),
        ("/x/a/a/a/a", True),
        ("/a/b/a/b/a/b/", False),
        ("/a/b/a/b/a/b/a/b/", True),
        ("/a/b/c/a/b/c/a/b/c/a/b/c/x", True),
        ("/2026/11/22/", False),
        ("/1/1/1", False),
        ("/a/b/a/c/a/d/a/e/a", False),
        ("//////", True),
        ("/" + "/".join(map(str, range(20))), False),
        ("/" + "/".join(map(str, range(21))), True),
    ],
)
def test_host_34_paths_that_repeat(path: str, endless: bool) -> None:
    """More than two repetitions in a row, of one segment or several, or more than twenty segments."""
    assert is_endless(path, 20, 2) is endless


@pytest.mark.parametrize("repetitions", [1, 2, 3])
@pytest.mark.parametrize("period", [1, 2, 3])
def test_host_34_the_rule_is_the_one_of_a_regular_expression(period: int, repetitions: int) -> None:
    """What is refused is what `(segments/)\\1{n+1}` finds (Heritrix's rule), only in linear time."""
    for length in range(1, 14):
        for shift in range(period + 1):
            path = "/" + "".join(f"{(i + shift) % period if i >= shift else 9}/" for i in range(length))
            found = re.search(rf"/((?:[^/]+/)+?)\1{{{repetitions + 1}}}", path) is not None
            assert is_endless(path, 99, repetitions) is found, path


@pytest.mark.parametrize("name", sorted(SESSIONS))
def test_host_33_session_names_are_dropped(name: str) -> None:
    """Each name of the default list is dropped from query and path; what is left is idempotent."""
    for url in (
        f"https://a.test/p?{name.upper()}=1&b=2",
        f"https://a.test/p;{name}=1?b=2",
        f"https://a.test/p;{name}?b=2",
    ):
        assert canonical(url, SESSIONS) == "https://a.test/p?b=2"
    assert canonical("https://a.test/p;v=1;jsessionid=2/q", SESSIONS) == "https://a.test/p;v=1/q"
