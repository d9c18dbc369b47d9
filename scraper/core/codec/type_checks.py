"""Whether a value is what an annotation says, without changing it.

What a type checker accepts is accepted: an int where float is annotated, a bool where int is. The one
exception is a datetime where date is annotated, which would be stored in another form.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args, get_origin

from scraper.core.codec.classes import cached, fields_of, getter_of, is_typed, members_of
from scraper.core.codec.value_kinds import kind_of_type

__all__ = ["is_valid"]

Check = Callable[[Any], bool]

_GROUPS = (list, set, frozenset, abc.Set, abc.Sequence, abc.Iterable, abc.Collection)


def is_valid(value: Any, annotation: Any) -> bool:
    """Whether `value`, with everything inside it, is of the annotated type."""
    return _check(annotation)(value)


@cached
def _check(annotation: Any) -> Check:
    members = members_of(annotation)
    if len(members) > 1:
        return lambda value: any(is_valid(value, member) for member in members)
    origin, args = get_origin(members[0]) or members[0], get_args(members[0])
    if origin is Literal:
        return lambda value: any(type(value) is type(one) and value == one for one in args)
    if is_typed(origin):
        return partial(_instance if not issubclass(origin, dict) else _typed_dict, origin)
    if origin is tuple:
        return partial(_tuple, args)
    if origin is dict or origin in (abc.Mapping, abc.MutableMapping):
        return partial(_mapping, args)
    if origin in _GROUPS:
        return partial(_group, origin, args)
    return _plain(origin)


def _plain(cls: Any) -> Check:
    if cls is Any:
        return lambda value: True
    if (kind := kind_of_type(cls)) and (kind.accepted or kind.excluded):
        return kind.holds
    if isinstance(cls, type):
        return lambda value: isinstance(value, cls)
    return lambda value: True  # what typing adds; whether it can be stored is another question


def _instance(cls: Any, value: Any) -> bool:
    return isinstance(value, cls) and all(
        is_valid(inner, field.annotation)
        for inner, field in zip(getter_of(cls)(value), fields_of(cls), strict=True)
    )


def _typed_dict(cls: Any, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {field.name: field for field in fields_of(cls)}
    if any(field.required and name not in value for name, field in fields.items()):
        return False
    return all(name in fields and is_valid(inner, fields[name].annotation) for name, inner in value.items())


def _tuple(args: tuple[Any, ...], value: Any) -> bool:
    if not isinstance(value, tuple):
        return False
    if not args or args[-1] is Ellipsis:
        return not args or all(is_valid(item, args[0]) for item in value)
    return len(value) == len(args) and all(is_valid(v, arg) for v, arg in zip(value, args, strict=True))


def _mapping(args: tuple[Any, ...], value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return not args or all(is_valid(k, args[0]) and is_valid(v, args[1]) for k, v in value.items())


def _group(cls: Any, args: tuple[Any, ...], value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not isinstance(value, cls):
        return False
    return not args or all(is_valid(item, args[0]) for item in value)
