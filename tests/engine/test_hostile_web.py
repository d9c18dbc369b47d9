"""One crawl over the whole hostile web: every request ends as it should, and the good hosts are complete."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.hostile import measure
from scraper import Crawl, Page, Spider
from scraper.events import Warned
from scraper.net.guard import Guard
from scraper.net.wire.resolver import Resolver
from scraper.net.wire.wire import Wire
from scraper.reports.summary import Summary
from tests.support.hostile_web import DEADLINE, ENDPOINTS, MAX_BODY, MAX_DECODED, Endpoint, hostile_web
from tests.support.raw_server import PatientLoop

HOSTS, PAGES = 20, 5
#: Pages of one domain: a trap ends there, and no good host has as many.
BUDGET = 60
SETTINGS = {
    "rate": None, "concurrency": 4, "in_flight": 128, "deadline": DEADLINE, "connect_timeout": DEADLINE, "retries": 0,
    "max_body": MAX_BODY, "max_decoded": MAX_DECODED, "retry_after_max": 1.0, "max_pages_per_domain": BUDGET,
}  # fmt: skip


class Everything(Spider):
    """Keeps the text of every page and follows every link."""

    def parse(self, page: Page):
        yield {"url": page.url, "text": page.text("p", "")[:10_000]}
        yield page.follow_all("a")


@dataclass(frozen=True)
class Crawled:
    """What was stored: `requests` maps start URLs to (state, kind, why), `texts` URLs to the text of their page."""

    summary: Summary
    endpoints: dict[str, str]
    requests: dict[str, tuple[str, str, str]]
    texts: dict[str, str]
    parked: dict[str, str]
    slowest: float
    counters: dict[str, int]
    said: list[str]
    logged: list[str]


async def crawl_all(db: Path, endpoints: list[Endpoint], pages: int) -> Crawled:
    async with hostile_web(endpoints, HOSTS, pages) as (hostile, good):
        named = frozenset(url.split("/")[2] for url in [*hostile.urls, *good.starts])
        transport = Wire(guard=Guard(named), connect_timeout=DEADLINE, resolver=Resolver())
        said: list[str] = []
        logged: list[str] = []
        handler = logging.Handler(logging.INFO)
        handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]  # all it does
        logging.getLogger().addHandler(handler)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(str(context)))
        try:
            start = [*hostile.urls, *good.starts]
            listening = [lambda event: said.append(event.message) if isinstance(event, Warned) else None]
            crawl = Crawl(
                Everything, db=db, start=start, settings=SETTINGS, transport=transport, observers=listening
            )
            summary = await crawl.run()
        finally:
            logging.getLogger().removeHandler(handler)
            await transport.aclose()
        return read(db, summary, {endpoint.id: url for url, endpoint in hostile.urls.items()}, said, logged)


def read(
    db: Path, summary: Summary, endpoints: dict[str, str], said: list[str], logged: list[str]
) -> Crawled:
    with closing(sqlite3.connect(db)) as conn:
        return Crawled(
            summary,
            endpoints,
            {
                url: (state, kind or "", why or "")
                for url, state, kind, why in conn.execute("SELECT url, state, kind, why FROM requests")
            },
            dict(conn.execute("SELECT r.url, text FROM everything JOIN _requests r ON r.id = _request")),
            dict(
                conn.execute(
                    "SELECT name, parked FROM _queues JOIN _domains ON domain = _domains.id WHERE parked IS NOT NULL"
                )
            ),
            conn.execute("SELECT max(ended - sent) FROM _sends").fetchone()[0],
            dict(conn.execute("SELECT name, value FROM _counters")),
            said,
            logged,
        )


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    """The one crawl that all tests here look at."""
    db = tmp_path_factory.mktemp("hostile") / "all.db"
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        return runner.run(crawl_all(db, [endpoint for endpoint in ENDPOINTS if not endpoint.long], PAGES))


def checking(endpoint: Endpoint) -> Callable[[Crawled], None]:
    def test(crawled: Crawled) -> None:
        url = crawled.endpoints[endpoint.id]
        state, kind, why = crawled.requests[url]
        while kind == "redirect":  # what it led to is a request of its own
            url = why
            state, kind, why = crawled.requests[url]
        if endpoint.kind == "ok":
            assert (state, kind) == ("done", ""), why
            if endpoint.text is not None:
                assert crawled.texts[url] == endpoint.text
        elif endpoint.kind == "parked":
            assert state == "queued", why
            assert url.split("/")[2].partition(":")[0] in crawled.parked
        else:
            assert kind == endpoint.kind, why
            assert state in {"failed", "skipped"}
            assert "\n" not in why

    test.__doc__ = endpoint.promise
    return test


for _endpoint in ENDPOINTS:
    if not _endpoint.long:
        globals()[f"test_{_endpoint.id}"] = checking(_endpoint)


def test_good_hosts_are_complete(crawled: Crawled) -> None:
    """Beside all of them every page of every good host is stored, once."""
    good = [url for url in crawled.texts if "//127.0.11." in url]
    assert len(good) == HOSTS * PAGES


def test_every_request_ends_within_its_deadline(crawled: Crawled) -> None:
    """No send took longer than the deadline and a second."""
    assert crawled.slowest <= DEADLINE + 1.0


def test_sec_36_no_error_of_ours_no_traceback_and_nothing_logged(crawled: Crawled) -> None:
    """Nothing ended as `internal` or `callback`, no task died unseen, and no server filled a log."""
    assert {kind for _, kind, _ in crawled.requests.values()} & {"internal", "callback", "transport"} == set()
    assert crawled.logged == []


def test_host_22_a_coding_nobody_knows_is_said(crawled: Crawled) -> None:
    """A body in a coding nobody knows is stored as it is, and a warning names coding and host."""
    assert sum("(foo)" in message for message in crawled.said) == 1


@pytest.mark.soak
def test_all_of_it_beside_twenty_hosts_of_fifty_pages() -> None:
    """The whole acceptance: 1,000 of 1,000 good pages, within twice the time, within 250 MB, nothing on stderr."""
    alone, beside = measure("10/s", hostile=False), measure("10/s", hostile=True)
    assert (alone.good, beside.good) == (1_000, 1_000)
    assert beside.wall < 2 * alone.wall
    assert beside.peak_mb < 250
    assert beside.slowest_send <= 3.0
    assert beside.stderr == ""
    assert beside.late_p99_ms < 100
    assert beside.kinds["parse"] == 4


def test_traps_end_in_the_crawl(crawled: Crawled) -> None:
    """HOST-32 to HOST-35: no domain got more pages than its budget, and what was left out is counted."""
    assert crawled.counters["links.trap"] >= 1
    assert crawled.counters["links.bad-url"] >= 1
    assert crawled.counters["links.broken"] >= 1_000
    per_domain: dict[str, int] = {}
    for url in crawled.texts:
        host = url.split("/")[2]
        per_domain[host] = per_domain.get(host, 0) + 1
    assert max(per_domain.values()) == BUDGET
