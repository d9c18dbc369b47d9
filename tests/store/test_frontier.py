"""The SQLite frontier, where the random walk of test_frontier_stateful.py is not likely to come along."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from scraper.core.models import (
    LONGEST_HOLD,
    Budget,
    Column,
    DomainFacts,
    DomainLease,
    Done,
    ErrorRecord,
    ItemRow,
    Options,
    OriginFacts,
    Outcome,
    QueuedRequest,
    Rejected,
    Send,
    Table,
)
from scraper.errors import StoreError
from scraper.store.file.database import Database
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.runs import begin, counters
from tests.support.finished_visit import finished

NOW = 1_767_225_600.0
NO_BUDGET = Budget()
BOOK = Table("book", (Column("upc", "TEXT", key=True), Column("title", "TEXT")))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(str(tmp_path / "crawl.db"), holder="test", now=NOW, inline=True)
    yield database
    await database.close()


async def new_run(database: Database, budget: Budget = NO_BUDGET) -> SqliteFrontier:
    run = await database.writer.submit(
        lambda conn: begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
    )
    return SqliteFrontier(database.writer, run.id, budget)


@pytest.fixture
async def frontier(database: Database) -> SqliteFrontier:
    return await new_run(database)


def request(name: str, domain: str = "a.example", **changes: Any) -> QueuedRequest:
    found = QueuedRequest(f"https://{domain}/{name}", f"{domain}/{name}".encode(), domain, Options())
    return replace(found, **changes)


async def claim(
    frontier: SqliteFrontier, *, now: float = NOW, owner: str = "one", most: int = 10, lease: float = 30.0
) -> list[DomainLease]:
    return await frontier.claim(owner, domains=10, per_domain=most, lease=lease, now=now)


def rows(database: Database, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database.path)) as conn:
        return conn.execute(question).fetchall()


def counted(database: Database, run: int = 1) -> dict[str, int]:
    with closing(sqlite3.connect(database.path)) as conn:
        return {name: value for name, value in counters(conn, run).items() if value}


# ---------------------------------------------------------------------------------------- what a page leaves


async def test_a_page_is_stored_as_a_whole(database: Database, frontier: SqliteFrontier) -> None:
    """Items, links, sends, errors, refused items, counters and the outcome are there together."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    done = finished(
        lease.requests[0],
        Outcome.ok(200),
        url="https://a.example/final",
        items=[
            ItemRow(BOOK, ("1", "One"), 0),
            ItemRow(BOOK, ("2", "Two"), 1),
            ItemRow(BOOK, (None, "None"), 2),
        ],
        rejected=[Rejected("book", "no price", "{}", "books.py:9")],
        links=[request("2"), request("1", "b.example")],
        sends=[
            Send("robots", "a.example", "https://a.example/robots.txt", NOW, NOW + 0.1, 404, 9),
            Send("page", "a.example", "https://a.example/1", NOW + 1, NOW + 1.5, 200, 5000),
            Send("sub", "c.example", "https://c.example/x", NOW + 2, NOW + 2.5, None, 0),
        ],
        error=ErrorRecord("callback", "it told of something", "books.py:7", "more"),
        counts={"parsed": 1, "links.out-of-scope": 3},
    )
    completed = await frontier.complete(lease, done, now=NOW + 3)
    assert completed.written
    assert completed.due == {"a.example": NOW + 3, "b.example": NOW + 3}
    assert rows(database, "SELECT upc, title, _url, _run, _at, _request, _ordinal FROM book") == [
        ("1", "One", "https://a.example/final", 1, "2026-01-01T00:00:03Z", 1, 0),
        ("2", "Two", "https://a.example/final", 1, "2026-01-01T00:00:03Z", 1, 1),
    ]
    assert rows(database, "SELECT url, state, status, ended FROM requests ORDER BY id") == [
        ("https://a.example/1", "done", 200, "2026-01-01 00:00:03"),
        ("https://a.example/2", "queued", None, None),
        ("https://b.example/1", "queued", None, None),
    ]
    assert rows(database, "SELECT s.kind, d.name, s.url, s.status, s.bytes FROM _sends s JOIN _domains d ON d.id = s.domain") == [
        ("robots", "a.example", "https://a.example/robots.txt", 404, 9),
        ("page", "a.example", None, 200, 5000),
        ("sub", "c.example", "https://c.example/x", None, 0),
    ]  # fmt: skip
    assert rows(database, "SELECT run, url, kind, message, place FROM errors") == [
        (1, "https://a.example/1", "callback", "it told of something", "books.py:7")
    ]
    assert ("no price", "books.py:9") in rows(database, "SELECT reason, place FROM _rejected")
    assert counted(database) == {
        "queued": 2, "links": 2, "pages": 1, "sends": 3, "bytes": 5009, "items": 2, "rejected": 2,
        "item.book.new": 2, "parsed": 1, "links.out-of-scope": 3,
    }  # fmt: skip


