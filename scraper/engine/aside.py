"""What an author wrote for a page, run in a thread when the page is so large that every other task would wait for it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from scraper.pipeline import Collector, consume

__all__ = ["Aside"]


class Aside:
    """One thread for the plain callbacks of large pages.

    Python lets the loop's thread go on every 5 ms, so a callback that walks 200,000 elements holds nobody up.
    Invariant: while one runs here, no other callback of this crawl does, nor a step of one that awaits, so that what
    callbacks share needs no locks. Whoever is about to run one awaits `idle` first, and runs it without awaiting
    anything in between.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
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

    async def run(self, call: Callable[[], Any], collector: Collector, place: str) -> Any:
        """Call and drain a plain callback in the thread; raises what it raised.

        Returns None, or what it returned where that has to be awaited, for the loop. When this is cancelled the callback
        runs to its end all the same, and `busy` until then.
        """
        await self.idle()
        self.busy = True
        self._over.clear()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "scraper-callback")
        work = partial(contextvars.copy_context().run, _drained, call, collector, place)
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(self._done)
        returned, error = await asyncio.shield(running)
        if error is not None:
            raise error
        return returned

    async def aclose(self) -> None:
        """Wait for what runs, and end the thread."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _done(self, running: asyncio.Future[Any]) -> None:
        self.busy = False
        self._over.set()


def _drained(call: Callable[[], Any], collector: Collector, place: str) -> tuple[Any, BaseException | None]:
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
