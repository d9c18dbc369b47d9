"""What column an annotated field gets: its SQLite type, and the function that converts a value for it.

Single values go by the table of kinds (`scraper.core.codec.value_kinds`). Types that have no column of their own
(list, dict, tuple, set, classes) are JSON text. A converter checks its value against the annotation and raises
TypeError or ValueError with the reason; None never reaches it.

A union is stored by the member a value belongs to. Its column has the common type of its members, NUMERIC for
several kinds of numbers, and otherwise BLOB, which in SQLite means that values are kept as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Literal, NamedTuple, get_args, get_origin

from scraper.core.codec.classes import cached, is_typed, members_of
from scraper.core.codec.json_codec import CONTAINERS, encode
from scraper.core.codec.type_checks import is_valid
from scraper.core.codec.value_conversions import mismatch
from scraper.core.codec.value_kinds import JSON, Kind, exact_kinds, kind_of_class, kind_of_type

__all__ = ["ColumnType", "column_type_of"]

Convert = Callable[[Any], Any]

_NUMBERS = frozenset({"INTEGER", "REAL", "NUMERIC"})


class ColumnType(NamedTuple):
    """A column's SQLite type, the function that converts a value for it, the word for the kind of its values (empty
    where there may be several), and whether None is allowed.
    """

    sql: str
    convert: Convert
    kind: str = ""
    nullable: bool = False


def column_type_of(annotation: Any, exact: bool = False) -> ColumnType:
    """The column of an annotated field. Raises TypeError for a type that cannot be stored."""
    members = members_of(annotation)
    some = [member for member in members if member is not type(None)]
    nullable = len(some) < len(members) or Any in some or object in some
    types = [_of_kind(kind) for kind in exact_kinds(some)] if exact else [_column_type(one) for one in some]
    if len(types) == 1:
        return types[0]._replace(nullable=nullable)
    return _common(types, partial(_union, list(zip(some, types, strict=True))))._replace(nullable=nullable)


@cached
def _column_type(member: Any) -> ColumnType:
    if member in (Any, object):
        return ColumnType("BLOB", _by_value)
    origin = get_origin(member) or member
    if kind := kind_of_type(origin):
        return _of_kind(kind)
    if origin is Literal:
        types = [_column_type(type(one)) for one in get_args(member)]
        return _common(types, partial(_checked, member, _by_value))
    if is_typed(origin) or origin in CONTAINERS:
        return ColumnType(JSON.sql, partial(_checked, member, _json), JSON.word)
    if not isinstance(origin, type):
        raise _not_stored(member)
    if issubclass(origin, Enum):
        return _common([_column_type(type(one.value)) for one in origin], partial(_member, origin))
    if kind := kind_of_class(origin):
        return ColumnType(kind.sql, partial(_checked, member, kind.to_sql), kind.word)
    if issubclass(origin, (dict, list, tuple, set, frozenset)):
        return ColumnType(JSON.sql, partial(_checked, member, _json), JSON.word)
    raise _not_stored(member)


def _of_kind(kind: Kind) -> ColumnType:
    return ColumnType(kind.sql, kind.to_sql, kind.word)


def _common(types: Iterable[ColumnType], convert: Convert) -> ColumnType:
    """One column for values of several types."""
    types = list(types)
    sql, kinds = {one.sql for one in types}, {one.kind for one in types}
    both = "NUMERIC" if sql and sql <= _NUMBERS else "BLOB"
    return ColumnType(sql.pop() if len(sql) == 1 else both, convert, kinds.pop() if len(kinds) == 1 else "")


def _not_stored(member: Any) -> TypeError:
    return TypeError(f"{getattr(member, '__name__', member)} is not a type that can be stored")


# ---------------------------------------------------------------------------------------------- composed


def _by_value(value: Any) -> Any:
    if type(value) is object:  # as an annotation it stands for anything, as a value for nothing
        raise TypeError("an object cannot be stored")
    return _column_type(type(value)).convert(value)


def _checked(annotation: Any, convert: Convert, value: Any) -> Any:
    if not is_valid(value, annotation):
        raise TypeError(mismatch(annotation, value))
    return convert(value)


def _union(members: list[tuple[Any, ColumnType]], value: Any) -> Any:
    for member, column in members:
        if is_valid(value, member):
            return column.convert(value)
    names = " or ".join(getattr(member, "__name__", str(member)) for member, _ in members)
    raise TypeError(mismatch(names, value))


def _member(cls: type[Enum], value: Any) -> Any:
    if not isinstance(value, cls):
        raise TypeError(mismatch(cls, value))
    return _by_value(value.value)


def _json(value: Any) -> Any:
    return JSON.to_sql(encode(value))
