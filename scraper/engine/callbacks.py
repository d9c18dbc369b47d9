"""Running what an author wrote: to its end or its time limit, everything it yields collected."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from scraper.core.timing import timed
from scraper.engine.collect import Collector, consume
from scraper.engine.threads import CallbackThread
from scraper.errors import FetchError, Verdict

__all__ = [
    "BLOCKED",
    "Call",
    "OutOfTime",
    "Unfit",
    "Watch",
    "call_with",
    "is_async",
    "only_error",
    "place_of",
]

#: Seconds a callback may hold the loop before that is said.
BLOCKED: Final = 1.0


class Unfit(Exception):
    """The stored data of a request is not what the callback takes now: the code was changed since."""


class OutOfTime(Exception):
    """A callback did not end within `callback_timeout`."""


class Watch:
    """Knows the longest step of a callback: the time in which no other task could run. `now` is loop time."""

    __slots__ = ("_began", "_now", "longest")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = 0.0
        self.longest = 0.0

    def __enter__(self) -> None:
        self._began = self._now()

    def __exit__(self, *error: object) -> None:
        self.longest = max(self.longest, self._now() - self._began)


class _Stepped:
    """A coroutine to be awaited whose steps are watched one by one, and wait while a callback runs in a thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], watch: Watch, thread: CallbackThread) -> None:
        self._coroutine = coroutine
        self._watch = watch
        self._thread = thread

    def __await__(self) -> Generator[Any, Any, None]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            if self._thread.busy:
                try:
                    yield from self._thread.idle().__await__()
                except BaseException as error:  # cancelled meanwhile: that is for the callback
                    step = partial(self._coroutine.throw, error)
            try:
                with self._watch:
                    awaited = step()
            except StopIteration:
                return
            finally:
                del step  # it may hold an error, whose traceback holds this frame
            try:
                answer = yield awaited
            except BaseException as error:
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, answer)


def call_with(function: Callable[..., Any], spider: object, page: object, data: Mapping[str, Any]) -> Any:
    """Call a callback. Raises Unfit where `data` does not fit its parameters, and what it raises itself."""
    try:
        return function(spider, page, **data)
    except TypeError:
        try:
            inspect.signature(function).bind(spider, page, **data)
        except TypeError as error:
            raise Unfit(str(error)) from None
        raise


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


@dataclass(frozen=True, slots=True)
class Call:
    """A callback about to run: what calls it, where it is defined (file:line), and the seconds it may await.

    `in_thread`: it runs beside the loop.
    """

    function: Callable[[], Any]
    place: str
    limit: float
    in_thread: bool = False

    @timed("callbacks")
    async def run(self, collector: Collector, watch: Watch, thread: CallbackThread) -> None:
        """Call and drain it, in the thread where asked. Raises what it raised, or OutOfTime after its limit.

        Only what awaits can be timed out; a plain function or generator runs to its end. `watch` sees each step on the
        loop.
        """
        function = self.function
        if self.in_thread:
            returned = await thread.run(function, collector, self.place)
            if returned is None:
                return None
            function = lambda: returned  # noqa: E731 - a plain function that returned a coroutine
        if thread.busy:
            await thread.idle()
        with watch:
            result = function()
            if not inspect.isawaitable(result) and not isinstance(result, AsyncIterator):
                return await consume(result, collector, self.place)  # awaits nothing: one step
        scope = asyncio.timeout(self.limit)
        try:
            async with scope:
                await _Stepped(consume(result, collector, self.place), watch, thread)
        except TimeoutError as error:
            if scope.expired():
                raise OutOfTime from error
            raise
        return None


def is_async(function: Callable[..., Any]) -> bool:
    """Whether other tasks run while a callback does."""
    return bool(function.__code__.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
