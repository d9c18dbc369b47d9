"""Crawls on a machine that has nothing left at times: visits wait, no try is counted, no site is blamed (W2)."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import Page, Spider
from scraper.core.machine_limits import LIMIT_ERRNOS
from scraper.events import Warned
from scraper.net.wire.errors import NameTimeout, NoSuchHost
from scraper.testing import Answer, Site, simulate

PAGES = 12
EMFILE = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Everywhere(Spider):
    scope = "any"
    start_urls = ["https://a.test/"]

    def parse(self, page: Page):
        yield {"url": page.url}
        if page.url == "https://a.test/":
            for number in range(PAGES):
                yield page.request(f"https://{'ab'[number % 2]}.test/{number}")


def site(fails: Callable[[], OSError | None], latency: float = 0.1) -> Site:
    """A shop whose connections fail with what `fails` says, before anything is sent."""

    def handler(request: httpx.Request) -> Answer | str:
        if (error := fails()) is None:
            return "<p>x</p>"
        failed = httpx.ConnectError("no connection")
        failed.__cause__ = error
        return Answer(error=failed)

    return Site(handler, latency=latency)


def drawn(pattern: list[OSError | None]) -> Callable[[], OSError | None]:
    left: Iterator[OSError | None] = iter(pattern)
    return lambda: next(left, None)


def attempts(db: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as conn:
        return conn.execute("SELECT DISTINCT state, attempts FROM _requests").fetchall()


FAULTS = st.sampled_from([None, *(OSError(number, os.strerror(number)) for number in sorted(LIMIT_ERRNOS))])


@settings(max_examples=40)
@given(pattern=st.lists(FAULTS, max_size=40), robots=st.booleans(), retries=st.integers(0, 3))
def test_whatever_connects_fail_everything_ends_done(
    tmp_path_factory: pytest.TempPathFactory, pattern: list[OSError | None], robots: bool, retries: int
) -> None:
    """Any subset of connects may meet any limit: all pages are crawled, and no try is counted."""
    db = tmp_path_factory.mktemp("machine") / "crawl.db"
    settings = {"rate": None, "robots": robots, "retries": retries}
    done = simulate(Everywhere, site(drawn(pattern)), db=db, settings=settings)
    assert done.summary.counters["pages"] == 1 + PAGES
    assert (done.summary.exit_code, done.summary.counters.get("failed", 0)) == (0, 0)
    assert attempts(db) == [(1, 0)]


def test_one_sentence_is_said_and_the_wait_grows() -> None:
    """Of a minute without a descriptor a person reads one sentence, and a try is made every ten seconds at most."""
    said: list[object] = []
    tried: list[float] = []
    full = [EMFILE] * 12

    def fails() -> OSError | None:
        tried.append(0.0)
        return full.pop() if full else None

    settings = {"rate": None, "robots": False}
    done = simulate(Everywhere, site(fails), settings=settings, observers=[said.append])
    warned = [event.message for event in said if isinstance(event, Warned)]
    assert len([message for message in warned if "ulimit -n" in message]) == 1
    assert done.summary.exit_code == 0
    assert 40 < done.seconds < 120
    assert done.summary.counters["waited.machine"] == 12


def test_without_any_progress_the_crawl_stops_resumable(tmp_path: Path) -> None:
    """After five minutes in which nothing was free the crawl ends with code 5, and a resume does all of it."""
    db, settings = tmp_path / "crawl.db", {"rate": None, "robots": False}
    first = simulate(Everywhere, site(lambda: EMFILE), db=db, settings=settings)
    assert (first.summary.exit_code, first.summary.state) == (5, "stopped")
    assert "ulimit -n" in (first.summary.reason or "")
    assert 300 < first.seconds < 330
    second = simulate(
        Everywhere, site(lambda: None), db=db, settings=settings, resume="must", begins=first.seconds
    )
    assert (second.summary.exit_code, second.summary.counters["pages"]) == (0, 1 + PAGES)
    assert attempts(db) == [(1, 0)]


def test_an_adaptive_rate_and_robots_txt_are_not_touched() -> None:
    """What this machine lacked slows no adaptive rate, and does not make robots.txt unreachable."""
    plain = simulate(Everywhere, site(lambda: None), settings={"rate": "auto"})
    limited = simulate(Everywhere, site(drawn([EMFILE, None, EMFILE])), settings={"rate": "auto"})
    assert limited.summary.counters["pages"] == plain.summary.counters["pages"]
    assert limited.seconds < plain.seconds + 3


def test_ports_used_up_towards_one_host_hold_that_host_alone() -> None:
    """EADDRNOTAVAIL belongs to one destination: other hosts go on."""
    taken = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    def handler(request: httpx.Request) -> Answer | str:
        if request.url.host == "b.test" and not b_later(request):
            failed = httpx.ConnectError("no connection")
            failed.__cause__ = taken
            return Answer(error=failed)
        return "<p>x</p>"

    seen: list[str] = []

    def b_later(request: httpx.Request) -> bool:
        seen.append(str(request.url))
        return len(seen) > 3

    done = simulate(Everywhere, Site(handler, latency=0.1), settings={"rate": None, "robots": False})
    assert done.summary.counters["pages"] == 1 + PAGES
    ended = [hit.ended for hit in done.hits if hit.host == "a.test"]
    assert max(ended) < 5 < done.seconds


def test_fetches_files_and_callbacks_meet_limits_too(tmp_path: Path) -> None:
    """`page.fetch` without a descriptor, and a callback that can open no file, make their page come again."""
    full = [EMFILE, EMFILE]

    class Careful(Everywhere):
        async def parse(self, page: Page):
            await page.fetch("/more")
            if full:
                raise full.pop()
            yield {"url": page.url}

    db, refused = tmp_path / "crawl.db", [EMFILE]

    def handler(request: httpx.Request) -> Answer | str:
        if request.url.path == "/more" and refused:
            failed = httpx.ConnectError("no connection")
            failed.__cause__ = refused.pop()
            return Answer(error=failed)
        return "<p>x</p>"

    done = simulate(Careful, Site(handler), db=db, settings={"rate": None, "robots": False})
    assert (done.summary.exit_code, done.summary.counters["waited.machine"]) == (0, 3)
    assert attempts(db) == [(1, 0)]


def test_a_file_that_cannot_be_opened_now_is_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download for which no descriptor is free is made again; neither the page nor the crawl fails."""
    full, opened = [EMFILE, EMFILE], os.open

    def open_or_fail(path: Any, *more: Any, **named: Any) -> int:
        if ".part-" in str(path) and full:
            raise full.pop()
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", open_or_fail)

    class Pictures(Everywhere):
        async def parse(self, page: Page):
            kept = await page.download("/picture.png")
            yield {"name": kept.name}

    done = simulate(
        Pictures, site(lambda: None), settings={"rate": None, "robots": False, "files": str(tmp_path / "f")}
    )
    assert (done.summary.exit_code, done.summary.counters["waited.machine"]) == (0, 2)
    assert [path.name.startswith("picture-") for path in (tmp_path / "f").iterdir()] == [True]


# ------------------------------------------------------------------ failures that a cache remembers (W3)


@pytest.mark.parametrize(("error", "lookups"), [(NoSuchHost, 3), (NameTimeout, 4)])
@pytest.mark.parametrize("lasts", [10.0, 60.0])
def test_a_remembered_failure_eats_no_try(error: type[NoSuchHost], lookups: int, lasts: float) -> None:
    """Each try of a name is a lookup of its own, however long a failed one is remembered: three for `dns`."""
    made: list[float] = []

    def handler(request: httpx.Request) -> Answer:
        now = asyncio.get_running_loop().time()
        if not made or now >= made[-1] + lasts:
            made.append(now)
        failed = error("no")
        failed.retry_in = made[-1] + lasts - now + 0.05  # as the resolver does
        return Answer(error=failed)

    done = simulate(Everywhere, Site(handler), settings={"rate": None, "robots": False})
    assert len(made) == lookups
    assert done.summary.exit_code == 4
