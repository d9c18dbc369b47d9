"""Item rows in: tables made and widened as items come, rows written or refused one by one.

Everything here runs on an open connection inside a transaction that somebody else began and will end.
Statements are made of names, always quoted (`"` doubled), and bound values.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scraper.core.models import ItemRow, Rejected, Table
from scraper.core.sql_names import fold, quoted
from scraper.errors import ItemError
from scraper.store.rows.column_kinds import remember_kinds
from scraper.store.rows.merge import SOURCE, Merge, Provenance, merge_of
from scraper.store.rows.shapes import FILLED, INTERNAL, Occasion, ensure

__all__ = ["FILLED", "INTERNAL", "ItemTables", "Provenance", "Written"]

#: Shapes whose statements are remembered; more of them cost time, not memory.
MAX_PLANS = 1024

#: Text that a numeric column would turn into a number. Possessive: on hostile text it must not backtrack.
_NUMERIC_TEXT = re.compile(r"\s*+[+-]?(\d++(\.\d*+)?|\.\d++)(e[+-]?\d++)?\s*+", re.ASCII | re.IGNORECASE)


class Written(NamedTuple):
    """What became of rows: counts by `table.new`, `.changed`, `.same`, `.back`, `.merged`, what SQLite refused,
    and counts of keys about which pages of this run disagree, by table.

    `merged` counts rows whose key this run had already seen, so the others add up to distinct keys.
    """

    stored: Counter[str]
    rejected: list[Rejected]
    conflicts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The statements of one table shape, and the columns whose type would alter a value given to them."""

    table: Table
    insert: str
    merge: Merge | None
    guarded: tuple[tuple[int, str], ...]


class ItemTables:
    """Writes item rows, remembering which tables are as they should be and the statements for them.

    Invariant: what it remembers is true of the database, provided `forget` is called after a rollback. `notes`
    say how tables were altered; whoever tells a person empties it.
    """

    def __init__(self) -> None:
        self._plans: dict[int, _Plan] = {}
        self.notes: list[str] = []

    def forget(self) -> None:
        """After a rollback: tables and columns made in it are gone."""
        self._plans.clear()
        self.notes.clear()

    def write(self, conn: sqlite3.Connection, rows: Sequence[ItemRow], origin: Provenance) -> Written:
        """Store the rows of one page. A row that SQLite refuses comes back as rejected, the others go in.

        Of two rows with one key in one run the request with the smaller fingerprint wins, whichever came
        first; of two from one request the later. Raises StoreError for a table that does not fit its class.
        """
        written = Written(Counter(), [], {})
        for row in rows:
            try:
                what = self._write_row(conn, row, origin, written)
            except (ItemError, sqlite3.DataError, sqlite3.IntegrityError, OverflowError, UnicodeError) as exc:
                written.rejected.append(_reject(row, exc))
            except sqlite3.ProgrammingError as exc:
                if not str(exc).startswith("Error binding parameter"):
                    raise  # not about this row: a closed connection, another thread
                written.rejected.append(_reject(row, exc))
            else:
                written.stored[f"{row.table.name}.{what}"] += 1
        return written

    def _write_row(self, conn: sqlite3.Connection, row: ItemRow, origin: Provenance, written: Written) -> str:
        plan = self._plans.get(id(row.table)) or self._prepare(conn, row.table, origin)
        for place, kind in plan.guarded:
            if _alters(kind, row.values[place]):
                raise _guard(row, place, kind)
        source = (origin.url, origin.run, origin.at, origin.request_id, row.ordinal)
        if conn.execute(plan.insert, (*row.values, *source, origin.run)).rowcount or plan.merge is None:
            return "new"
        what, conflict = plan.merge.write(conn, row, origin, source)
        if conflict:
            name = row.table.name
            written.conflicts[name] = written.conflicts.get(name, 0) + 1
        return what

    def _prepare(self, conn: sqlite3.Connection, table: Table, origin: Provenance) -> _Plan:
        occasion = Occasion(origin.run)
        kinds = ensure(conn, table, occasion)
        remember_kinds(conn, table)
        self.notes += occasion.notes
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        # The plan keeps the table, so its id stays its own.
        plan = self._plans[id(table)] = _Plan(table, _insert(table), merge_of(table), _guarded(table, kinds))
        return plan


def _guarded(table: Table, kinds: dict[str, str]) -> tuple[tuple[int, str], ...]:
    is_ = [kinds[fold(column.name)] for column in table.columns]
    return tuple((i, is_[i]) for i, column in enumerate(table.columns) if is_[i] != column.type)


def _insert(table: Table) -> str:
    columns = [quoted(c.name) for c in table.columns]
    every = [*columns, *SOURCE, "_first_run"]
    keys = [quoted(c.name) for c in table.columns if c.key]
    if keys:
        conflict = f"({', '.join(keys)}) DO NOTHING"
    else:
        again = [f"{column} = excluded.{column}" for column in (*columns, "_url", "_run", "_at")]
        conflict = f"(_request, _ordinal) DO UPDATE SET {', '.join(again)}, _gone_run = NULL"
    marks = ", ".join("?" * len(every))
    return f"INSERT INTO {quoted(table.name)} ({', '.join(every)}) VALUES ({marks}) ON CONFLICT {conflict}"  # noqa: S608 - quoted


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
    reason = str(exc) if isinstance(exc, ItemError) else _duplicate(row, str(exc))
    return Rejected(row.table.name, reason, item if len(item) <= 1000 else item[:999] + "…", row.place)


def _duplicate(row: ItemRow, message: str) -> str:
    """What SQLite says of a row it refuses; in our words where a unique index of the class is meant."""
    for names in row.table.unique:
        if message == f"UNIQUE constraint failed: {', '.join(f'{row.table.name}.{name}' for name in names)}":
            values = dict(zip((c.name for c in row.table.columns), row.values, strict=True))
            told = ", ".join(f"{name} {values[name]!r:.80}" for name in names)
            return f"{told}: another row has it (unique)"
    return f"the database refuses it: {message}"
