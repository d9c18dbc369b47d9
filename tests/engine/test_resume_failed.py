"""`resume --failed`: what failed is queued again, on a run that may be finished; nothing else changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper import Page, Request, Spider
from scraper.errors import UsageError
from scraper.testing import Answer, Simulation, Site, simulate
from tests.support.command_line import Person, person
from tests.support.shop_server import shop

__all__ = ["person", "shop"]  # fixtures

OPTIONS: dict[str, Any] = {"settings": {"robots": False, "rate": None, "max_failed": 1.0, "retries": 0}}


class Three(Spider):
    """One page that is good, one the server cannot make, one the callback cannot read."""

    name = "three"
    start_urls = ["https://a.example/good", "https://a.example/down", "https://a.example/odd"]

    def parse(self, page: Page) -> Any:
        if page.body == b"odd":
            raise ValueError("odd")
        yield {"url": page.url}


def site(**answers: Answer | str) -> Site:
    pages = {"good": "x", "down": Answer("", 500), "odd": "odd", **answers}
    return Site({f"https://a.example/{name}": answer for name, answer in pages.items()})


def again(path: Path, spider: type[Spider], answers: Site, kind: str | None = None) -> Simulation:
    return simulate(spider, answers, db=path, resume="failed", failed=kind, **OPTIONS)


def test_all_that_failed_is_done_again(tmp_path: Path) -> None:
    """The finished run is reopened, only its failed requests are fetched, and the counters are those of a good run."""
    path = tmp_path / "a.db"
    first = simulate(Three, site(), db=path, **OPTIONS)
    assert (first.summary.state, first.summary.counters["failed"]) == ("finished", 2)
    mended = site(down="x", odd="x")
    second = again(path, Three, mended)
    assert sorted(hit.url for hit in mended.hits) == ["https://a.example/down", "https://a.example/odd"]
    assert (second.summary.run, second.summary.state, second.summary.pages) == (1, "complete", 3)
    counted = second.summary.counters
    assert {name: counted[name] for name in ("failed", "failed.http", "failed.callback", "queued", "taken")} == {
        "failed": 0, "failed.http": 0, "failed.callback": 0, "queued": 0, "taken": 0,
    }  # fmt: skip
    assert len(second.tables["three"]) == 3


def test_one_kind_of_failure_is_done_again(tmp_path: Path) -> None:
    """Of one kind only; a kind nothing failed with is an error that changes nothing."""
    path = tmp_path / "a.db"
    simulate(Three, site(), db=path, **OPTIONS)
    with pytest.raises(UsageError, match="nothing failed with 'dns' in run 1"):
        again(path, Three, site(), "dns")
    mended = site(down="x", odd="x")
    second = again(path, Three, mended, "http")
    assert [hit.url for hit in mended.hits] == ["https://a.example/down"]
    assert (second.summary.pages, second.summary.counters["failed"]) == (2, 1)


def test_gone_pages_are_counted_as_gone_once(tmp_path: Path) -> None:
    """A 404 that is a 404 again leaves the counters as they were."""
    path = tmp_path / "a.db"
    first = simulate(Three, site(down=Answer("", 404)), db=path, **OPTIONS)
    second = again(path, Three, site(down=Answer("", 404)), "http")
    for name in ("failed", "failed.http", "failed.gone"):
        assert second.summary.counters[name] == first.summary.counters[name]


def test_what_was_cleared_is_left_and_said(tmp_path: Path) -> None:
    """A POST whose body is gone would be another request: it stays failed, and a person is told."""

    class Posts(Three):
        async def start(self) -> Any:
            yield Request("https://a.example/down", form={"pin": "1"})
            yield Request("https://a.example/down")

    path, told = tmp_path / "a.db", []
    simulate(Posts, site(), db=path, **OPTIONS)
    mended = site(down="x")
    simulate(Posts, mended, db=path, resume="failed", observers=[told.append], **OPTIONS)
    assert [hit.method for hit in mended.hits] == ["GET"]
    (warned,) = [event.message for event in told if hasattr(event, "message")]
    assert warned.startswith("1 failed requests of run 1 are queued again; 1 are left, whose headers or body")


def test_a_callback_that_came_back_gets_its_pages(tmp_path: Path) -> None:
    """failed(callback-missing) and failed(callback-args) wait, POST bodies included, until the code fits again."""

    class Without(Spider):
        name = "three"
        start_urls = ["https://a.example/good"]
        rate, robots = None, False

        def parse(self, page: Page) -> Any:
            yield Request("https://a.example/down", self.old, form={"pin": "1"}, args={"n": 1})

    class Other(Without):
        def old(self, page: Page, m: str) -> Any:
            yield {"m": m}

    class Renamed(Without):
        def old(self, page: Page, n: int) -> Any:
            yield {"n": n}

    Other.name = Renamed.name = "three"
    path = tmp_path / "a.db"
    simulate(Renamed, Site({"https://a.example/good": "x"}), db=path, settings={"max_pages": 1})
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "UPDATE _runs SET state = 'stopped', options = json_remove(options, '$.settings.max_pages')"
        )
    for broken, kind in ((Without, "callback-missing"), (Other, "callback-args")):
        failed = simulate(broken, site(down="x"), db=path, resume="must" if broken is Without else "failed")
        assert failed.summary.counters[f"failed.{kind}"] == 1
    good = simulate(Renamed, mended := site(down="x"), db=path, resume="failed")
    assert good.tables["three"][0]["n"] == 1
    assert [hit.method for hit in mended.hits] == ["POST"]


def test_resume_failed_from_the_command_line(person: Person) -> None:
    """`resume DB --failed [KIND]` says how many are queued again; with nothing to do it is exit 2."""
    person.write(
        "odd.py",
        "from scraper import Page, Spider\nclass Odd(Spider):\n    rate = None\n"
        f'    start_urls = ["{person.url}/", "{person.url}/nope"]\n'
        "    def parse(self, page: Page):\n        yield {'url': page.url}\n",
    )
    assert person.types("crawl", "odd.py").code == 0
    assert person.types("resume", "odd").code == 2
    ran = person.types("resume", "odd", "--failed", "http")
    assert (ran.code, "1 failed requests of run 1 are queued again" in ran.err) == (0, True)
    assert person.types("resume", "odd", "--failed").code == 0
    ran = person.types("resume", "odd", "--failed", "dns")
    assert (ran.code, ran.err) == (2, "✗ nothing failed with 'dns' in run 1\n")
