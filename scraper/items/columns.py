"""How annotated values become SQLite's own: the type of a column, and the function that converts a value.

A converter checks its value against the annotation and raises TypeError or ValueError with the reason; None
never reaches it. Types that have no column of their own (list, dict, tuple, set, classes) are JSON text.

A union is stored by the member a value belongs to. Its column has the common type of its members, NUMERIC for
several kinds of numbers, and otherwise BLOB, which in SQLite means that values are kept as they come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

from scraper.core.codec.checks import fits
from scraper.core.codec.classes import cached, is_typed, members_of, show
from scraper.core.codec.json_codec import DECODABLE, encode

__all__ = ["Rule", "rule_of"]

Convert = Callable[[Any], Any]

_NUMBERS = frozenset({"INTEGER", "REAL", "NUMERIC"})
_LIMIT = 2**63
_LOWEST = -_LIMIT
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class Rule(NamedTuple):
    """A column's SQLite type (TEXT, INTEGER, REAL, NUMERIC, BLOB), its converter, whether None is allowed."""

    type: str
    convert: Convert
    nullable: bool = False


def rule_of(annotation: Any, exact: bool = False) -> Rule:
    """The rule of an annotated field. Raises TypeError for a type that cannot be stored."""
    members = members_of(annotation)
    some = [member for member in members if member is not type(None)]
    nullable = len(some) < len(members) or Any in some or object in some
    if exact:
        return Rule("TEXT", partial(_exact, _only_numbers(some)), nullable)
    rules = [_rule(member) for member in some]
    if len(rules) == 1:
        return rules[0]._replace(nullable=nullable)
    return Rule(
        _common(rule.type for rule in rules), partial(_union, list(zip(some, rules, strict=True))), nullable
    )


@cached
def _rule(member: Any) -> Rule:
    if member in (Any, object):
        return Rule("BLOB", _by_value)
    origin = get_origin(member) or member
    if origin in _RULES:
        return _RULES[origin]
    if origin is Literal:
        return Rule(
            _common(_rule(type(one)).type for one in get_args(member)), partial(_checked, member, _by_value)
        )
    if is_typed(origin) or origin in DECODABLE:
        return Rule("TEXT", partial(_checked, member, _json))
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _enum(origin)
    for base, rule in _RULES.items():
        if isinstance(origin, type) and issubclass(origin, base):
            return Rule(rule.type, partial(_checked, member, rule.convert))
    if isinstance(origin, type) and issubclass(origin, (dict, list, tuple, set, frozenset)):
        return Rule("TEXT", partial(_checked, member, _json))
    raise TypeError(f"{getattr(member, '__name__', member)} is no type that can be stored")


def _common(types: Iterable[str]) -> str:
    kinds = set(types)
    if len(kinds) == 1:
        return kinds.pop()
    return "NUMERIC" if kinds and kinds <= _NUMBERS else "BLOB"


def _misfit(expected: Any, value: Any) -> TypeError:
    name = str(expected) if get_args(expected) else getattr(expected, "__name__", str(expected))
    return TypeError(f"{name} expected, not {show(value)}")


# ---------------------------------------------------------------------------------------------- composed


def _by_value(value: Any) -> Any:
    if type(value) is object:  # as an annotation it stands for anything, as a value for nothing
        raise TypeError("an object cannot be stored")
    return _rule(type(value)).convert(value)


def _checked(annotation: Any, convert: Convert, value: Any) -> Any:
    if not fits(value, annotation):
        raise _misfit(annotation, value)
    return convert(value)


def _union(members: list[tuple[Any, Rule]], value: Any) -> Any:
    for member, rule in members:
        if fits(value, member):
            return rule.convert(value)
    raise _misfit(" or ".join(getattr(member, "__name__", str(member)) for member, _ in members), value)


def _enum(cls: type[Enum]) -> Rule:
    values = [member.value for member in cls]
    return Rule(_common(_rule(type(value)).type for value in values), partial(_member, cls))


def _member(cls: type[Enum], value: Any) -> Any:
    if not isinstance(value, cls):
        raise _misfit(cls, value)
    return _by_value(value.value)


def _json(value: Any) -> str:
    return _str(_dumps(encode(value)))


def _only_numbers(members: list[Any]) -> tuple[type, ...]:
    if not members or not set(members) <= {Decimal, int}:
        raise TypeError("Exact is for Decimal and int")
    return tuple(members)


def _exact(kinds: tuple[type, ...], value: Any) -> str:
    if not isinstance(value, (Decimal, int)) or not isinstance(value, kinds):
        raise _misfit(" or ".join(kind.__name__ for kind in kinds), value)
    if isinstance(value, Decimal):
        return str(_finite(value))
    return int.__repr__(value)


# ---------------------------------------------------------------------------------------------- scalars


def _str(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    if type(value) is not str:
        if not isinstance(value, str):
            raise _misfit(str, value)
        value = str.__str__(value)
    text: str = value
    text.encode()  # UnicodeEncodeError for half a character, which no database takes
    return text


def _bool(value: Any) -> int:
    if value is True or value is False:
        return int(value)
    raise _misfit(bool, value)


def _int(value: Any) -> int:
    if not isinstance(value, int):
        raise _misfit(int, value)
    if not _LOWEST <= value < _LIMIT:
        raise ValueError(
            f"{show(value)} does not fit 64 bits; annotate Annotated[int, Exact] to store it as text"
        )
    return int(value)


def _float(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, (float, int)):
        raise _misfit(float, value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is no number")
    if number != value:
        raise ValueError(f"{show(value)} has more digits than a float keeps")
    return number


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{value!r} is no number")
    return value


def _decimal(value: Any) -> int | float:
    """The int64 or double that NUMERIC keeps, where the decimal comes back from it exactly."""
    if not isinstance(value, Decimal):
        raise _misfit(Decimal, value)
    number = float(_finite(value))
    if number.is_integer() and value.adjusted() < 19:
        whole = int(value)
        if whole == value and _LOWEST <= whole < _LIMIT:
            return whole
    if Decimal(repr(number)) == value:
        return number
    raise ValueError(
        f"{show(value)} would lose digits; annotate Annotated[Decimal, Exact] to store it as text"
    )


def _datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise _misfit(datetime, value)
    if value.utcoffset() is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _date(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _misfit(date, value)
    return value.isoformat()


def _time(value: Any) -> str:
    if not isinstance(value, time):
        raise _misfit(time, value)
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError(f"{show(value)} has a zone whose offset depends on the date; store a datetime")
    return value.isoformat()


def _timedelta(value: Any) -> float:
    if not isinstance(value, timedelta):
        raise _misfit(timedelta, value)
    seconds: float = encode(value)
    return seconds


def _uuid(value: Any) -> str:
    if not isinstance(value, UUID):
        raise _misfit(UUID, value)
    return str(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _misfit(bytes, value)
    return value


#: Subclasses stand before their base.
_RULES: dict[Any, Rule] = {
    str: Rule("TEXT", _str),
    bool: Rule("INTEGER", _bool),
    int: Rule("INTEGER", _int),
    float: Rule("REAL", _float),
    Decimal: Rule("NUMERIC", _decimal),
    datetime: Rule("TEXT", _datetime),
    date: Rule("TEXT", _date),
    time: Rule("TEXT", _time),
    timedelta: Rule("REAL", _timedelta),
    UUID: Rule("TEXT", _uuid),
    bytes: Rule("BLOB", _bytes),
}