async def test_a_fenced_page_leaves_no_trace(database: Database, frontier: SqliteFrontier) -> None:
    """Once another owner has the domain, nothing of a late page is stored: CR-12's fencing token."""
    await frontier.add([request("1")], now=NOW)
    (late,) = await claim(frontier, lease=10.0)
    (lease,) = await claim(frontier, owner="two", now=NOW + 10.0)
    assert lease.requests == late.requests
    done = finished(
        late.requests[0],
        Outcome.ok(200),
        items=[ItemRow(BOOK, ("1", "One"), 0)],
        links=[request("2"), request("3", "new.example")],
        sends=[Send("page", "a.example", "https://a.example/1", NOW, NOW, 200, 1)],
        counts={"parsed": 1},
    )
    assert not (await frontier.complete(late, done, now=NOW + 11)).written
    assert rows(database, "SELECT name FROM sqlite_master WHERE name = 'book'") == []
    assert rows(database, "SELECT state FROM _requests") == [(0,)]
    assert rows(database, "SELECT name FROM _domains") == [("a.example",)]
    assert rows(database, "SELECT * FROM _sends") == []
    assert counted(database) == {"queued": 1, "taken": 1, "fenced": 1}
    assert (await frontier.complete(lease, done, now=NOW + 11)).written


async def test_a_page_that_cannot_be_stored_is_forgotten_with_all_it_made(
    database: Database, frontier: SqliteFrontier
) -> None:
    """The table and the domain a failing page was the first to need are made again by the next one."""
    await frontier.add([request("1"), request("2")], now=NOW)
    (lease,) = await claim(frontier)
    broken = QueuedRequest(cast("str", object()), b"broken", "b.example", Options())
    new = request("1", "b.example")

    def page(number: int, *links: QueuedRequest) -> Done:
        item = ItemRow(BOOK, (str(number), "title"), 0)
        return finished(lease.requests[number], Outcome.ok(200), items=[item], links=links)

    bad, good = await asyncio.gather(
        frontier.complete(lease, page(0, new, broken), now=NOW),
        frontier.complete(lease, page(1, new), now=NOW),
        return_exceptions=True,
    )
    assert isinstance(bad, StoreError)
    assert not isinstance(good, BaseException)
    assert good.due == {"b.example": NOW}
    assert rows(database, "SELECT upc FROM book") == [("1",)]
    assert counted(database) == {
        "queued": 2, "taken": 1, "pages": 1, "links": 1, "items": 1, "item.book.new": 1,
    }  # fmt: skip


async def test_counters_survive_work_that_fails_beside_them(
    database: Database, frontier: SqliteFrontier
) -> None:
    """A claim that fails in the transaction of a page does not take the page's counts with it."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    done = finished(lease.requests[0], Outcome.ok(200))
    completed, failed = await asyncio.gather(
        frontier.complete(lease, done, now=NOW),
        frontier.claim("one", domains=cast("int", object()), per_domain=1, lease=1.0, now=NOW),
        return_exceptions=True,
    )
    assert not isinstance(completed, BaseException)
    assert isinstance(failed, StoreError)
    assert counted(database) == {"pages": 1}


async def test_a_redirect_to_another_domain_is_one_new_request(
    database: Database, frontier: SqliteFrontier
) -> None:
    """`moved` ends the request and queues its successor in the same transaction."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    to = request("1", "b.example", hops=1, parent=lease.requests[0].id)
    completed = await frontier.complete(lease, finished(lease.requests[0], Outcome.moved(to, 301)), now=NOW)
    assert completed.due == {"b.example": NOW}
    assert rows(database, "SELECT url, state, kind, why, found_on FROM requests") == [
        ("https://a.example/1", "done", "redirect", "https://b.example/1", None),
        ("https://b.example/1", "queued", None, None, "https://a.example/1"),
    ]
    assert counted(database) == {"queued": 1, "links": 1, "moved": 1}
    await frontier.release([lease], now=NOW)
    (other,) = await claim(frontier)
    assert other.requests[0].hops == 1


