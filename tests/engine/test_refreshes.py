"""Pages that send their reader elsewhere: followed as redirects are, with everything that holds for those."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import FetchError, Page, Request, Spider
from scraper.query import ask, open_readonly
from scraper.testing import Answer, Simulation, Site, simulate

QUICK = {"robots": False, "rate": None, "max_failed": 1.0, "retries": 0}


def refresh(target: str, delay: float = 0) -> str:
    return f"<meta http-equiv=refresh content='{delay}; url={target}'><p>wait"


class Rows(Spider[Any]):
    """One row for each page, with the way that led there."""

    start_urls = ("https://a.test/",)

    def parse(self, page: Page) -> Any:
        yield {"url": page.url, "way": " ".join(f"{url} {status}" for url, status in page.redirects)}
        yield page.follow_all("a")


def crawled(pages: dict[str, Answer | str], spider: type[Spider[Any]] = Rows, **settings: Any) -> Simulation:
    site = Site(
        {f"https://a.test{path}" if path.startswith("/") else path: page for path, page in pages.items()}
    )
    return simulate(spider, site, settings={**QUICK, **settings})


def urls(done: Simulation) -> list[str]:
    return [row["url"] for row in done.tables.get("rows", [])]


def asked(done: Simulation) -> list[str]:
    return [hit.url for hit in done.hits]


@pytest.mark.parametrize(
    "start",
    [
        refresh("/x"),
        refresh("x"),
        refresh("https://a.test/x"),
        "<base href=/d/><meta http-equiv=refresh content='5;url=../x'>",
        Answer("", headers={"Refresh": "0; url=/x"}),
        Answer("ignored", headers={"Refresh": "0; url='/x'", "Content-Type": "text/html"}),
        Answer(refresh("/x").encode("utf-16")),
    ],
)
def test_a_page_that_leads_elsewhere_at_once_is_a_redirect(start: Answer | str) -> None:
    """W25: meta refresh and the Refresh header are followed, and only the page at their end has a callback."""
    done = crawled({"/": start, "/x": "here"})
    assert [(row["url"], row["way"]) for row in done.tables["rows"]] == [
        ("https://a.test/x", "https://a.test/ 200")
    ]
    assert done.summary.exit_code == 0


_CYRILLIC = {"Content-Type": "text/html; charset=windows-1251"}


@pytest.mark.parametrize(
    ("start", "settings", "target"),
    [
        (Answer(refresh("/s?q=да").encode("cp1251"), headers=_CYRILLIC), {}, "/s?q=%E4%E0"),
        (
            Answer(refresh("/да?q=да").encode("cp1251")),
            {"encoding": "windows-1251"},
            "/%D0%B4%D0%B0?q=%E4%E0",
        ),
        (Answer(refresh("/s?q=да").encode()), {}, "/s?q=%D0%B4%D0%B0"),
        ("<base href='javascript:1'>" + refresh("x"), {}, "/x"),
        ("<base href='data:,1'>" + refresh("x"), {}, "/x"),
        ("<base href='http://['>" + refresh("x"), {}, "/x"),
        ("<base href=''><base href=/d/>" + refresh("x"), {}, "/x"),
        ("<base target=_top><base href=/d/>" + refresh("x"), {}, "/d/x"),
        (Answer(refresh("/x"), headers={"Retry-After": "7200"}), {}, "/x"),
    ],
)
def test_its_target_is_read_as_a_link_of_the_page(
    start: Answer | str, settings: dict[str, Any], target: str
) -> None:
    """W25, W9: in the encoding of the page, relative to its base where that is usable, and at once."""
    done = crawled({"/": start, target: "here"}, **settings)
    assert urls(done) == [f"https://a.test{target}"]


@pytest.mark.parametrize(
    ("start", "settings"),
    [
        (refresh("/x", 6), {}),
        (refresh("/x", 1), {"meta_refresh": 0}),
        (refresh("/x"), {"meta_refresh": None}),
        (refresh("/x"), {"meta_refresh": "none"}),
        (refresh("/"), {}),
        (refresh("https://a.test/#top"), {}),
        ("<meta http-equiv=refresh content=0>", {}),
        (f"<noscript>{refresh('/x')}</noscript>", {}),
        (refresh("javascript:go()"), {}),
        (refresh("http://["), {}),
        (refresh("/" + "x" * 3_000), {}),
        (Answer(refresh("/x"), headers={"Content-Type": "text/plain"}), {}),
        (Answer("{}", headers={"Content-Type": "application/json", "Refresh": "0; url=/x"}), {}),
    ],
)
def test_a_page_that_does_not_is_a_page(start: Answer | str, settings: dict[str, Any]) -> None:
    """W25: too late, switched off, to itself, to no URL, or not in an HTML page: the page is what was asked for."""
    done = crawled({"/": start, "/x": "here"}, **settings)
    assert urls(done) == ["https://a.test/"]


def test_zero_seconds_follows_those_without_a_delay() -> None:
    """W25: `meta_refresh = 0` follows what leads on at once and nothing else."""
    assert urls(crawled({"/": refresh("/x"), "/x": "here"}, meta_refresh=0)) == ["https://a.test/x"]


def test_a_refresh_of_an_error_is_not_followed() -> None:
    """W25: only pages lead on; a 404 that sends its reader home is a 404."""
    done = crawled({"/": Answer(refresh("/x"), 404), "/x": "here"})
    assert urls(done) == []


def test_what_comes_too_late_is_counted(tmp_path: Path) -> None:
    """W25: a delay that is longer than the setting is counted, like a link that is left out."""
    site = Site({"https://a.test/": refresh("/x", 30)})
    simulate(Rows, site, db=tmp_path / "a.db", settings=QUICK)
    conn = open_readonly(str(tmp_path / "a.db"))
    rows = ask(conn, "SELECT value FROM _counters WHERE name = 'links.late-refresh'").rows
    assert [tuple(row) for row in rows] == [(1,)]
    conn.close()


def test_a_refresh_after_a_post_is_a_get() -> None:
    """W25: a form that answers with a page that leads on is followed with GET, to its own URL too."""

    class Login(Rows):
        async def start(self) -> Any:
            yield Request("https://a.test/login", form={"user": "x"})

    def answer(request: httpx.Request) -> str:
        return refresh("/login") if request.method == "POST" else f"in by {request.method}"

    done = simulate(Login, Site(answer), settings=QUICK)
    assert [(hit.method, hit.url) for hit in done.hits] == [
        ("POST", "https://a.test/login"),
        ("GET", "https://a.test/login"),
    ]


def test_pages_that_show_each_other_in_turn_are_pages() -> None:
    """W25: refreshes in a circle end at the last page that was not seen, not in an error."""
    done = crawled({"/": refresh("/b"), "/b": refresh("/c"), "/c": refresh("/")})
    assert urls(done) == ["https://a.test/c"]
    assert asked(done) == ["https://a.test/", "https://a.test/b", "https://a.test/c"]


def test_hops_are_counted() -> None:
    """W25: refreshes and redirects together are bounded by max_hops."""
    pages: dict[str, Answer | str] = {f"/{n}": refresh(f"/{n + 1}") for n in range(9)}
    done = crawled({"/": Answer("", 302, {"Location": "/0"}), **pages}, max_hops=4)
    assert [problem.kind for problem in done.summary.problems] == ["too-many-redirects"]
    assert len(done.hits) == 5


def test_links_to_pages_that_lead_to_one_page_fetch_it_once() -> None:
    """W25: the target has an identity, as that of a redirect has."""
    links = "".join(f"<a href=/go{n}>x</a>" for n in range(9)) + "<a href=/new>x</a>"
    done = crawled({"/": links, **{f"/go{n}": refresh("/new") for n in range(9)}, "/new": "here"})
    assert sorted(urls(done)) == ["https://a.test/", "https://a.test/new"]
    assert Counter(asked(done))["https://a.test/new"] == 1


def test_scope_and_robots_hold() -> None:
    """W25: a refresh leads neither out of scope nor past robots.txt."""
    out = crawled({"/": "<a href=/go>x</a>", "/go": refresh("https://b.test/")})
    assert asked(out) == ["https://a.test/", "https://a.test/go"]
    pages: dict[str, Answer | str] = {
        "/robots.txt": Answer("User-agent: *\nDisallow: /x"), "/": refresh("/x"), "/x": "here",
    }  # fmt: skip
    refused = crawled(pages, robots=True)
    assert asked(refused) == ["https://a.test/robots.txt", "https://a.test/"]
    assert refused.summary.exit_code == 4


def test_a_start_takes_its_target_into_scope() -> None:
    """W25: a start that leads to another domain moves there, as with a redirect."""
    done = crawled(
        {"/": refresh("https://b.test/"), "https://b.test/": "<a href=/2>x</a>", "https://b.test/2": "two"}
    )
    assert urls(done) == ["https://b.test/", "https://b.test/2"]
    assert done.tables["rows"][0]["way"] == "https://a.test/ 200"


def test_fetch_follows_and_download_does_not(tmp_path: Path) -> None:
    """W25: `page.fetch` goes where the page leads; a file is what was asked for."""

    class Fetches(Rows):
        files = str(tmp_path)

        async def parse(self, page: Page) -> Any:
            inner = await page.fetch("/go")
            file = await page.download("/go")
            yield {"url": inner.url, "asked": inner.requested_url, "file": file.path.read_text()}

    done = crawled({"/": "x", "/go": refresh("/x"), "/x": "here"}, Fetches)
    (row,) = done.tables["fetches"]
    assert (row["url"], row["asked"]) == ("https://a.test/x", "https://a.test/go")
    assert row["file"] == refresh("/x")


def test_a_robots_txt_leads_nowhere() -> None:
    """W25: what stands in a robots.txt is rules, whatever it says besides."""
    done = crawled({"/robots.txt": Answer(refresh("/x")), "/": "page", "/x": "here"}, robots=True)
    assert asked(done) == ["https://a.test/robots.txt", "https://a.test/"]


def test_a_refresh_without_a_page_at_its_end_fails_as_the_target() -> None:
    """W25: the error is that of the page that was led to, with the way there."""
    ways = []

    class Sees(Rows):
        def failed(self, error: FetchError) -> Any:
            assert error.page is not None
            ways.append((error.page.url, error.page.requested_url, error.status))

    crawled({"/": refresh("/gone")}, Sees)
    assert ways == [("https://a.test/gone", "https://a.test/", 404)]
