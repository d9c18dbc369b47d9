"""Item tables: created and widened as items come, and written so that timing does not decide what stays.

Everything here runs on an open connection inside a transaction that somebody else began and will end.
Statements are made of names, always quoted (`"` doubled), and bound values.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scraper.errors import ItemError, StoreError
from scraper.models import ItemRow, Rejected, Table

__all__ = ["INTERNAL", "ItemTables", "Provenance", "Written", "ensure"]

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
}
#: With `merge="fill"`: JSON of column → request, for values not from `_request`; null: from an older run.
FILLED = "_filled"
#: Shapes whose statements are remembered; more of them cost time, not memory.
MAX_PLANS = 1024

_SOURCE = ("_url", "_run", "_at", "_request", "_ordinal")
#: Text that a numeric column would turn into a number. Possessive: on hostile text it must not backtrack.
_NUMERIC_TEXT = re.compile(r"\s*+[+-]?(\d++(\.\d*+)?|\.\d++)(e[+-]?\d++)?\s*+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The page rows come from: its final URL, the run, the time (ISO, UTC) and the request."""

    url: str
    run: int
    at: str
    request_id: int
    fingerprint: bytes


class Written(NamedTuple):
    """What became of rows: counts by `table.new`, `.changed`, `.same`, `.merged`, and what SQLite refused.

    `merged` counts rows whose key this run had already seen, so the other three add up to distinct keys.
    """

    stored: Counter[str]
    rejected: list[Rejected]


