"""The profile of a crawl: while it is on, functions that measure stand in for the timing points (`core/timing.py`).

A crawl without a profile knows nothing of this module, so it pays nothing. With one a page costs about a tenth more.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import scraper.api  # noqa: F401 - so that every timing point is known
from scraper.core.timing import POINTS, TimingPoint
from scraper.engine.callbacks import Call, Watch
from scraper.engine.collect import Collector
from scraper.errors import UsageError
from scraper.events import Event, PageDone
from scraper.page.node import Selecting
from scraper.profiling.figures import CallbackTime, Durations, Figures, SelectorTime
from scraper.profiling.timer import Steps, Timer

__all__ = ["Profile"]

SELECTORS, CALLBACKS, THREAD, DATABASE = "selectors", "callbacks", "callbacks in the thread", "database"
REST = "loop and sockets"

#: Frames of this package are not the author's, but for the demo.
_OWN = f"{Path(__file__).resolve().parents[1]}/"
_GUEST = f"{_OWN}demo/"


class Profile:
    """An observer of one crawl in this process, and a context manager around it.

    Raises UsageError where another profile is on: there is one set of functions to time.
    """

    _on: Profile | None = None

    def __init__(self) -> None:
        self._timer = Timer()
        self._points = ExitStack()
        self._callbacks: dict[tuple[str, str], CallbackTime] = {}
        self._selectors: dict[tuple[str, int, str, str, str], SelectorTime] = {}
        self._in_thread: dict[int, float] = {}
        self._fetches = Durations()
        self._pages = 0
        self._transactions = 0.0
        self._began = self._cpu_began = 0.0
        self._ended: tuple[float, float] | None = None

    def __enter__(self) -> Profile:
        if Profile._on is not None:
            raise UsageError("a profile is on in this process already")
        Profile._on = self
        for point in POINTS:
            self._points.enter_context(point.replaced(self._measuring(point)))
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        self._points.close()
        Profile._on = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, PageDone):
            effects = event.done.effects
            if effects.outcome.name != "retry":
                self._pages += 1
            for send in effects.sends:
                self._fetches.add(send.ended - send.sent, send.url or effects.request.url)

    def measured(self, clock: Mapping[str, float] | None = None) -> Figures:
        """What is known by now; `clock` are the seconds domains waited, by what for (`CrawlStatus.spent`)."""
        wall, cpu = self._ended or (
            time.perf_counter() - self._began,
            time.process_time() - self._cpu_began,
        )
        parts = self._timer.parts()
        parts[REST] = max(0.0, cpu - sum(parts.values()))
        return Figures(
            pages=self._pages, wall=wall, cpu=cpu, parts=parts, clock=dict(clock or {}),
            transactions=self._transactions, fetches=self._fetches.shares(), slowest_fetch=self._fetches.whose,
            callbacks=sorted(self._callbacks.values(), key=lambda one: -one.busy),
            selectors=sorted(self._selectors.values(), key=lambda one: -one.seconds),
        )  # fmt: skip

    # ------------------------------------------------------------------ the functions that stand in

    def _measuring(self, point: TimingPoint) -> Callable[..., Any]:
        """What stands in for a point. Some tell more than their time."""
        special = {
            SELECTORS: self._timed_select,
            CALLBACKS: self._timed_callback,
            THREAD: self._timed_thread,
            DATABASE: self._timed_group,
        }
        if (make := special.get(point.part)) is not None:
            return make(point.function)
        if inspect.iscoroutinefunction(point.function):
            return self._stepped(point.function, point.part)
        return self._plain(point.function, point.part)

    def _plain(self, own: Callable[..., Any], part: str) -> Callable[..., Any]:
        timer = self._timer

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = timer.begin()
            try:
                return own(*args, **kwargs)
            finally:
                timer.end(part, began)

        return timed

    def _stepped(self, own: Callable[..., Any], part: str) -> Callable[..., Awaitable[Any]]:
        timer = self._timer

        async def timed(*args: Any, **kwargs: Any) -> Any:
            return await Steps(own(*args, **kwargs), timer, part)

        return timed

    def _timed_select(self, own: Callable[..., Any]) -> Callable[..., Any]:
        timer = self._timer

        def select(node: Selecting, selector: Any, first: bool = False) -> Any:
            node._document.root()  # reading the page is another part, and no selector's fault
            began = timer.begin()
            try:
                return own(node, selector, first)
            finally:
                passed = timer.end(SELECTORS, began)
                if selector.css:
                    self._note_selector(selector.css, node._document.url, passed)

        return select

    def _note_selector(self, css: str, page: str, seconds: float) -> None:
        found = _author()
        if found is None:
            return
        file, line, function, call = found
        key = (file, line, function, call, css)
        noted = self._selectors.get(key)
        if noted is None:
            noted = self._selectors[key] = SelectorTime(f"{file}:{line}", function, call, css)
        noted.calls += 1
        noted.seconds += seconds
        if seconds > noted.longest:
            noted.longest, noted.page = seconds, page

    def _timed_callback(self, own: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        async def run(call: Call, collector: Collector, watch: Watch, thread: Any) -> None:
            steps, began = _Steps(watch), time.perf_counter()
            try:
                await Steps(own(call, collector, steps, thread), self._timer, CALLBACKS)
            finally:
                busy = steps.busy + self._in_thread.pop(id(collector), 0.0)
                self._note_callback(collector, call.place, busy, time.perf_counter() - began)

        return run

    def _timed_thread(self, own: Callable[..., Any]) -> Callable[..., Any]:
        """The callback of a large page, which runs in a thread."""
        timed = self._plain(own, CALLBACKS)

        def drained(call: Any, collector: Collector, place: str) -> Any:
            began = time.perf_counter()
            try:
                return timed(call, collector, place)
            finally:
                self._in_thread[id(collector)] = time.perf_counter() - began

        return drained

    def _note_callback(self, collector: Collector, place: str, busy: float, took: float) -> None:
        key = (collector.name, place)
        noted = self._callbacks.get(key)
        if noted is None:
            noted = self._callbacks[key] = CallbackTime(*key)
        noted.calls += 1
        noted.busy += busy
        noted.waited += max(0.0, took - busy)
        if busy > noted.longest:
            noted.longest, noted.page = busy, collector.url

    def _timed_group(self, own: Callable[..., Any]) -> Callable[..., Any]:
        timed = self._plain(own, DATABASE)

        def run_group(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return timed(*args)
            finally:
                self._transactions += time.perf_counter() - began

        return run_group


class _Steps(Watch):
    """A watch that also adds its steps up."""

    __slots__ = ("_at", "_watch", "busy")

    def __init__(self, watch: Watch) -> None:
        super().__init__(time.perf_counter)
        self._watch = watch
        self._at = 0.0
        self.busy = 0.0

    def __enter__(self) -> None:
        self._watch.__enter__()
        self._at = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.busy += time.perf_counter() - self._at
        self._watch.__exit__(*error)


def _author() -> tuple[str, int, str, str] | None:
    """File, line and function of the author's code that asked, and what it called; None where there is none."""
    inner: FrameType = sys._getframe(2)
    frame = inner.f_back
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN) or file.startswith(_GUEST):
            return file, frame.f_lineno, frame.f_code.co_name, inner.f_code.co_name
        inner, frame = frame, frame.f_back
    return None
