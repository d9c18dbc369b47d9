"""What a spider class says, read once: name, settings, arguments, callbacks, declared items."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from scraper.core.codec import decode
from scraper.core.credentials import Secret
from scraper.core.tracebacks import describe
from scraper.errors import SpiderError
from scraper.items.expectations import Expectation, expectations_of
from scraper.settings import Settings, did_you_mean, near_miss
from scraper.spider.base import Spider

__all__ = ["Definition", "define", "instantiate", "parameters_of"]

#: Names of the base class that are neither settings nor callbacks.
_RESERVED = frozenset({"name", "abstract", "start_urls", "transports", "start", "check", "expect"})


@dataclass(frozen=True, slots=True)
class Definition:
    """A spider class, understood.

    `callbacks` maps names to functions (looked up here, never by getattr on stored data); `arguments` maps
    the spider's own annotated attributes to their types; `items` are the declared item classes.
    """

    cls: type[Spider[Any]]
    name: str
    place: str
    settings: Mapping[str, Any]
    arguments: Mapping[str, Any]
    callbacks: Mapping[str, Callable[..., Any]]
    items: tuple[type, ...]
    expect: tuple[Expectation, ...] = ()

    @property
    def checks(self) -> bool:
        """Whether the spider looks at every page before its callback."""
        return self.cls.check is not Spider.check

    @property
    def secrets(self) -> list[str]:
        """The arguments that are shown to nobody and stored nowhere."""
        return [name for name, annotation in self.arguments.items() if annotation is Secret]

    def parameters(self, callback: str) -> Mapping[str, Any]:
        """The annotations of a callback's data parameters, in order."""
        return parameters_of(self.callbacks[callback])


def define(cls: type[Spider[Any]]) -> Definition:
    """Read a spider class. Raises SpiderError naming file:line for what breaks the contract."""
    place = _place(cls)
    own = _own_attributes(cls)
    if inspect.iscoroutinefunction(cls.check) or inspect.isasyncgenfunction(cls.check):
        raise SpiderError(f"{place}: check() runs before every callback and must not be async")
    if isinstance(own.get("start_urls"), str):
        raise SpiderError(f"{place}: start_urls is a list of URLs, not one: [{own['start_urls']!r}]")
    if "db" in own:
        raise SpiderError(f"{place}: db is the database of the crawl (self.db); choose another name")
    known = Settings.names()
    arguments = _arguments(cls, known)
    for name, value in own.items():
        _refuse_near_miss(place, name, value, known, arguments)
    name = cls.__dict__.get("name") or cls.name or cls.__name__.lower()
    return Definition(
        cls=cls,
        name=name,
        place=place,
        settings={name: value for name, value in own.items() if name in known},
        arguments=arguments,
        callbacks=_callbacks(cls),
        items=_declared_items(cls),
        expect=expectations_of(cls.expect, place, name),
    )


def instantiate(definition: Definition, arguments: Mapping[str, Any]) -> Spider[Any]:
    """The spider with its arguments set, strings (from a command line) converted by annotation.

    Raises SpiderError for an unknown or missing argument, or a value of the wrong type.
    """
    cls = definition.cls
    if cls.parse is Spider.parse and cls.start is Spider.start:
        raise SpiderError(f"{definition.place}: {cls.__name__} has no parse(self, page)")
    try:
        spider = cls()
    except Exception as error:
        record = describe(error, "init", definition.place)
        raise SpiderError(f"{record.place}   {record.message}") from error
    for name, value in arguments.items():
        if name not in definition.arguments:
            known = ", ".join(definition.arguments) or "none"
            raise SpiderError(
                f"{definition.name} has no argument {name!r}{did_you_mean(name, definition.arguments)} Known: {known}"
            )
        setattr(spider, name, _argument(definition, name, value))
    for name in definition.secrets:
        if isinstance(value := getattr(spider, name, None), Secret):
            setattr(spider, name, value.resolved(name))
    missing = [name for name in definition.arguments if not hasattr(spider, name)]
    if missing:
        raise SpiderError(f"{definition.name} needs -a {missing[0]}=…")
    return spider


