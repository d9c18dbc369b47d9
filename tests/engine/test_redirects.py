"""Redirects: one loop for every way of a crawl, and an identity for what they lead to (faults W6 and W7)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import Crawl, Page, Request, Skip, Spider
from scraper.reports.summary import Summary
from scraper.testing import Answer, Simulation, Site, VirtualLoop, simulate

SETTINGS = {"robots": False, "rate": None, "max_failed": 1.0}
A = "https://a.test"


class Everything(Spider):
    """Stores each page's URL and follows each link."""

    name = "everything"
    start_urls = [f"{A}/"]

    def parse(self, page: Page) -> Any:
        yield {"url": page.url}
        yield page.follow_all("a")


def starting(*paths: str, **attributes: Any) -> type[Spider]:
    """`Everything` with these starts, below https://a.test."""
    return type("Started", (Everything,), {"start_urls": [f"{A}{path}" for path in paths], **attributes})


def to(location: str, status: int = 302, cookie: str = "", latency: float = 0.0) -> Answer:
    headers = {"Location": location} | ({"Set-Cookie": cookie} if cookie else {})
    return Answer("", status, headers, latency)


def links(*paths: str) -> str:
    return "".join(f"<a href={path}>x</a>" for path in paths)


def cookie_of(request: httpx.Request) -> str:
    return request.headers.get("cookie", "")


def run(spider: type[Spider], site: Site, **settings: Any) -> Simulation:
    return simulate(spider, site, settings={**SETTINGS, **settings})


def urls(done: Simulation) -> list[str]:
    """The URLs of the stored pages, below https://a.test where they are there."""
    rows = done.tables.get("everything", [])
    return sorted(row["url"].removeprefix(A) for row in rows)


def asked(done: Simulation) -> Counter[str]:
    return Counter(hit.url.removeprefix(A) for hit in done.hits)


def kinds(summary: Summary) -> set[str]:
    return {problem.kind for problem in summary.problems}


# ------------------------------------------------------------------ a loop is the same question (W6)


def self_redirect(request: httpx.Request) -> Answer | str:
    return "x" if "sid=1" in cookie_of(request) else to(str(request.url), cookie="sid=1")


def over_another(request: httpx.Request) -> Answer | str:
    if request.url.path == "/set":
        return to("/", cookie="sid=1")
    return "x" if "sid=1" in cookie_of(request) else to("/set")


def over_a_subdomain(request: httpx.Request) -> Answer | str:
    if request.url.host == "login.a.test":
        return to(f"{A}/", cookie="sid=1; Domain=a.test")
    return "x" if "sid=1" in cookie_of(request) else to("https://login.a.test/in")


def over_another_domain(request: httpx.Request) -> Answer | str:
    if request.url.host == "b.test":
        return to(f"{A}/back")
    if request.url.path == "/back":
        return to("/", cookie="sid=1")
    return "x" if "sid=1" in cookie_of(request) else to("https://b.test/login")


@pytest.mark.parametrize("site", [self_redirect, over_another, over_a_subdomain, over_another_domain])
@pytest.mark.parametrize("way", ["visit", "fetch"])
def test_a_redirect_back_that_set_a_cookie_is_no_loop(site: Callable[..., Any], way: str) -> None:
    """A URL that redirects to itself until a cookie is there gives its page, by a visit and by page.fetch alike."""

    class Fetching(Everything):
        start_urls = ["https://c.test/"]

        async def parse(self, page: Page) -> Any:
            yield {"url": (await page.fetch(f"{A}/")).url}

    def answer(request: httpx.Request) -> Answer | str:
        return "x" if request.url.host == "c.test" else site(request)

    done = run(Everything if way == "visit" else Fetching, Site(answer), scope="any")
    assert urls(done) == ["/"]
    assert done.summary.exit_code == 0


def test_a_login_that_redirects_to_itself_is_followed() -> None:
    """POST /login → 303 /login asks another question, with another method: its page is parsed."""

    class Login(Everything):
        async def start(self) -> Any:
            yield Request(f"{A}/login", form={"user": "me"})

    def answer(request: httpx.Request) -> Answer | str:
        return to("/login", 303, "sid=1") if request.method == "POST" else "x"

    done = run(Login, Site(answer))
    assert (urls(done), done.summary.exit_code) == (["/login"], 0)


