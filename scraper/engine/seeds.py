"""The start requests of a crawl, stored in chunks; a resume runs them again until all were stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.models import QueuedRequest, Request
from scraper.core.tracebacks import describe
from scraper.engine.links import Links
from scraper.errors import FetchError, ScraperError, SpiderError
from scraper.spider import Definition, Spider
from scraper.spider.scope import check_url

__all__ = ["Seeder", "check_start"]

#: Requests stored at a time; and how many may be queued before `start()` is held back, and for how long (s).
CHUNK, ENOUGH, PAUSE = 1_000, 2_000_000, 1.0


#: Start URLs of a class that are looked at before anything is opened; the others when their turn comes.
CHECKED = 1_000


def check_start(definition: Definition, given: Sequence[str], longest: int, *, needed: bool) -> None:
    """Before anything is opened: there is a start where one is needed, and those known are URLs.

    `given` replaces the start URLs of the spider; `longest` is the setting max_url. Raises SpiderError.
    """
    cls = definition.cls
    own = cls.start is Spider.start
    if needed and own and not given and not cls.start_urls:
        raise SpiderError(f"{definition.place}: no start; set start_urls, write start(), or give --start URL")
    known = cls.start_urls if own and isinstance(cls.start_urls, (list, tuple)) else ()
    for url in given or known[:CHECKED]:
        try:
            check_url(url, longest)
        except FetchError as error:
            raise SpiderError(f"start: {error}") from error


class Seeder:
    """Consumes `start()`. `finished` once everything is stored and the run is marked as seeded."""

    def __init__(
        self,
        start: Callable[[], AsyncIterator[Request] | Iterable[Request]] | None,
        links: Links,
        frontier: Frontier,
        clock: Clock,
    ) -> None:
        """`start` None: another worker stores the start requests."""
        self._start = start
        self._links = links
        self._frontier = frontier
        self._clock = clock
        self.finished = False

    async def run(self) -> AsyncIterator[float]:
        """Store the start requests; yields the loop time after each chunk, from which they are due.

        Raises SpiderError for a start that is no URL; what `start()` itself raises goes through.
        """
        if self._start is None:
            self.finished = True
            return
        chunk: list[QueuedRequest] = []
        ordinal = 0
        async for request in self._requests(self._start):
            ordinal += 1
            try:
                chunk.append(self._links.seed(request, ordinal))
            except FetchError as error:
                raise SpiderError(f"start: {error}") from error
            if len(chunk) == CHUNK:
                yield await self._store(chunk)
                chunk = []
                await self._room()
        if chunk:
            yield await self._store(chunk)
        await self._frontier.seeded()
        self.finished = True

    async def _requests(self, start: Callable[[], object]) -> AsyncIterator[Request]:
        """What `start()` yields. Raises SpiderError naming the place when it raises or is no generator."""
        started = start()
        try:
            if isinstance(started, AsyncIterator):
                async for request in started:
                    yield self._checked(request)
            elif isinstance(started, Iterable):
                for request in started:
                    yield self._checked(request)
            else:
                raise SpiderError(
                    f"{_close(started)}start() must be a generator that yields requests: use `yield`, not `return`"
                )
        except ScraperError:
            raise
        except Exception as error:
            record = describe(error, "start", "start")
            raise SpiderError(f"{record.place}   {record.message}") from error

    @staticmethod
    def _checked(request: object) -> Request:
        if isinstance(request, str):
            return Request(request)
        if not isinstance(request, Request):
            raise SpiderError(f"start() yielded {type(request).__name__} {request!r}, not a Request")
        return request

    async def _store(self, chunk: list[QueuedRequest]) -> float:
        await self._frontier.add(chunk, now=self._clock.unix())
        self._links.proved(chunk)
        return self._clock.mono()

    async def _room(self) -> None:
        while (await self._frontier.pending(now=self._clock.unix())).queued > ENOUGH:  # noqa: ASYNC110 - see below
            # Other processes drain the same queue: only the database knows, and it sends no events.
            await asyncio.sleep(PAUSE)


def _close(started: object) -> str:
    """A coroutine that nobody will await must not complain about it. Returns where it is written, as "file:line: "."""
    if not inspect.iscoroutine(started):
        return ""
    started.close()
    return f"{started.cr_code.co_filename}:{started.cr_code.co_firstlineno}: "
