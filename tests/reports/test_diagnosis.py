"""What is known of a crawl that went wrong: selectors, kept pages, hints, what is done again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from scraper import Page, Request, Spider
from scraper.page.suggestions import LONGEST, WORDS, suggest
from scraper.reports.failures import Problem
from scraper.reports.hints import hint_for
from scraper.testing import Answer, Simulation, Site, simulate

URL = "https://a.test/"


def crawled(spider: type[Spider[Any]], site: Site, path: Path, **options: Any) -> Simulation:
    spider.robots = False  # type: ignore[attr-defined]  # a setting of the class
    spider.rate = None  # type: ignore[attr-defined]  # a setting of the class
    return simulate(spider, site, db=path, **options)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(sql).fetchall()


# ------------------------------------------------------------------------------------------ a selector that is no CSS


class Misspelt(Spider):
    start_urls = [URL]
    concurrency = 1

    def parse(self, page: Page):
        yield [page.request(f"/{i}", self.detail) for i in range(5)]

    def detail(self, page: Page):
        page.css("article..book")
        yield {"name": page.url}


class Mended(Misspelt):
    name = "misspelt"

    def detail(self, page: Page):
        yield {"name": page.url}


def test_a_bad_selector_stops_the_crawl_and_the_resume_does_the_rest(tmp_path: Path) -> None:
    """One page is enough: exit 5 with the place; after the correction exactly that page and the others are fetched."""
    first = crawled(Misspelt, Site(lambda r: "x"), tmp_path / "a.db")
    assert (first.summary.exit_code, first.summary.state, first.summary.queued) == (5, "stopped", 5)
    assert len(first.hits) == 2
    (problem,) = first.summary.problems
    assert (problem.kind, problem.count) == ("selector", 1)
    assert "test_diagnosis.py:" in problem.place
    assert problem.why.endswith('\n                          ^ a class name must follow "."')
    second = crawled(Mended, Site(lambda r: "x"), tmp_path / "a.db", resume="must")
    assert (second.summary.exit_code, len(second.hits), len(second.tables["misspelt"])) == (0, 5, 5)
    assert not second.summary.problems


def test_a_selector_made_of_what_a_page_says_fails_its_page_only(tmp_path: Path) -> None:
    """Nothing from the web stops a crawl: a bad selector that does not stand in the source is an error of its page."""

    class Made(Spider):
        start_urls = [URL]

        def parse(self, page: Page):
            yield [page.request(f"/{name}", self.detail) for name in ("a", "b!", "c")]

        def detail(self, page: Page):
            page.css("#" + page.url.rpartition("/")[2])
            yield {"name": page.url}

    done = crawled(Made, Site(lambda r: "<p>x"), tmp_path / "a.db")
    assert (done.summary.exit_code, len(done.tables["made"])) == (1, 2)
    assert [problem.kind for problem in done.summary.problems] == ["callback"]


def test_a_selector_like_a_word_of_the_source_is_still_data(tmp_path: Path) -> None:
    """Only what begins a string of the source counts as written there, not a word of a comment."""

    class Odd(Spider):
        start_urls = [f"{URL}a..b"]

        def parse(self, page: Page):
            page.css(page.url.rpartition("/")[2])  # such as a..b

    done = crawled(Odd, Site(lambda r: "<p>x"), tmp_path / "a.db")
    assert [problem.kind for problem in done.summary.problems] == ["callback"]


# ------------------------------------------------------------------------------------------ selectors are counted


class Listing(Spider):
    start_urls = [URL]
    seen: list[Any] = []

    def parse(self, page: Page):
        yield {"name": page.text("h1", default=None), "price": page.text("b", default=None)}
        yield page.follow("a")


class MovedDown(Spider):
    name = "listing"
    start_urls = [URL]

    # The same selectors in the same function, some lines further down and with another method.

    def parse(self, page: Page):
        yield {"name": page.text("h1", default=None), "price": page.has("b")}


def test_a_selector_is_known_again_when_its_line_moves(tmp_path: Path) -> None:
    """What matched in an earlier run is found by function and selector, wherever it stands now, run after run."""
    crawled(Listing, Site(lambda r: "<h1>x</h1><b>1</b>"), tmp_path / "a.db")
    for _ in range(2):
        done = crawled(MovedDown, Site(lambda r: "<h1>x</h1>"), tmp_path / "a.db")
        assert [(s.selector, s.before) for s in done.summary.silent] == [("b", 1)]


def test_cr_selectors_are_stored_while_the_crawl_runs(tmp_path: Path) -> None:
    """Counts of selectors ride along with the commits of pages, so that a kill leaves them in the database."""
    path = tmp_path / "a.db"

    class Peeking(Spider):
        start_urls = [URL]

        def parse(self, page: Page):
            found = rows(path, "SELECT selector, pages, matched FROM _selectors ORDER BY 1")
            yield {"url": page.url, "found": json.dumps(found)}
            page.css("h7")
            page.css("b")
            if page.url == URL:
                yield page.request("/2")

    done = crawled(Peeking, Site(lambda r: "<b>x</b>"), path)
    assert [row["found"] for row in done.tables["peeking"]] == ["[]", '[["b", 1, 1], ["h7", 1, 0]]']
    counted = rows(path, "SELECT selector, function, pages, matched, first_miss FROM _selectors ORDER BY 1")
    assert counted == [("b", "parse", 2, 2, None), ("h7", "parse", 2, 0, URL)]


def test_a_visit_that_is_repeated_counts_its_selectors_once(tmp_path: Path) -> None:
    """A page tried again is one page of the statistics."""
    tries = []

    class Again(Spider):
        start_urls = [URL]

        def parse(self, page: Page):
            tries.append(page.has("h1"))
            if len(tries) < 3:
                from scraper import Retry

                raise Retry("not ready", after=1)
            yield {"a": 1}

    crawled(Again, Site(lambda r: "<h1>x"), tmp_path / "a.db")
    assert len(tries) == 3
    assert rows(tmp_path / "a.db", "SELECT pages, matched FROM _selectors") == [(1, 1)]


def test_a_required_reader_that_is_misspelt_gets_a_suggestion(tmp_path: Path) -> None:
    """NoMatch of a selector with a near miss on the page says what was probably meant."""

    class Price(Spider):
        start_urls = [URL]

        def parse(self, page: Page):
            yield {"price": page.text("p.prce_color")}

    done = crawled(
        Price,
        Site(lambda r: "<!DOCTYPE html><!-- x --><p class=price_color>1<!-- y --></p>"),
        tmp_path / "a.db",
    )
    (problem,) = done.summary.problems
    assert (
        hint_for(problem, done.summary.silent) == 'did you mean "p.price_color"? (1 match on the first page)'
    )


def test_sec_39_looking_for_what_was_meant_is_bounded() -> None:
    """A page made of a hundred thousand long names and classes gives few words to compare with."""
    names = " ".join(f"n{i}" for i in range(100_000))
    page = f"<p class='{names}'>" + f"<p class='{'y' * 10_000}' id='{'x' * 10_000}'>" * 100
    page += "".join(f"<p id=i{i}>" for i in range(20_000)) + "<p class=product_pod>"
    root = LexborHTMLParser(page).root
    assert root is not None
    assert suggest(root, "p.prodct_pod", root.css) is None
    assert (WORDS, LONGEST) <= (500, 60)


# ------------------------------------------------------------------------------------------ failed pages are kept


class Failing(Spider):
    start_urls = [URL]
    max_failed = 1.0
    broken = True

    def parse(self, page: Page):
        yield [page.request(f"/{i}", self.detail) for i in range(9)]

    def detail(self, page: Page):
        if type(self).broken:
            raise ValueError("new layout")
        yield {"name": page.url}


def test_pages_a_callback_failed_on_are_kept_a_few_of_each_place(tmp_path: Path) -> None:
    """Five of nine are kept, with status, headers and body, and without what may be secret."""
    Failing.broken = True
    headers = {"Set-Cookie": "id=7", "X-Api-Key": "s3cret", "X-Shop": "yes"}
    crawled(Failing, Site(lambda r: Answer("<b>1", headers=headers)), tmp_path / "a.db")
    kept = rows(tmp_path / "a.db", "SELECT url, status, headers, body, place FROM _pages")
    assert len(kept) == 5
    url, status, stored, body, place = kept[0]
    assert (url, status, body) == (f"{URL}0", 200, b"<b>1")
    assert [name.lower() for name, _ in json.loads(stored)] == ["content-type", "x-shop"]
    assert " in detail" in place


def test_kept_pages_go_when_the_page_was_done(tmp_path: Path) -> None:
    """After the correction a resume does the pages, and what was kept of them is deleted."""

    class Sometimes(Spider):
        start_urls = [f"{URL}{i}" for i in range(60)]
        broken = True

        def parse(self, page: Page):
            if type(self).broken:
                raise ValueError("new layout")
            yield {"name": page.url}

    first = crawled(Sometimes, Site(lambda r: "x"), tmp_path / "a.db")
    assert (first.summary.exit_code, first.summary.queued) == (5, 60)
    assert len(rows(tmp_path / "a.db", "SELECT * FROM _pages")) == 5
    Sometimes.broken = False
    second = crawled(Sometimes, Site(lambda r: "x"), tmp_path / "a.db", resume="must")
    assert (second.summary.exit_code, len(second.hits)) == (0, 60)
    assert rows(tmp_path / "a.db", "SELECT * FROM _pages") == []


def test_nothing_is_kept_of_large_pages_or_when_it_is_switched_off(tmp_path: Path) -> None:
    """A body of more than 2 MiB is not kept, and with keep_failed off nothing is."""
    Failing.broken = True
    large = Site(lambda r: "x" * (2 << 20) + "y" if r.url.path == "/1" else "x")
    crawled(Failing, large, tmp_path / "a.db")
    assert f"{URL}1" not in {url for (url,) in rows(tmp_path / "a.db", "SELECT url FROM _pages")}
    crawled(Failing, Site(lambda r: "x"), tmp_path / "b.db", settings={"keep_failed": False})
    assert rows(tmp_path / "b.db", "SELECT * FROM _pages") == []


# ------------------------------------------------------------------------------------------ what is done again


def test_refused_pages_before_the_parking_are_done_again(tmp_path: Path) -> None:
    """Twenty 403 in a row park the domain; all twenty are queued, and the resume fetches each page."""

    class Shut(Spider):
        start_urls = [f"{URL}{i}" for i in range(25)]
        concurrency = 1

        def parse(self, page: Page):
            yield {"name": page.url}

    first = crawled(Shut, Site(lambda r: Answer(status=403)), tmp_path / "a.db")
    assert (first.summary.exit_code, first.summary.queued, len(first.hits)) == (5, 25, 20)
    second = crawled(Shut, Site(lambda r: "x"), tmp_path / "a.db", resume="must")
    assert (second.summary.exit_code, len(second.hits)) == (0, 25)


def test_sec_08_a_refused_post_is_not_repeated_without_its_body(tmp_path: Path) -> None:
    """Headers and bodies are cleared when a request fails; what lacks them stays failed when its domain is parked."""

    class Posting(Spider):
        start_urls = [URL]
        concurrency = 1
        max_failed = 1.0

        def parse(self, page: Page):
            yield Request(f"{URL}post", self.parse, form={"a": "1"}, priority=1)
            yield [page.request(f"/{i}") for i in range(30)]

    site = Site(lambda r: "x" if r.url.path == "/" else Answer(status=403))
    first = crawled(Posting, site, tmp_path / "a.db")
    assert (first.summary.exit_code, first.summary.queued) == (5, 30)
    second = crawled(Posting, Site(lambda r: "<p>"), tmp_path / "a.db", resume="must")
    assert [hit.method for hit in second.hits] == ["GET"] * 30


# ------------------------------------------------------------------------------------------ hints


@pytest.mark.parametrize(
    ("why", "code", "hint"),
    [
        ("ValueError: could not convert string to float: '£0.00'", 'x = float(page.text("p.c"))', 'page.decimal("p.c") reads prices'),
        ("ValueError: could not convert string to float: 'sold out'", 'float(page.text("p"))', ""),
        ("ValueError: could not convert string to float: '£1'", "float(text)", ""),
        ("ValueError: invalid literal for int() with base 10: 'In stock (22)'", "int(node.text('p'))", "node.number('p') reads numbers"),
        ("InvalidOperation: [<class 'decimal.ConversionSyntax'>]", 'Decimal(page.text("b"))', 'page.decimal("b") reads prices'),
        ("AttributeError: 'NoneType' object has no attribute 'text'", 'page.first("h7").text()', "page.one(…)"),
        ("AttributeError: 'NoneType' object has no attribute 'text'", "self.thing.text()", ""),
        ("IndexError: list index out of range", 'page.css("h7")[0].text()', "page.first(…)"),
        ("IndexError: list index out of range", "values[0]", ""),
        ("JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "json.loads(page.source)", "not JSON"),
        ("AttributeError: 'coroutine' object has no attribute 'json'", "page.fetch(u).json()", "write await"),
        ("KeyError: 'x'", "d['x']", ""),
    ],
)  # fmt: skip
def test_hints_are_given_where_they_are_certain(why: str, code: str, hint: str) -> None:
    """A slip that is known by message and line gets what to write instead; all others get nothing."""
    problem = Problem("callback", None, 1, URL, why, "s.py:5 in parse", f"s.py:5 in parse\n    {code}")
    said = hint_for(problem)
    assert hint in said
    assert bool(said) == bool(hint)
