"""A bad run taken back: keyed rows as they were before it, its rows without a key removed, in one transaction.

The run stays in `_runs`, in state `undone`, with what it left for diagnosis; nothing counts it any more.
"""

from __future__ import annotations

import sqlite3

from scraper.core.maintenance import Undone
from scraper.core.sql_names import quoted
from scraper.errors import UsageError
from scraper.store.rows.history import columns_of, history_of, item_tables, keys_of
from scraper.store.rows.vanished import keyed_tables

__all__ = ["undo"]

#: Whether a row (of a table, or of its history) is as the run made it.
_MADE = "(_first_run = :run OR _changed_run = :run OR _back_run = :run)"


def undo(conn: sqlite3.Connection, run: int, database: str) -> list[Undone]:
    """Take a run back, table by table; the caller holds the database's lock and this is its transaction.

    `database` is what a person calls it. Raises UsageError, and nothing is changed, when there is no such run or
    later runs built on its rows.
    """
    row = conn.execute("SELECT state FROM _runs WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise UsageError(f"no run {run}")
    if row[0] == "undone":
        raise UsageError(f"run {run} is undone already")
    keyed = keyed_tables(conn)
    for table in keyed:
        _refuse_if_built_on(conn, table, run, database)
    done = [_undo_keyed(conn, table, run) for table in keyed]
    for table in item_tables(conn):
        if table not in keyed:
            removed = conn.execute(f"DELETE FROM {quoted(table)} WHERE _first_run = ?", (run,)).rowcount  # noqa: S608 - quoted
            _unsee(conn, quoted(table), run)
            done.append(Undone(table, removed, 0, 0))
    # What it visited may not be spared by `revisit`: it is to be fetched again.
    conn.execute("DELETE FROM _visits WHERE run = ?", (run,))
    conn.execute("UPDATE _runs SET state = 'undone' WHERE id = ?", (run,))
    return done


def _refuse_if_built_on(conn: sqlite3.Connection, table: str, run: int, database: str) -> None:
    """Rows that a later run saw, changed, or marked after this one cannot be put back under its feet."""
    name, past = quoted(table), quoted(history_of(table))
    count, later = conn.execute(
        f"SELECT count(*), max(later) FROM ("  # noqa: S608 - quoted
        f"SELECT max(_run, coalesce(_gone_run, 0)) AS later FROM {name} WHERE {_MADE}"
        f" UNION ALL SELECT _until_run FROM {past} WHERE {_MADE} OR _gone_run = :run"
        ") WHERE later > :run AND later NOT IN (SELECT id FROM _runs WHERE state = 'undone')",
        {"run": run},
    ).fetchone()
    if count:
        raise UsageError(
            f"later runs saw {count:,} rows of {table} that run {run} wrote; undo run {later} first:"
            f" scraper undo {database} {later}"
        )


def _undo_keyed(conn: sqlite3.Connection, table: str, run: int) -> Undone:
    name, past = quoted(table), quoted(history_of(table))
    named = {"run": run}
    removed = conn.execute(f"DELETE FROM {name} WHERE _first_run = :run", named).rowcount  # noqa: S608 - quoted
    columns = columns_of(conn, table)
    keys = keys_of(columns)
    back = ", ".join(f"{quoted(c.name)} = past.{quoted(c.name)}" for c in columns if c.name not in keys)
    same = " AND ".join(f"{name}.{quoted(key)} = past.{quoted(key)}" for key in keys)
    restored = conn.execute(
        f"UPDATE {name} SET {back} FROM {past} AS past WHERE past._until_run = :run AND {same}",  # noqa: S608 - quoted
        named,
    ).rowcount
    conn.execute(f"DELETE FROM {past} WHERE _until_run = :run", named)  # noqa: S608 - quoted
    marked = f"UPDATE {name} SET _gone_run = NULL WHERE _gone_run = :run"  # noqa: S608 - quoted
    unmarked = conn.execute(marked, named).rowcount
    conn.execute(f"UPDATE {name} SET _conflict_run = NULL WHERE _conflict_run = :run", named)  # noqa: S608 - quoted
    _unsee(conn, name, run)
    return Undone(table, removed, restored, unmarked)


def _unsee(conn: sqlite3.Connection, name: str, run: int) -> None:
    """Rows the run only saw again, or kept: of the same page of the last run before it, where that is still known."""
    conn.execute(
        f"UPDATE {name} SET _run = seen.run, _request = seen.id,"  # noqa: S608 - quoted
        " _at = CASE WHEN seen.fetched THEN strftime('%Y-%m-%dT%H:%M:%SZ', seen.ended, 'unixepoch') ELSE _at END"
        " FROM (SELECT mine.id AS mine, mine.state = 1 AND mine.status IS NOT 304 AS fetched,"
        " max(old.id) AS id, old.run AS run, CAST(old.ended AS INTEGER) AS ended"
        " FROM _requests AS mine JOIN _runs AS before ON before.id < :run AND before.state <> 'undone'"
        " JOIN _requests AS old ON old.run = before.id AND old.fingerprint = mine.fingerprint"
        " AND (old.state = 1 OR old.kind = 'revisit')"
        " WHERE mine.run = :run GROUP BY mine.id) AS seen"
        f" WHERE {name}._run = :run AND {name}._request = seen.mine AND seen.run >= {name}._first_run",
        {"run": run},
    )
