"""What the values of a column are, in a word: what its SQLite type alone does not say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from scraper.core.codec.classes import is_typed, members_of

__all__ = ["kind_of"]

#: Subclasses stand before their base.
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "real"), (Decimal, "decimal"), (datetime, "datetime"),
    (date, "date"), (time, "time"), (timedelta, "timedelta"), (UUID, "uuid"), (bytes, "bytes"), (str, "text"),
    (dict, "json"), (list, "json"), (tuple, "json"), (set, "json"), (frozenset, "json"), (Mapping, "json"),
)  # fmt: skip


def kind_of(annotation: Any, exact: bool = False) -> str:
    """The kind of a field's values; empty where it may be several (`int | str`), or anything.

    `exact` fields are text with every digit: decimals.
    """
    kinds = {_kind(member) for member in members_of(annotation) if member is not type(None)}
    if exact:
        return "decimal"
    return kinds.pop() if len(kinds) == 1 else ""


def _kind(member: Any) -> str:
    origin = get_origin(member) or member
    if origin is Literal:
        kinds = {_kind(type(one)) for one in get_args(member)}
        return kinds.pop() if len(kinds) == 1 else ""
    if not isinstance(origin, type):
        return ""
    if issubclass(origin, Enum):
        kinds = {_kind(type(one.value)) for one in origin}
        return kinds.pop() if len(kinds) == 1 else ""
    if is_typed(origin):
        return "json"
    return next((kind for base, kind in _KINDS if issubclass(origin, base)), "")
