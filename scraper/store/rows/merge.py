"""The same key again: what stays, what it is called, and which version it replaces.

Timing decides nothing: of the pages of one run the one with the smallest fingerprint wins, and whether a row
changed, and what its history says, follows from what an earlier run left and what wins in this one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from scraper.core.models import ItemRow, Table
from scraper.core.sql_names import quoted
from scraper.store.rows.history import history_of
from scraper.store.rows.shapes import FILLED, INTERNAL

__all__ = ["SOURCE", "Merge", "Merged", "Provenance", "merge_of"]

#: Where a row is from; set whenever it is seen.
SOURCE = ("_url", "_run", "_at", "_request", "_ordinal")
#: What happened to it.
_FATE = ("_first_run", "_changed_run", "_back_run", "_gone_run", "_conflict_run")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The page rows come from: its final URL, the run, the time (ISO, UTC) and the request."""

    url: str
    run: int
    at: str
    request_id: int
    fingerprint: bytes


class Merged(NamedTuple):
    """What a row was (changed, same, back, merged), and whether it is the first of its key that contradicts
    another page of this run.
    """

    what: str
    conflict: bool = False


class _Incoming(NamedTuple):
    """A row that meets one of the same key. `source` are the values of the columns `SOURCE`."""

    key: tuple[Any, ...]
    values: tuple[Any, ...]
    ordinal: int
    source: tuple[Any, ...]


class _Stored(NamedTuple):
    """A row found by its key. `filled` maps columns to the request of their value, where not `request`."""

    values: tuple[Any, ...]
    run: int
    request: int
    ordinal: int
    first: int
    changed: int | None
    back: int | None
    gone: int | None
    conflict: int | None
    filled: dict[str, int | None]


def merge_of(table: Table) -> Merge | None:
    """How rows of a table meet rows of the same key; None for a table without a key."""
    if not any(column.key for column in table.columns):
        return None
    name, kept = quoted(table.name), quoted(history_of(table.name))
    keys = [quoted(c.name) for c in table.columns if c.key]
    others = [quoted(c.name) for c in table.columns if not c.key]
    where = " AND ".join(f"{key} = ?" for key in keys)
    every = [*keys, *others, *INTERNAL, *([FILLED] if table.fill else [])]
    read = [*others, "_run", "_request", "_ordinal", *_FATE, *([FILLED] if table.fill else [])]
    fate = ["_changed_run", "_back_run", "_conflict_run", *([FILLED] if table.fill else [])]
    seen = ", ".join([*(f"{column} = ?" for column in SOURCE), "_gone_run = NULL"])
    own = ", ".join(f"{column} = ?" for column in (*others, *fate))
    return Merge(
        table,
        keys=tuple(i for i, c in enumerate(table.columns) if c.key),
        others=tuple(i for i, c in enumerate(table.columns) if not c.key),
        lookup=f"SELECT {', '.join(read)} FROM {name} WHERE {where}",  # noqa: S608 - quoted
        whole=f"SELECT {', '.join(every)} FROM {name} WHERE {where}",  # noqa: S608 - quoted
        seen=f"UPDATE {name} SET {seen} WHERE {where}",  # noqa: S608 - quoted
        update=f"UPDATE {name} SET {own}, {seen} WHERE {where}",  # noqa: S608 - quoted
        keep=f"UPDATE {name} SET {own} WHERE {where}",  # noqa: S608 - quoted
        archive=f"INSERT INTO {kept} ({', '.join(every)}, _until_run) VALUES ({'?, ' * len(every)}?)",  # noqa: S608 - quoted
        archived=f"SELECT {', '.join([*others, '_changed_run'])} FROM {kept} WHERE {where} AND _until_run = ?",  # noqa: S608 - quoted
        restore=f"DELETE FROM {kept} WHERE {where} AND _until_run = ?",  # noqa: S608 - quoted
    )


