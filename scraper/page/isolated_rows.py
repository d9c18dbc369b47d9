"""Rows in isolation: what one row of a table cannot do must not cost the others."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, ValuesView
from dataclasses import dataclass
from typing import Any

__all__ = ["SNIPPET", "FailedRow", "refuse_async", "results_of"]

#: Characters of a failed row's HTML that are kept.
SNIPPET = 500

#: What counts as "several results". Anything else is one: pydantic models, mappings and named tuples can be
#: iterated too, but are items.
_SEVERAL = (list, tuple, set, frozenset, deque, Iterator, ValuesView)


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row whose function raised: the exception, and up to 500 characters of the row's HTML.

    `index` counts the matches of `selector` from 0.
    """

    error: Exception
    html: str
    selector: str
    index: int


def refuse_async(row: Callable[..., Any]) -> None:
    """Raise TypeError for a row function whose result would have to be awaited."""
    if inspect.iscoroutinefunction(row) or inspect.isasyncgenfunction(row):
        name = getattr(row, "__name__", repr(row))
        raise TypeError(f"{name}() is async: each() takes a plain function; to await, loop over css()")


def results_of(returned: object) -> list[Any]:
    """Everything a row function returned, a generator run to its end."""
    if returned is None:
        return []
    if isinstance(returned, _SEVERAL) and not hasattr(returned, "_fields"):
        return list(returned)
    return [returned]
