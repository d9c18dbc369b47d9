"""From a stored row back to the item: the inverse of `scraper.items.column_types`, driven by the same annotations.

What a column says alone can be ambiguous only in a union: there the more specific members are tried before `str`,
and one counts if it would be stored as exactly what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, get_args, get_origin

from scraper.core.codec.classes import Field, cached, construct, fields_of, is_typed, members_of, short_repr
from scraper.core.codec.json_codec import CONTAINERS, decode
from scraper.core.codec.value_kinds import JSON, KINDS, exact_kinds, kind_of_class, kind_of_type
from scraper.items.column_types import column_type_of

__all__ = ["item_from_row"]

Read = Callable[[Any], Any]


class _FieldReader(NamedTuple):
    """A field, how its column is read, and whether NULL is one of its values."""

    field: Field
    read: Read
    nullable: bool


def item_from_row(cls: type, row: Mapping[str, Any]) -> Any:
    """The item a row was made of; `row` maps column names to what SQLite returned, other names are ignored.

    A field without a column, and NULL where the class has no None (a row from before the field was there),
    takes its default, and None where it has none. Raises ValueError naming class and field for a value that
    is none of the annotated type.
    """
    values = {}
    optional = issubclass(cls, dict)
    for reader in _plan(cls):
        name = reader.field.name
        stored = row.get(name)
        if stored is not None:
            values[name] = _read(cls, reader, stored)
        elif reader.field.required or (reader.nullable and (name in row) and not optional):
            values[name] = None
    return construct(cls, values)


def _read(cls: type, reader: _FieldReader, stored: Any) -> Any:
    try:
        return reader.read(stored)
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise ValueError(
            f"{cls.__name__}.{reader.field.name}: {short_repr(stored)} cannot be read: {exc}"
        ) from exc


@lru_cache(maxsize=1024)
def _plan(cls: type) -> tuple[_FieldReader, ...]:
    return tuple(
        _FieldReader(
            field,
            _exact_reader(field.annotation) if field.exact else _reader(field.annotation),
            column_type_of(field.annotation, field.exact).nullable,
        )
        for field in fields_of(cls)
    )


@cached
def _reader(annotation: Any) -> Read:
    members = [member for member in members_of(annotation) if member is not type(None)]
    if not members or Any in members or object in members:
        return lambda stored: stored
    if len(members) > 1:
        return partial(_union, sorted(members, key=lambda member: member is str))
    member = members[0]
    origin = get_origin(member) or member
    if kind := kind_of_type(origin):
        return kind.from_sql
    if origin is Literal:
        return partial(_one_of, {one: one for one in get_args(member)})
    if is_typed(origin) or origin in CONTAINERS or hasattr(origin, "_make"):
        return lambda stored: decode(JSON.from_sql(stored), member)
    if issubclass(origin, Enum):
        return partial(_enum, origin)
    base = kind_of_class(origin) or JSON
    return lambda stored: origin(base.from_sql(stored))


def _exact_reader(annotation: Any) -> Read:
    kinds = exact_kinds(member for member in members_of(annotation) if member is not type(None))
    return min(kinds, key=KINDS.index).from_sql  # of Decimal | int the Decimal, which reads both


def _union(members: list[Any], stored: Any) -> Any:
    for member in members:
        try:
            value = _reader(member)(stored)
            again = column_type_of(member).convert(value)
        except (TypeError, ValueError, ArithmeticError, AttributeError):
            continue
        if again == stored and isinstance(again, str) == isinstance(stored, str):
            return value
    raise ValueError(f"no {' or '.join(getattr(m, '__name__', repr(m)) for m in members)}")


def _one_of(options: Mapping[Any, Any], stored: Any) -> Any:
    for value, option in options.items():
        if type(stored) is type(column_type_of(type(value)).convert(value)) and stored == value:
            return option
    raise ValueError(f"none of {', '.join(map(repr, options))}")


def _enum(cls: type[Enum], stored: Any) -> Enum:
    for member in cls:
        if column_type_of(type(member.value)).convert(member.value) == stored:
            return member
    return cls(stored)  # flags together, or what `_missing_` accepts