async def test_a_table_that_does_not_fit_is_an_error_of_the_store(frontier: SqliteFrontier) -> None:
    """An item class that changed its key since the last run is told so, and nothing is stored."""
    await frontier.add([request("1"), request("2")], now=NOW)
    (lease,) = await claim(frontier)
    first = finished(lease.requests[0], Outcome.ok(200), items=[ItemRow(BOOK, ("1", "One"), 0)])
    await frontier.complete(lease, first, now=NOW)
    other = Table("book", (Column("upc", "TEXT"), Column("title", "TEXT", key=True)))
    second = finished(lease.requests[1], Outcome.ok(200), items=[ItemRow(other, ("2", "Two"), 0)])
    with pytest.raises(StoreError, match="the key of table book"):
        await frontier.complete(lease, second, now=NOW)
    assert (await frontier.pending(now=NOW)).taken == 1


# ---------------------------------------------------------------------------------------- never early


async def test_new_links_do_not_end_a_domains_hold(frontier: SqliteFrontier) -> None:
    """A domain that asked to be left alone (Retry-After) is left alone, whatever is queued for it."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    await frontier.complete(lease, finished(lease.requests[0], Outcome.ok(200)), now=NOW)
    await frontier.release([replace(lease, facts=DomainFacts(not_before=NOW + 3600))], now=NOW)
    await frontier.add([request("2")], now=NOW + 1)
    assert (await frontier.pending(now=NOW + 1)).next_due == NOW + 3600
    assert await claim(frontier, now=NOW + 3599) == []
    (lease,) = await claim(frontier, now=NOW + 3600)
    assert [r.url for r in lease.requests] == ["https://a.example/2"]


async def test_a_hold_outlives_its_run(database: Database, frontier: SqliteFrontier) -> None:
    """What a domain asked for holds for the next run, too."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    facts = DomainFacts(used_until=NOW, not_before=NOW + 600, crawl_delay=2.0)
    await frontier.release([replace(lease, facts=facts)], now=NOW)
    later = await new_run(database)
    await later.add([request("1")], now=NOW + 1)
    assert await claim(later, now=NOW + 599) == []
    (lease,) = await claim(later, now=NOW + 600)
    assert (lease.facts.used_until, lease.facts.crawl_delay) == (NOW, 2.0)


async def test_a_hold_outlives_its_owner(frontier: SqliteFrontier) -> None:
    """An owner that died after it had stored a hold is survived by it."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier, lease=30.0)
    assert await frontier.put_facts(lease, DomainFacts(not_before=NOW + 600), now=NOW)
    assert await claim(frontier, now=NOW + 30) == []
    assert (await frontier.pending(now=NOW + 30)).next_due == NOW + 600
    assert len(await claim(frontier, now=NOW + 600)) == 1


async def test_a_wrong_clock_holds_nothing_for_years(frontier: SqliteFrontier) -> None:
    """CR-11: a due time that only a wrong clock can have written is bounded."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    await frontier.release([replace(lease, facts=DomainFacts(not_before=NOW + 1e9))], now=NOW)
    assert await claim(frontier, now=NOW + LONGEST_HOLD - 1) == []
    assert len(await claim(frontier, now=NOW + LONGEST_HOLD)) == 1


async def test_a_request_that_a_wrong_clock_put_off_for_years_is_due(
    database: Database, frontier: SqliteFrontier
) -> None:
    """CR-11: a resume does not believe a due time beyond the longest hold, of a request or of its domain."""
    await frontier.add([request("1", not_before=NOW + 1e9)], now=NOW)
    assert await claim(frontier, now=NOW) == []
    await frontier.free_all(now=NOW)
    (lease,) = await claim(frontier, now=NOW)
    assert [one.url for one in lease.requests] == [request("1").url]


async def test_no_retry_is_put_off_for_longer_than_the_longest_hold(frontier: SqliteFrontier) -> None:
    """CR-11: what is stored is never beyond what is believed when it is read."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    await frontier.complete(lease, finished(lease.requests[0], Outcome.retry(math.inf, "retry", "")), now=NOW)
    await frontier.release([lease], now=NOW)
    assert (await frontier.pending(now=NOW)).next_due == NOW + LONGEST_HOLD


async def test_a_visit_has_a_time_for_people(database: Database, frontier: SqliteFrontier) -> None:
    """T4: when a request ended is of the wall clock, when its links are due of the time that is stored."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    done = finished(lease.requests[0], Outcome.ok(200), links=[request("2", "b.example")])
    completed = await frontier.complete(lease, done, now=NOW + 1, at=NOW + 3601)
    assert completed.due == {"b.example": NOW + 1}
    ended = await database.writer.read(
        lambda conn: conn.execute("SELECT max(ended) FROM _requests").fetchone()
    )
    assert ended == (NOW + 3601,)


