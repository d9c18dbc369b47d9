"""Databases of earlier schema versions: opened, brought to today's, read, and their unfinished run ended."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scraper.cli.group import cli
from scraper.events import Warned
from scraper.query import ask, list_tables, open_readonly
from scraper.store.file import schema
from scraper.store.file.schema import VERSION, prepare
from scraper.store.file.writer import connect
from scraper.store.rows.history import item_tables
from tests.support import old_shop

OLD = sorted(old_shop.FOLDER.glob("schema-*.sql"))
IDS = [path.stem for path in OLD]


@pytest.fixture(params=OLD, ids=IDS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as an earlier version left it: its third run was killed."""
    db = tmp_path / "old.db"
    old_shop.load(request.param, db)
    return db


def shape(conn: sqlite3.Connection) -> dict[str, tuple[Any, ...]]:
    """All tables, views and indexes; of item tables the set of their columns, since new ones come last."""
    items = {name for table in item_tables(conn) for name in (table, f"_{table}_history")}
    found: dict[str, tuple[Any, ...]] = {}
    for name, kind, sql in conn.execute("SELECT name, type, sql FROM sqlite_master"):
        columns = conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
        found[name] = (
            (kind, set(columns)) if name in items else (kind, columns, re.sub(r"\s+", " ", sql or ""))
        )
    return found


def test_the_first_published_schema_is_kept() -> None:
    """There is a database of schema 1, and none of a version that does not exist."""
    versions = {int(path.stem.partition("-")[2]) for path in OLD}
    assert 1 in versions
    assert versions <= set(range(1, VERSION + 1))


def test_an_old_database_is_brought_to_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    """After opening, an old database has every table, index, view and column that a new one has."""
    new = tmp_path / "new.db"
    old_shop.crawl(new)
    with closing(connect(str(old))) as conn, closing(connect(str(new))) as fresh:
        prepare(conn)
        assert conn.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert shape(conn) == shape(fresh)
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_records_itself(old: Path) -> None:
    """What was done and when is a row of `_migrations`, and is done once."""
    with closing(connect(str(old))) as conn:
        before = conn.execute("PRAGMA user_version").fetchone()[0]
        notes = prepare(conn, 1_767_225_999.0)
        recorded = conn.execute("SELECT at, run, what FROM _migrations").fetchall()
        if before == VERSION:
            assert (notes, recorded) == ([], [])
        else:
            assert notes == [f"the database had schema {before} and has {VERSION} now; nothing was lost"]
            assert recorded == [(1_767_225_999.0, None, notes[0])]
        assert prepare(conn) == []


@pytest.mark.parametrize("steps", [1, 7, 20])
def test_a_migration_that_is_interrupted_changes_nothing(old: Path, steps: int) -> None:
    """All or nothing: whatever statement it dies at, the database is the old one, and the next try succeeds."""
    with closing(connect(str(old))) as conn:
        before = list(conn.iterdump()), conn.execute("PRAGMA user_version").fetchone()
        if before[1] == (VERSION,):
            pytest.skip("of today's version: nothing to do")
        left = steps

        def interrupt() -> int:
            nonlocal left
            left -= 1
            return left < 0

        conn.set_progress_handler(interrupt, 10)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            prepare(conn)
        conn.set_progress_handler(None, 0)
        assert (list(conn.iterdump()), conn.execute("PRAGMA user_version").fetchone()) == before
        assert prepare(conn)


def test_an_old_database_can_be_read_as_it_is(old: Path) -> None:
    """Reading needs no migration: tables and views answer, and the file stays as it was."""
    before = old.read_bytes()
    with closing(open_readonly(str(old))) as conn:
        for info in list_tables(conn):
            assert len(list(ask(conn, info.name).rows)) == info.rows
    assert old.read_bytes() == before


def test_an_unfinished_run_of_an_old_database_is_ended(old: Path, tmp_path: Path) -> None:
    """Killed under an older version, resumed under this one: the same items as an undisturbed crawl, and it is said."""
    with closing(sqlite3.connect(old)) as conn:
        version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    told: list[str] = []
    made = old_shop.crawl(
        old,
        resume="must",
        observers=[lambda event: told.append(event.message) if isinstance(event, Warned) else None],
    )
    assert (made.summary.run, made.summary.state, made.summary.exit_code) == (3, "complete", 0)
    assert (version == VERSION) or f"had schema {version}" in told[0]
    undisturbed = old_shop.crawl(tmp_path / "new.db")
    for table in ("product", "part"):
        assert values(made, table) == values(undisturbed, table)
        assert {row["_run"] for row in made.tables[table]} == {3}
    assert values(made, "quote", run=3) == values(undisturbed, "quote")
    assert values(made, "oldshop", run=3) == values(undisturbed, "oldshop")


def values(made: Any, table: str, run: int | None = None) -> list[tuple[str, ...]]:
    """The author's own columns of the rows of a table, in the order of their text."""
    rows = [row for row in made.tables[table] if run is None or row["_run"] == run]
    return sorted(tuple(repr(v) for name, v in row.items() if not name.startswith("_")) for row in rows)


def test_a_step_that_was_published_is_never_changed() -> None:
    """Step 1 made the databases that are kept here; its text is theirs."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(schema.STEPS[0])
        made = {
            row[0]: row[1] for row in conn.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")
        }
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript((old_shop.FOLDER / "schema-1.sql").read_text())
        kept = {
            row[0]: row[1] for row in conn.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")
        }
    assert {name: kept[name] for name in made} == made


def test_what_only_a_newer_schema_has_is_no_riddle(tmp_path: Path) -> None:
    """Commands that read say that a database is of an older version, and what updates it."""
    db = tmp_path / "old.db"
    old_shop.load(old_shop.FOLDER / "schema-1.sql", db)
    for command in ("errors", "hosts"):
        result = CliRunner().invoke(cli, [command, str(db)])
        assert "an older version wrote this database" in str(result.exception) + result.output


def test_a_run_without_failures_has_none(tmp_path: Path) -> None:
    """The view `runs` counts from 0: `WHERE failed = 0` finds the runs without failures."""
    db = tmp_path / "old.db"
    old_shop.load(old_shop.FOLDER / "schema-1.sql", db)
    with closing(connect(str(db))) as conn:
        prepare(conn)
        assert conn.execute("SELECT failed FROM runs ORDER BY id").fetchall()[0] == (0,)
