"""One description of a typed class, whatever library made it.

Dataclasses, attrs classes, pydantic models, msgspec Structs and TypedDicts are recognised by what their
library leaves on the class, so none of these libraries is imported here.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from scraper.errors import SpiderError

__all__ = [
    "Exact",
    "Field",
    "Key",
    "cached",
    "construct",
    "fields_of",
    "getter_of",
    "is_typed",
    "members_of",
    "names_of",
    "short_repr",
    "strip",
    "values_of",
]


class Key:
    """Marks a field as (part of) its table's primary key: `upc: Annotated[str, Key]`."""


class Exact:
    """Keeps every digit of a Decimal or int by storing it as text: `Annotated[Decimal, Exact]`."""


class Field(NamedTuple):
    """One field of a typed class. `annotation` is resolved and free of `Annotated` and `NotRequired`.

    `required` says that it has no default (in a TypedDict: that it must be present).
    """

    name: str
    annotation: Any
    required: bool
    key: bool = False
    exact: bool = False


class _Raw(NamedTuple):
    """A field as its library describes it; `init` is its name in the constructor, None when it has none."""

    name: str
    required: bool
    init: str | None
    annotation: Any = Any


class _Shape(NamedTuple):
    fields: tuple[Field, ...]
    get: Callable[[Any], tuple[Any, ...]]
    init: Mapping[str, str | None]


def is_typed(cls: Any) -> bool:
    """Whether `cls` is a class whose fields are known here."""
    return isinstance(cls, type) and _reader(cls) is not None


def fields_of(cls: type) -> tuple[Field, ...]:
    """The fields of a typed class, in its order.

    Raises SpiderError for an annotation that cannot be resolved, TypeError for a class of another kind.
    """
    return _shape(cls).fields


def getter_of(cls: type) -> Callable[[Any], tuple[Any, ...]]:
    """A function from an instance to the values of `fields_of`. It raises AttributeError if one is unset."""
    return _shape(cls).get


def values_of(obj: Any) -> Mapping[str, Any]:
    """The fields of an instance by name; the values themselves, not copies. A dict is its own mapping."""
    if isinstance(obj, dict):
        return obj
    cls: Any = type(obj)
    shape = _shape(cls)
    return dict(zip(shape.init, shape.get(obj), strict=True))


def names_of(cls: type) -> Mapping[str, Any]:
    """The names of the fields, as the keys of a mapping."""
    return _shape(cls).init


def construct(cls: Any, values: Mapping[str, Any]) -> Any:
    """An instance with these field values, the others at their default. ValueError if the class objects."""
    shape, reader = _shape(cls), _reader(cls)
    if reader is _typed_dict:
        return dict(values)
    try:
        if reader is _pydantic:
            # Validators ran when the value was made; they need not accept their own result.
            return cls.model_construct(**{shape.init[name] or name: value for name, value in values.items()})
        obj = cls(**{init: values[name] for name, init in shape.init.items() if init and name in values})
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{cls.__name__} cannot be built again: {exc}") from exc
    for name, init in shape.init.items():
        if init is None and name in values:
            object.__setattr__(obj, name, values[name])
    return obj


@lru_cache(maxsize=1024)
def _reader(cls: Any) -> Callable[[Any], Iterable[_Raw]] | None:
    if hasattr(cls, "__dataclass_fields__"):
        return _dataclass
    if hasattr(cls, "__attrs_attrs__"):
        return _attrs
    if hasattr(cls, "__struct_fields__"):
        return _msgspec
    if hasattr(cls, "__pydantic_fields__") and hasattr(cls, "model_construct"):
        return _pydantic
    return _typed_dict if hasattr(cls, "__required_keys__") and hasattr(cls, "__total__") else None


def _dataclass(cls: Any) -> Iterable[_Raw]:
    for f in dataclasses.fields(cls):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        yield _Raw(f.name, required, f.name if f.init else None, f.type)


def _attrs(cls: Any) -> Iterable[_Raw]:
    for a in cls.__attrs_attrs__:
        required = type(a.default).__name__ == "_Nothing"
        yield _Raw(a.name, required, a.alias if a.init else None, Any if a.type is None else a.type)


def _msgspec(cls: Any) -> Iterable[_Raw]:
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    without = len(names) - len(defaults)
    for i, name in enumerate(names):
        # Keyword-only fields without a default stand among the defaults as a sentinel.
        required = i < without or type(defaults[i - without]).__name__ == "NoDefaultType"
        yield _Raw(name, required, name)


