"""Whether the data is what it was, and what was expected: fields that emptied, tables that shrank, broken promises."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scraper.core.sql_names import quoted
from scraper.items.expectations import Expectation
from scraper.store.queue.runs import counters, rows_by_table

__all__ = ["Emptied", "Shrunk", "broken", "compared_with", "emptied", "shrunk"]

#: A field has emptied when the share of rows without it grew by so much, a table has shrunk by so much of its rows.
NOTABLE, SHRINKAGE = 0.05, 0.1
#: Stands for the group where there are no items at all.
_NO_GROUP = object()
#: Expectations of groups that are told at most.
MAX_GROUPS = 20
#: Rows that were written: `kept` ones, of pages that were not fetched again, were not looked at.
_WRITTEN = ("new", "changed", "same", "back", "merged")
_DISTINCT = ("new", "changed", "same", "back", "kept")


@dataclass(frozen=True, slots=True)
class Emptied:
    """A field without a value in `empty` of `rows` items; in the run before, in `before_empty` of `before_rows`.

    `url` is the first page with such an item, `place` where in the author's code it was yielded (file:line).
    """

    table: str
    column: str
    empty: int
    rows: int
    before: int
    before_empty: int
    before_rows: int
    url: str
    place: str


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A table of which a run saw fewer rows than the run `before`."""

    table: str
    rows: int
    before: int
    before_rows: int


@dataclass(frozen=True, slots=True)
class _Rate:
    empty: int
    rows: int
    url: str
    place: str


def compared_with(conn: sqlite3.Connection, run: int, *, counted: bool = False) -> int | None:
    """The last complete run of the same series before a run; `counted`: one that parsed items of its own."""
    found = conn.execute(
        "SELECT max(b.id) FROM _runs a JOIN _runs b ON b.series = a.series AND b.id < a.id AND b.state = 'complete'"
        " WHERE a.id = ? AND (NOT ? OR EXISTS (SELECT 1 FROM _fill WHERE run = b.id))",
        (run, counted),
    ).fetchone()[0]
    return None if found is None else int(found)


def emptied(conn: sqlite3.Connection, run: int) -> list[Emptied]:
    """The fields that have a value in notably fewer items than in the last complete run; the worst first."""
    before = compared_with(conn, run, counted=True)
    if before is None:
        return []
    then, found = dict(_rates(conn, before)), []
    for (table, column), now in _rates(conn, run):
        old = then.get((table, column))
        if old is None or not old.rows or not now.rows:
            continue
        if now.empty / now.rows - old.empty / old.rows >= NOTABLE:
            found.append(
                Emptied(table, column, now.empty, now.rows, before, old.empty, old.rows, now.url, now.place)
            )
    return sorted(found, key=lambda one: one.before_empty / one.before_rows - one.empty / one.rows)


def _rates(conn: sqlite3.Connection, run: int) -> Iterator[tuple[tuple[str, str], _Rate]]:
    items = rows_by_table(counters(conn, run))
    rows = {name: sum(counts.get(what, 0) for what in _WRITTEN) for name, counts in items.items()}
    open_tables = {
        name
        for (name,) in conn.execute('SELECT DISTINCT "table" FROM _fill WHERE run = ? AND filled > 0', (run,))
    }
    for table, column, filled, empty, url, place in conn.execute(
        "SELECT \"table\", \"column\", filled, empty, coalesce(url, ''), coalesce(place, '') FROM _fill WHERE run = ?",
        (run,),
    ).fetchall():
        of = rows.get(table, 0)
        # A plain dict that lacks a key was never asked for it.
        yield (table, column), _Rate(of - filled if table in open_tables else min(empty, of), of, url, place)


def shrunk(conn: sqlite3.Connection, run: int) -> list[Shrunk]:
    """The tables of which a run saw notably fewer rows than the last complete run."""
    before = compared_with(conn, run)
    if before is None:
        return []
    then, now = (rows_by_table(counters(conn, one)) for one in (before, run))
    found = [
        Shrunk(name, _distinct(now.get(name, {})), before, old)
        for name, counts in then.items()
        if (old := _distinct(counts))
    ]
    return [one for one in found if one.rows < one.before_rows * (1 - SHRINKAGE)]


def _distinct(counts: Mapping[str, int]) -> int:
    return sum(counts.get(what, 0) for what in _DISTINCT)


def broken(
    conn: sqlite3.Connection, run: int, expectations: Sequence[Expectation], *, whole: bool
) -> list[str]:
    """The expectations that a run breaks, as sentences with what was found.

    `whole` says that the run went through everything: only then can there be too few items.
    """
    return [said for one in expectations for said in _broken(conn, run, one, whole)][:MAX_GROUPS]


def _broken(conn: sqlite3.Connection, run: int, one: Expectation, whole: bool) -> Iterator[str]:
    for group, count, filled in _groups(conn, run, one):
        of = f" with {one.by} = {group!r}" if one.by is not None and group is not _NO_GROUP else ""
        if whole and count < one.min_items:
            yield f"expected at least {_number(one.min_items)} {one.table}{of}, found {_number(count)}"
        for column, share in one.fill.items():
            have = filled.get(column, 0)
            if count and have < share * count:
                yield (
                    f"expected {one.table}.{column} in {share:.4g} of all items{of}, found it in {have / count:.4g}"
                    f" ({_number(count - have)} of {_number(count)} are empty)"
                )


def _groups(
    conn: sqlite3.Connection, run: int, one: Expectation
) -> Iterator[tuple[object, int, dict[str, int]]]:
    """Each group with its rows of this run, and how many of them have which field.

    The groups are those of this run and of the last complete one: one of which nothing is left is found, too.
    """
    columns = {
        name.lower(): name for (name,) in conn.execute("SELECT name FROM pragma_table_info(?)", (one.table,))
    }
    asked = [name for name in one.fill if name.lower() in columns]
    if not columns or (one.by is not None and one.by.lower() not in columns):
        yield _NO_GROUP, 0, {}
        return
    here = f"_run = {run}"
    counts = "".join(
        f", total({here} AND {quoted(n)} IS NOT NULL AND {quoted(n)} NOT IN ('', '[]'))" for n in asked
    )
    group = quoted(one.by) if one.by is not None else "NULL"
    since = compared_with(conn, run) or run
    rows = conn.execute(
        f"SELECT {group}, total({here}){counts} FROM {quoted(one.table)} WHERE _run BETWEEN ? AND ?"  # noqa: S608 - quoted
        + (" GROUP BY 1 ORDER BY 1" if one.by is not None else ""),
        (since, run),
    ).fetchall()
    if not rows:
        yield _NO_GROUP, 0, {}
    for value, count, *filled in rows:
        yield value, int(count), {name: int(n) for name, n in zip(asked, filled, strict=True)}


def _number(count: int) -> str:
    return f"{count:,}".replace(",", " ")