class _Stored(NamedTuple):
    """A row found by its key. `filled` maps columns to the request of their value, where not `request`."""

    values: tuple[Any, ...]
    run: int
    request: int
    ordinal: int
    first_run: int
    filled: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The statements of one table shape, and the columns whose type would alter a value given to them."""

    table: Table
    insert: str
    lookup: str
    update: str
    fill: str
    keys: tuple[int, ...]
    others: tuple[int, ...]
    guarded: tuple[tuple[int, str], ...]


class ItemTables:
    """Writes item rows, remembering which tables are as they should be and the statements for them.

    Invariant: what it remembers is true of the database, provided `forget` is called after a rollback.
    """

    def __init__(self) -> None:
        self._plans: dict[int, _Plan] = {}

    def forget(self) -> None:
        """After a rollback: tables and columns made in it are gone."""
        self._plans.clear()

    def write(self, conn: sqlite3.Connection, rows: Sequence[ItemRow], origin: Provenance) -> Written:
        """Store the rows of one page. A row that SQLite refuses comes back as rejected, the others go in.

        Of two rows with one key in one run the request with the smaller fingerprint wins, whichever came
        first; of two from one request the later. Raises StoreError for a table that does not fit its class.
        """
        stored: Counter[str] = Counter()
        rejected: list[Rejected] = []
        for row in rows:
            try:
                what = self._write_row(conn, row, origin)
            except (ItemError, sqlite3.DataError, sqlite3.IntegrityError, OverflowError, UnicodeError) as exc:
                rejected.append(_reject(row, exc))
            except sqlite3.ProgrammingError as exc:
                if not str(exc).startswith("Error binding parameter"):
                    raise  # not about this row: a closed connection, another thread
                rejected.append(_reject(row, exc))
            else:
                stored[f"{row.table.name}.{what}"] += 1
        return Written(stored, rejected)

    def _write_row(self, conn: sqlite3.Connection, row: ItemRow, origin: Provenance) -> str:
        plan = self._plans.get(id(row.table)) or self._prepare(conn, row.table)
        for place, kind in plan.guarded:
            if _alters(kind, row.values[place]):
                raise _guard(row, place, kind)
        source = (origin.url, origin.run, origin.at, origin.request_id, row.ordinal)
        if conn.execute(plan.insert, (*row.values, *source, origin.run)).rowcount or not plan.keys:
            return "new"
        return _upsert(conn, plan, row, origin, source)

    def _prepare(self, conn: sqlite3.Connection, table: Table) -> _Plan:
        kinds = ensure(conn, table)
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        plan = self._plans[id(table)] = _plan(
            table, kinds
        )  # the plan keeps the table, so its id stays its own
        return plan


# ---------------------------------------------------------------------------------------------- schema


def ensure(conn: sqlite3.Connection, table: Table) -> dict[str, str]:
    """Make the table, or add the columns it lacks. Returns the column types by lower-case name.

    Raises StoreError when the table in the database has another key or a column another type, and ItemError
    when a table of plain dicts would get more columns than SQLite allows.
    """
    found = conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table.name,)).fetchall()
    if not found:
        conn.execute(_create(table))
        return {_fold(column.name): column.type for column in table.columns}
    kinds = {_fold(name): kind.upper() for name, kind, _ in found}
    _check_table(table, kinds, {_fold(name) for name, _, pk in found if pk})
    lacking = [(c.name, c.type) for c in table.columns if _fold(c.name) not in kinds]
    if table.fill and FILLED not in kinds:
        lacking.append((FILLED, "TEXT"))
    limit = conn.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)
    if lacking and len(kinds) + len(lacking) > limit:
        raise _too_wide(table, limit)
    for name, kind in lacking:
        conn.execute(f"ALTER TABLE {_quote(table.name)} ADD COLUMN {_quote(name)} {kind}")
        kinds[_fold(name)] = kind
    return kinds


def _create(table: Table) -> str:
    parts = [f"{_quote(c.name)} {c.type}{' NOT NULL' if c.key else ''}" for c in table.columns]
    parts += [f"{name} {kind}" for name, kind in INTERNAL.items()]
    if table.fill:
        parts.append(f"{FILLED} TEXT")
    keys = [_quote(c.name) for c in table.columns if c.key]
    parts.append(f"PRIMARY KEY ({', '.join(keys)})" if keys else "UNIQUE (_request, _ordinal)")
    return f"CREATE TABLE IF NOT EXISTS {_quote(table.name)} ({', '.join(parts)})"


def _check_table(table: Table, kinds: dict[str, str], keys: set[str]) -> None:
    if missing := [name for name in INTERNAL if name not in kinds]:
        raise StoreError(
            f"{table.name} in this database is no item table (it has no {missing[0]}); "
            f"crawl into another one (--db FILE), or {_RENAME}"
        )
    wanted = {_fold(c.name) for c in table.columns if c.key}
    if keys != wanted:
        raise StoreError(
            f"the key of table {table.name} is {_listed(keys)} in this database and {_listed(wanted)} in the "
            f"item class now; crawl into another one (--db FILE), or {_RENAME}"
        )
    for column in table.columns:
        kind = kinds.get(_fold(column.name), column.type)
        if kind != column.type and not table.open:
            raise StoreError(
                f"column {column.name} of table {table.name} is {kind} in this database and {column.type} "
                f"in the item class now; crawl into another one (--db FILE), rename the field, or {_RENAME}"
            )


_RENAME = 'give the class another table with @table(name="…")'


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _too_wide(table: Table, limit: int) -> Exception:
    why = f"table {table.name} would have more than {limit:,} columns; nest some fields in a dict"
    return ItemError(why, item=table.name) if table.open else StoreError(why)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fold(name: str) -> str:
    """SQLite compares names without the case of ASCII letters, and of these only."""
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)


# ---------------------------------------------------------------------------------------------- statements


def _plan(table: Table, kinds: dict[str, str]) -> _Plan:
    name, columns = _quote(table.name), [_quote(c.name) for c in table.columns]
    keys = tuple(i for i, c in enumerate(table.columns) if c.key)
    others = tuple(i for i, c in enumerate(table.columns) if not c.key)
    where = " AND ".join(f"{columns[i]} = ?" for i in keys)
    own = [f"{columns[i]} = ?" for i in others] + ["_changed_run = coalesce(?, _changed_run)"]
    if table.fill:
        own.append(f"{FILLED} = ?")
    source = [f"{column} = ?" for column in _SOURCE] + ["_gone_run = NULL"]
    found = [*(columns[i] for i in others), "_run", "_request", "_ordinal", "_first_run"]
    return _Plan(
        table,
        insert=_insert(table, name, columns),
        lookup=f"SELECT {', '.join(found)}{', ' + FILLED if table.fill else ''} FROM {name} WHERE {where}",  # noqa: S608 - quoted
        update=f"UPDATE {name} SET {', '.join(own + source)} WHERE {where}",  # noqa: S608 - quoted
        fill=f"UPDATE {name} SET {', '.join(own)} WHERE {where}",  # noqa: S608 - quoted
        keys=keys,
        others=others,
        guarded=tuple(
            (i, kinds[_fold(c.name)]) for i, c in enumerate(table.columns) if kinds[_fold(c.name)] != c.type
        ),
    )


def _insert(table: Table, name: str, columns: list[str]) -> str:
    every = [*columns, *_SOURCE, "_first_run"]
    keys = [_quote(c.name) for c in table.columns if c.key]
    if keys:
        conflict = f"({', '.join(keys)}) DO NOTHING"
    else:
        again = [f"{column} = excluded.{column}" for column in (*columns, "_url", "_run", "_at")]
        conflict = f"(_request, _ordinal) DO UPDATE SET {', '.join(again)}, _gone_run = NULL"
    marks = ", ".join("?" * len(every))
    return f"INSERT INTO {name} ({', '.join(every)}) VALUES ({marks}) ON CONFLICT {conflict}"  # noqa: S608 - quoted


# ----------------------------------------------------------------------------------------- the same key again


def _upsert(
    conn: sqlite3.Connection, plan: _Plan, row: ItemRow, origin: Provenance, source: tuple[Any, ...]
) -> str:
    """The key is known. Store what wins and say what the row was: changed, same or merged."""
    key = tuple(row.values[i] for i in plan.keys)
    old = _read(conn, plan, key)
    new = tuple(row.values[i] for i in plan.others)
    again = old.run == origin.run

    def precedes(request: int | None) -> bool:
        """Whether this row's request wins over that one; None stands for one of an older run."""
        return request is None or _precedes(conn, origin, request)

    wins = not again or (
        row.ordinal >= old.ordinal if old.request == origin.request_id else precedes(old.request)
    )
    if plan.table.fill:
        names = [plan.table.columns[i].name for i in plan.others]
        values, filled = _filled(names, old, new, origin, wins, precedes)
    else:
        values, filled = (new if wins else old.values), None
    # Within the run that saw the row first, which page came first is no change of the data.
    changed = origin.run if values != old.values and old.first_run != origin.run else None
    own = (*values, changed, filled) if plan.table.fill else (*values, changed)
    if wins:
        conn.execute(plan.update, (*own, *source, *key))
    elif plan.table.fill:
        conn.execute(plan.fill, (*own, *key))
    if again:
        return "merged"
    return "changed" if values != old.values else "same"


