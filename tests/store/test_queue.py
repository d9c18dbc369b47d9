"""Requests in the database: what is stored of them, what a duplicate changes, what is cleared at the end."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.models import Options, Outcome, QueuedRequest
from scraper.store.file.database import Database
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.requests import Queue, decode_options, encode_options
from scraper.store.queue.runs import begin
from tests.support.finished_visit import finished

NOW = 1_767_225_600.0
SECRET = Options(
    method="POST", headers=(("Authorization", "Bearer abc"),), body=b"password=abc", vary=("accept",)
)


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(connect(":memory:")) as conn:
        prepare(conn)
        begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
        yield conn


@pytest.fixture
def queue(conn: sqlite3.Connection) -> Queue:
    return Queue(1)


def request(name: str, domain: str = "a.example", *, priority: int = 0, **changes: Any) -> QueuedRequest:
    options = Options(priority=priority)
    found = QueuedRequest(f"https://{domain}/{name}", f"{domain}/{name}".encode(), domain, options)
    return replace(found, **changes)


def take(
    conn: sqlite3.Connection, queue: Queue, n: int = 100, *, epoch: int = 1, now: float = NOW
) -> list[str]:
    domain = queue.domain_id(conn, "a.example")
    return [r.url[18:] for r in queue.take(conn, domain, "a.example", epoch, n, now)]


# ---------------------------------------------------------------------------------------- options


words = st.text(max_size=12)
options = st.builds(
    Options,
    callback=st.sampled_from(["parse", "parse_book"]),
    args=st.none() | st.just('{"page": 3}'),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    headers=st.lists(st.tuples(words, words), max_size=3).map(tuple),
    body=st.binary(max_size=20),
    priority=st.integers(-(2**31), 2**31),
    accept=st.lists(st.integers(100, 599), max_size=3).map(tuple),
    errback=st.none() | words,
    revisit=st.none() | st.sampled_from(["always", "never"]) | st.floats(0, 1e9),
    unique=st.none() | words,
    vary=st.lists(words, max_size=2).map(tuple),
    via=st.none() | words,
    dont_filter=st.booleans(),
)


@given(options)
def test_options_come_back_as_they_were(given: Options) -> None:
    """Whatever a request was given survives the database, byte for byte and type for type."""
    with closing(sqlite3.connect(":memory:")) as conn:
        row = conn.execute(
            "SELECT ?, ?, ?, ?",
            (given.callback, given.priority, encode_options(given), given.body or None),
        ).fetchone()
    found = decode_options(*row)
    assert found == given
    for field in fields(Options):
        assert type(getattr(found, field.name)) is type(getattr(given, field.name))


def test_plain_options_take_no_room() -> None:
    """Most requests are plain GETs: nothing is stored of their options."""
    assert encode_options(Options()) is None
    assert encode_options(Options(callback="parse_book", priority=3, body=b"x")) is None
    assert encode_options(Options(method="HEAD")) == '{"method":"HEAD"}'


def test_requests_come_back_as_they_were(conn: sqlite3.Connection, queue: Queue) -> None:
    """Everything of a request but its id, which is new, is what was queued."""
    given = request(
        "1", depth=3, hops=2, attempts=1, parent=7, seed="a.example:8080 b.example", not_before=NOW - 1, options=SECRET
    )  # fmt: skip
    queue.insert(conn, [given], NOW)
    (found,) = queue.take(conn, queue.domain_id(conn, "a.example"), "a.example", 1, 1, NOW)
    assert found.id > 0
    assert replace(found, id=0) == given


# ---------------------------------------------------------------------------------------- known requests


def test_a_known_request_is_not_queued_twice(conn: sqlite3.Connection, queue: Queue) -> None:
    """Insert-or-ignore on the fingerprint: within a call, between calls, and after it ended."""
    added, due = queue.insert(conn, [request("1"), request("1"), request("2")], NOW)
    assert (added, due) == (2, {"a.example": NOW})
    assert queue.insert(conn, [request("1")], NOW) == (0, {})
    conn.execute("UPDATE _requests SET state = 1")
    assert queue.insert(conn, [request("1"), request("2")], NOW) == (0, {})
    assert conn.execute("SELECT count(*) FROM _requests").fetchone() == (2,)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((3, 0), (1, 0), (1, 0)),
        ((3, 0), (0, 0), (0, 0)),
        ((1, 0), (3, 0), (1, 0)),
        ((1, 0), (1, 5), (1, 5)),
        ((1, 5), (1, 0), (1, 5)),
        ((1, -5), (1, 0), (1, 0)),
        ((1, 5), (0, 0), (0, 5)),
        ((1, 0), (3, 5), (1, 5)),
    ],
)
def test_a_duplicate_may_only_improve(
    conn: sqlite3.Connection,
    queue: Queue,
    first: tuple[int, int],
    second: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    """A queued request takes the smaller depth and the higher priority, so the order of pages does not matter."""
    for depth, priority in (first, second):
        queue.insert(conn, [request("1", depth=depth, priority=priority)], NOW)
    assert conn.execute("SELECT depth, priority FROM _requests").fetchall() == [expected]


def test_a_duplicate_changes_nothing_of_an_ended_request(conn: sqlite3.Connection, queue: Queue) -> None:
    """What is done is done."""
    queue.insert(conn, [request("1", depth=3)], NOW)
    conn.execute("UPDATE _requests SET state = 1")
    queue.insert(conn, [request("1", depth=0, priority=9)], NOW)
    assert conn.execute("SELECT depth, priority FROM _requests").fetchall() == [(3, 0)]


def test_only_what_is_new_makes_a_domain_due(conn: sqlite3.Connection, queue: Queue) -> None:
    """Each domain is due with its soonest new request; one with nothing new is not named."""
    queue.insert(conn, [request("1", "c.example")], NOW)
    added, due = queue.insert(
        conn,
        [
            request("1", not_before=NOW + 9),
            request("2", not_before=NOW + 5),
            request("1", "b.example"),
            request("1", "c.example"),
        ],
        NOW,
    )
    assert (added, due) == (3, {"a.example": NOW + 5, "b.example": NOW})


# ---------------------------------------------------------------------------------------- order


def test_the_order_is_priority_depth_arrival(conn: sqlite3.Connection, queue: Queue) -> None:
    """High priority first, then small depth, then what came first."""
    queue.insert(
        conn,
        [
            request("late", depth=2),
            request("early", depth=1),
            request("urgent", depth=9, priority=1),
            request("later", depth=2),
            request("someday", priority=-1),
        ],
        NOW,
    )
    assert take(conn, queue, 2) == ["urgent", "early"]
    assert take(conn, queue) == ["late", "later", "someday"]
    assert take(conn, queue) == []
    assert len(take(conn, queue, epoch=2)) == 5


def test_nothing_is_taken_early(conn: sqlite3.Connection, queue: Queue) -> None:
    """A request that is not due lets others go before."""
    queue.insert(conn, [request("1", not_before=NOW + 5), request("2")], NOW)
    assert take(conn, queue) == ["2"]
    assert queue.next_due(conn, queue.domain_id(conn, "a.example"), NOW) == NOW
    conn.execute("UPDATE _requests SET state = 1 WHERE not_before = 0")
    assert queue.next_due(conn, queue.domain_id(conn, "a.example"), NOW) == NOW + 5
    assert take(conn, queue, now=NOW + 4.9) == []
    assert take(conn, queue, now=NOW + 5) == ["1"]


def test_many_domains_are_remembered_within_bounds(conn: sqlite3.Connection) -> None:
    """ME-06: the ids held in memory are bounded, and a forgotten one is found again."""
    queue = Queue(1)
    queue.CACHE = 10
    ids = [queue.domain_id(conn, f"{n}.example") for n in range(35)]
    assert [queue.domain_id(conn, f"{n}.example") for n in range(35)] == ids
    assert len(set(ids)) == 35
    assert len(queue._ids) <= 10


# ---------------------------------------------------------------------------------------- secrets


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(str(tmp_path / "crawl.db"), holder="test", now=NOW, inline=True)
    await database.writer.submit(
        lambda conn: begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
    )
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome.ok(200), False),
        (Outcome.skipped("type", "no page"), False),
        (Outcome.moved(request("1", "b.example"), 302), False),
        (Outcome.failed("timeout", "slow"), False),
        (Outcome.failed("callback", "broken: may be queued again"), True),
        (Outcome.retry(NOW + 5, "timeout", "slow"), True),
    ],
    ids=lambda value: value.name if isinstance(value, Outcome) else "",
)
async def test_headers_and_bodies_go_when_a_request_ended(
    database: Database, outcome: Outcome, kept: bool
) -> None:
    """What may be secret is kept only while the request may be sent again; the rest of its options stays."""
    frontier = SqliteFrontier(database.writer, 1)
    await frontier.add([request("1", options=SECRET)], now=NOW)
    (lease,) = await frontier.claim("one", domains=1, per_domain=1, lease=30.0, now=NOW)
    await frontier.complete(lease, finished(lease.requests[0], outcome), now=NOW)
    row = await database.writer.read(
        lambda conn: conn.execute(
            "SELECT callback, priority, options, body FROM _requests WHERE id = 1"
        ).fetchone()
    )
    cleared = replace(SECRET, headers=(), body=b"")
    assert decode_options(*row) == (SECRET if kept else cleared)
    assert (b"abc" in repr(row).encode()) is kept
