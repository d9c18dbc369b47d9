"""The handle of commands that read: functions run on its connection, errors in the words of a person."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scraper.errors import QueryError
from scraper.query import Interrupted, Reading, Unavailable, ask, table_names


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as conn:
        conn.executescript("CREATE TABLE one (a); INSERT INTO one VALUES (1); CREATE TABLE _two (b)")
    return str(file)


def count(conn: sqlite3.Connection, table: str) -> int:
    return int(conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_function_is_run_on_the_connection(path: str) -> None:
    """Arguments pass through, by position and by name."""
    with Reading(path) as reading:
        assert reading.read(count, "one") == 1
        assert reading.read(table_names) == ["one"]
        assert reading.read(table_names, internal=True) == ["_two", "one"]
        assert list(reading.read(ask, "select a from one", limit=1).rows) == [(1,)]


def test_nothing_can_be_written(path: str) -> None:
    """A function that writes is refused, and the file stays as it was."""
    with Reading(path) as reading, pytest.raises(QueryError, match=r"a\.db: not authorized"):
        reading.read(lambda conn: conn.execute("DELETE FROM one"))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (0, "books: no such table: three"),
        (1, "books: an older version wrote this database; its next crawl, or scraper prune, updates it"),
        (999, "books: no such table: three"),
    ],
)
def test_an_older_database_is_said_to_be_one(path: str, version: int, message: str) -> None:
    """What an earlier version lacks is not SQLite's complaint; a foreign or a newer database gets that."""
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {version}")
    with Reading(path, name="books") as reading, pytest.raises(Unavailable) as caught:
        reading.read(count, "three")
    assert str(caught.value) == message


def test_a_locked_database_is_unavailable_after_the_patience(path: str) -> None:
    """A reader waits no longer than it was told to, and its error says that trying again may help."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
        Reading(path, patience=0.0) as reading,
    ):
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="locked"):
            reading.read(count, "one")
        writer.execute("ROLLBACK")
        assert reading.read(count, "one") == 1


def test_one_moment_sees_no_later_commit(path: str) -> None:
    """Inside `one_moment` what others commit is not seen; behind it, it is."""
    with closing(sqlite3.connect(path)) as writer, Reading(path) as reading:
        writer.execute("PRAGMA journal_mode = WAL")
        with reading.one_moment():
            assert reading.read(count, "one") == 1
            with writer:
                writer.execute("INSERT INTO one VALUES (2)")
            assert reading.read(count, "one") == 1
        assert reading.read(count, "one") == 2


def test_a_signal_stops_a_statement(path: str) -> None:
    """With `heed_signals` the exception of a signal handler ends an endless statement as Interrupted."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with Reading(path) as reading:
            reading.heed_signals()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupted):
                reading.read(lambda conn: conn.execute(endless).fetchone())
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_is_not_a_database_is_refused(tmp_path: Path) -> None:
    """A missing file and a text file are named when the handle is made."""
    (tmp_path / "text.db").write_text("hello " * 1000)
    for name, message in (("none.db", "no database"), ("text.db", "cannot be read")):
        with pytest.raises(QueryError, match=message):
            Reading(str(tmp_path / name))
