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
        (f"{URL}closed/1", "skipped", f"robots: robots.txt of {URL[:-1]}:443 does not allow it", "forbidden by Disallow: /closed (group for *)"),
        (f"{URL}skip", "skipped", "skip: sold out", ""),
        (f"{URL}broken", "failed", "callback: ValueError: new layout", "test_explain.py"),
        (f"{URL}moved", "skipped", "out-of-scope: redirects to https://b.a.test.example/x", ""),
        (f"{URL}hop", "done", f"redirects to {URL}landed", f"then {URL}landed: done"),
        (f"{URL}landed", "done", "", f"redirected to by {URL}hop, depth 1, for parse"),
        (f"{URL}deep", "never queued", "no page down to max_depth 1 gave it", ""),
        (f"{URL}closed/2", "never queued", "no page down to max_depth 1", "does not allow it either: Disallow: /closed (group for *)"),
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


def test_a_try_that_failed_before_a_success_is_told_with_its_status(tmp_path: Path) -> None:
    """A page that answered 503 with a Retry-After and then 200: one try failed, with HTTP 503."""
    answered: list[str] = []

    def answer(request: Any) -> Answer | str:
        answered.append(request.url.path)
        busy = Answer(status=503, headers={"Retry-After": "2"})
        return busy if answered.count(request.url.path) == 1 else "x"

    simulate(Waiting, Site(answer), db=tmp_path / "a.db")
    found = asked(tmp_path / "a.db", f"{URL}1")
    assert found.state == "done"
    assert "1 of its tries failed: HTTP 503" in found.notes


def test_the_state_of_its_domain_is_named_with_the_time(tmp_path: Path) -> None:
    """A queued URL of a domain that is down, or that asked to wait: the state, and until when nothing is sent."""
    db = tmp_path / "a.db"
    simulate(Waiting, Site(lambda r: "x"), db=db)
    for cause, said in (
        (
            "down since 2026-01-01T00:00:00Z: connection refused",
            "its domain is down since 2026-01-01T00:00:00Z: ",
        ),
        ("Retry-After", "its domain waits (Retry-After); not before 22"),
        (None, "not before 22"),
    ):
        with closing(sqlite3.connect(db)) as conn, conn:
            conn.execute("UPDATE _runs SET state = 'running'")
            conn.execute("UPDATE _requests SET state = 0")
            conn.execute("UPDATE _domains SET not_before = 9e9, waits_for = ?", (cause,))
        assert asked(db, f"{URL}2").reason.startswith(said)
        assert "not before 2255-" in asked(db, f"{URL}2").reason
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute(
            "UPDATE _domains SET not_before = 1, waits_for = 'down since 2026-01-01T00:00:00Z: reset'"
        )
    assert asked(db, f"{URL}2").reason == "its domain is down since 2026-01-01T00:00:00Z: reset"


def test_another_run_that_fetched_it_is_named(tmp_path: Path) -> None:
    """A URL that the newest run did not meet, but the one before it did: that run and how it ended there."""
    db = tmp_path / "a.db"
    simulate(Waiting, Site(lambda r: "x"), db=db)
    simulate(type("Fewer", (Waiting,), {"start_urls": [f"{URL}1"]}), Site(lambda r: "x"), db=db)
    found = asked(db, f"{URL}2")
    assert found.state == "never queued"
    assert any(
        note.startswith("run 1 has it: done at 20") and note.endswith("--run 1") for note in found.notes
    )
