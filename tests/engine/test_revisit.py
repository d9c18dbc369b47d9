"""What a later run fetches again: `revisit`, conditional requests, and what counts as seen without being fetched."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest

from scraper import Key, Page, Request, Spider
from scraper.cli.terminal.ending import ending
from scraper.core.models import VisitRecord
from scraper.engine.revisit import visit_record
from scraper.errors import SettingsError
from scraper.settings import Settings
from scraper.testing import Answer, Simulation, Site, simulate

DAY = 86_400.0


@dataclass
class Book:
    id: Annotated[str, Key]
    price: str


class Shop:
    """Three list pages with two books each; `changed` pages have another ETag, `etags` says whether there are any."""

    def __init__(self, etags: bool = True) -> None:
        self.prices = {str(n): "1" for n in range(6)}
        self.etags = etags
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.site = Site(self.answer)

    def answer(self, request: httpx.Request) -> Answer | None:
        path = request.url.path
        question = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
        self.asked.append((path, *question))
        if path.startswith("/list"):
            n = int(path[5:])
            links = [f"/book{2 * n}", f"/book{2 * n + 1}"] + ([f"/list{n + 1}"] if n < 2 else [])
            return Answer("".join(f"<a href={link}>x</a>" for link in links))
        if path.startswith("/book"):
            price = self.prices.get(path[5:])
            if price is None:
                return None
            headers = (
                {"ETag": f'"{price}"', "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"} if self.etags else {}
            )
            if self.etags and question[0] == f'"{price}"':
                return Answer("", 304, headers)
            return Answer(f"<p>{price}</p>", headers=headers)
        return None


class Books(Spider[Book]):
    start_urls = ("https://a.test/list0",)
    robots = False
    rate = None

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a[href^='/list']")
        yield page.follow_all("a[href^='/book']", self.book)

    def book(self, page: Page) -> Any:
        yield Book(page.url[-1], page.text("p"))


def crawl(
    shop: Shop, db: Path, revisit: Any, cls: type[Spider[Any]] = Books, **options: Any
) -> tuple[Simulation, Counter[str]]:
    """A run, and how often each path was asked for in it."""
    shop.asked.clear()
    settings = (
        {"revisit": revisit, **options.pop("settings", {})}
        if revisit is not None
        else options.pop("settings", {})
    )
    done = simulate(cls, shop.site, db=db, settings=settings, **options)
    return done, Counter(path for path, *_ in shop.asked)


def rows(done: Simulation) -> dict[str, tuple[str, int, int | None]]:
    return {row["id"]: (row["price"], row["_run"], row["_gone_run"]) for row in done.tables["book"]}


def older(db: Path, seconds: float) -> None:
    """Let the visits have been so long ago: each simulation begins at the same time."""
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("UPDATE _visits SET visited = visited - ?", (seconds,))
        conn.commit()


def test_by_default_everything_is_fetched_again(tmp_path: Path) -> None:
    """With "always" every page is fetched and parsed anew, unconditionally, and nothing is kept for it."""
    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, None)
    done, hits = crawl(shop, db, "always")
    assert sum(hits.values()) == 9
    assert not any(etag for _, etag, _ in shop.asked)
    assert done.summary.items["book"] == {"same": 6}
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*) FROM _visits").fetchone() == (0,)


def test_never_fetches_nothing_that_is_known(tmp_path: Path) -> None:
    """With "never" a second run sends nothing; all rows count as seen, and the end is good and said."""
    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, "never")
    for run in (2, 3):
        done, hits = crawl(shop, db, "never")
        assert not hits
        assert rows(done) == {str(n): ("1", run, None) for n in range(6)}
        assert (done.summary.exit_code, done.summary.state) == (0, "complete")
        assert done.summary.items["book"] == {"kept": 6}
        assert "0 pages, 9 not fetched again, 6 books" in ending(done.summary)[0]


def test_new_pages_are_found_behind_those_that_are_fetched(tmp_path: Path) -> None:
    """Books never again, lists always: the second run finds the new book, and only fetches lists and it."""

    class Lists(Books):
        def parse(self, page: Page) -> Any:
            yield page.follow_all("a[href^='/list']")
            yield page.follow_all("a[href^='/book']", self.book).options(revisit="never")

    shop, db = Shop(), tmp_path / "x.db"
    del shop.prices["5"]
    crawl(shop, db, None, Lists)
    shop.prices["5"] = "9"
    done, hits = crawl(shop, db, None, Lists)
    assert hits == Counter(["/list0", "/list1", "/list2", "/book5"])
    assert rows(done)["5"][:2] == ("9", 2)
    assert {row[1] for row in rows(done).values()} == {2}


def test_after_a_time_only_what_changed_is_parsed(tmp_path: Path) -> None:
    """Older visits are asked for changes: 304 keeps the items, 200 replaces them; younger ones are left alone."""
    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, timedelta(days=7))
    _, hits = crawl(shop, db, "7d")
    assert not hits
    older(db, 8 * DAY)
    shop.prices["3"] = "2"
    done, hits = crawl(shop, db, "7d")
    assert sum(hits.values()) == 9
    assert ("/book0", '"1"', "Mon, 05 Jan 2026 10:00:00 GMT") in shop.asked
    assert done.summary.pages == 9
    assert done.summary.counters["not-modified"] == 5
    assert rows(done) == {str(n): ("2" if n == 3 else "1", 3, None) for n in range(6)}
    assert "9 pages (5 not modified)" in ending(done.summary)[0]
    _, hits = crawl(shop, db, "7d")
    assert not hits, "a page that was confirmed is young again"


def test_what_is_gone_behind_a_kept_page_is_noticed(tmp_path: Path) -> None:
    """A list that is kept still leads to its books; one that was taken away fails, the others are seen."""
    shop, db = Shop(etags=False), tmp_path / "x.db"

    class OnlyLists(Books):
        def parse(self, page: Page) -> Any:
            yield page.follow_all("a[href^='/list']").options(revisit="never")
            yield page.follow_all("a[href^='/book']", self.book)

    crawl(shop, db, None, OnlyLists)
    del shop.prices["4"]
    done, hits = crawl(shop, db, None, OnlyLists)
    assert hits == Counter(["/list0", *(f"/book{n}" for n in range(6))])
    assert [key for key, (_, run, _) in rows(done).items() if run == 1] == ["4"]


def test_links_that_two_pages_share_are_kept(tmp_path: Path) -> None:
    """A kept page leads to all it links to, also to what another page was the first to find."""
    pages = {"https://a.test/": "<a href=/a>a</a><a href=/b>b</a>", "https://a.test/a": "<a href=/c>c</a>"}
    pages |= {"https://a.test/b": "<a href=/c>c</a>", "https://a.test/c": "<p>c</p>"}

    class Shared(Spider[Book]):
        start_urls = ("https://a.test/",)
        robots = False

        def parse(self, page: Page) -> Any:
            yield page.follow_all("a[href='/a']", self.leads)
            yield page.follow_all("a[href='/b']", self.leads).options(revisit="never")

        def leads(self, page: Page) -> Any:
            yield page.follow_all("a", self.end)

        def end(self, page: Page) -> Any:
            yield Book("c", "1")

    db = tmp_path / "x.db"
    simulate(Shared, Site(pages), db=db)
    pages["https://a.test/a"] = "no link any more"
    site = Site(pages)
    done = simulate(Shared, site, db=db)
    assert [hit.url[-2:] for hit in site.hits] == ["t/", "/a", "/c"]
    assert rows(done)["c"][1] == 2


def test_a_page_whose_links_cannot_be_kept_is_fetched_again(tmp_path: Path) -> None:
    """Requests with headers or a body are not kept, so the page that yields them is no page to be spared."""

    class Posts(Books):
        def parse(self, page: Page) -> Any:
            yield page.request("https://a.test/book1", self.book, headers={"X-Key": "k"})

    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, "never", Posts)
    _, hits = crawl(shop, db, "never", Posts)
    assert hits == Counter(["/list0"])


def test_sec_06_conditional_headers_do_not_leave_their_url(tmp_path: Path) -> None:
    """A URL is asked with its own validator alone, behind a redirect too, and a request's own conditions stay its own."""
    seen: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> Answer:
        seen.append((request.url.path, request.headers.get("if-none-match")))
        if request.url.path == "/old":
            return Answer(status=302, headers={"Location": "/new"})
        return Answer("x", headers={"ETag": '"e"'})

    class Moved(Spider[Any]):
        robots = False
        revisit = 0

        async def start(self) -> Any:
            yield Request("https://a.test/old")
            yield Request("https://a.test/own", headers={"If-None-Match": '"mine"'})

        def parse(self, page: Page) -> Any:
            yield {"url": page.url}

    for _ in range(2):
        simulate(Moved, Site(answer), db=tmp_path / "x.db")
    assert sorted(seen[3:]) == [("/new", '"e"'), ("/old", None), ("/own", '"mine"')]


