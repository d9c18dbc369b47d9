"""Rows of items on their way into tables, and items that are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Column", "ItemRow", "Rejected", "Table"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an item table. `type` is an SQLite type name: TEXT, INTEGER, REAL, NUMERIC, BLOB.

    `kind` says what the values are (`scraper.core.codec.value_kinds`): a datetime is TEXT as well.
    """

    name: str
    type: str
    key: bool = False
    required: bool = False
    kind: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """The shape of an item table. `fill` keeps a stored value where the new one is None (`merge="fill"`).

    `open` marks a table of plain dicts, which gains a column for every new key. `indexes` and `unique` are
    tuples of column names.
    """

    name: str
    columns: tuple[Column, ...]
    fill: bool = False
    open: bool = False
    indexes: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One converted item: `values` stand in the order of `table.columns`, in SQLite's own types.

    `place` is file:line of the callback that yielded it.
    """

    table: Table
    values: tuple[Any, ...]
    ordinal: int
    place: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that could not be stored, and why. `place` is file:line of the callback that yielded it."""

    table: str
    reason: str
    item: str
    place: str = ""
