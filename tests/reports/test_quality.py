"""Data quality said aloud: fields that emptied, tables that shrank, expectations that do not hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from click.testing import CliRunner

from scraper import Expect, Key, Page, Spider
from scraper.cli.group import cli
from scraper.cli.terminal.ending import ending
from scraper.errors import SpiderError
from scraper.spider import define
from scraper.testing import Answer, Simulation, Site, simulate

SITE = Site(lambda r: f"<p>{r.url.path}</p>")


@dataclass
class Book:
    upc: Annotated[str, Key]
    shop: str
    price: float | None = None
    tags: list[str] | None = None
    note: str = ""


def crawled(
    db: Path | None, rows: list[Any], expect: Mapping[type, Expect] | None = None, **options: Any
) -> Simulation:
    """A crawl of one spider that yields these rows, each from a page of its own."""

    class Books(Spider[Any]):
        start_urls = ("https://a.test/",)
        robots = False
        rate = None

        def parse(self, page: Page) -> Any:
            for n in range(len(rows)):
                yield page.request(f"https://a.test/{n}", self.one, n=n)

        def one(self, page: Page, n: int) -> Any:
            yield rows[n]

    Books.expect = expect or {}
    return simulate(Books, options.pop("site", SITE), db=db, **options)


def books(count: int, without: int = 0, shop: str = "s", **values: Any) -> list[Book]:
    return [Book(f"{shop}{n}", shop, None if n < without else 1.5, **values) for n in range(count)]


def said(done: Simulation) -> str:
    return "\n".join(ending(done.summary))


# ------------------------------------------------------------------------------------------- compared


def test_a_field_that_emptied_is_said_with_its_first_page(tmp_path: Path) -> None:
    """A field empty in notably more items than in the last complete run: how many, how many before, where; exit 0."""
    db = tmp_path / "x.db"
    crawled(db, books(40))
    done = crawled(db, books(40, without=8))
    assert done.summary.exit_code == 0
    (line,) = [line for line in ending(done.summary) if line.startswith("⚠")]
    assert line.startswith(
        "⚠ book.price is empty in 8 of 40 items (0 of 40 in run 1)  first: https://a.test/"
    )
    assert "test_quality.py:" in line
    out = CliRunner().invoke(cli, ["tables", str(db)]).stdout
    assert "⚠ empty in 8 of 40 in run 2 (0 of 40 in run 1)" in out


def test_a_run_that_parsed_nothing_is_no_measure(tmp_path: Path) -> None:
    """Where `revisit` spared every page of a run, the next one is compared with the run before that."""
    db, never = tmp_path / "x.db", {"revisit": "never"}
    crawled(db, books(10), settings=never)
    assert crawled(db, books(10), settings=never).summary.items["book"] == {"kept": 10}
    (one,) = crawled(db, books(10, without=10)).summary.emptied
    assert (one.before, one.empty, one.rows) == (1, 10, 10)


def test_nothing_is_said_of_what_is_as_it_was(tmp_path: Path) -> None:
    """An optional field that was as empty before, a field that is new, and a first run are no news."""
    db = tmp_path / "x.db"
    assert not crawled(db, books(20, without=10)).summary.emptied
    assert not crawled(db, books(20, without=10)).summary.emptied

    @dataclass
    class Wider(Book):
        isbn: str | None = None

    Wider.__name__ = "Book"
    rows = [Wider(f"s{n}", "s", None if n < 10 else 1.5) for n in range(20)]
    assert not crawled(db, rows).summary.emptied


@pytest.mark.parametrize("field", ["note", "tags"])
def test_empty_texts_and_lists_count(tmp_path: Path, field: str) -> None:
    """A text that became "" and a list that became [] are empty too."""
    db = tmp_path / "x.db"
    crawled(db, books(10, note="n", tags=["t"]))
    done = crawled(db, books(10, **{"note": "n", "tags": ["t"], field: "" if field == "note" else []}))
    assert [(one.column, one.empty, one.rows) for one in done.summary.emptied] == [(field, 10, 10)]


def test_a_key_that_plain_dicts_lose_is_said(tmp_path: Path) -> None:
    """Of plain dicts, one that lacks a key is without it."""
    db = tmp_path / "x.db"
    crawled(db, [{"a": n, "b": n} for n in range(10)])
    done = crawled(db, [{"a": n, "b": n} if n < 5 else {"a": n} for n in range(10)])
    assert [(one.column, one.empty, one.rows) for one in done.summary.emptied] == [("b", 5, 10)]


def test_a_table_that_shrank_is_said(tmp_path: Path) -> None:
    """A run through everything that saw notably fewer rows says so; one that was cut short does not."""
    db = tmp_path / "x.db"
    crawled(db, books(40))
    assert "⚠ book has 20 rows in this run (40 in run 1)" in said(crawled(db, books(20)))
    assert not crawled(db, books(10), settings={"max_pages": 5}).summary.shrunk


def test_only_complete_runs_of_the_series_are_compared_with(tmp_path: Path) -> None:
    """A run that failed is no measure for the next one, nor is one with other arguments."""
    db = tmp_path / "x.db"
    crawled(db, books(10))
    broken = Site(lambda r: Answer("x", 500) if r.url.path == "/1" else "x")
    assert crawled(db, books(10, without=10), site=broken).summary.exit_code == 1
    (one,) = crawled(db, books(10, without=5)).summary.emptied
    assert (one.before, one.before_empty, one.empty) == (1, 0, 5)


def test_counts_survive_what_is_rolled_back(tmp_path: Path) -> None:
    """What is stored of a run agrees with its rows, page by page."""
    db = tmp_path / "x.db"
    crawled(db, books(30, without=7))
    with closing(sqlite3.connect(db)) as conn:
        stored = dict(conn.execute('SELECT "column", empty FROM _fill').fetchall())
        rows = conn.execute("SELECT count(*) FROM book WHERE price IS NULL").fetchone()
    assert stored == {"upc": 0, "shop": 0, "price": rows[0], "tags": 30, "note": 30}


# ------------------------------------------------------------------------------------------- expected


@pytest.mark.parametrize(
    ("expect", "line"),
    [
        (Expect(min_items=50), "expected at least 50 book, found 20"),
        (
            Expect(fill={"price": 0.9}),
            "expected book.price in 0.9 of all items, found it in 0.5 (10 of 20 are empty)",
        ),
        (Expect(fill={"price": "60%"}), "expected book.price in 0.6 of all items, found it in 0.5"),
    ],
)
def test_a_broken_expectation_is_exit_code_1(expect: Expect, line: str) -> None:
    """What was expected and what was found is said; the run is not complete."""
    done = crawled(None, books(20, without=10), {Book: expect})
    assert (done.summary.exit_code, done.summary.state) == (1, "finished")
    assert line in said(done)
    assert said(done).startswith("✗")
    assert len(ending(done.summary)) <= 6


def test_an_expectation_that_holds_changes_nothing() -> None:
    """As many items as expected, as well filled as expected: complete."""
    expect = {Book: Expect(min_items=20, fill={"price": 0.5, "upc": 1})}
    assert crawled(None, books(20, without=10), expect).summary.state == "complete"


def test_each_group_is_checked_and_named(tmp_path: Path) -> None:
    """With `by`, a shop that is thin, or of which nothing is left, is named."""
    db = tmp_path / "x.db"
    expect = {Book: Expect(min_items=5, fill={"price": 0.9}, by="shop")}
    assert (
        crawled(db, books(5, shop="a") + books(5, shop="b") + books(5, shop="c"), expect).summary.exit_code
        == 0
    )
    done = crawled(db, books(5, shop="a") + books(6, without=3, shop="b"), expect)
    assert list(done.summary.broken) == [
        "expected book.price in 0.9 of all items with shop = 'b', found it in 0.5 (3 of 6 are empty)",
        "expected at least 5 book with shop = 'c', found 0",
    ]
    assert done.summary.exit_code == 1


def test_a_crawl_that_was_cut_short_is_not_held_to_its_size() -> None:
    """With a budget that is reached, `min_items` is not asked; how well the items are filled is."""
    done = crawled(None, books(20), {Book: Expect(min_items=50)}, settings={"max_pages": 5})
    assert done.summary.exit_code == 0
    done = crawled(None, books(20, without=20), {Book: Expect(fill={"price": 1})}, settings={"max_pages": 5})
    assert done.summary.exit_code == 1


@pytest.mark.parametrize("by", [None, "shop"])
def test_a_table_that_is_not_there_is_empty(by: str | None) -> None:
    """An expectation of a class that was never yielded is broken, also where each group was to be looked at."""
    done = crawled(None, [{"a": 1}], {Book: Expect(min_items=1, by=by)})
    assert "expected at least 1 book, found 0" in said(done)


def test_groups_of_which_nothing_is_left_at_all(tmp_path: Path) -> None:
    """Where two runs in a row see no item of the class, the expectation is broken in the second as well."""
    db = tmp_path / "x.db"
    expect = {Book: Expect(min_items=1, by="shop")}
    crawled(db, books(2), expect)
    for _ in range(2):
        assert crawled(db, [{"a": 1}], expect).summary.exit_code == 1


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({Book: Expect(fill={"prise": 0.9})}, "Book has no field 'prise'. Did you mean \"price\""),
        ({Book: Expect(by="shopp")}, "Book has no field 'shopp'. Did you mean \"shop\""),
        ({Book: Expect(fill={"price": 2})}, "fill of 'price' is 2, not a share"),
        ({Book: Expect(fill={"price": "much"})}, "not a share"),
        ({Book: Expect(min_items=-1)}, "min_items=-1 is no number"),
        ({Book: 900}, "write Expect"),
        ({"book": Expect()}, "'book' is no item class"),
        ([Book], "expect maps item classes"),
    ],
)
def test_expect_is_checked_when_the_spider_is_defined(expect: Any, message: str) -> None:
    """A field the class does not have, a share that is none: said with the place, before anything is fetched."""

    class Wrong(Spider[Book]):
        def parse(self, page: Page) -> None: ...

    Wrong.expect = expect
    with pytest.raises(SpiderError) as caught:
        define(Wrong)
    assert message in str(caught.value)
    assert "test_quality.py:" in str(caught.value)