@pytest.mark.parametrize("way", ["visit", "fetch", "download"])
def test_a_loop_without_a_cookie_ends_at_the_first_repetition(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/a → /b → /a is a loop, said after two requests whichever way it is met."""
    monkeypatch.chdir(tmp_path)  # where a download would be stored

    class Looping(Everything):
        async def parse(self, page: Page) -> Any:
            if way == "visit":
                yield page.follow_all("a")
            elif way == "fetch":
                await page.fetch(f"{A}/a")
            else:
                await page.download(f"{A}/a")

    site = Site({f"{A}/": links("/a"), f"{A}/a": to("/b"), f"{A}/b": to("/a")})
    done = run(Looping, site)
    assert kinds(done.summary) == {"too-many-redirects"}
    assert asked(done) == {"/": 1, "/a": 1, "/b": 1}


def test_two_that_redirect_to_each_other_end() -> None:
    """Both in flight at once, each waits for the other a few times; then the loop is said for what it is."""
    site = Site({f"{A}/a": to("/b", latency=0.5), f"{A}/b": to("/a", latency=0.5)})
    done = run(starting("/a", "/b"), site, concurrency=2)
    assert kinds(done.summary) == {"too-many-redirects"}
    assert sum(asked(done).values()) < 30


# ------------------------------------------------------------------ what redirects lead to has an identity (W7)


def test_links_that_redirect_to_one_page_fetch_it_once() -> None:
    """Fifty links that redirect to a page which is linked as well: one fetch, one row, fifty duplicates."""
    pages: dict[str, Answer | str] = {f"{A}/go?id={n}": to("/new", 301) for n in range(50)}
    pages |= {f"{A}/": links(*[f"/go?id={n}" for n in range(50)], "/new"), f"{A}/new": "new"}
    done = run(Everything, Site(pages))
    assert urls(done) == ["/", "/new"]
    assert asked(done)["/new"] == 1
    assert all(count == 1 for count in asked(done).values())
    assert done.summary.counters["skipped"] + done.summary.counters.get("moved", 0) == 50
    assert done.summary.exit_code == 0


def test_a_later_link_to_a_redirects_target_is_a_duplicate() -> None:
    """What a redirect led to is known from then on: a page found later that links to it does not fetch it again."""
    site = Site({f"{A}/": links("/old"), f"{A}/old": to("/new", 301), f"{A}/new": links("/new", "/old")})
    done = run(Everything, site)
    assert urls(done) == ["/", "/new"]
    assert asked(done) == {"/": 1, "/old": 1, "/new": 1}


def test_a_chain_over_known_redirects_is_followed_to_its_page() -> None:
    """A target that has itself moved is no page: the chain goes on over it, and ends at a duplicate."""
    site = Site(
        {
            f"{A}/": links("/1", "/2"), f"{A}/1": to("/mid"), f"{A}/2": to("/mid", latency=1.0),
            f"{A}/mid": to("/end"), f"{A}/end": "end",
        }
    )  # fmt: skip
    done = run(Everything, site)
    assert urls(done) == ["/", "/end"]
    assert asked(done)["/end"] == 1


def test_many_redirects_to_the_front_page_do_not_park_the_domain() -> None:
    """150 outdated links that all lead to one page say nothing about the hundred good ones behind them."""
    old, good = [f"/old{n}" for n in range(150)], [f"/good{n}" for n in range(100)]

    def answer(request: httpx.Request) -> Answer | str:
        path = request.url.path
        if path.startswith("/old"):
            return to("/home", 301)
        return links(*old, *good) if path == "/" else f"{path} " + "x" * 300

    done = run(Everything, Site(answer))
    assert not done.summary.parked
    assert [url for url in urls(done) if url.startswith("/good")] == sorted(good)
    assert asked(done)["/home"] == 1


def test_pages_of_different_urls_that_are_the_same_still_park() -> None:
    """The same page under a hundred URLs of its own is still a trap; redirects to one URL are not."""
    body = "x" * 300
    trap = [f"/{n}" for n in range(120)]
    done = run(Everything, Site(lambda r: links(*trap) if r.url.path == "/" else body), concurrency=1)
    assert "100 different URLs in a row gave the same page" in next(iter(done.summary.parked.values()))


def test_starts_behind_a_cookie_wall_are_all_fetched() -> None:
    """Ten starts that redirect over a consent page to the front page until a cookie is there: no page is lost to it."""

    def answer(request: httpx.Request) -> Answer | str:
        path = request.url.path
        if path == "/consent":
            return to("/home", cookie="ok=1", latency=0.3)
        return f"page {path}" if "ok=1" in cookie_of(request) else to("/consent", latency=0.1)

    starts = [f"/p{n}" for n in range(10)]
    for concurrency in (1, 2, 4, 10):
        done = run(starting("/home", *starts), Site(answer), concurrency=concurrency)
        assert urls(done) == sorted(["/home", *starts]), concurrency
        assert done.summary.exit_code == 0


def test_requests_with_an_identity_of_their_own_are_always_fetched() -> None:
    """`unique` and `dont_filter` say what counts as the same: their redirects lead to a page each."""

    class Own(Everything):
        async def start(self) -> Any:
            yield Request(f"{A}/new")
            yield Request(f"{A}/1", unique="sku-1")
            for _ in range(3):
                yield Request(f"{A}/2", dont_filter=True)

    done = run(Own, Site({f"{A}/new": "x", f"{A}/1": to("/new"), f"{A}/2": to("/new")}))
    assert urls(done) == ["/new"] * 5


@pytest.mark.parametrize(("status", "rows"), [(301, 1), (308, 1), (302, 3), (303, 3), (307, 3)])
def test_a_spider_that_checks_its_pages_sees_every_detour(status: int, rows: int) -> None:
    """A spider with `check` is led to the login page each time it is sent there for now; a permanent move is one page."""

    class Checking(Everything):
        def check(self, page: Page) -> None:
            if "never" in page.url:
                raise Skip("never")

    site = Site(
        {
            f"{A}/1": to("/in", status),
            f"{A}/2": to("/in", status),
            f"{A}/3": to("/in", status),
            f"{A}/in": "x",
        }
    )
    done = run(starting("/1", "/2", "/3", check=Checking.check), site, concurrency=1)
    assert urls(done) == ["/in"] * rows


def test_a_target_takes_the_rules_of_its_own_url() -> None:
    """robots.txt, the scope and `ignore_params` hold for where a redirect leads, as they do for a link."""
    pages = {"/robots.txt": "User-agent: *\nDisallow: /no", "/": links("/1", "/2", "/3", "/4"), "/x": "x"}
    moved = {
        "/1": to("/no"),
        "/2": to("https://z.test/"),
        "/3": to("/3?sid=1"),
        "/4": to("/x#part"),
        "/3?sid=1": "x",
    }
    site = Site({f"{A}{path}": answer for path, answer in {**pages, **moved}.items()})
    done = simulate(Everything, site, settings={"rate": None, "ignore_params": ["sid"]})
    assert urls(done) == ["/", "/3?sid=1", "/x"]
    assert "/no" not in asked(done)
    assert (done.summary.counters["skipped"], done.summary.exit_code) == (2, 0)


def test_two_that_wait_for_each_others_cookie_both_give_their_page() -> None:
    """/a sets what /b needs and the other way round, both in flight at once: neither is lost as the other's duplicate."""

    def answer(request: httpx.Request) -> Answer | str:
        mine, other = ("a=1", "b=1") if request.url.path == "/a" else ("b=1", "a=1")
        if other in cookie_of(request):
            return request.url.path
        return to("/b" if mine == "a=1" else "/a", cookie=mine, latency=0.2)

    done = run(starting("/a", "/b"), Site(answer), concurrency=2)
    assert urls(done) == ["/a", "/b"]


def test_a_target_that_failed_is_done_again_by_itself(tmp_path: Path) -> None:
    """`resume --failed` asks for the page behind a redirect, not for the redirect."""
    down = [True]

    def answer(request: httpx.Request) -> Answer | str:
        if request.url.path == "/new":
            return Answer("", 404) if down else "new"
        return to("/new") if request.url.path == "/old" else links("/old")

    site, db = Site(answer), tmp_path / "a.db"
    simulate(Everything, site, db=db, settings=SETTINGS)
    down.clear()
    done = simulate(Everything, site, db=db, settings=SETTINGS, resume="failed")
    assert urls(done) == ["/", "/new"]
    assert asked(done) == {"/": 1, "/old": 1, "/new": 2}


def test_a_target_that_failed_is_asked_again_for_who_is_led_there() -> None:
    """A page that ended without a page stands in for nothing: who is redirected there learns of it for itself."""
    site = Site(
        {f"{A}/": links("/bad", "/go"), f"{A}/bad": Answer("", 404), f"{A}/go": to("/bad", latency=1.0)}
    )
    done = run(Everything, site)
    assert done.summary.counters["failed"] == 2


def test_a_redirect_into_another_domain_is_a_duplicate_there_too() -> None:
    """Short links on one host that lead to one page on another: it is fetched once."""
    short = [f"https://s.test/{n}" for n in range(5)]

    def answer(request: httpx.Request) -> Answer | str:
        return to(f"{A}/page") if request.url.host == "s.test" else "page"

    done = run(type("Short", (Everything,), {"start_urls": short}), Site(answer), scope="any")
    assert urls(done) == ["/page"]
    assert done.summary.exit_code == 0


def test_the_depth_of_a_target_is_that_of_who_led_there() -> None:
    """A redirect is no step from the start: `max_depth` counts links, not hops."""
    site = Site(
        {
            f"{A}/": links("/1"),
            f"{A}/1": to("/2"),
            f"{A}/2": links("/3"),
            f"{A}/3": links("/4"),
            f"{A}/4": "x",
        }
    )
    done = run(Everything, site, max_depth=2)
    assert urls(done) == ["/", "/2", "/3"]


def test_a_page_budget_counts_pages_not_redirects() -> None:
    """`max_pages` is reached by pages alone, exactly, though each came over a redirect."""
    pages: dict[str, Answer | str] = {f"{A}/": links(*[f"/go{n}" for n in range(20)])}
    pages |= {f"{A}/go{n}": to(f"/page{n}") for n in range(20)} | {f"{A}/page{n}": "x" for n in range(20)}
    done = run(Everything, Site(pages), max_pages=8)
    assert (done.summary.pages, len(urls(done)), done.summary.exit_code) == (8, 8, 0)


def test_a_target_is_retried_as_itself() -> None:
    """What a redirect led to fails for a while: it is asked again at its own URL, the redirect is not repeated."""
    tries: list[int] = []

    def answer(request: httpx.Request) -> Answer | str:
        if request.url.path == "/":
            return to("/new")
        tries.append(1)
        return "x" if len(tries) > 2 else Answer("", 500)

    done = run(Everything, Site(answer))
    assert urls(done) == ["/new"]
    assert asked(done) == {"/": 1, "/new": 3}


def test_a_target_waits_in_the_queue_while_its_domain_does() -> None:
    """A Retry-After that comes while a redirect is under way holds its target back: no slot waits, no try counts."""

    def answer(request: httpx.Request) -> Answer | str:
        path = request.url.path
        if path == "/old":
            return to("/new", latency=2.0)
        if path == "/busy" and not busy:
            busy.append(1)
            return Answer("", 503, {"Retry-After": "60"}, 0.5)
        return path

    busy: list[int] = []
    done = run(starting("/old", "/busy"), Site(answer), concurrency=2, max_time=30)
    assert done.summary.seconds < 35
    busy.clear()
    done = run(starting("/old", "/busy"), Site(answer), concurrency=2)
    assert urls(done) == ["/busy", "/new"]
    assert asked(done)["/new"] == 1


# ------------------------------------------------------------------ crashes


def shop(request: httpx.Request) -> Answer | str:
    """Forty links over twenty redirects to ten pages, and the pages themselves."""
    path = request.url.path
    if path == "/":
        return links(*[f"/go{n}" for n in range(40)], *[f"/page{n}" for n in range(0, 10, 3)])
    number = int("".join(filter(str.isdigit, path)))
    if path.startswith("/go"):
        return to(f"/via{number % 20}", 301, latency=0.2)
    return (
        to(f"/page{number % 10}", latency=0.1)
        if path.startswith("/via")
        else Answer(f"page {number}", latency=0.3)
    )


def test_cancelled_at_any_moment_a_crawl_of_redirects_ends_with_the_same_rows(tmp_path: Path) -> None:
    """Cancelled at many moments and resumed each time, in the middle of chains too: each page once, nothing twice."""
    undisturbed = urls(run(Everything, Site(shop), concurrency=4))
    loop, site = VirtualLoop(), Site(shop)
    made = type("Made", (Everything,), {"concurrency": 4, "rate": "20/s", "robots": False})

    def crawl() -> Crawl:
        return Crawl(made, db=tmp_path / "a.db", transport=site, inline=True, resume="continue")

    for i in range(25):
        task = loop.create_task(crawl().run())
        loop.run_until_complete(asyncio.wait([task], timeout=0.05 + 0.011 * i))
        assert not task.done()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.run_until_complete(crawl().run())
    loop.close()
    done = simulate(made, Site(shop), db=tmp_path / "b.db")
    assert urls(done) == undisturbed == sorted(["/", *[f"/page{n}" for n in range(10)]])
    assert stored(tmp_path / "a.db") == undisturbed


def stored(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return sorted(url.removeprefix(A) for (url,) in conn.execute("SELECT url FROM everything"))
