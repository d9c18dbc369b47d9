"""A page result as it travels: one journal entry, as bytes, written here and applied there.

The form is JSON with a version. What SQLite holds comes back exactly: text with any characters, numbers, None as they
are, bytes in base64. An entry comes from another process, so nothing in it is trusted: each part is checked.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from scraper.core.models import (
    Column,
    EarlierVisit,
    ErrorRecord,
    ItemRow,
    KeptPage,
    PageResult,
    Rejected,
    Site,
    Suggestion,
    Table,
    VisitRecord,
)
from scraper.errors import StoreError

__all__ = ["VERSION", "JournalEntry", "decode", "encode"]

#: The version of the form, which every entry names.
VERSION = 1
#: Shapes of tables kept, so that the rows of one table share one `Table`.
MAX_TABLES = 1024

T = TypeVar("T")
_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A page result with what the frontier adds: the run it belongs to, and when it was completed (unix seconds)."""

    run: int
    at: float
    result: PageResult


# ---------------------------------------------------------------------------------------------- to bytes


def encode(entry: JournalEntry) -> bytes:
    """The entry as bytes. Raises TypeError or ValueError for a value that SQLite has no type for, or no number."""
    result = entry.result
    tables: dict[int, tuple[int, Table]] = {}
    items = []
    for row in result.items:
        number, _ = tables.setdefault(id(row.table), (len(tables), row.table))
        items.append([number, row.ordinal, row.place, [_plain(row, value) for value in row.values]])
    page, visit, earlier = result.failed_page, result.visit, result.earlier
    whole = {
        "version": VERSION,
        "run": entry.run,
        "at": entry.at,
        "request": result.request,
        "fingerprint": _text(result.fingerprint),
        "domain": result.domain,
        "url": result.url,
        "tables": [_shape(table) for _, table in tables.values()],
        "items": items,
        "rejected": [astuple(rejected) for rejected in result.rejected],
        "error": astuple(result.error) if result.error is not None else None,
        "counts": dict(result.counts),
        "hits": [[*site, matched] for site, matched in result.hits.items()],
        "meant": [[*site, *meant] for site, meant in result.meant.items()],
        "failed_page": [page.url, page.status, [*page.headers], _text(page.body)] if page else None,
        "visit": [visit.etag, visit.modified, _text(visit.links)] if visit else None,
        "earlier": _earlier_as_list(earlier) if earlier else None,
    }
    return _dumps(whole).encode()


def _earlier_as_list(earlier: EarlierVisit) -> list[Any]:
    links = [] if earlier.links is None else [_text(earlier.links)]
    return [earlier.request, earlier.visited, *links]


def _plain(row: ItemRow, value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, bytes):
        return {"bytes": _text(value)}
    raise TypeError(
        f"table {row.table.name}: a {type(value).__name__} cannot travel; SQLite has no type for it"
    )


def _shape(table: Table) -> list[Any]:
    columns = [[c.name, c.type, c.key, c.required, c.kind] for c in table.columns]
    return [table.name, columns, table.fill, table.open, table.indexes, table.unique]


def _text(data: bytes) -> str:
    return b64encode(data).decode()


# ---------------------------------------------------------------------------------------------- and back


def decode(data: bytes) -> JournalEntry:
    """The entry back. Rows of tables of one shape share one `Table`, over entries too.

    Raises StoreError naming what is wrong with bytes that `encode` did not make, or that a newer version made.
    """
    try:
        whole = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"not a journal entry: {error}") from error
    if not isinstance(whole, dict):
        raise StoreError("not a journal entry: no JSON object")
    version = _integer(whole.get("version"), "version")
    if version > VERSION:
        raise StoreError(
            f"a journal entry of version {version}; this version of scraper reads up to {VERSION}: upgrade it"
        )
    if version != VERSION:
        _wrong("version", f"is {version}")
    return JournalEntry(
        _integer(whole.get("run"), "run"), _number(whole.get("at"), "at"), _result(_Part(whole))
    )