async def test_a_lease_that_is_over_hands_out_nothing(frontier: SqliteFrontier) -> None:
    """From the moment a lease ends on, another may claim: the old one gives no request any more."""
    await frontier.add([request("1"), request("2")], now=NOW)
    (lease,) = await claim(frontier, most=1, lease=10.0)
    assert len(await frontier.refill(lease, 1, now=NOW + 9.99)) == 1
    await frontier.add([request("3")], now=NOW)
    assert await frontier.refill(lease, 1, now=NOW + 10.0) == []
    (again,) = await frontier.extend([lease], lease=10.0, now=NOW + 10.0)
    assert len(await frontier.refill(again, 1, now=NOW + 10.0)) == 1


# ---------------------------------------------------------------------------------------- parked domains


async def test_a_parked_domain_is_left_alone_even_when_its_owner_dies(frontier: SqliteFrontier) -> None:
    """Parked is parked: not refilled, not claimed, not borrowed; and what is queued for it stays."""
    await frontier.add([request("1"), request("2")], now=NOW)
    (lease,) = await claim(frontier, most=1)
    assert await frontier.put_facts(lease, DomainFacts(parked="HTTP 403"), now=NOW)
    assert await frontier.refill(lease, 1, now=NOW) == []
    assert await claim(frontier, now=NOW + 30) == []
    assert await frontier.borrow("two", "a.example", lease=30.0, now=NOW + 30) == math.inf
    await frontier.add([request("3")], now=NOW + 30)
    pending = await frontier.pending(now=NOW + 30)
    assert (pending.queued, pending.taken, pending.next_due) == (3, 0, None)


async def test_a_resume_gives_everything_back(frontier: SqliteFrontier) -> None:
    """A new process knows that all owners are dead: leases end at once, parked domains get a chance."""
    await frontier.add([request("1"), request("1", "b.example"), request("2", "b.example")], now=NOW)
    first, second = await claim(frontier, lease=1000.0)
    await frontier.put_facts(first, DomainFacts(parked="HTTP 403"), now=NOW)
    await frontier.free_all(now=NOW + 1)
    pending = await frontier.pending(now=NOW + 1)
    assert (pending.queued, pending.taken, pending.next_due) == (3, 0, NOW + 1)
    assert not (
        await frontier.complete(second, finished(second.requests[0], Outcome.ok(200)), now=NOW + 1)
    ).written
    assert {lease.domain: len(lease.requests) for lease in await claim(frontier, now=NOW + 1)} == {
        "a.example": 1,
        "b.example": 2,
    }


# ---------------------------------------------------------------------------------------- budgets


async def test_no_more_is_taken_than_the_budget_allows(database: Database) -> None:
    """`max_pages` is exact: what is under way counts as spent until it ends otherwise."""
    frontier = await new_run(database, Budget(pages=3))
    await frontier.add([request(str(n), d) for n in range(4) for d in ("a.example", "b.example")], now=NOW)
    first, second = await claim(frontier, most=2)
    assert [len(first.requests), len(second.requests)] == [2, 1]
    assert await frontier.refill(second, 5, now=NOW) == []
    assert (await frontier.pending(now=NOW)).spent
    await frontier.complete(first, finished(first.requests[0], Outcome.failed("http", "404")), now=NOW)
    assert not (await frontier.pending(now=NOW)).spent
    assert len(await frontier.refill(second, 5, now=NOW)) == 1
    assert await frontier.refill(first, 5, now=NOW) == []


async def test_a_dead_owner_does_not_keep_its_share_of_the_budget(database: Database) -> None:
    """What a dead process had taken can be taken again."""
    frontier = await new_run(database, Budget(pages=2))
    await frontier.add([request(str(n)) for n in range(4)], now=NOW)
    (dead,) = await claim(frontier)
    assert len(dead.requests) == 2
    (lease,) = await claim(frontier, owner="two", now=NOW + 30)
    assert lease.requests == dead.requests


async def test_a_domain_whose_budget_is_spent_is_never_due(database: Database) -> None:
    """`max_pages_per_domain`: its other requests stay queued, and the run can end."""
    frontier = await new_run(database, Budget(pages_per_domain=1))
    await frontier.add([request("1"), request("2"), request("1", "b.example")], now=NOW)
    for lease in await claim(frontier):
        assert len(lease.requests) == 1
        done = finished(lease.requests[0], Outcome.ok(200), links=[request("3"), request("4")])
        await frontier.complete(lease, done, now=NOW)
        await frontier.release([lease], now=NOW)
    await frontier.add([request("5")], now=NOW)
    pending = await frontier.pending(now=NOW)
    assert (pending.queued, pending.taken, pending.next_due, pending.spent) == (4, 0, None, False)


