"""The JSON form of every report: a dataclass becomes an object with its fields, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

__all__ = ["AS_TIME", "UNSAID", "WHEN_GIVEN", "to_json"]

#: Stands for a field that the object does not have.
_ABSENT: Final = object()


def to_json(value: object) -> Any:
    """What `json.dumps` takes, made of a report or of any value in one.

    Bytes are hexadecimal, decimals text with all their digits, aware datetimes UTC. JSON has no infinity: a float that
    is not finite is null. A field of a dataclass may ask for another form (`AS_TIME`, `WHEN_GIVEN`, `UNSAID`).
    Raises TypeError for a value that has no JSON form.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if isfinite(value) else None
        case bytes():
            return value.hex()
        case Decimal():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
    return _of_several(value)


def _of_several(value: object) -> Any:
    """The JSON form of a value that holds others."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = {one.name: _field(one.metadata, getattr(value, one.name)) for one in fields(value)}
        return {name: form for name, form in pairs.items() if form is not _ABSENT}
    match value:
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return to_json(value._asdict())
        case Sequence():
            return [to_json(item) for item in value]
        case Set():
            return [to_json(item) for item in sorted(value)]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _field(metadata: Mapping[Any, Any], value: object) -> Any:
    form = metadata.get("json", to_json)
    return form(value)


def _as_time(unix: float | None) -> str | None:
    from scraper.core.clock import iso  # with asyncio, which a TAB key need not wait for

    return None if unix is None else iso(unix)


def _when_given(value: object) -> Any:
    return _ABSENT if value is None else to_json(value)


def _unsaid(value: object) -> object:
    return _ABSENT


#: How a field wants to be written: `field(metadata=AS_TIME)` for unix seconds as ISO 8601 in UTC, whole seconds;
#: WHEN_GIVEN leaves out a field that is None; UNSAID leaves it out always, for what other fields say too.
AS_TIME: Final[Mapping[str, Any]] = {"json": _as_time}
WHEN_GIVEN: Final[Mapping[str, Any]] = {"json": _when_given}
UNSAID: Final[Mapping[str, Any]] = {"json": _unsaid}
