"""Runs: begun, found again, ended, counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from scraper.reports.failures import problems_of
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect
from scraper.store.queue.runs import (
    Run,
    begin,
    counters,
    finish,
    latest,
    reopen,
    requeue,
    rows_by_table,
    unfinished,
)

NOW = 1_767_225_600.0
OPTIONS = {"arguments": {"max": 3, "shop": "é"}, "start": ["https://a.example/"], "settings": {}}


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(connect(":memory:")) as conn:
        prepare(conn)
        yield conn


def new(conn: sqlite3.Connection, series: str = "books", now: float = NOW) -> Run:
    return begin(conn, spider="books", target="spiders/books.py", series=series, options=OPTIONS, now=now)


def failed(conn: sqlite3.Connection, run: Run, name: str, kind: str, status: int | None = None) -> int:
    """A failed request of a run, with its counters as a crawl leaves them."""
    conn.execute("INSERT OR IGNORE INTO _domains (id, name) VALUES (1, 'a.example')")
    conn.execute("INSERT OR IGNORE INTO _queues (run, domain) VALUES (?, 1)", (run.id,))
    for counter in ("failed", f"failed.{kind}"):
        conn.execute(
            "INSERT INTO _counters VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET value = value + 1",
            (run.id, counter),
        )
    conn.execute("INSERT OR IGNORE INTO _counters VALUES (?, 'queued', 0)", (run.id,))
    cursor = conn.execute(
        "INSERT INTO _requests (run, domain, fingerprint, url, state, callback, kind, status, why, ended, attempts)"
        " VALUES (?, 1, ?, ?, 2, 'parse', ?, ?, 'it failed', ?, 2)",
        (run.id, name.encode(), f"https://a.example/{name}", kind, status, NOW),
    )
    return int(cursor.lastrowid or 0)


def test_a_run_keeps_what_it_was_begun_with(conn: sqlite3.Connection) -> None:
    """Arguments, start and settings come back as they were given."""
    run = new(conn)
    assert run == Run(1, "books", "spiders/books.py", "books", OPTIONS, NOW, "running", None, seeded=False)
    assert latest(conn) == run


def test_an_unfinished_run_is_found(conn: sqlite3.Connection) -> None:
    """A run whose process died, or that stopped with work left, can be gone on with; the newest first."""
    first, second = new(conn), new(conn, now=NOW + 1)
    assert unfinished(conn) == second
    finish(conn, second.id, "complete", None, NOW + 2)
    assert unfinished(conn) == first
    finish(conn, first.id, "stopped", "interrupted", NOW + 3)
    found = unfinished(conn)
    assert found is not None
    assert (found.id, found.state, found.reason) == (first.id, "stopped", "interrupted")
    finish(conn, first.id, "finished", "2 of 9 requests failed", NOW + 4)
    assert unfinished(conn) is None


def test_a_run_is_looked_for_in_its_series(conn: sqlite3.Connection) -> None:
    """Other arguments are another series: its unfinished run is not ours to resume."""
    books, shoes = new(conn, "books"), new(conn, "shoes")
    assert unfinished(conn, "books") == books
    assert unfinished(conn, "shoes") == shoes
    assert unfinished(conn, "hats") is None
    assert unfinished(conn) == shoes


def test_a_run_that_goes_on_has_not_ended(conn: sqlite3.Connection) -> None:
    """A resumed run runs again, and how often it was resumed is kept."""
    run = new(conn)
    finish(conn, run.id, "stopped", "interrupted", NOW + 1)
    reopen(conn, run)
    assert latest(conn) == run
    assert conn.execute("SELECT ended, resumed FROM _runs").fetchone() == (None, 1)


def test_an_empty_database_has_no_run(conn: sqlite3.Connection) -> None:
    """Nothing was run, nothing is unfinished, nothing was counted."""
    assert (latest(conn), unfinished(conn), counters(conn, 1), problems_of(conn, 1)) == (None, None, {}, [])


def test_counters_are_those_of_their_run(conn: sqlite3.Connection) -> None:
    """Rows by table come from the counters, whatever a table is called."""
    run, other = new(conn), new(conn)
    values = {"pages": 4, "item.book.new": 3, "item.book.same": 1, "item.a.b.new": 2}
    conn.executemany("INSERT INTO _counters VALUES (?, ?, ?)", [(run.id, *pair) for pair in values.items()])
    conn.execute("INSERT INTO _counters VALUES (?, 'pages', 9)", (other.id,))
    assert counters(conn, run.id) == values
    assert rows_by_table(counters(conn, run.id)) == {"book": {"new": 3, "same": 1}, "a.b": {"new": 2}}


def test_failures_are_counted_by_kind(conn: sqlite3.Connection) -> None:
    """The most frequent failure comes first, with its status."""
    run, other = new(conn), new(conn)
    for n in range(3):
        failed(conn, run, f"gone{n}", "http", 404)
    failed(conn, run, "slow", "timeout")
    failed(conn, other, "slow", "timeout")
    assert [(p.kind, p.status, p.count) for p in problems_of(conn, run.id)] == [
        ("http", 404, 3),
        ("timeout", None, 1),
    ]


def test_failed_requests_are_queued_again(conn: sqlite3.Connection) -> None:
    """Put back, a request is as new, its domain is due, and the counters agree; others stay as they are."""
    run, other = new(conn), new(conn)
    ids = [failed(conn, run, name, "callback") for name in ("1", "2")]
    foreign = failed(conn, other, "1", "callback")
    requeue(conn, run.id, [ids[0], foreign, 999], NOW + 5)
    requeue(conn, run.id, [ids[0]], NOW + 6)
    assert conn.execute("SELECT id, state, kind, why, ended, attempts FROM _requests").fetchall() == [
        (ids[0], 0, None, None, None, 0),
        (ids[1], 2, "callback", "it failed", NOW, 2),
        (foreign, 2, "callback", "it failed", NOW, 2),
    ]
    assert counters(conn, run.id) == {"queued": 1, "failed": 1, "failed.callback": 1}
    assert conn.execute("SELECT run, ready_at FROM _queues").fetchall() == [
        (run.id, NOW + 5),
        (other.id, None),
    ]


def test_the_view_of_runs_is_readable(conn: sqlite3.Connection) -> None:
    """`runs` is for people: times in UTC, the counts that matter."""
    run = new(conn)
    conn.execute("INSERT INTO _counters VALUES (?, 'pages', 7)", (run.id,))
    finish(conn, run.id, "complete", None, NOW + 60)
    assert conn.execute("SELECT spider, state, started, ended, pages, failed FROM runs").fetchall() == [
        ("books", "complete", "2026-01-01 00:00:00", "2026-01-01 00:01:00", 7, 0)
    ]