class _Part:
    """The named parts of an entry, each of which is there and checked."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole

    def of(self, name: str, read: Callable[[Any, str], T]) -> T:
        if name not in self._whole:
            _wrong(name, "is missing")
        return read(self._whole[name], name)

    def maybe(self, name: str, read: Callable[[Any, str], T]) -> T | None:
        return self.of(name, lambda value, where: None if value is None else read(value, where))

    def each(self, name: str, read: Callable[[Any, str], T]) -> list[T]:
        return self.of(name, lambda value, where: _each(value, where, read))


def _result(part: _Part) -> PageResult:
    tables = part.each("tables", _table)
    return PageResult(
        part.of("request", _integer),
        part.of("fingerprint", _bytes),
        part.of("domain", _str),
        part.of("url", _str),
        items=part.each("items", lambda value, where: _row(value, where, tables)),
        rejected=part.each("rejected", lambda value, where: Rejected(*_strings(value, where, 4))),
        error=part.maybe("error", lambda value, where: ErrorRecord(*_strings(value, where, 4))),
        counts=part.of("counts", _counts),
        hits=dict(part.each("hits", _hit)),
        meant=dict(part.each("meant", _meant)),
        failed_page=part.maybe("failed_page", _failed_page),
        visit=part.maybe("visit", _visit),
        earlier=part.maybe("earlier", _earlier),
    )


def _table(value: Any, where: str) -> Table:
    name, columns, fill, is_open, indexes, unique = _list(value, where, 6)
    return _interned(
        _str(name, where),
        tuple(_each(columns, f"{where} columns", _column)),
        _bool(fill, where),
        _bool(is_open, where),
        tuple(_each(indexes, f"{where} indexes", _names)),
        tuple(_each(unique, f"{where} unique", _names)),
    )


def _column(value: Any, where: str) -> tuple[str, str, bool, bool, str]:
    name, type_, key, required, kind = _list(value, where, 5)
    return (
        _str(name, where), _str(type_, where), _bool(key, where), _bool(required, where), _str(kind, where),
    )  # fmt: skip


@lru_cache(maxsize=MAX_TABLES)
def _interned(
    name: str,
    columns: tuple[tuple[str, str, bool, bool, str], ...],
    fill: bool,
    is_open: bool,
    indexes: tuple[tuple[str, ...], ...],
    unique: tuple[tuple[str, ...], ...],
) -> Table:
    """One `Table` for each shape: the statements for its rows are kept by its identity."""
    return Table(name, tuple(Column(*column) for column in columns), fill, is_open, indexes, unique)


def _row(value: Any, where: str, tables: list[Table]) -> ItemRow:
    number, ordinal, place, values = _list(value, where, 4)
    if not 0 <= _integer(number, where) < len(tables):
        _wrong(where, f"is of table {number}, which is missing")
    table = tables[number]
    return ItemRow(
        table,
        tuple(_value(one, where) for one in _list(values, f"{where} values", len(table.columns))),
        _integer(ordinal, where),
        _str(place, where),
    )


def _value(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict) and value.keys() == {"bytes"}:
        return _bytes(value["bytes"], where)
    return _wrong(where, f"has a value that is a {type(value).__name__}")


def _counts(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, dict):
        _wrong(where, "is not an object")
    return {name: _integer(count, f"{where} {name}") for name, count in value.items()}


def _site(values: list[Any], where: str) -> Site:
    file, line, function, call, selector = values
    return (
        _str(file, where), _integer(line, where), _str(function, where), _str(call, where), _str(selector, where),
    )  # fmt: skip


def _hit(value: Any, where: str) -> tuple[Site, bool]:
    *site, matched = _list(value, where, 6)
    return _site(site, where), _bool(matched, where)


def _meant(value: Any, where: str) -> tuple[Site, Suggestion]:
    *site, meant, matches = _list(value, where, 7)
    return _site(site, where), Suggestion(_str(meant, where), _integer(matches, where))


def _failed_page(value: Any, where: str) -> KeptPage:
    url, status, headers, body = _list(value, where, 4)
    pairs = [(name, text) for name, text in _each(headers, f"{where} headers", _pair)]
    return KeptPage(_str(url, where), _integer(status, where), pairs, _bytes(body, where))


def _visit(value: Any, where: str) -> VisitRecord:
    etag, modified, links = _list(value, where, 3)
    return VisitRecord(_optional(etag, where), _optional(modified, where), _links(links, where))


def _earlier(value: Any, where: str) -> EarlierVisit:
    has_links = isinstance(value, list) and len(value) == 3
    request, visited, *links = _list(value, where, 3 if has_links else 2)
    at = None if visited is None else _number(visited, where)
    return EarlierVisit(_integer(request, where), at, _links(links[0], where) if links else None)


def _links(value: Any, where: str) -> bytes:
    links = _bytes(value, where)
    if len(links) % 16:
        _wrong(where, "has links that are not fingerprints of 16 bytes")
    return links


# ---------------------------------------------------------------------------------------------- checks


def _wrong(where: str, what: str) -> NoReturn:
    raise StoreError(f"not a journal entry: {where} {what}")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _str(value: Any, where: str) -> str:
    return value if isinstance(value, str) else _wrong(where, "has no text where text belongs")


def _optional(value: Any, where: str) -> str | None:
    return None if value is None else _str(value, where)


def _bool(value: Any, where: str) -> bool:
    return value if isinstance(value, bool) else _wrong(where, "has no true or false where one belongs")


def _integer(value: Any, where: str) -> int:
    """An integer that SQLite can hold."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return _wrong(where, "has no integer of 64 bits where one belongs")


def _number(value: Any, where: str) -> float:
    if isinstance(value, float) and math.isfinite(value):
        return value
    return float(_integer(value, where))


def _bytes(value: Any, where: str) -> bytes:
    try:
        return b64decode(_str(value, where), validate=True)
    except ValueError as error:
        raise StoreError(f"not a journal entry: {where} has bytes that are not in base64") from error


def _list(value: Any, where: str, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        _wrong(where, f"is not a list of {length}")
    return value


def _each(value: Any, where: str, read: Callable[[Any, str], T]) -> list[T]:
    if not isinstance(value, list):
        _wrong(where, "is not a list")
    return [read(one, f"{where}[{number}]") for number, one in enumerate(value)]


def _strings(value: Any, where: str, length: int) -> list[str]:
    return [_str(one, where) for one in _list(value, where, length)]


def _names(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_each(value, where, _str))


def _pair(value: Any, where: str) -> tuple[str, str]:
    name, text = _strings(value, where, 2)
    return name, text
