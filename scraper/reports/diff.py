"""What changed between two runs, row by row: appeared, vanished, or changed field by field.

Rows with a key are compared as the tables held them at the end of each run. Rows without one have only their
values, and belong to the run that stored them and to those that kept them without fetching their page again: a row
is in both runs if its values are. Rows are read and given one by one.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scraper.core.sql_names import quoted
from scraper.errors import QueryError
from scraper.reports.json_form import WHEN_GIVEN
from scraper.settings import did_you_mean
from scraper.store.rows.history import BEGUN, columns_of, history_of, item_tables, keys_of

__all__ = ["Change", "Comparison", "FieldChange", "Kind", "Pair", "changes", "choose_runs", "compare"]

Row = Mapping[str, Any]
Kind = Literal["appeared", "vanished", "changed"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """The values of a field in the older and in the newer run."""

    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs: the `fields` that changed, or the whole `row` that appeared or vanished.

    `key` is empty for a table without a key.
    """

    table: str
    change: Kind
    key: Row
    fields: Mapping[str, FieldChange] | None = field(default=None, metadata=WHEN_GIVEN)
    row: Row | None = field(default=None, metadata=WHEN_GIVEN)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs to compare, and what is to be said about them: where a row may be missing without being gone."""

    old: int
    new: int
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, and how many rows of each table appeared, vanished and changed. A table that is the same is left out."""

    old: int
    new: int
    tables: Mapping[str, Mapping[Kind, int]]


def choose_runs(conn: sqlite3.Connection, given: Sequence[int]) -> Pair:
    """The two runs that were named, or the last two complete ones of the series of the last complete run.

    Raises QueryError saying why there are none.
    """
    try:
        rows = conn.execute(
            "SELECT id, series, state, coalesce(reason, '') FROM _runs ORDER BY id"
        ).fetchall()
    except sqlite3.OperationalError as error:
        raise QueryError(f"not a crawl database: {error}") from error
    if not given:
        return _last_two(rows)
    states = {id_: (state, reason) for id_, _, state, reason in rows}
    old, new = given
    for run in given:
        if run not in states:
            raise QueryError(f"no run {run}; there are {', '.join(map(str, states)) or 'none'}")
        if states[run][0] == "undone":
            raise QueryError(f"run {run} is undone: nothing is left of it to compare")
    if old >= new:
        raise QueryError(f"name the older run first: {new} {old}" if old > new else "name two different runs")
    state, reason = states[new]
    if state == "complete":
        return Pair(old, new)
    lacking = f": {reason}" if reason else ""
    return Pair(
        old, new, f"run {new} is not complete ({state}{lacking}); what it did not see is unknown, not gone"
    )


def _last_two(rows: Sequence[tuple[int, str, str, str]]) -> Pair:
    complete = [(id_, series) for id_, series, state, _ in rows if state == "complete"]
    same = [id_ for id_, series in complete if series == complete[-1][1]]
    if len(same) > 1:
        return Pair(same[-2], same[-1])
    told = "; ".join(
        f"run {id_} {state}{f' ({reason})' if reason else ''}" for id_, _, state, reason in rows[-4:]
    )
    named = [id_ for id_, _, state, _ in rows if state != "undone"][-2:]
    more = f". Compare two all the same: {named[0]} {named[1]}" if len(named) == 2 else ""
    raise QueryError(
        f"there are no two complete runs of one series to compare ({told or 'no run yet'}){more}"
    )


def compare(
    conn: sqlite3.Connection, pair: Pair, table: str | None, each: Callable[[Change], object]
) -> Comparison:
    """Give every difference to `each`, one by one, and count them. Raises QueryError when there is no such table."""
    tables: dict[str, Counter[Kind]] = {}
    for change in changes(conn, pair, table):
        tables.setdefault(change.table, Counter())[change.change] += 1
        each(change)
    return Comparison(pair.old, pair.new, tables)


def changes(conn: sqlite3.Connection, pair: Pair, table: str | None = None) -> Iterator[Change]:
    """Every difference, table by table; of a keyed table in the order of its keys."""
    tables = item_tables(conn)
    if table is not None:
        if table not in tables:
            raise QueryError(
                f"no item table {table!r}{did_you_mean(table, tables)} Tables: {', '.join(tables) or 'none yet'}"
            )
        tables = [table]
    for name in tables:
        columns = columns_of(conn, name)
        if "_back_run" not in {column.name for column in columns}:
            raise QueryError(
                "an older version wrote this database; its next crawl, or scraper prune, updates it"
            )
        own = [column.name for column in columns if not column.name.startswith("_")]
        yield from _Keyed(conn, name, own, pair) if keys_of(columns) else _keyless(conn, name, own, pair)


