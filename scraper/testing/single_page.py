"""Running one page: the real engine on a database of its own, which is thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from scraper.api.job import CrawlJob
from scraper.core.charsets import BodyText
from scraper.core.models import Done, KeptPage, Options, Request, Run
from scraper.errors import SpiderError
from scraper.events import Event, PageDone
from scraper.net.guard import Guard
from scraper.net.wire.wire import Wire
from scraper.page import Page, document_of
from scraper.settings import NO_LAYERS, Layers
from scraper.spider import Spider
from scraper.spider.files import Files
from scraper.testing.replay import Replay

__all__ = ["Fetched", "Recorded", "Setup", "Trial", "fetch_page", "page_of", "try_page"]

#: One try, nothing kept, nothing weighed.
_SETTINGS: Mapping[str, Any] = {"retries": 0, "keep_failed": False, "max_failed": 1.0}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one page. `done` is all it produced; None when not even a request was made.

    `page` is what the callback got, None when there was nothing for it.
    """

    request: Request | None
    done: Done | None
    page: Page | None

    @property
    def exit_code(self) -> int:
        """As `crawl` has them: 1 the callback raised, 4 no page, 3 a page that gave nothing, 0 good."""
        if self.done is None:
            return 4
        effects, result = self.done.effects, self.done.result
        if result.error is not None:
            return 1
        if self.page is None:
            return 4
        if effects.outcome.name != "ok":
            return 0 if effects.outcome.name == "skipped" else 1
        return 0 if result.items or effects.links else 3


@dataclass
class _Seen:
    """What is noted while the page is on its way."""

    request: Request | None = None
    page: Page | None = None
    done: list[Done] = field(default_factory=list)


class _OnePage(CrawlJob):
    """A crawl of one request, which ends once that request's outcome is known.

    Redirects to other domains are followed, since they are the same page; links are not.
    """

    def __init__(
        self, spider: type[Spider[Any]], request: Request | None, seen: _Seen, **options: Any
    ) -> None:
        super().__init__(_watched(spider, seen), **options)
        self._request = request
        self._seen = seen
        self.observe(self._note)

    def use(self, transport: httpx.AsyncBaseTransport) -> None:
        """Send over this instead of the default wire."""
        self._transport = transport

    def _files(self) -> Files:
        """What `page.download` fetches goes with the rest."""
        return Files(Path(self.database).parent / "files", inline=self._inline)

    def _starts(self, spider: Spider[Any], run: Run) -> Any:
        request = self._request
        started = [request] if request is not None else spider.start()
        return lambda: _first(started, self._seen)

    def _note(self, event: Event) -> None:
        if isinstance(event, PageDone):
            self._seen.done.append(event.done)
            if event.done.effects.outcome.name != "moved":
                self.stop("tried")


def _watched(spider: type[Spider[Any]], seen: _Seen) -> type[Spider[Any]]:
    """The same spider, noting the page before each callback."""

    def check(self: Spider[Any], page: Page) -> None:
        seen.page = page
        spider.check(self, page)

    more = {"check": check, "__module__": spider.__module__, "__qualname__": spider.__qualname__}
    return type(spider.__name__, (spider,), more)


async def _first(started: Any, seen: _Seen) -> AsyncIterator[Request]:
    """The first request of a start."""
    if not isinstance(started, AsyncIterator | Iterable):
        raise SpiderError("start() must be a generator that yields requests: use `yield`, not `return`")
    async for request in _each(started):
        seen.request = Request(request) if isinstance(request, str) else request
        yield seen.request
        return


async def _each(started: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(started, AsyncIterator):
        async for one in started:
            yield one
    else:
        for one in started:
            yield one


@dataclass(frozen=True, slots=True)
class Setup:
    """What a page is tried with, as a crawl would be. `folder` keeps the politeness of several trials together."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: Layers = NO_LAYERS
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a page from an earlier fetch, and is not fetched again; `robots` is its robots.txt.

    Whatever else the callback asks for is fetched, unless `offline`.
    """

    page: KeptPage | None = None
    robots: str | None = None
    offline: bool = False


_PLAIN, _NOTHING = Setup(), Recorded()


async def try_page(
    spider: type[Spider[Any]],
    request: Request | None = None,
    setup: Setup = _PLAIN,
    recorded: Recorded = _NOTHING,
) -> Trial:
    """Run one request of a spider, by default the first of its start, and store nothing. Raises UsageError."""
    seen = _Seen()
    # A page that was kept is the one its callback got, wherever it sends its reader.
    kept = {} if recorded.page is None else {"meta_refresh": None}
    with tempfile.TemporaryDirectory(prefix="scraper-") as own:
        crawl = _OnePage(
            spider, request, seen, db=Path(setup.folder or own, "trial.db"), arguments=setup.arguments,
            start=[request.url] if request is not None else (), settings={**_SETTINGS, **setup.settings, **kept},
            layers=setup.layers, transport=None, inline=recorded.offline,
        )  # fmt: skip
        if recorded.page is None and not recorded.offline:
            await crawl.run()
        else:
            await _replayed(crawl, request, recorded)
    done = seen.done[-1] if seen.done else None
    return Trial(seen.request or request, done, seen.page)


async def _replayed(crawl: _OnePage, request: Request | None, recorded: Recorded) -> None:
    network: httpx.AsyncBaseTransport | None = None
    wire = None
    if not recorded.offline:
        settings = crawl.settings
        network = wire = Wire(
            connect_timeout=settings.connect_timeout,
            guard=Guard(settings.private_hosts),
            insecure=settings.insecure_hosts,
            tls=settings.tls,
        )
    try:
        url = request.url if request is not None else ""
        crawl.use(Replay(url, recorded.page, recorded.robots, network))
        await crawl.run()
    finally:
        if wire is not None:
            await wire.aclose()


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page fetched without a spider; `why` says why there is none."""

    page: Page | None
    why: str = ""


class _Getter(Spider[Any]):
    """Takes whatever a URL gives."""

    accept_types = ("*/*",)
    start_urls: Sequence[str] = ()

    def parse(self, page: Page) -> None:
        return None


async def fetch_page(
    request: Request,
    *,
    settings: Mapping[str, Any] | None = None,
    layers: Layers = NO_LAYERS,
    folder: str | None = None,
) -> Fetched:
    """Fetch one page politely, whatever its type: robots.txt, address guard, limits and deadline hold."""
    request = Request.of(request.url, replace(request.options, callback="parse", args=None))
    setup = Setup(settings=settings or {}, layers=layers, folder=folder)
    trial = await try_page(_Getter, request, setup)
    if trial.page is not None:
        return Fetched(_unbound(trial.page))
    outcome = trial.done.effects.outcome if trial.done is not None else None
    return Fetched(None, outcome.why or outcome.kind if outcome is not None else "nothing was sent")


def _unbound(page: Page) -> Page:
    """The same page without the crawl it came from, which is over."""
    document = document_of(page)
    return Page(
        url=page.url, status=page.status, headers=page.headers, body=page.body,
        source=document.source, options=replace(document.options, redirects=page.redirects),
        query_encoding=document.query_encoding, redirects=page.redirects, complete=page.complete,
    )  # fmt: skip


def page_of(kept: KeptPage, options: Options) -> Page:
    """A page from its parts."""
    headers = httpx.Headers(list(kept.headers))
    text = BodyText(kept.body, headers.get("content-type"), options.encoding)
    return Page(
        url=kept.url, status=kept.status, headers=headers, body=kept.body,
        source=text.text, options=options, query_encoding=text.query_encoding, redirects=options.redirects,
    )  # fmt: skip
