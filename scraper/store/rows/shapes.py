"""The shape of item tables: made, widened, and brought to what an item class says now.

A class that changed alters its table in the transaction of the caller, and every change is recorded in
`_migrations` and said. What would lose data is refused with the command that does it. Columns are never dropped.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scraper.core.models import Table
from scraper.core.sql_names import fold, quoted
from scraper.errors import ItemError, TableError
from scraper.store.rows.history import Found, columns_of, keep_history, keys_of
from scraper.store.rows.reshape import Loss, losses, rebuild

__all__ = ["FILLED", "INTERNAL", "Occasion", "adapt", "ensure"]

#: The columns of every item table besides its own, and their types.
INTERNAL = {
    "_url": "TEXT",  # final URL of the page the row is from
    "_run": "INTEGER",  # the run that saw it last
    "_at": "TEXT",  # when, ISO in UTC
    "_request": "INTEGER",  # the request whose page it is from
    "_ordinal": "INTEGER",  # its place among the items of that page
    "_first_run": "INTEGER",  # the run that saw it first
    "_changed_run": "INTEGER",  # the last run that found it different from what an earlier run had stored
    "_gone_run": "INTEGER",  # the complete run that did not see it any more
    "_back_run": "INTEGER",  # the last run that saw it again after it was gone
    "_conflict_run": "INTEGER",  # the last run in which two pages had its key with different values
}
#: With `merge="fill"`: JSON of column → request, for values not from `_request`; null: from an older run.
FILLED = "_filled"


@dataclass(slots=True)
class Occasion:
    """Why tables are looked at: in which run, when (unix; None: now), and whether values may be lost for it.

    `notes` grows by what was done, in sentences.
    """

    run: int | None = None
    at: float | None = None
    accept_loss: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Changes:
    """What a table lacks of what its class says. Types and keys as (is, wanted)."""

    added: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    key: tuple[list[str], list[str]] | None = None


def ensure(conn: sqlite3.Connection, table: Table, occasion: Occasion) -> dict[str, str]:
    """Make the table, or bring it to its class. Returns the column types by folded name.

    Raises TableError when that would lose data or the table is no item table, and ItemError when a table of
    plain dicts would get more columns than SQLite allows.
    """
    found = columns_of(conn, table.name)
    if not found:
        conn.execute(_create(table))
        keep_history(conn, table.name)
        _index(conn, table, occasion)
        _remember(conn, table)
        return {fold(column.name): column.type for column in table.columns}
    names = {fold(column.name) for column in found}
    if missing := [name for name in INTERNAL if name not in names]:
        raise TableError(
            f"{table.name} in this database is no item table (it has no {missing[0]}); "
            'crawl into another one (--db FILE), or give the class another table with @table(name="…")'
        )
    if table.open or _shape(table) != _remembered(conn, table.name):
        _alter(conn, table, found, occasion)
    return {fold(column.name): column.type for column in columns_of(conn, table.name)}


def adapt(conn: sqlite3.Connection, tables: Sequence[Table], occasion: Occasion) -> None:
    """Bring the tables that exist to their classes; the others are made when their first item comes."""
    for table in tables:
        if columns_of(conn, table.name):
            ensure(conn, table, occasion)


# ---------------------------------------------------------------------------------------------- making


def _create(table: Table) -> str:
    parts = [f"{quoted(c.name)} {c.type}{' NOT NULL' if c.key else ''}" for c in table.columns]
    parts += [f"{name} {kind}" for name, kind in INTERNAL.items()]
    if table.fill:
        parts.append(f"{FILLED} TEXT")
    keys = [quoted(c.name) for c in table.columns if c.key]
    parts.append(f"PRIMARY KEY ({', '.join(keys)})" if keys else "UNIQUE (_request, _ordinal)")
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({', '.join(parts)})"


def _shape(table: Table) -> str:
    columns = [[c.name, c.type, c.key, c.required] for c in table.columns]
    return json.dumps([columns, table.fill, table.indexes, table.unique], ensure_ascii=False)


def _remembered(conn: sqlite3.Connection, table: str) -> str | None:
    row = conn.execute("SELECT shape FROM _tables WHERE name = ?", (table,)).fetchone()
    return row[0] if row else None


def _remember(conn: sqlite3.Connection, table: Table) -> None:
    if not table.open:
        conn.execute(
            "INSERT INTO _tables (name, shape) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET shape = excluded.shape",
            (table.name, _shape(table)),
        )


# ---------------------------------------------------------------------------------------------- altering


def _alter(conn: sqlite3.Connection, table: Table, found: Sequence[Found], occasion: Occasion) -> None:
    changes = _compare(table, found)
    _refuse_too_wide(conn, table, len(found) + len(changes.added))
    if changes.retyped or changes.key:
        _reshape(conn, table, changes, occasion)
    for name, kind in changes.added:
        conn.execute(f"ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(name)} {kind}")
    if table.open:
        return
    keep_history(conn, table.name)
    told = _told(conn, table, changes, _remembered(conn, table.name))
    told += _index(conn, table, occasion)
    for what in told:
        _record(conn, occasion, f"table {table.name}: {what}")
    _remember(conn, table)


def _compare(table: Table, found: Sequence[Found]) -> _Changes:
    kinds = {fold(column.name): column.type for column in found}
    wanted = {fold(column.name): column for column in table.columns}
    changes = _Changes()
    changes.added = [(c.name, c.type) for name, c in wanted.items() if name not in kinds]
    if table.fill and FILLED not in kinds:
        changes.added.append((FILLED, "TEXT"))
    if table.open:
        return changes
    changes.removed = [c.name for c in found if fold(c.name) not in {*wanted, *INTERNAL, FILLED}]
    changes.retyped = {
        c.name: (kinds[n], c.type) for n, c in wanted.items() if kinds.get(n, c.type) != c.type
    }
    is_, now = (
        sorted(fold(key) for key in keys_of(list(found))),
        sorted(n for n, c in wanted.items() if c.key),
    )
    if is_ != now:
        changes.key = is_, now
    return changes


def _refuse_too_wide(conn: sqlite3.Connection, table: Table, columns: int) -> None:
    limit = conn.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)
    if columns <= limit:
        return
    why = f"table {table.name} would have more than {limit:,} columns; nest some fields in a dict"
    raise ItemError(why, item=table.name) if table.open else TableError(why)


def _reshape(conn: sqlite3.Connection, table: Table, changes: _Changes, occasion: Occasion) -> None:
    """Change types and key; what would lose something only where that was accepted."""
    lost = {name: losses(conn, table.name, name, new) for name, (_, new) in changes.retyped.items()}
    if not occasion.accept_loss:
        _refuse_loss(conn, table, changes, lost, occasion)
    keys = None
    if changes.key:
        keys = [c.name for c in table.columns if c.key]
        for column in table.columns:
            if column.key and column.name in dict(changes.added):
                conn.execute(
                    f"ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(column.name)} {column.type}"
                )
                changes.added.remove((column.name, column.type))
    gone = rebuild(conn, table.name, {fold(n): new for n, (_, new) in changes.retyped.items()}, keys)
    for name, (old, new) in changes.retyped.items():
        loss = f"; {lost[name].count:,} values were lost" if lost[name].count else ", every value as it was"
        _record(conn, occasion, f"table {table.name}: column {name} is {new} now (it was {old}){loss}")
    if changes.key:
        told = f"the key is {_listed(changes.key[1])} now (it was {_listed(changes.key[0])})"
        _record(conn, occasion, f"table {table.name}: {told}; {gone:,} rows were dropped")


def _refuse_loss(
    conn: sqlite3.Connection, table: Table, changes: _Changes, lost: dict[str, Loss], occasion: Occasion
) -> None:
    reasons = [
        f"column {name} of table {table.name} is {old} in this database and {new} in the item class now, and"
        f" {lost[name].count:,} stored values would not survive (such as {lost[name].example!r:.60})"
        for name, (old, new) in changes.retyped.items()
        if lost[name].count
    ]
    if changes.key and conn.execute(f"SELECT 1 FROM {quoted(table.name)} LIMIT 1").fetchone():  # noqa: S608 - quoted
        is_, now = changes.key
        reasons.insert(
            0,
            f"the key of table {table.name} is {_listed(is_)} in this database and {_listed(now)} in the item class now",
        )
    if reasons:
        raise TableError(
            f'{reasons[0]}; crawl into another one (--db FILE), use @table(name="…"), or accept the loss: '
            f"{_command(conn, occasion)}"
        )


def _command(conn: sqlite3.Connection, occasion: Occasion) -> str:
    """The command that does what was refused."""
    path = next((row[2] for row in conn.execute("PRAGMA database_list") if row[1] == "main"), "")
    row = conn.execute("SELECT target FROM _runs WHERE id = ?", (occasion.run,)).fetchone()
    target = row[0] if row and row[0] else "TARGET"
    return f"scraper migrate {shlex.quote(path or 'DB')} {shlex.quote(target)} --accept-loss"


def _told(conn: sqlite3.Connection, table: Table, changes: _Changes, before: str | None) -> list[str]:
    """What was done for a changed class, in sentences."""
    added = [name for name, _ in changes.added if name != FILLED]
    told = [f"new column {name}, NULL in the rows stored before" for name in added]
    known = {c[0] for c in json.loads(before)[0]} if before else None
    removed = [name for name in changes.removed if known is None or name in known]
    told += [f"column {name} stays, but no field fills it any more" for name in removed]
    if len(added) == len(removed) == 1:
        new, old, of = quoted(added[0]), quoted(removed[0]), quoted(table.name)
        told[-1] += f"; if it was renamed to {added[0]}: UPDATE {of} SET {new} = {old} WHERE {new} IS NULL"  # noqa: S608 - said
    return told + _newly_required(conn, table, before)


def _newly_required(conn: sqlite3.Connection, table: Table, before: str | None) -> list[str]:
    if before is None:
        return []
    optional = {name for name, _, _, required in json.loads(before)[0] if not required}
    told = []
    for column in table.columns:
        if column.required and column.name in optional:
            count = conn.execute(
                f"SELECT count(*) FROM {quoted(table.name)} WHERE {quoted(column.name)} IS NULL"  # noqa: S608 - quoted
            ).fetchone()[0]
            if count:
                told.append(f"{column.name} is required now, and {count:,} rows stored before have none")
    return told


def _index(conn: sqlite3.Connection, table: Table, occasion: Occasion) -> list[str]:
    """Make the indexes the class asks for, and drop those it does not ask for any more."""
    marks = {f"{table.name}({', '.join(names)})": (names, "") for names in table.indexes}
    marks |= {f"{table.name}({', '.join(names)}) unique": (names, "UNIQUE ") for names in table.unique}
    rows = conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND substr(name, 1, ?) = ?",
        (table.name, len(table.name) + 1, f"{table.name}("),
    )
    there = {name for (name,) in rows}
    for name in there - marks.keys():
        conn.execute(f"DROP INDEX {quoted(name)}")
    for name, (names, unique) in marks.items():
        if name not in there:
            _make_index(conn, table, name, names, unique, occasion)
    told = [f"index on {name} was dropped" for name in sorted(there - marks.keys())]
    return told + [f"index on {name} was made" for name in marks if name not in there]


def _make_index(
    conn: sqlite3.Connection, table: Table, name: str, names: Sequence[str], unique: str, occasion: Occasion
) -> None:
    listed, of = ", ".join(map(quoted, names)), quoted(table.name)
    if unique and occasion.accept_loss:
        gone = conn.execute(
            f"DELETE FROM {of} WHERE _rowid_ NOT IN (SELECT _rowid_ FROM (SELECT _rowid_, row_number() OVER"  # noqa: S608 - quoted
            f" (PARTITION BY {listed} ORDER BY _run DESC, _rowid_ DESC) AS place FROM {of}) WHERE place = 1)"
            f" AND {' AND '.join(f'{quoted(n)} IS NOT NULL' for n in names)}"
        ).rowcount
        if gone:
            _record(conn, occasion, f"table {table.name}: {gone:,} rows were dropped to make {name}")
    try:
        conn.execute(f"CREATE {unique}INDEX {quoted(name)} ON {of} ({listed})")
    except sqlite3.IntegrityError as error:
        raise TableError(
            f"the rows of table {table.name} are not unique in {', '.join(names)}, as the item class wants now;"
            f" keep only the newest of each: {_command(conn, occasion)}"
        ) from error


def _record(conn: sqlite3.Connection, occasion: Occasion, what: str) -> None:
    conn.execute(
        "INSERT INTO _migrations (at, run, what) VALUES (coalesce(?, strftime('%s', 'now')), ?, ?)",
        (occasion.at, occasion.run, what),
    )
    occasion.notes.append(what)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(names) or "none"