def _read(conn: sqlite3.Connection, plan: _Plan, key: tuple[Any, ...]) -> _Stored:
    found = conn.execute(plan.lookup, key).fetchone()
    count = len(plan.others)
    filled = json.loads(found[-1]) if plan.table.fill and found[-1] else {}
    run, request, ordinal, first_run = found[count : count + 4]
    return _Stored(found[:count], run, request, ordinal, first_run, filled)


def _precedes(conn: sqlite3.Connection, origin: Provenance, request: int) -> bool:
    if request == origin.request_id:
        return True
    found = conn.execute("SELECT fingerprint FROM _requests WHERE id = ?", (request,)).fetchone()
    return found is None or origin.fingerprint < bytes(found[0])


def _filled(
    names: list[str],
    old: _Stored,
    new: tuple[Any, ...],
    origin: Provenance,
    wins: bool,
    precedes: Callable[[int | None], bool],
) -> tuple[tuple[Any, ...], str | None]:
    """The values after `merge="fill"`, and the JSON of the columns that are not from the row's own request.

    Each column holds the value of the first request of this run, by fingerprint, that has one; failing that,
    what an older run stored. To keep this true for three pages in any order, every value knows its request.
    """
    again = old.run == origin.run
    values, owners = [], {}
    for name, stored, fresh in zip(names, old.values, new, strict=True):
        owner = old.filled.get(name, old.request) if again else None
        if fresh is not None and (stored is None or precedes(owner)):
            stored, owner = fresh, origin.request_id
        values.append(stored)
        if stored is not None:
            owners[name] = owner
    mine = origin.request_id if wins else old.request
    others = {name: owner for name, owner in owners.items() if owner != mine}
    return tuple(values), json.dumps(others) if others else None


# ---------------------------------------------------------------------------------------------- refusals


def _alters(kind: str, value: Any) -> bool:
    """Whether a column of this type would store something else than the value."""
    if kind == "TEXT":
        return isinstance(value, (int, float))
    if kind == "BLOB" or value is None:
        return False
    if isinstance(value, str):
        return _NUMERIC_TEXT.fullmatch(value) is not None
    return kind == "REAL" and isinstance(value, int) and float(value) != value


def _guard(row: ItemRow, place: int, kind: str) -> ItemError:
    name = row.table.columns[place].name
    return ItemError(
        f"{name}: the column is {kind}, as its first value was, and would not keep {row.values[place]!r:.80} "
        "as it is; yield values of one type, or an item class",
        item=row.table.name,
        field=name,
    )


def _reject(row: ItemRow, exc: Exception) -> Rejected:
    item = repr(dict(zip((c.name for c in row.table.columns), row.values, strict=True)))
    reason = str(exc) if isinstance(exc, ItemError) else f"the database refuses it: {exc}"
    return Rejected(row.table.name, reason, item if len(item) <= 1000 else item[:999] + "…")