async def test_runs_have_nothing_to_do_with_one_another(database: Database, frontier: SqliteFrontier) -> None:
    """The same URL in a new run is a new request; leases, budgets and counters are its own."""
    await frontier.add([request("1")], now=NOW)
    (old,) = await claim(frontier)
    later = await new_run(database, Budget(pages=1))
    assert await later.add([request("1")], now=NOW) == 1
    (lease,) = await claim(later)
    await later.complete(lease, finished(lease.requests[0], Outcome.ok(200)), now=NOW)
    await frontier.complete(old, finished(old.requests[0], Outcome.failed("http", "HTTP 500")), now=NOW)
    assert (counted(database, 1), counted(database, 2)) == ({"failed": 1}, {"pages": 1})


# ---------------------------------------------------------------------------------------- politeness facts


async def test_robots_travel_with_the_lease(frontier: SqliteFrontier) -> None:
    """What is known of a domain's origins need not be asked again, by whoever has the domain next."""
    await frontier.add([request("1")], now=NOW)
    (lease,) = await claim(frontier)
    robots = OriginFacts("https://a.example", "User-agent: *\nDisallow: /x", NOW + 86_400, 200)
    await frontier.put_facts(lease, DomainFacts(origins=(robots,)), now=NOW)
    await frontier.release([lease], now=NOW)
    (lease,) = await claim(frontier, owner="two")
    assert lease.facts.origins == (robots,)


async def test_an_origin_follows_its_politeness_key(frontier: SqliteFrontier) -> None:
    """When `limits` gives a host its own turn, its robots.txt goes with it."""
    robots = OriginFacts("https://api.a.example", None, NOW + 86_400, 404)
    for domain in ("a.example", "api.a.example"):
        lease = await frontier.borrow("one", domain, lease=30.0, now=NOW)
        assert isinstance(lease, DomainLease)
        await frontier.put_facts(lease, DomainFacts(origins=(robots,)), now=NOW)
    facts = [
        cast("DomainLease", await frontier.borrow("two", domain, lease=30.0, now=NOW + 60)).facts
        for domain in ("a.example", "api.a.example")
    ]
    assert [f.origins for f in facts] == [(), (robots,)]


async def test_facts_of_a_lost_lease_are_not_stored(frontier: SqliteFrontier) -> None:
    """The new owner's knowledge is not overwritten by the old one's."""
    await frontier.add([request("1")], now=NOW)
    (old,) = await claim(frontier, lease=10.0)
    (lease,) = await claim(frontier, owner="two", now=NOW + 10)
    assert not await frontier.put_facts(old, DomainFacts(parked="no"), now=NOW + 11)
    await frontier.release([replace(old, facts=DomainFacts(not_before=NOW + 999))], now=NOW + 11)
    assert len(await frontier.extend([lease], lease=30.0, now=NOW + 11)) == 1


# ---------------------------------------------------------------------------------------- cost


async def test_po_09_no_question_of_the_hot_path_scans(database: Database, frontier: SqliteFrontier) -> None:
    """What runs per page and per claim finds its rows by an index, however long the queue is."""
    asked: list[str] = []
    await database.writer.submit(lambda conn: conn.set_trace_callback(asked.append))
    await frontier.add([request(str(n)) for n in range(5)], now=NOW)
    (lease,) = await claim(frontier, most=2)
    await frontier.add([request("1")], now=NOW)
    await frontier.refill(lease, 1, now=NOW)
    await frontier.extend([lease], lease=30.0, now=NOW)
    for outcome in (Outcome.ok(200), Outcome.retry(NOW + 5, "timeout", "slow")):
        one = (await frontier.refill(lease, 1, now=NOW))[0]
        await frontier.complete(lease, finished(one, outcome, links=[request("9")]), now=NOW)
    await frontier.release([lease], now=NOW)
    await frontier.pending(now=NOW)
    await database.writer.submit(lambda conn: conn.set_trace_callback(None))
    questions = [text for text in asked if text.lstrip().startswith(("SELECT", "UPDATE"))]
    assert len(questions) > 20
    plans = {text: await _plan(database, text) for text in questions}
    slow = [(text, plan) for text, plan in plans.items() if "SCAN" in plan or "TEMP B-TREE" in plan]
    assert not slow


async def _plan(database: Database, statement: str) -> str:
    found = await database.writer.read(
        lambda conn: conn.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    )
    return "; ".join(str(row[3]) for row in cast("Sequence[tuple[Any, ...]]", found))
