"""What an author wrote for a page, run in a thread when the page is so large that every other task would wait for it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from threading import Thread
from typing import Any, TypeAlias

from scraper.core.timing import timed
from scraper.engine.collect import Collector, consume

__all__ = ["CallbackThread"]

#: What a callback returned that has to be awaited, and what it raised.
_Ended: TypeAlias = tuple[Any, BaseException | None]


class CallbackThread:
    """One thread for the plain callbacks of large pages.

    Python lets the loop's thread go on every 5 ms, so a callback that walks 200,000 elements holds nobody up.
    Invariant: while one runs here, no other callback of this crawl does, nor a step of one that awaits, so that what
    callbacks share needs no locks. Whoever is about to run one awaits `idle` first, and runs it without awaiting
    anything in between.
    """

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._resting = 0
        self._collects = False
        #: Whether a callback runs in the thread.
        self.busy = False

    def rest(self) -> None:
        """Do not look for garbage until `rested`: a full look at the objects of 200,000 links takes 0.3 s, in which
        nothing else runs, and finds none, since they are freed without it.
        """
        if not self._resting:
            self._collects = gc.isenabled()
            gc.disable()
        self._resting += 1

    def rested(self) -> None:
        """A large page is done with."""
        self._resting -= 1
        if not self._resting and self._collects:
            gc.enable()

    async def idle(self) -> None:
        """Wait until no callback runs in the thread."""
        while self.busy:
            await self._over.wait()

    async def ended(self, within: float) -> bool:
        """Wait for what runs in the thread, so many seconds; False when it does not return. It is left behind then."""
        try:
            await asyncio.wait_for(self.idle(), within)
        except TimeoutError:
            return False
        return True

    async def run(self, call: Callable[[], Any], collector: Collector, place: str) -> Any:
        """Call and drain a plain callback in the thread; raises what it raised.

        Returns None, or what it returned where that has to be awaited, for the loop. When this is cancelled the callback
        runs to its end all the same, and `busy` until then.
        """
        await self.idle()
        loop = asyncio.get_running_loop()
        running: asyncio.Future[_Ended] = loop.create_future()
        running.add_done_callback(self._done)
        context = contextvars.copy_context()

        def thread() -> None:
            ended = context.run(_drained, call, collector, place)
            with suppress(RuntimeError):  # the loop is closed: nobody waited for it
                loop.call_soon_threadsafe(running.set_result, ended)

        # No pool: the end of the process would wait for its threads, and a callback may never return.
        Thread(target=thread, name="scraper-callback", daemon=True).start()  # raises where there are too many
        self.busy = True
        self._over.clear()
        returned, error = await asyncio.shield(running)
        if error is not None:
            raise error
        return returned

    def _done(self, running: asyncio.Future[Any]) -> None:
        self.busy = False
        self._over.set()


@timed("callbacks in the thread")
def _drained(call: Callable[[], Any], collector: Collector, place: str) -> _Ended:
    """In the thread. An error is handed over as it is: a future does not take each kind."""
    try:
        result = call()
        if inspect.isawaitable(result) or isinstance(result, AsyncIterator):
            return result, None
        try:
            consume(result, collector, place).send(None)  # awaits nothing, so that this is all of it
        except StopIteration:
            return None, None
    except BaseException as error:
        return None, error
    raise AssertionError("a plain result was awaited")
