"""Observers that raise: the crawl stops as after Ctrl-C, and says what was raised."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper import Page, Spider
from scraper.events import Event, PageDone, Stopping
from scraper.testing import Site, simulate


class Wide(Spider):
    start_urls = ("https://shop.example.com/",)
    robots = False

    def parse(self, page: Page):
        if page.url.endswith(".com/"):
            yield [page.request(f"/{number}") for number in range(40)]
        yield {"url": page.url}


def test_an_observer_that_raises_stops_its_crawl_in_order(tmp_path: Path) -> None:
    """The run is stopped and can be resumed, the other observers hear it all, and the error comes out at the end."""
    heard: list[Event] = []
    pages: list[Event] = []

    def fragile(event: Event) -> None:
        if isinstance(event, PageDone):
            pages.append(event)
            if len(pages) == 5:
                raise ValueError("no more")

    options: dict[str, Any] = {"db": tmp_path / "o.db", "settings": {"rate": "5/s"}}
    with pytest.raises(ValueError, match="no more"):
        simulate(Wide, Site(lambda request: "<p>x</p>"), observers=[fragile, heard.append], **options)
    assert len(pages) == 5
    assert any(isinstance(event, Stopping) for event in heard)
    with closing(sqlite3.connect(tmp_path / "o.db")) as conn:
        assert conn.execute("SELECT state FROM _runs").fetchall() == [("stopped",)]
    done = simulate(Wide, Site(lambda request: "<p>x</p>"), resume="must", **options)
    assert (done.summary.exit_code, len(done.tables["wide"])) == (0, 41)