def _pydantic(cls: Any) -> Iterable[_Raw]:
    for name, info in cls.__pydantic_fields__.items():
        annotation = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        alias = info.alias if isinstance(info.alias, str) else name
        yield _Raw(name, info.is_required(), alias, annotation)


def _typed_dict(cls: Any) -> Iterable[_Raw]:
    return [_Raw(name, name in cls.__required_keys__, name) for name in cls.__annotations__]


@lru_cache(maxsize=1024)
def _shape(cls: type) -> _Shape:
    reader = _reader(cls)
    if reader is None:
        raise TypeError(f"{cls.__name__} is no dataclass, attrs, pydantic, msgspec or TypedDict class")
    raws = list(reader(cls))
    hints = {} if reader is _pydantic else _hints(cls, [raw.name for raw in raws])
    fields = tuple(_field(raw, hints.get(raw.name, raw.annotation)) for raw in raws)
    return _Shape(fields, _getter(tuple(raw.name for raw in raws)), {raw.name: raw.init for raw in raws})


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda obj: tuple(getattr(obj, name) for name in names)


def _hints(cls: type, names: list[str]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # whatever an annotation raises when evaluated
        # Some annotation of the class fails; only those of fields matter, and the message names the field.
        bases = [base for base in reversed(cls.__mro__) if "__annotations__" in base.__dict__]
        found = {name: (base, text) for base in bases for name, text in base.__annotations__.items()}
        return {name: _hint(cls, name, *found[name]) for name in names if name in found}


def _hint(cls: type, name: str, base: type, annotation: Any) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    module = getattr(sys.modules.get(base.__module__), "__dict__", {})
    # `typing` for make_dataclass, which writes "typing.Any"; the module before the class, as typing does it.
    scope = {"typing": typing, **vars(base), cls.__name__: cls}
    try:
        return typing.get_type_hints(holder, scope, module, include_extras=True)[name]
    except Exception as exc:
        raise SpiderError(
            f"{cls.__name__}.{name}: the annotation {annotation!r} cannot be resolved ({exc}); "
            "import or define the name at the top level of the module, not under TYPE_CHECKING"
        ) from exc


def _field(raw: _Raw, hint: Any) -> Field:
    origin, required = get_origin(hint), raw.required
    if origin in (typing.Required, typing.NotRequired):
        required = origin is typing.Required  # string annotations hide it from __required_keys__
        hint = get_args(hint)[0]
    marks = set(_marks(hint))
    return Field(raw.name, strip(hint), required, Key in marks, Exact in marks)


def _marks(hint: Any) -> Iterable[type]:
    """The marker classes on an annotation or on members of its union (`Annotated[Decimal, Exact] | None`)."""
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        yield from (m if isinstance(m, type) else type(m) for m in metadata)
        yield from _marks(inner)
    elif get_origin(hint) in (typing.Required, typing.NotRequired, Union, types.UnionType):
        for member in get_args(hint):
            yield from _marks(member)


def strip(annotation: Any) -> Any:
    """An annotation without `Annotated`, `NotRequired`, `NewType` and aliases around it."""
    while True:
        if get_origin(annotation) in (Annotated, typing.Required, typing.NotRequired):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, TypeVar):
            annotation = annotation.__bound__ or Any
        else:
            return annotation


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, flattened and stripped; of anything else, itself. None appears as NoneType, and
    stands beside a Literal that has it.
    """
    annotation = strip(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(inner for member in get_args(annotation) for inner in members_of(member))
    if get_origin(annotation) is Literal and any(one is None for one in get_args(annotation)):
        others = tuple(one for one in get_args(annotation) if one is not None)
        return (*((Literal.__getitem__(others),) if others else ()), type(None))
    return (type(None) if annotation is None else annotation,)


Made = TypeVar("Made")


def cached(function: Callable[[Any], Made]) -> Callable[[Any], Made]:
    """`lru_cache` for a function of an annotation, which may carry metadata that has no hash."""
    memory = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def call(annotation: Any) -> Made:
        try:
            hash(annotation)
        except TypeError:
            return function(annotation)
        return memory(annotation)

    return call


def short_repr(value: Any) -> str:
    """The repr of a value for a message, cut to 80 characters."""
    try:
        text = repr(value)
    except Exception:  # a repr that raises; an int of more digits than Python prints
        text = f"<{type(value).__name__}>"
    text = text if len(text) <= 80 else text[:79] + "…"
    return text.encode(errors="backslashreplace").decode()