class _Keyed:
    """The differences of a table with a key: only rows that were touched after the older run are looked at."""

    def __init__(self, conn: sqlite3.Connection, table: str, own: Sequence[str], pair: Pair) -> None:
        self._conn, self._table, self._pair = conn, table, pair
        self._keys = keys_of(columns_of(conn, table))
        self._own = own
        self._runs = self._counted()
        columns = [*map(quoted, own), "_run", "_first_run", f"{BEGUN} AS begun", "_gone_run"]
        self._columns = ", ".join(columns)
        where = " AND ".join(f"{quoted(key)} = ?" for key in self._keys)
        self._past = (
            f"SELECT {self._columns} FROM {quoted(history_of(table))} WHERE {where}"  # noqa: S608 - quoted
            " AND begun <= ? AND _until_run > ? ORDER BY _until_run LIMIT 1"
        )

    def _counted(self) -> frozenset[int] | None:
        """The runs whose changes count: those of the series, if both runs are of one; None: all."""
        series = [
            row[0]
            for row in self._conn.execute(
                "SELECT series FROM _runs WHERE id IN (?, ?)", (self._pair.old, self._pair.new)
            )
        ]
        if len(set(series)) > 1:
            return None
        rows = self._conn.execute("SELECT id FROM _runs WHERE series = ?", (series[0],))
        return frozenset(id_ for (id_,) in rows)

    def __iter__(self) -> Iterator[Change]:
        order = ", ".join(map(quoted, self._keys))
        rows = self._conn.execute(
            f"SELECT {self._columns} FROM {quoted(self._table)}"  # noqa: S608 - quoted
            f" WHERE {BEGUN} > :old OR _gone_run > :old ORDER BY {order}",
            {"old": self._pair.old},
        )
        for row in rows:
            before, after = self._at(row, self._pair.old), self._at(row, self._pair.new)
            change = self._change(before, after, row)
            if change is not None:
                yield change

    def _at(self, row: Sequence[Any], run: int) -> Sequence[Any] | None:
        """The version of a row that the table held at the end of a run; None when it was not there."""
        *_, first, begun, gone = row
        if first > run:
            return None
        if begun > run:
            key = [row[self._own.index(name)] for name in self._keys]
            found: Sequence[Any] | None = self._conn.execute(self._past, (*key, run, run)).fetchone()
            if found is None:
                return None
            row, gone = found, found[-1]
        return None if gone is not None and gone <= run else row

    def _change(
        self, before: Sequence[Any] | None, after: Sequence[Any] | None, row: Sequence[Any]
    ) -> Change | None:
        if not self._is_ours(before, after, row):
            return None
        own = range(len(self._own))
        old = {self._own[i]: before[i] for i in own} if before is not None else {}
        new = {self._own[i]: after[i] for i in own} if after is not None else {}
        if old == new:
            return None
        key = {name: (new or old)[name] for name in self._keys}
        if old and new:
            differing = {n: FieldChange(was, new[n]) for n, was in old.items() if was != new[n]}
            return Change(self._table, "changed", key, fields=differing)
        return Change(self._table, "appeared" if new else "vanished", key, row=new or old)

    def _is_ours(self, before: Sequence[Any] | None, after: Sequence[Any] | None, row: Sequence[Any]) -> bool:
        """Whether a run that counts saw the difference: what is there now, or that it is gone."""
        if self._runs is None:
            return True
        if after is not None:
            return not self._runs.isdisjoint((after[-4], after[-2]))
        gone = row[-1] if row[-1] is not None and row[-1] <= self._pair.new else None
        return before is not None and (gone is None or gone in self._runs)


def _keyless(conn: sqlite3.Connection, table: str, own: Sequence[str], pair: Pair) -> Iterator[Change]:
    columns = ", ".join(map(quoted, own))
    old, new = (f"sum(_first_run <= {mark} AND _run >= {mark})" for mark in (":old", ":new"))
    rows = conn.execute(
        f"SELECT {columns}, {new} - {old} AS more FROM {quoted(table)}"  # noqa: S608 - quoted
        f" WHERE _run >= :old AND _first_run <= :new GROUP BY {columns} HAVING more <> 0 ORDER BY {columns}",
        {"old": pair.old, "new": pair.new},
    )
    for *values, more in rows:
        fields = dict(zip(own, values, strict=True))
        for _ in range(abs(more)):
            yield Change(table, "appeared" if more > 0 else "vanished", {}, row=fields)