@dataclass(frozen=True, slots=True)
class Merge:
    """The statements for rows of a keyed table that are seen again.

    Invariant: of a run, at most one version per key is archived (`_until_run` = the run): the one it replaced.
    """

    table: Table
    keys: tuple[int, ...]
    others: tuple[int, ...]
    lookup: str
    whole: str
    seen: str
    update: str
    keep: str
    archive: str
    archived: str
    restore: str

    def write(
        self, conn: sqlite3.Connection, row: ItemRow, origin: Provenance, source: tuple[Any, ...]
    ) -> Merged:
        """Store what wins of the row in the table and this one, whose key is known."""
        key = tuple(row.values[i] for i in self.keys)
        new = tuple(row.values[i] for i in self.others)
        old = self._read(conn, key)
        if old.run > origin.run:
            return Merged("merged")  # a run that was resumed late does not rewrite what newer runs found
        if new == old.values and old.run != origin.run and old.gone is None and not self.table.fill:
            conn.execute(self.seen, (*source, *key))
            return Merged("same")
        return self._meet(conn, _Incoming(key, new, row.ordinal, source), origin, old)

    def _meet(self, conn: sqlite3.Connection, row: _Incoming, origin: Provenance, old: _Stored) -> Merged:
        key, new = row.key, row.values
        again = old.run == origin.run

        def precedes(request: int | None) -> bool:
            """Whether this row's request wins over that one; None stands for one of an older run."""
            return request is None or _precedes(conn, origin, request)

        wins = not again or (
            row.ordinal >= old.ordinal if old.request == origin.request_id else precedes(old.request)
        )
        values, filled = new if wins else old.values, None
        if self.table.fill:
            names = [self.table.columns[i].name for i in self.others]
            values, filled = _filled(names, old, new, origin, wins, precedes)
        contradicts = again and old.request != origin.request_id and self._contradict(new, old)
        changed, back = self._version(conn, key, values, old, origin.run)
        fate = (changed, back, origin.run if contradicts else old.conflict)
        own = (*values, *fate, filled) if self.table.fill else (*values, *fate)
        before = self._before(conn, key, values, old, origin.run)
        if wins:
            conn.execute(self.update, (*own, *row.source, *key))
        elif self.table.fill or contradicts:
            conn.execute(self.keep, (*own, *key))
        if before is not None:
            conn.execute(self.archive, (*before, origin.run))
        return Merged(_what(again, values, old), contradicts and old.conflict != origin.run)

    def _version(
        self, conn: sqlite3.Connection, key: tuple[Any, ...], values: tuple[Any, ...], old: _Stored, run: int
    ) -> tuple[int | None, int | None]:
        """`_changed_run` and `_back_run` of the row as it will be. Within the run that saw a row first, which
        page came first is no change of the data.
        """
        back = run if old.gone is not None and old.run != run else old.back
        if old.first == run or run not in (old.changed, old.back):
            changed = run if values != old.values and old.first != run else old.changed
            return changed, back
        # This run has replaced a version already: it is that one the row is compared with.
        *earlier, changed = conn.execute(self.archived, (*key, run)).fetchone()
        if values != tuple(earlier):
            return run, back
        if old.back != run:
            conn.execute(self.restore, (*key, run))
        return changed, back

    def _before(
        self, conn: sqlite3.Connection, key: tuple[Any, ...], values: tuple[Any, ...], old: _Stored, run: int
    ) -> tuple[Any, ...] | None:
        """The whole row, where this run is the first to replace it; read before it is overwritten."""
        replaced = values != old.values or (old.gone is not None and old.run != run)
        if not replaced or old.first == run or run in (old.changed, old.back):
            return None
        found: tuple[Any, ...] = conn.execute(self.whole, key).fetchone()
        return found

    def _contradict(self, new: tuple[Any, ...], old: _Stored) -> bool:
        """Whether two pages of this run say different things of one key.

        With `merge="fill"` a None says nothing, and neither does a value that an older run left.
        """
        if not self.table.fill:
            return new != old.values
        names = [self.table.columns[i].name for i in self.others]
        return any(
            fresh != stored
            for name, fresh, stored in zip(names, new, old.values, strict=True)
            if fresh is not None and stored is not None and old.filled.get(name, old.request) is not None
        )

    def _read(self, conn: sqlite3.Connection, key: tuple[Any, ...]) -> _Stored:
        found = conn.execute(self.lookup, key).fetchone()
        count = len(self.others)
        filled = json.loads(found[-1]) if self.table.fill and found[-1] else {}
        run, request, ordinal, first, changed, back, gone, conflict = found[count : count + 8]
        return _Stored(found[:count], run, request, ordinal, first, changed, back, gone, conflict, filled)


def _what(again: bool, values: tuple[Any, ...], old: _Stored) -> str:
    if again:
        return "merged"
    if old.gone is not None:
        return "back"
    return "changed" if values != old.values else "same"


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