@pytest.mark.parametrize("etag", ['"ä"', "x" * 2_000])
def test_validators_that_cannot_be_sent_back_are_not(etag: str) -> None:
    """An ETag outside ASCII, or one that is endless, is not kept: the page is fetched as if it had none."""
    headers = httpx.Headers([(b"ETag", etag.encode()), (b"Last-Modified", b"Mon, 05 Jan 2026 10:00:00 GMT")])
    url = "https://a.test/"
    assert visit_record(url, url, headers, []) == VisitRecord(None, "Mon, 05 Jan 2026 10:00:00 GMT")


def test_other_arguments_are_another_series(tmp_path: Path) -> None:
    """A visit of one series spares nothing in another."""

    class Asked(Books):
        word: str = "a"

    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, "never", Asked)
    _, hits = crawl(shop, db, "never", Asked, arguments={"word": "b"})
    assert sum(hits.values()) == 9


def test_a_page_the_last_complete_run_did_not_see_is_fetched(tmp_path: Path) -> None:
    """A page that had vanished and comes back is fetched: its rows were called gone meanwhile."""
    pages = {"https://a.test/": "<a href=/b>b</a>", "https://a.test/b": "<p>1</p>"}

    class Back(Spider[Any]):
        start_urls = ("https://a.test/",)
        robots = False

        def parse(self, page: Page) -> Any:
            yield Book("top", "1")
            yield page.follow_all("a", self.book).options(revisit="never")

        def book(self, page: Page) -> Any:
            yield Book("b", page.text("p"))

    db, site = tmp_path / "x.db", Site(pages)
    simulate(Back, site, db=db)
    pages["https://a.test/"] = "nothing"
    assert simulate(Back, site, db=db).summary.state == "complete"
    pages |= {"https://a.test/": "<a href=/b>b</a>", "https://a.test/b": "<p>2</p>"}
    done = simulate(Back, site, db=db)
    assert rows(done)["b"] == ("2", 3, None)


