"""From a stored row back to the item: the inverse of `scraper.items.columns`, driven by the same annotations.

What a column says alone can be ambiguous only in a union: there the more specific members are tried before `str`,
and one counts if it would be stored as exactly what is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

from scraper.core.codec.classes import Field, cached, construct, fields_of, is_typed, members_of, show
from scraper.core.codec.json_codec import DECODABLE, decode
from scraper.items.columns import rule_of

__all__ = ["restore"]

Restorer = Callable[[Any], Any]


class _Known(NamedTuple):
    """A field, how its column is read, and whether NULL is one of its values."""

    field: Field
    read: Restorer
    nullable: bool


def restore(cls: type, row: Mapping[str, Any]) -> Any:
    """The item a row was made of; `row` maps column names to what SQLite returned, other names are ignored.

    A field without a column, and NULL where the class has no None (a row from before the field was there),
    takes its default, and None where it has none. Raises ValueError naming class and field for a value that
    is none of the annotated type.
    """
    values = {}
    optional = issubclass(cls, dict)
    for known in _plan(cls):
        name = known.field.name
        stored = row.get(name)
        if stored is not None:
            values[name] = _read(cls, known, stored)
        elif known.field.required or (known.nullable and (name in row) and not optional):
            values[name] = None
    return construct(cls, values)


def _read(cls: type, known: _Known, stored: Any) -> Any:
    try:
        return known.read(stored)
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise ValueError(f"{cls.__name__}.{known.field.name}: {show(stored)} cannot be read: {exc}") from exc


@lru_cache(maxsize=1024)
def _plan(cls: type) -> tuple[_Known, ...]:
    return tuple(
        _Known(
            field,
            partial(_exact, field.annotation) if field.exact else _restorer(field.annotation),
            rule_of(field.annotation, field.exact).nullable,
        )
        for field in fields_of(cls)
    )


@cached
def _restorer(annotation: Any) -> Restorer:
    members = [member for member in members_of(annotation) if member is not type(None)]
    if not members or Any in members or object in members:
        return lambda stored: stored
    if len(members) > 1:
        return partial(_union, sorted(members, key=lambda member: member is str))
    member = members[0]
    origin = get_origin(member) or member
    if origin in _SCALARS:
        return _SCALARS[origin]
    if origin is Literal:
        return partial(_one_of, {one: one for one in get_args(member)})
    if is_typed(origin) or origin in DECODABLE or hasattr(origin, "_make"):
        return lambda stored: decode(json.loads(stored), member)
    if issubclass(origin, Enum):
        return partial(_enum, origin)
    base = next((base for base in _SCALARS if issubclass(origin, base)), None)
    return (
        (lambda stored: origin(_SCALARS[base](stored))) if base else lambda stored: origin(json.loads(stored))
    )


def _union(members: list[Any], stored: Any) -> Any:
    for member in members:
        try:
            value = _restorer(member)(stored)
            again = rule_of(member).convert(value)
        except (TypeError, ValueError, ArithmeticError, AttributeError):
            continue
        if again == stored and isinstance(again, str) == isinstance(stored, str):
            return value
    raise ValueError(f"no {' or '.join(getattr(m, '__name__', repr(m)) for m in members)}")


def _one_of(options: Mapping[Any, Any], stored: Any) -> Any:
    for value, option in options.items():
        if type(stored) is type(rule_of(type(value)).convert(value)) and stored == value:
            return option
    raise ValueError(f"none of {', '.join(map(repr, options))}")


def _enum(cls: type[Enum], stored: Any) -> Enum:
    for member in cls:
        if rule_of(type(member.value)).convert(member.value) == stored:
            return member
    return cls(stored)  # flags together, or what `_missing_` accepts


def _exact(annotation: Any, stored: Any) -> Any:
    return int(stored) if Decimal not in members_of(annotation) else Decimal(stored)


def _decimal(stored: Any) -> Decimal:
    return Decimal(repr(stored)) if isinstance(stored, (int, float)) else Decimal(stored)


def _text(stored: Any) -> str:
    if not isinstance(stored, str):
        raise TypeError("str expected")
    return stored


def _bytes(stored: Any) -> bytes:
    if not isinstance(stored, bytes):
        raise TypeError("bytes expected")
    return stored


#: Subclasses stand before their base.
_SCALARS: dict[Any, Restorer] = {
    str: _text,
    bool: bool,
    int: int,
    float: float,
    Decimal: _decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    timedelta: lambda stored: timedelta(seconds=stored),
    UUID: UUID,
    bytes: _bytes,
}
