"""What a run did not see: gone if it is complete, unknown if not; and what pages disagree about."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from scraper import Key, Page, Spider
from scraper.events import Warned
from scraper.items import table
from scraper.testing import Site, simulate
from tests.support.changing_shop import Changing, Shop


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


def ask(db: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as conn:
        return conn.execute(question).fetchall()


def gone(db: Path) -> list[str]:
    return [sku for (sku,) in ask(db, "SELECT sku FROM product WHERE _gone_run IS NOT NULL ORDER BY sku")]


def test_a_complete_run_marks_what_it_did_not_see(db: Path) -> None:
    """Products that no list names any more are gone; the others are not, and the summary counts them."""
    shop = Changing()
    shop.crawl(db)
    shop.unlinked = {3, 30, 59}
    made = shop.crawl(db)
    assert (made.summary.state, made.summary.gone) == ("complete", {"product": 3})
    assert gone(db) == ["sku-03", "sku-30", "sku-59"]
    assert ask(db, "SELECT DISTINCT _gone_run FROM product WHERE sku = 'sku-30'") == [(2,)]


def test_a_row_that_comes_back_is_not_gone_any_more(db: Path) -> None:
    """Seen again, a row has no `_gone_run`, says since when, and its absence stays in its history."""
    shop = Changing()
    shop.crawl(db)
    shop.unlinked = {7}
    shop.crawl(db)
    shop.unlinked = set()
    made = shop.crawl(db)
    assert made.summary.items["product"] == {"same": 59, "back": 1}
    assert ask(db, "SELECT _gone_run, _back_run, _changed_run FROM product WHERE sku = 'sku-07'") == [
        (None, 3, None)
    ]
    history = "SELECT _from_run, _last_run, _until_run, _gone_run FROM product_history WHERE sku = 'sku-07' ORDER BY 1"
    assert ask(db, history) == [(1, 1, 3, 2), (3, 3, None, None)]


@pytest.mark.parametrize("status", [403, 500])
def test_nothing_is_gone_when_pages_failed(db: Path, status: int) -> None:
    """With forty percent of the pages refused the run is not complete, and what it did not see is unknown."""
    shop = Changing()
    shop.crawl(db)
    shop.unlinked = {3}
    shop.statuses = {f"/p/{n}": status for n in range(60) if n % 5 in (0, 2)}
    made = shop.crawl(db, settings={"retries": 0})
    assert made.summary.state == "finished"
    assert (made.summary.gone, made.summary.unknown) == ({}, {"product": 25})
    assert gone(db) == []


def test_a_page_that_is_not_there_takes_its_row_with_it(db: Path) -> None:
    """404 and 410 are answers, not failures: the run is complete and the product is gone."""
    shop = Changing()
    shop.crawl(db)
    del shop.products[5]
    shop.statuses = {"/p/9": 410}
    made = shop.crawl(db)
    assert made.summary.state == "complete"
    assert gone(db) == ["sku-05", "sku-09"]


def test_what_a_missing_list_led_to_is_unknown(db: Path) -> None:
    """A list that is not there hides its products and those of the lists behind it: none of them is called gone."""
    shop = Changing()
    shop.crawl(db)
    del shop.products[5]
    shop.statuses = {"/list/2": 404}
    made = shop.crawl(db)
    assert made.summary.state == "complete"
    assert gone(db) == ["sku-05"]
    assert made.summary.unknown == {"product": 40}


def test_what_was_skipped_is_unknown(db: Path) -> None:
    """Pages that robots.txt forbids now are no proof that their products are gone."""
    shop = Changing()
    shop.crawl(db)
    shop.robots = "User-agent: *\nDisallow: /p/1\n"
    shop.unlinked = {20}
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("DELETE FROM _origins")
        conn.commit()
    made = shop.crawl(db)
    assert (made.summary.state, made.summary.unknown) == ("complete", {"product": 11})
    assert gone(db) == ["sku-20"]


def test_an_item_that_could_not_be_stored_is_not_gone(db: Path) -> None:
    """A page that is there, and whose item is rejected this time, keeps the row that an earlier run stored."""
    shop = Changing()
    shop.crawl(db)
    shop.products[8] = ("Chair 8", "1234567890123456789.123456789")
    made = shop.crawl(db)
    assert (made.summary.state, made.summary.rejected) == ("complete", 1)
    assert (gone(db), made.summary.unknown) == ([], {"product": 1})


@pytest.mark.parametrize(
    "options",
    [
        {"settings": {"max_pages": 10}},
        {"settings": {"max_depth": 1}},
        {"start": ["https://shop.test/list/3"]},
        {"settings": {"scope": "listed"}},
    ],
)
def test_a_run_that_reaches_less_marks_nothing(db: Path, options: dict[str, Any]) -> None:
    """A budget, another start, another scope or depth: what such a run does not see says nothing."""
    shop = Changing()
    shop.crawl(db)
    shop.crawl(db, **options)
    assert gone(db) == []


def test_a_stopped_run_marks_when_it_is_resumed_and_complete(db: Path) -> None:
    """A run that is interrupted marks nothing; resumed to its end it does."""
    shop = Changing()
    shop.crawl(db)
    shop.unlinked = {3}

    class Stopping(Shop):
        def parse_product(self, page: Page) -> Any:
            if page.url.endswith("/p/40") and not ask(db, "SELECT max(resumed) FROM _runs")[0][0]:
                from scraper import Stop

                raise Stop("for now")
            yield from super().parse_product(page)

    assert shop.crawl(db, Stopping).summary.state == "stopped"
    assert gone(db) == []
    assert shop.crawl(db, Stopping, resume="must").summary.state == "complete"
    assert gone(db) == ["sku-03"]


def test_what_was_unknown_is_known_when_the_failed_pages_are_done_again(db: Path) -> None:
    """A run whose failed pages are fetched after all is complete then: what it still misses is gone."""
    shop = Changing()
    shop.crawl(db)
    shop.unlinked = {3}
    shop.statuses = {"/p/7": 500}
    made = shop.crawl(db, settings={"retries": 0})
    assert (made.summary.state, made.summary.unknown) == ("finished", {"product": 2})
    shop.statuses = {}
    made = shop.crawl(db, resume="failed")
    assert (made.summary.state, made.summary.gone, made.summary.unknown) == ("complete", {"product": 1}, {})
    assert gone(db) == ["sku-03"]


# ------------------------------------------------------------------------------------------- two pages, one key


@dataclass
class Plain:
    key: Annotated[str, Key]
    a: str | None = None
    b: str | None = None


@table(merge="fill")
@dataclass
class Filled:
    key: Annotated[str, Key]
    a: str | None = None
    b: str | None = None


class Pages(Spider[Plain | Filled]):
    name = "pages"
    start_urls = ["https://a.test/"]
    rate = None

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a", self.parse_one)

    def parse_one(self, page: Page) -> Any:
        for cls in (Plain, Filled):
            yield cls("k", page.text("i", default=None), page.text("b", default=None))
            yield cls(page.url)


def test_conflicts_are_counted_and_said(db: Path) -> None:
    """Two pages with one key and different values: counted once per key, said, and marked in the row."""
    told: list[str] = []
    pages = {
        "https://a.test/": "".join(f"<a href=/{n}>x</a>" for n in range(4)),
        **{f"https://a.test/{n}": f"<i>{'same' if n < 3 else 'other'}</i>" for n in range(3)},
        "https://a.test/3": "<b>more</b>",
    }
    made = simulate(
        Pages,
        Site(pages),
        db=db,
        observers=[lambda e: told.append(e.message) if isinstance(e, Warned) else None],
    )
    assert made.summary.conflicts == {"plain": 1}
    assert "1 key of plain came from several pages" in told[0]
    assert ask(db, "SELECT key FROM plain WHERE _conflict_run = 1") == [("k",)]
    assert ask(db, "SELECT a, b, _conflict_run FROM filled WHERE key = 'k'") == [("same", "more", None)]
    pages["https://a.test/2"] = "<i>other</i>"
    assert simulate(Pages, Site(pages), db=db).summary.conflicts == {"plain": 1, "filled": 1}


# ------------------------------------------------------------------------------------------- old runs


def test_old_runs_are_pruned_when_a_run_ends(db: Path) -> None:
    """Of runs beyond `keep_runs` requests and sends go; the runs, the rows and their history stay."""
    shop = Changing()
    for run in range(4):
        shop.products[0] = ("Chair 0", f"{run}.50")
        shop.crawl(db, settings={"keep_runs": 2})
        if run == 0:  # a run that ended has none; one that was marked as ended by hand may
            with closing(sqlite3.connect(db)) as conn, conn:
                assert conn.execute("SELECT count(*) FROM _cookies").fetchone() == (0,)
                conn.execute(
                    "INSERT INTO _cookies VALUES (1, 'a.test', 'a.test', '/', 'sid', 'x', 1, 0, NULL, 0)"
                )
    assert ask(db, "SELECT count(*) FROM _cookies") == [(0,)]
    assert ask(db, "SELECT run, count(*) FROM _requests GROUP BY run") == [(3, 63), (4, 63)]
    assert ask(db, "SELECT DISTINCT run FROM _sends ORDER BY run") == [(3,), (4,)]
    assert ask(db, "SELECT id, pruned, state FROM _runs") == [
        (1, 1, "complete"),
        (2, 1, "complete"),
        (3, 0, "complete"),
        (4, 0, "complete"),
    ]
    assert ask(db, "SELECT price FROM product_history WHERE sku = 'sku-00' ORDER BY _from_run") == [
        (0.5,),
        (1.5,),
        (2.5,),
        (3.5,),
    ]
    assert ask(db, "SELECT count(*) FROM review") == [(4 * 120,)]


def test_a_run_that_can_be_resumed_is_not_pruned(db: Path) -> None:
    """However old, a run with work left keeps its requests."""
    shop = Changing()

    class Stopping(Shop):
        def parse_product(self, page: Page) -> Any:
            from scraper import Stop

            raise Stop("for now")
            yield

    shop.crawl(db, Stopping)
    left = ask(db, "SELECT count(*) FROM _requests WHERE run = 1")
    for _ in range(3):
        shop.crawl(db, settings={"keep_runs": 1})
    assert ask(db, "SELECT count(*) FROM _requests WHERE run = 1") == left
    assert ask(db, "SELECT count(*) FROM _requests WHERE run = 2") == [(0,)]