def _argument(definition: Definition, name: str, value: Any) -> Any:
    annotation = definition.arguments[name]
    try:
        if annotation is Secret:
            return Secret(value)
        return _from_text(value, annotation) if isinstance(value, str) else value
    except (ValueError, TypeError, ArithmeticError) as error:
        shown = getattr(annotation, "__name__", str(annotation))
        raise SpiderError(f"{definition.name}: argument {name}={value!r} is not {shown}") from error


def _from_text(text: str, annotation: Any) -> Any:
    """Read an argument as typed in a shell: numbers, true/false, comma lists; None for an optional empty one."""
    choices = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) in {types.UnionType, typing.Union} and choices:
        return None if not text and len(choices) < len(get_args(annotation)) else _from_text(text, choices[0])
    if annotation is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() in words:
            return words[text.lower()]
        raise ValueError(text)
    if annotation in {int, float}:
        return annotation(text)
    if get_origin(annotation) in {list, tuple, set}:
        inner = get_args(annotation)[0]
        return get_origin(annotation)(
            _from_text(part.strip(), inner) for part in text.split(",") if part.strip()
        )
    return decode(text, annotation)


def _place(cls: type) -> str:
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return cls.__qualname__


def _own_attributes(cls: type) -> dict[str, Any]:
    """Attributes set below Spider, nearest class first."""
    own: dict[str, Any] = {}
    for base in cls.__mro__:
        if base is Spider:
            break
        for name, value in vars(base).items():
            if not name.startswith("_"):
                own.setdefault(name, value)
    return own


def _arguments(cls: type[Spider[Any]], known: Mapping[str, str]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base in {Spider, object} or not issubclass(base, Spider):
            continue
        names = [n for n in inspect.get_annotations(base) if not n.startswith("_") and n not in known]
        if names:
            resolved = _hints(base)
            hints.update({n: resolved[n] for n in names if n not in _RESERVED})
    return {n: a for n, a in hints.items() if get_origin(a) is not typing.ClassVar}


def _hints(of: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(of, include_extras=True)
    except NameError as error:
        raise SpiderError(
            f"{_place(of)}: cannot read an annotation: {error}; import the name at module level"
        ) from error


def _refuse_near_miss(
    place: str, name: str, value: Any, known: Mapping[str, str], arguments: Mapping[str, Any]
) -> None:
    if (
        name in known
        or name in _RESERVED
        or name in arguments
        or callable(value)
        or isinstance(value, (property, type))
    ):
        return
    meant = near_miss(name, (*known, "start_urls"))
    if meant is not None:
        raise SpiderError(
            f'{place}: {name} is not a setting. Did you mean "{meant}"?'
            f" (If it is your own, annotate it or choose another name.)"
        )


def _callbacks(cls: type) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        if base is object or not issubclass(base, Spider):
            continue
        found |= {
            name: value
            for name, value in vars(base).items()
            if inspect.isfunction(value) and not name.startswith("__") and name not in _RESERVED
        }
    return found


def _declared_items(cls: type) -> tuple[type, ...]:
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            if get_origin(generic) is Spider:
                (declared,) = get_args(generic)
                parts = (
                    get_args(declared)
                    if get_origin(declared) in {types.UnionType, typing.Union}
                    else (declared,)
                )
                return tuple(part for part in parts if isinstance(part, type))
    return ()


_parameters: dict[Callable[..., Any], Mapping[str, Any]] = {}


def parameters_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Annotations of a callback's parameters after self and page; Any where there is none."""
    found = _parameters.get(function)
    if found is None:
        hints = _hints(function)
        names = list(inspect.signature(function).parameters)[2:]
        found = _parameters[function] = {name: hints.get(name, Any) for name in names}
    return found
