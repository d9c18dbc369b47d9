"""JSON that keeps its types, driven by annotations.

The JSON carries no tags: what it means is said by the annotation it is decoded with. Without one (or with
`Any`) plain JSON types come back: a Decimal or a date as its text, a tuple as a list. In a union the more
specific members are tried before `str`, so a text that reads like a date comes back as one from `date | str`.
"""

from __future__ import annotations

import json
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from scraper.core.codec.classes import (
    Field,
    cached,
    construct,
    fields_of,
    getter_of,
    is_typed,
    members_of,
    names_of,
    short_repr,
)
from scraper.core.codec.value_conversions import mismatch
from scraper.core.codec.value_kinds import KINDS, kind_of_type, kind_of_value

__all__ = ["CONTAINERS", "TOO_DEEP", "build", "decode", "decode_arguments", "encode", "encode_arguments"]

#: Deeper values are refused: a cycle never ends, and nothing real is nested so deep.
MAX_DEPTH = 100
TOO_DEEP = f"a value nested deeper than {MAX_DEPTH} levels cannot be stored"

#: What has a value of one of these types as it is, in JSON too.
_PLAIN = frozenset({kind.python_type for kind in KINDS if kind.as_in_json} | {type(None)})
_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode

# ---------------------------------------------------------------------------------------------- to JSON


def encode(value: Any, depth: int = 0) -> Any:
    """The JSON form of a value: Decimal, date, datetime, time, UUID as text, timedelta in seconds, bytes in
    base64, Enum by value, sets as sorted lists, item classes as objects.

    Raises TypeError for what `decode` could not bring back: another type, NaN, a key that is no str.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > MAX_DEPTH:
        raise TypeError(TOO_DEEP)
    if kind is list or kind is tuple:
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return _encode_dict(value, depth)
    if is_typed(kind):
        values = getter_of(kind)(value)
        return {name: encode(v, depth + 1) for name, v in zip(names_of(kind), values, strict=True)}
    return _encode_other(value, depth)


def _encode_dict(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"a dict with the key {short_repr(name)} cannot be stored; keys must be str")
    return {str.__str__(name): encode(item, depth + 1) for name, item in value.items()}


def _encode_other(value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        return encode(value.value, depth + 1)
    if kind := kind_of_value(value):
        return kind.to_json(value)
    if isinstance(value, (list, tuple)):
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return _encode_set(value, depth)
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    raise TypeError(f"{article} {name} cannot be stored; pass str, int, Decimal, date, list, dict")


def _encode_set(value: Iterable[Any], depth: int) -> list[Any]:
    return sorted((encode(item, depth + 1) for item in value), key=_dumps)


def encode_arguments(callback_name: str, args: Mapping[str, Any]) -> str:
    """The data of a callback as JSON text (ASCII, so that any text survives), in its own order.

    Raises TypeError naming callback and argument for a value that cannot be stored.
    """
    for value in args.values():
        if type(value) not in _PLAIN:
            args = {name: _encode_argument(callback_name, name, value) for name, value in args.items()}
            break
    try:
        return _dumps(args)
    except ValueError as exc:  # an int of more digits than Python prints
        raise TypeError(f"{callback_name}(): the data cannot be stored: {exc}") from exc


def _encode_argument(callback: str, name: str, value: Any) -> Any:
    try:
        return encode(value)
    except TypeError as exc:
        raise TypeError(f"{callback}({name}=…): {exc}") from exc


# ---------------------------------------------------------------------------------------------- from JSON


def decode(value: Any, annotation: Any = Any) -> Any:
    """The value that `encode` was given, as its annotation describes it.

    Raises ValueError when the JSON does not fit the annotation, or nothing is known of the annotation.
    """
    return _decoder(annotation)(value)


def decode_arguments(text: str, annotations: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a callback from its JSON text; `annotations` are its parameters', resolved.

    Raises ValueError naming the argument that does not fit.
    """
    args = json.loads(text)
    if not isinstance(args, dict):
        raise ValueError(f"arguments must be an object, not {short_repr(args)}")  # noqa: TRY004 - data, not code
    for name, value in args.items():
        if name in annotations:
            try:
                args[name] = decode(value, annotations[name])
            except ValueError as exc:
                raise ValueError(f"{name}: {exc}") from exc
    return args


@cached
def _decoder(annotation: Any) -> Callable[[Any], Any]:
    members = members_of(annotation)
    annotation = members[0]
    if len(members) > 1:
        return partial(_union, sorted(members, key=lambda member: member is str))
    if annotation in _ANY:
        return lambda raw: raw
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return partial(_one_of, args)
    if kind := kind_of_type(origin):
        return kind.from_json
    for group, decoder in _CONTAINERS:
        if origin in group:
            return partial(decoder, origin, args)
    if is_typed(origin):
        return partial(build, origin)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return partial(_enum, origin)
    if hasattr(origin, "_make"):
        return partial(_named_tuple, origin)
    return partial(_unknown, annotation)


