"""Running what an author wrote: to its end or its time limit, everything it yields collected."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from scraper.errors import FetchError, Verdict
from scraper.pipeline import Collector, consume

__all__ = ["OutOfTime", "is_async", "only_error", "place_of", "run_in_time"]


class OutOfTime(Exception):
    """A callback did not end within `callback_timeout`."""


def only_error(error: BaseException) -> BaseException:
    """The first error of a group when all of it is about fetching or an outcome (asyncio.TaskGroup)."""
    if isinstance(error, BaseExceptionGroup):
        rest = error.split((FetchError, Verdict))[1]
        if rest is None:
            return only_error(error.exceptions[0])
    return error


def place_of(function: Callable[..., Any]) -> str:
    """Where a callback is defined, as file:line."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


async def run_in_time(call: Callable[[], Any], collector: Collector, place: str, limit: float) -> None:
    """Call and drain a callback. Raises what it raised, or OutOfTime after `limit` seconds.

    Only what awaits can be timed out; a plain function or generator runs to its end.
    """
    result = call()
    if not inspect.isawaitable(result) and not isinstance(result, AsyncIterator):
        return await consume(result, collector, place)
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            await consume(result, collector, place)
    except TimeoutError as error:
        if scope.expired():
            raise OutOfTime from error
        raise
    return None


def is_async(function: Callable[..., Any]) -> bool:
    """Whether other tasks run while a callback does."""
    return bool(function.__code__.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