def test_visits_of_runs_that_are_pruned_go_with_them(tmp_path: Path) -> None:
    """What only a pruned run saw is known no more, and fetched when it comes back."""
    shop, db = Shop(), tmp_path / "x.db"
    crawl(shop, db, "never")
    for _ in range(3):
        crawl(shop, db, "always", settings={"keep_runs": 1})
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*) FROM _visits").fetchone() == (0,)
    _, hits = crawl(shop, db, "never")
    assert sum(hits.values()) == 9


def test_revisit_is_resumed(tmp_path: Path) -> None:
    """A run that was cut short goes on sparing what the run before had fetched."""
    shop, db = Shop(etags=False), tmp_path / "x.db"
    crawl(shop, db, "never")
    older(db, DAY)
    done, _ = crawl(shop, db, "12h", settings={"max_items": 2})
    assert done.summary.state != "complete"
    done, _ = crawl(shop, db, "12h")
    assert {run for _, run, _ in rows(done).values()} == {3}


@pytest.mark.parametrize(
    ("value", "read"),
    [("always", "always"), ("never", "never"), ("2h", 7200.0), (5, 5.0), (timedelta(days=1), DAY)],
)
def test_the_setting(value: Any, read: Any) -> None:
    """A word, a time as people write it, seconds, or a timedelta."""
    assert Settings.of(("x", {"revisit": value})).revisit == read


def test_a_wrong_revisit_is_refused() -> None:
    """Neither a word nobody knows nor a negative time is taken, in settings and in requests."""
    with pytest.raises(
        SettingsError, match='revisit = \'somtimes\' is not valid; expected "always", "never"'
    ):
        Settings.of(("x", {"revisit": "somtimes"}))
    for value in ("sometimes", -1, True):
        with pytest.raises(TypeError, match="revisit="):
            Request("https://a.test/", revisit=value)  # type: ignore[arg-type]  # what an author may write
