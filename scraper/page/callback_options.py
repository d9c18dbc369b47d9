"""From a callback and its data to the options of a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from scraper.core.models import Options, Request, callback_name

__all__ = ["options_for"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def options_for(
    callback: Callable[..., Any] | None, args: tuple[Any, ...], data: Mapping[str, Any], current: Options
) -> Options:
    """Options for `callback(page, *args, **data)`, positional data bound to the names of its parameters.

    Without a callback: the one of `current`, with its data. Raises TypeError, naming the callback, for data
    that does not fit its parameters or cannot be stored.
    """
    if callback is None:
        if args or data:
            raise TypeError("data for a callback needs the callback: follow(link, self.parse_x, …)")
        return _plain(current.callback, current.args)
    name = callback_name(callback)
    signature, optional = _data_signature(getattr(callback, "__func__", callback))
    if optional and not args and not data:
        return _plain(name, None)
    bound = _bind(name, signature, args, data)
    return Request("", callback, args=bound).options if bound else _plain(name, None)


@lru_cache(maxsize=1_024)
def _plain(callback: str, args: str | None) -> Options:
    """Options are immutable, so requests of different pages can share them."""
    return Options(callback=callback, args=args)


@lru_cache(maxsize=1_024)
def _data_signature(function: Callable[..., Any]) -> tuple[inspect.Signature, bool]:
    """The parameters of a method after `self` and the page, and whether all of them are optional."""
    parameters = list(inspect.signature(function).parameters.values())
    fixed = [p for p in parameters[:2] if p.kind in _POSITIONAL]
    if len(fixed) < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters[:2]):
        raise TypeError(f"{function.__name__}() takes no page: a callback is a method like (self, page)")
    rest = parameters[len(fixed) :]
    optional = all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in rest)
    return inspect.Signature(rest), optional


def _bind(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], data: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        arguments = signature.bind(*args, **data).arguments
    except TypeError as exc:
        raise TypeError(f"{name}(): {exc}") from None
    bound: dict[str, Any] = {}
    for key, value in arguments.items():
        kind = signature.parameters[key].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            bound.update(value)
        elif kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            raise TypeError(f"{name}(): data is stored by name, and {key} takes none; make it a keyword")
        else:
            bound[key] = value
    return bound
