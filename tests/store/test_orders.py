"""Orders to a running crawl, under virtual time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scraper import Page, Spider, StoreError
from scraper.errors import SpiderError
from scraper.events import Event, PageDone
from scraper.store.queue.orders import STOP, send_command
from scraper.testing import Answer, Site, simulate


class Endless(Spider):
    start_urls = ("https://shop.example.com/0",)
    rate = "1/s"

    def parse(self, page: Page):
        number = int(page.url.rpartition("/")[2])
        yield {"number": number}
        if number < 30:
            yield page.request(f"/{number + 1}")


def orders(db: Path, after: int, what: str = STOP):
    """An observer that leaves an order when so many pages are done."""
    done = 0

    def observe(event: Event) -> None:
        nonlocal done
        if isinstance(event, PageDone):
            done += 1
            if done == after:
                with closing(sqlite3.connect(db)) as conn, conn:
                    send_command(conn, 1, what, {}, 0.0)

    return observe


def test_a_stop_is_heard_within_a_second(tmp_path: Path) -> None:
    """A crawl that is told to stop sends nothing later than a second after the order, and can be resumed."""
    db = tmp_path / "s.db"
    site = Site(lambda request: "<p>x</p>")
    first = simulate(Endless, site, db=db, observers=[orders(db, 10)])
    assert (first.summary.exit_code, first.summary.state) == (130, "stopped")
    assert first.summary.pages <= 12
    again = simulate(Endless, site, db=db, resume="must")
    assert again.summary.exit_code == 0
    assert [row["number"] for row in again.tables["endless"]] == list(range(31))


def test_what_does_not_end_in_time_is_given_up(tmp_path: Path) -> None:
    """Ten seconds after the order a request that still hangs is dropped; the summary is there all the same."""
    db = tmp_path / "s.db"
    site = Site(lambda request: Answer("<p>x</p>", latency=50.0 if request.url.path == "/3" else 0.0))
    first = simulate(Endless, site, db=db, observers=[orders(db, 3)])
    assert (first.summary.exit_code, first.summary.pages, first.summary.queued) == (130, 3, 1)
    assert first.seconds < 20
    assert simulate(Endless, site, db=db, resume="must").summary.exit_code == 0


def test_an_unknown_order_is_left_alone(tmp_path: Path) -> None:
    """An order of a later version is said, and changes nothing."""
    db, said = tmp_path / "s.db", []
    site = Site(lambda request: "<p>x</p>")
    done = simulate(Endless, site, db=db, observers=[orders(db, 3, "dance"), said.append])
    assert done.summary.exit_code == 0
    assert [event.message for event in said if hasattr(event, "message")] == [
        "unknown command 'dance' left alone"
    ]


@pytest.mark.parametrize("after", [5, 31])
def test_a_database_that_is_removed_meanwhile_is_said(tmp_path: Path, after: int) -> None:
    """Whose file is gone when the crawl ends, or a second after it was removed, gets no success but an error."""
    db, done = tmp_path / "s.db", 0

    def remove(event: Event) -> None:
        nonlocal done
        done += isinstance(event, PageDone)
        if done == after:
            db.unlink(missing_ok=True)

    site = Site(lambda request: "<p>x</p>")
    with pytest.raises(StoreError, match="was removed or replaced while the crawl ran"):
        simulate(Endless, site, db=db, observers=[remove])
    assert len(site.hits) <= after + 3


def test_a_start_that_is_no_generator_is_named_with_its_line() -> None:
    """`async def start` without a yield: the line of it, and what to write."""

    class Returns(Endless):
        async def start(self):  # type: ignore[override]  # the mistake that is tested
            return []

    with pytest.raises(SpiderError, match=r"test_orders.py:\d+: start\(\) must be a generator"):
        simulate(Returns, Site({}))
