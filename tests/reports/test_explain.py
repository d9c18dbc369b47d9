"""What became of a URL: fetched, skipped, redirected, waiting, or never queued, and why."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper import Page, Skip, Spider
from scraper.reports.explain import Explanation, explain
from scraper.settings import Settings
from scraper.store.queue.runs import latest
from scraper.testing import Answer, Site, simulate

URL = "https://a.test/"
ROBOTS = "User-agent: *\nDisallow: /closed\n"


class Wide(Spider):
    """Links to everything that may become of a link."""

    start_urls = [URL]
    rate = None
    max_depth = 1
    max_failed = 1.0
    retries = 1
    ignore_params = ("sid",)

    def parse(self, page: Page):
        if page.url != URL:
            yield page.request("/deep")
        if page.url.endswith("/skip"):
            raise Skip("sold out")
        if page.url.endswith("/broken"):
            raise ValueError("new layout")
        yield {"url": page.url}
        for path in (
            "/ok?b=2&a=1",
            "/gone",
            "/busy",
            "/closed/1",
            "/skip",
            "/broken",
            "/moved",
            "/hop",
            "https://c.test/",
        ):
            yield page.request(path)


def answers(request: Any) -> Answer | str | None:
    special = {
        "/robots.txt": Answer(ROBOTS, headers={"Content-Type": "text/plain"}),
        "/gone": Answer(status=404),
        "/busy": Answer(status=500),
        "/moved": Answer(status=301, headers={"Location": "https://b.a.test.example/x"}),
        "/hop": Answer(status=302, headers={"Location": "/landed"}),
    }
    return special.get(request.url.path, "x")


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain") / "wide.db"
    simulate(Wide, Site(answers), db=path)
    return path


def asked(path: Path, url: str, settings: dict[str, Any] | None = None) -> Explanation:
    own = {name: value for name, value in vars(Wide).items() if name in Settings.names()}
    with closing(sqlite3.connect(path)) as conn:
        run = latest(conn)
        assert run is not None
        made = Settings.of(("spider", own), ("more", settings or {}))
        return explain(conn, run, url, made, "scraper", 2e9)


@pytest.mark.parametrize(
    ("url", "state", "reason", "note"),
    [
        (URL, "done", "", "found on the start, depth 0, for parse"),
        (f"{URL}ok?a=1&b=2", "done", "", f"found on {URL}, depth 1, for parse"),
        (f"{URL}ok?sid=7&b=2&a=1#top", "done", "", "ignore_params left out (sid)"),
        (f"{URL}gone", "failed", "HTTP 404", ""),
        (f"{URL}busy", "failed", "HTTP 500", "1 of its tries failed"),
        (f"{URL}closed/1", "skipped", f"robots: robots.txt of {URL[:-1]}:443 does not allow it", ""),
        (f"{URL}skip", "skipped", "skip: sold out", ""),
        (f"{URL}broken", "failed", "callback: ValueError: new layout", "test_explain.py"),
        (f"{URL}moved", "skipped", "out-of-scope: redirects to https://b.a.test.example/x", ""),
        (f"{URL}hop", "done", f"redirects to {URL}landed", f"then {URL}landed: done"),
        (f"{URL}landed", "done", "", f"redirected to by {URL}hop, depth 1, for parse"),
        (f"{URL}deep", "never queued", "no page down to max_depth 1 gave it", ""),
        (f"{URL}closed/2", "never queued", "no page down to max_depth 1", "does not allow it either"),
        ("https://c.test/", "never queued", 'out of scope: c.test:443 with scope = "site" of a.test:443', ""),
        ("ftp://a.test/", "never queued", "ftp://a.test/: the scheme 'ftp' is neither http nor https", ""),
        ("a.test/x", "never queued", "'a.test/x' is not a URL", ""),
        (URL + "x" * 3_000, "never queued", "longer than 2083 characters (max_url)", ""),
    ],
)  # fmt: skip
def test_every_fate_of_a_url_is_explained(
    crawled: Path, url: str, state: str, reason: str, note: str
) -> None:
    """The state, the one reason, and where it was found or what else is to be said."""
    found = asked(crawled, url)
    assert found.state == state
    assert reason in found.reason
    assert (not reason and not found.reason) or reason
    assert any(note in line for line in found.notes) or not note


def test_each_attempt_is_told(crawled: Path) -> None:
    """What was sent, with status and seconds: both tries of a page that answered 500."""
    attempts = asked(crawled, f"{URL}busy").attempts
    assert [(attempt.kind, attempt.status) for attempt in attempts] == [("page", 500), ("page", 500)]
    assert attempts[0].sent + attempts[0].seconds <= attempts[1].sent


def test_without_a_depth_limit_no_limit_is_blamed(crawled: Path) -> None:
    """A page in scope that nothing links to: the callbacks gave it nowhere."""
    found = asked(crawled, f"{URL}nowhere", {"max_depth": None})
    assert found.reason.startswith("in scope, but no callback gave it on any of ")


class Waiting(Spider):
    start_urls = [f"{URL}1", f"{URL}2"]
    rate = None
    robots = False
    concurrency = 1

    def parse(self, page: Page):
        yield {"url": page.url}


@pytest.mark.parametrize(
    ("site", "settings", "reason"),
    [
        (Site(lambda r: Answer(status=429, headers={"Retry-After": "99999"})), {}, "its domain is parked: "),
        (Site(lambda r: "x"), {"max_pages": 1}, "the budget is spent: max_pages 1"),
    ],
)
def test_what_a_queued_url_waits_for(
    tmp_path: Path, site: Site, settings: dict[str, Any], reason: str
) -> None:
    """A parked domain, a spent budget: the first thing that holds it is named."""
    simulate(Waiting, site, db=tmp_path / "a.db", settings=settings)
    found = asked(tmp_path / "a.db", f"{URL}2", settings)
    assert found.state == "queued"
    assert found.reason.startswith(reason)
