"""How single values are written to SQLite and JSON and read again: the functions that the table of kinds names.

Those to SQLite check their value and raise TypeError or ValueError with the reason. Those to JSON take values of
their type only and raise TypeError. Those from JSON take any JSON and raise ValueError.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, get_args
from uuid import UUID

from scraper.core.codec.classes import short_repr

__all__ = [
    "as_text_from_json",
    "bool_to_sql",
    "bytes_from_sql",
    "bytes_to_json",
    "bytes_to_sql",
    "date_to_sql",
    "datetime_to_sql",
    "decimal_from_sql",
    "decimal_to_json",
    "decimal_to_sql",
    "exact_decimal_to_sql",
    "exact_int_to_sql",
    "finite_decimal",
    "float_to_json",
    "float_to_sql",
    "int_to_sql",
    "isoformat",
    "json_to_sql",
    "mismatch",
    "plain_from_json",
    "text_from_sql",
    "text_to_sql",
    "time_to_parquet",
    "time_to_sql",
    "timedelta_from_json",
    "timedelta_from_sql",
    "timedelta_to_json",
    "timedelta_to_sql",
    "uuid_to_sql",
]

#: SQLite's integers: from the lowest, up to and without the limit.
_LOWEST, _LIMIT = -(2**63), 2**63
#: Seconds a timedelta can hold; rounding its maximum to a float would exceed it.
_LONGEST = timedelta.max.total_seconds()

_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def mismatch(expected: Any, value: Any) -> str:
    """What to say of a value that is not of the expected type."""
    name = str(expected) if get_args(expected) else getattr(expected, "__name__", str(expected))
    return f"{name} expected, not {short_repr(value)}"


# ---------------------------------------------------------------------------------------------- to SQLite


def text_to_sql(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    if type(value) is not str:
        if not isinstance(value, str):
            raise TypeError(mismatch(str, value))
        value = str.__str__(value)
    text: str = value
    text.encode()  # UnicodeEncodeError for half a character, which no database takes
    return text


def bool_to_sql(value: Any) -> int:
    if value is True or value is False:
        return int(value)
    raise TypeError(mismatch(bool, value))


def int_to_sql(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(mismatch(int, value))
    if not _LOWEST <= value < _LIMIT:
        raise ValueError(
            f"{short_repr(value)} does not fit 64 bits; annotate Annotated[int, Exact] to store it as text"
        )
    return int(value)


def exact_int_to_sql(value: Any) -> str:
    if not isinstance(value, int):
        raise TypeError(mismatch(int, value))
    return int.__repr__(value)


def float_to_sql(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, (float, int)):
        raise TypeError(mismatch(float, value))
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is not a number")
    if number != value:
        raise ValueError(f"{short_repr(value)} has more digits than a float keeps")
    return number


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return value


def decimal_to_sql(value: Any) -> int | float:
    """The int64 or double that NUMERIC keeps, where the decimal comes back from it exactly."""
    if not isinstance(value, Decimal):
        raise TypeError(mismatch(Decimal, value))
    number = float(_finite(value))
    if number.is_integer() and value.adjusted() < 19:
        whole = int(value)
        if whole == value and _LOWEST <= whole < _LIMIT:
            return whole
    if Decimal(repr(number)) == value:
        return number
    raise ValueError(
        f"{short_repr(value)} would lose digits; annotate Annotated[Decimal, Exact] to store it as text"
    )


def exact_decimal_to_sql(value: Any) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(mismatch(Decimal, value))
    return str(_finite(value))


def datetime_to_sql(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(mismatch(datetime, value))
    if value.utcoffset() is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def date_to_sql(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(mismatch(date, value))
    return value.isoformat()


def time_to_sql(value: Any) -> str:
    if not isinstance(value, time):
        raise TypeError(mismatch(time, value))
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError(f"{short_repr(value)} has a zone whose offset depends on the date; store a datetime")
    return value.isoformat()


def timedelta_to_sql(value: Any) -> float:
    if not isinstance(value, timedelta):
        raise TypeError(mismatch(timedelta, value))
    return timedelta_to_json(value)


def uuid_to_sql(value: Any) -> str:
    if not isinstance(value, UUID):
        raise TypeError(mismatch(UUID, value))
    return str(value)


def bytes_to_sql(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(mismatch(bytes, value))
    return value


def json_to_sql(value: Any) -> str:
    text = _dumps(value)
    if not text.isascii():
        text.encode()  # as in `text_to_sql`, without one call more for each value
    return text


# ---------------------------------------------------------------------------------------------- from SQLite


def text_from_sql(stored: Any) -> str:
    if not isinstance(stored, str):
        raise TypeError("str expected")
    return stored


def bytes_from_sql(stored: Any) -> bytes:
    if not isinstance(stored, bytes):
        raise TypeError("bytes expected")
    return stored


def decimal_from_sql(stored: Any) -> Decimal:
    """NUMERIC keeps a decimal as the integer or float from which it comes back exactly."""
    return Decimal(repr(stored)) if isinstance(stored, (int, float)) else Decimal(stored)


def timedelta_from_sql(stored: Any) -> timedelta:
    return timedelta(seconds=stored)


# ---------------------------------------------------------------------------------------------- to JSON


def isoformat(value: Any) -> Any:
    return value.isoformat()


def float_to_json(value: float) -> float:
    if not math.isfinite(value):
        raise TypeError(f"{value!r} cannot be stored: it is not a number")
    return float(value)


def decimal_to_json(value: Decimal) -> str:
    if not value.is_finite():
        raise TypeError(f"{value!r} cannot be stored: it is not a number")
    return str(value)


def timedelta_to_json(value: timedelta) -> float:
    seconds = value.total_seconds()
    if abs(seconds) >= _LONGEST or timedelta(seconds=seconds) != value:
        raise TypeError(f"{value!r} cannot be stored: too long to keep its microseconds")
    return seconds


def bytes_to_json(value: bytes) -> str:
    return b64encode(value).decode()


# ---------------------------------------------------------------------------------------------- from JSON


def plain_from_json(expected: type, *accepted: type) -> Callable[[Any], Any]:
    """JSON's own types stay as they are; as for a type checker, a bool is an int and an int is a float."""

    def from_json(raw: Any) -> Any:
        if isinstance(raw, (expected, *accepted)):
            return raw
        raise ValueError(mismatch(expected, raw))

    return from_json


def as_text_from_json(expected: type, read: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Values that JSON has as texts, which `read` reads."""

    def from_json(raw: Any) -> Any:
        if not isinstance(raw, str):
            raise ValueError(mismatch(expected, raw))  # noqa: TRY004 - data, not code
        try:
            return read(raw)
        except (ValueError, InvalidOperation):
            raise ValueError(mismatch(expected, raw)) from None

    return from_json


def finite_decimal(raw: str) -> Decimal:
    """The number a text is. Raises InvalidOperation, and ValueError for infinity and NaN."""
    return _finite(Decimal(raw))


def timedelta_from_json(raw: Any) -> timedelta:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not abs(raw) < _LONGEST:
        raise ValueError(mismatch(timedelta, raw))
    return timedelta(seconds=raw)


# ---------------------------------------------------------------------------------------------- to Parquet


def time_to_parquet(stored: str) -> time:
    value = time.fromisoformat(stored)
    if value.tzinfo is not None:
        raise ValueError("Parquet has no time with a zone")
    return value
