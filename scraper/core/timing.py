"""Timing points: functions whose time a profile may measure.

`@timed("links")` notes a function and returns it as it is, so that a point costs nothing while no profile is on. While
one is, `TimingPoint.replaced` puts what measures in the function's place, in the class or module that defines it; so a
marked function must be looked up there when it is called, and not be imported by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["POINTS", "TimingPoint", "timed"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class TimingPoint:
    """One marked function and the part of a crawl that its time counts for."""

    part: str
    function: Callable[..., Any]

    @contextmanager
    def replaced(self, stand_in: Callable[..., Any]) -> Iterator[None]:
        """`stand_in` takes the function's place."""
        owner: Any = sys.modules[self.function.__module__]
        *classes, name = self.function.__qualname__.split(".")
        for inner in classes:
            owner = vars(owner)[inner]
        setattr(owner, name, stand_in)
        try:
            yield
        finally:
            setattr(owner, name, self.function)


#: All points of the modules that are imported.
POINTS: list[TimingPoint] = []


def timed(part: str) -> Callable[[F], F]:
    """Mark a function as a timing point of `part`."""

    def mark(function: F) -> F:
        POINTS.append(TimingPoint(part, function))
        return function

    return mark