def _unknown(annotation: Any, raw: Any) -> Any:
    raise ValueError(f"nothing can be brought back as {annotation!r}; annotate a type that can be stored")


def _misfit(expected: Any, raw: Any) -> ValueError:
    return ValueError(mismatch(expected, raw))


def _union(members: list[Any], raw: Any) -> Any:
    for member in members:
        try:
            value = decode(raw, member)
        except ValueError:
            continue
        # "2024-01-01" can be read as a datetime too; only the exact form of a member is that member.
        if type(raw) is not str or encode(value) == raw:
            return value
    raise _misfit(" or ".join(getattr(m, "__name__", repr(m)) for m in members), raw)


def _one_of(options: tuple[Any, ...], raw: Any) -> Any:
    for option in options:
        if _is_form_of(option, raw):
            return option
    raise _misfit(" or ".join(map(repr, options)), raw)


def _enum(cls: type[Enum], raw: Any) -> Enum:
    for member in cls:
        if _is_form_of(member.value, raw):
            return member
    try:
        return cls(raw)  # flags together, or what `_missing_` accepts
    except ValueError:
        raise _misfit(cls, raw) from None


def _is_form_of(value: Any, raw: Any) -> bool:
    return (type(value) is type(raw) and value == raw) or (type(value) not in _PLAIN and encode(value) == raw)


def _none(cls: type, args: Any, raw: Any) -> None:
    if raw is not None:
        raise _misfit(cls, raw)


def _many(cls: type, args: tuple[Any, ...], raw: Any) -> Any:
    if not isinstance(raw, list):
        raise _misfit(cls, raw)
    made = frozenset if cls is frozenset else set if issubclass(cls, abc.Set) else list
    return made(decode(item, args[0]) for item in raw) if args else made(raw)


def _tuple(cls: type, args: tuple[Any, ...], raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise _misfit(cls, raw)
    if not args or args[-1] is Ellipsis:
        return tuple(decode(item, args[0]) for item in raw) if args else tuple(raw)
    if len(raw) != len(args):
        raise _misfit(f"a tuple of {len(args)}", raw)
    return tuple(decode(item, arg) for item, arg in zip(raw, args, strict=True))


def _named_tuple(cls: Any, raw: Any) -> Any:
    if not isinstance(raw, list) or len(raw) != len(cls._fields):
        raise _misfit(cls, raw)
    hints = get_type_hints(cls, include_extras=True)
    return cls._make(decode(item, hints.get(name, Any)) for name, item in zip(cls._fields, raw, strict=True))


def _dict(cls: type, args: tuple[Any, ...], raw: Any) -> dict[Any, Any]:
    if not isinstance(raw, dict):
        raise _misfit(cls, raw)
    return {decode(k, args[0]): decode(v, args[1]) for k, v in raw.items()} if args else raw


_ANY = (Any, object)
_CONTAINERS: tuple[tuple[Any, Callable[[Any, tuple[Any, ...], Any], Any]], ...] = (
    ((type(None),), _none),
    ((list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection), _many),
    ((set, frozenset, abc.Set, abc.MutableSet), _many),
    ((tuple,), _tuple),
    ((dict, abc.Mapping, abc.MutableMapping), _dict),
)
#: The types, besides those of the table of kinds, classes and enums, that `decode` knows.
CONTAINERS = frozenset(origin for group, _ in _CONTAINERS for origin in group)


def build(cls: type, mapping: Mapping[str, Any]) -> Any:
    """The instance again from what `encode` made of it; fields with a default may lack.

    Raises ValueError naming class and field when the mapping does not fit.
    """
    if not isinstance(mapping, Mapping):
        raise _misfit(cls, mapping)
    names = names_of(cls)
    for name in mapping:
        if name not in names:
            raise ValueError(f"{cls.__name__} has no field {name!r}")
    values = {}
    for field in fields_of(cls):
        if field.name in mapping:
            values[field.name] = _decode_field(cls, field, mapping[field.name])
        elif field.required:
            raise ValueError(f"{cls.__name__}.{field.name} is missing")
    return construct(cls, values)


def _decode_field(cls: type, field: Field, raw: Any) -> Any:
    try:
        return decode(raw, field.annotation)
    except ValueError as exc:
        raise ValueError(f"{cls.__name__}.{field.name}: {exc}") from exc
