"""The profile of a crawl: timed functions stand in for those at its seams as long as it is on.

A crawl without a profile knows nothing of this module, so it pays nothing. With one a page costs about a tenth more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from scraper.engine import threads, visit
from scraper.engine.callbacks import Watch
from scraper.engine.collect import Collector
from scraper.engine.links import Links
from scraper.engine.visit import Visit
from scraper.errors import UsageError
from scraper.events import Event, PageDone
from scraper.net.downloader import Downloader
from scraper.page.document import Document
from scraper.page.node import Selecting
from scraper.profiling.figures import CallbackTime, Durations, Figures, SelectorTime
from scraper.profiling.timer import Steps, Timer
from scraper.store.file import writer

__all__ = ["Profile"]

HTML, SELECTORS, CALLBACKS = "reading HTML", "selectors", "callbacks"
LINKS, ITEMS, DATABASE = "links", "items", "database"
FETCH, ENGINE, REST = "requests and bodies", "the way of a page", "loop and sockets"

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
        self._replaced: list[tuple[Any, str, Any]] = []
        self._callbacks: dict[tuple[str, str], CallbackTime] = {}
        self._selectors: dict[tuple[str, int, str, str, str], SelectorTime] = {}
        self._urls: dict[int, str] = {}
        self._aside: dict[int, float] = {}
        self._fetches = Durations()
        self._pages = 0
        self._transactions = 0.0
        self._began = self._cpu_began = 0.0
        self._ended: tuple[float, float] | None = None

    def __enter__(self) -> Profile:
        if Profile._on is not None:
            raise UsageError("a profile is on in this process already")
        Profile._on = self
        self._replace(Document, "root", self._timed_root)
        self._replace(Document, "absolute", lambda own: self._plain(own, LINKS))
        self._replace(Selecting, "_select", self._timed_select)
        self._replace(Collector, "take", lambda own: self._plain(own, ITEMS))
        self._replace(Links, "follow", lambda own: self._stepped(own, LINKS))
        self._replace(Downloader, "fetch", lambda own: self._stepped(own, FETCH))
        self._replace(Visit, "run", lambda own: self._stepped(own, ENGINE))
        self._replace(Visit, "_judge", self._noting_page)
        self._replace(visit, "run_in_time", self._timed_callback)
        self._replace(threads, "_drained", self._timed_aside)
        self._replace(writer, "_run_group", self._timed_group)
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        for owner, name, own in reversed(self._replaced):
            setattr(owner, name, own)
        self._replaced.clear()
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

    def _replace(self, owner: Any, name: str, timed: Callable[[Any], Any]) -> None:
        own = getattr(owner, name)
        self._replaced.append((owner, name, own))
        setattr(owner, name, timed(own))

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

    def _timed_root(self, own: Callable[[Document], Any]) -> Callable[[Document], Any]:
        """The first call reads the page, the others only look it up."""
        timed = self._plain(own, HTML)

        def root(document: Document) -> Any:
            return own(document) if document._parsed else timed(document)

        return root

    def _timed_select(self, own: Callable[..., Any]) -> Callable[..., Any]:
        timer = self._timer

        def _select(node: Selecting, selector: Any, first: bool = False) -> Any:
            node._document.root()  # reading the page is another part, and no selector's fault
            began = timer.begin()
            try:
                return own(node, selector, first)
            finally:
                passed = timer.end(SELECTORS, began)
                if selector.css:
                    self._note_selector(selector.css, node._document.url, passed)

        return _select

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

    def _noting_page(self, own: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def _judge(
            visit: Visit, call: Any, function: Any, collector: Collector, good: Any, url: str, *more: Any
        ) -> Any:
            self._urls[id(collector)] = url
            try:
                return await own(visit, call, function, collector, good, url, *more)
            finally:
                del self._urls[id(collector)]

        return _judge

    def _timed_callback(self, own: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        async def run_in_time(
            call: Callable[[], Any], collector: Collector, place: str, limit: float, watch: Watch,
            *more: Any, **named: Any,
        ) -> None:  # fmt: skip
            steps, began = _Steps(watch), time.perf_counter()
            calling = own(call, collector, place, limit, steps, *more, **named)
            try:
                await Steps(calling, self._timer, CALLBACKS)
            finally:
                busy = steps.busy + self._aside.pop(id(collector), 0.0)
                self._note_callback(collector, place, busy, time.perf_counter() - began)

        return run_in_time

    def _timed_aside(self, own: Callable[..., Any]) -> Callable[..., Any]:
        """The callback of a large page, which runs in a thread."""
        timed = self._plain(own, CALLBACKS)

        def _drained(call: Any, collector: Collector, place: str) -> Any:
            began = time.perf_counter()
            try:
                return timed(call, collector, place)
            finally:
                self._aside[id(collector)] = time.perf_counter() - began

        return _drained

    def _note_callback(self, collector: Collector, place: str, busy: float, took: float) -> None:
        key = (collector.name, place)
        noted = self._callbacks.get(key)
        if noted is None:
            noted = self._callbacks[key] = CallbackTime(*key)
        noted.calls += 1
        noted.busy += busy
        noted.waited += max(0.0, took - busy)
        if busy > noted.longest:
            noted.longest, noted.page = busy, self._urls.get(id(collector), "")

    def _timed_group(self, own: Callable[..., Any]) -> Callable[..., Any]:
        timed = self._plain(own, DATABASE)

        def _run_group(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return timed(*args)
            finally:
                self._transactions += time.perf_counter() - began

        return _run_group


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
