"""What a person sees of a domain that is down, and how it is tried again at once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from scraper import Page, Spider
from scraper.cli.commands.explain import explain
from scraper.cli.commands.hosts import hosts
from scraper.cli.commands.status import status
from scraper.cli.terminal.ending import ending
from scraper.cli.terminal.formatting import with_local_times
from scraper.cli.terminal.host_table import host_table
from scraper.core.models import RETRY
from scraper.errors import UsageError
from scraper.events import Event, Warned
from scraper.politeness import down_since
from scraper.politeness.reasons import down_text
from scraper.reports.hosts import Host
from scraper.store.file.lock import CrawlLock
from scraper.store.queue.orders import send_command
from scraper.testing import Answer, Site, simulate
from tests.support.outage_server import Outage, OutageServer, linked_pages


class Linked(Spider[dict]):
    start_urls = ("https://a.test/",)

    def parse(self, page: Page):
        yield {"url": page.url}
        yield from page.follow_all("a")


def test_a_parked_domain_is_named_with_the_next_command(tmp_path: Path) -> None:
    """The ending and `scraper status` say which domain is down, since when and why, and how to go on."""
    db = tmp_path / "a.db"
    done = simulate(Linked, OutageServer(linked_pages(5), [Outage(2, 1e9)]), db=db)
    lines = ending(done.summary)
    assert "a.test is down since " in lines[0]
    assert "connection refused" in lines[0]
    assert "Z: " not in lines[0]
    (stored,) = done.summary.parked.values()
    assert down_since(stored) is not None
    assert lines[-1].strip().startswith("continue with: scraper resume ")
    said = CliRunner().invoke(status, [str(db)], catch_exceptions=False).output
    assert "a.test is down since " in said
    assert "continue with: scraper resume " in said


def test_what_failed_without_an_answer_can_be_done_again(tmp_path: Path) -> None:
    """Where tries were used up by time-outs, connections or 5xx, the ending names `scraper resume --failed`."""
    server = OutageServer(linked_pages(5), [Outage(2, 30)])
    done = simulate(Linked, server, db=tmp_path / "a.db", settings={"outage_max": 0})
    assert done.summary.exit_code == 1
    assert any("scraper resume" in line and line.endswith("--failed") for line in ending(done.summary))


def test_an_order_to_retry_is_obeyed_within_a_second(tmp_path: Path) -> None:
    """The server is back while the next attempt is a minute away: `--retry-now` has it tried at once."""
    db = tmp_path / "a.db"
    server = OutageServer(linked_pages(5), [Outage(2, 200)])
    ordered: list[float] = []

    def observe(event: Event) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(event, Warned) and "is down" in event.message:
            loop.call_at(100, order)

    def order() -> None:
        ordered.append(asyncio.get_running_loop().time())
        with closing(sqlite3.connect(db)) as conn, conn:
            send_command(conn, 1, RETRY, {"domains": []}, 0.0)

    done = simulate(Linked, server, db=db, observers=[observe], settings={"outage_pause": "10m"})
    tried = [attempt.at for attempt in server.attempts if attempt.at > 90]
    assert (ordered, done.summary.pages) == ([100.0], 6)
    assert [at for at in tried if 100 <= at < 102]


def test_retry_now_leaves_an_order(tmp_path: Path) -> None:
    """`scraper hosts DB --retry-now` orders it of the crawl that runs; without one it names `scraper resume`."""
    db = tmp_path / "a.db"
    simulate(Linked, OutageServer(linked_pages(1)), db=db)
    with pytest.raises(UsageError, match="scraper resume"):
        CliRunner().invoke(hosts, [str(db), "--retry-now"], catch_exceptions=False)
    lock = CrawlLock(str(db))
    lock.acquire("linked", "now")
    try:
        done = CliRunner().invoke(hosts, [str(db), "--retry-now", "a.test"], catch_exceptions=False)
    finally:
        lock.release()
    assert "a.test: tried again now" in done.output
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT what, argument FROM _commands").fetchall() == [
            ("retry", '{"domains": ["a.test"]}')
        ]


class Resting:
    """Answers 503 with a Retry-After of two hours to everything but robots.txt."""

    def __call__(self, request: object) -> Answer:
        return Answer(status=503, headers={"Retry-After": "7200"})


def test_until_when_a_domain_is_parked_is_said_everywhere(tmp_path: Path) -> None:
    """The ending, `status`, `hosts` and `explain` name the time; so does a resume that has nothing to do before it."""
    db = tmp_path / "a.db"
    for resume in ("new", "must"):
        done = simulate(Linked, Site(Resting()), db=db, resume=resume, settings={"robots": False})
        lines, until = ending(done.summary), "until 2026-01-01 "
        assert done.summary.exit_code == 5
        assert f"parked: a.test (Retry-After {until}" in lines[0]
        assert "resume" in lines[-1]
        assert f"(nothing is sent there {until}" in lines[-1]
        for command in (hosts, status):
            assert until in CliRunner().invoke(command, [str(db)], catch_exceptions=False).output
        told = CliRunner().invoke(explain, [str(db), "https://a.test/"], catch_exceptions=False).output
        assert "its domain is parked: " in told
        assert "until 2026-01-01T" in told


def test_the_stored_form_of_an_outage_is_read_back() -> None:
    """Since when and why survive their text; other reasons to wait are no outage."""
    now = float(int(time.time()))
    assert down_since(down_text(now, "HTTP 502: bad: gateway")) == (now, "HTTP 502: bad: gateway")
    assert [down_since(text) for text in ("", "Retry-After", "down since then: x")] == [None] * 3


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
def test_the_times_of_a_line_are_local() -> None:
    """A stored reason has its times in UTC; people read them as their clock shows them, like the other times there."""
    now = 1_796_100_518.0  # 2026-12-01T04:48:38Z
    down = down_text(now, "connection refused")
    assert with_local_times(down, now) == "down since 23:48:38: connection refused"
    assert with_local_times("until 2026-13-01T04:48:38Z", now) == "until 2026-13-01T04:48:38Z"
    host = Host("a.test", 1, 1, "", None, None, None, "down", down, now + 6)
    *_, state = next(iter(host_table([host], now).rows))
    assert state == "down since 23:48:38: connection refused; tried again at 23:48:44"


def dead_in_an_outage(db: Path) -> None:
    """A run whose process died while its domains were leased, a.test was down, and the next attempt is overdue."""
    simulate(Linked, OutageServer(linked_pages(2)), db=db)
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE _runs SET state = 'running', ended = NULL")
        conn.execute("UPDATE _queues SET owner = 'dead', ready_at = 9e9")
        conn.execute(
            "UPDATE _domains SET not_before = 1, waits_for = ?",
            (down_text(time.time(), "connection refused by what stands there, whatever that may be"),),
        )


def test_a_domain_of_a_dead_crawl_is_not_in_use(tmp_path: Path) -> None:
    """After `kill -9` in an outage `hosts` and `status` say that the domain is down, in full off a terminal."""
    db = tmp_path / "a.db"
    dead_in_an_outage(db)
    told = [
        CliRunner().invoke(command, [str(db)], catch_exceptions=False).output for command in (hosts, status)
    ]
    for output in told:
        assert "down since " in output
        assert "whatever that may be" in output
        assert "tried again" not in output
        assert "in use" not in output
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE _domains SET waits_for = NULL")
    assert "queued" in CliRunner().invoke(hosts, [str(db)], catch_exceptions=False).output
