"""Exclusive CPU time by part: what a part does for another counts for that one alone."""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Generator
from functools import partial
from time import thread_time
from typing import Any, Generic, TypeVar

__all__ = ["Steps", "Timer"]

T = TypeVar("T")


class _Own(threading.local):
    """What a thread is in the middle of: for each open part the seconds that went to parts within it."""

    def __init__(self) -> None:
        self.within: list[float] = []
        self.spent: dict[str, float] | None = None


class Timer:
    """`began = begin()`, the work, `end(part, began)`; they nest, and each thread has its own."""

    def __init__(self) -> None:
        self._own = _Own()
        self._lock = threading.Lock()
        self._spent: list[dict[str, float]] = []

    def begin(self) -> float:
        self._own.within.append(0.0)
        return thread_time()

    def end(self, part: str, began: float) -> float:
        """Seconds the part took, with all within it."""
        passed = thread_time() - began
        own = self._own
        within = own.within.pop()
        if (spent := own.spent) is None:
            spent = own.spent = {}
            with self._lock:
                self._spent.append(spent)
        spent[part] = spent.get(part, 0.0) + passed - within
        if own.within:
            own.within[-1] += passed
        return passed

    def parts(self) -> dict[str, float]:
        """Seconds of CPU by part, of all threads."""
        total: dict[str, float] = {}
        with self._lock:
            for spent in self._spent:
                for part, seconds in spent.items():
                    total[part] = total.get(part, 0.0) + seconds
        return total


class Steps(Generic[T]):
    """A coroutine to be awaited whose steps count for a part; what it waits for does not."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], timer: Timer, part: str) -> None:
        self._coroutine = coroutine
        self._timer = timer
        self._part = part

    def __await__(self) -> Generator[Any, Any, T]:
        step = partial(self._coroutine.send, None)
        while True:
            began = self._timer.begin()
            try:
                awaited = step()
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                self._timer.end(self._part, began)
            try:
                answer = yield awaited
            except BaseException as error:
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, answer)
