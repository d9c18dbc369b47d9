"""A crawl from a program: `await crawl(Books, db="books.db")`, or `run(Books)` in a script.

Nothing here prints, logs or touches signals; it works inside a running loop, many at once.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, cast

import httpx

from scraper.clock import Clock
from scraper.downloader import Downloader
from scraper.engine import CARRIED, Context, Engine, Links, Meanings, Parsing, Seeder, check_url
from scraper.errors import FetchError, SettingsError, SpiderError, UsageError
from scraper.events import INTERRUPTED, CrawlEnded, CrawlStarted, Observer, Warned, notify
from scraper.guard import Guard
from scraper.items import Items
from scraper.models import CrawlStatus, Request
from scraper.politeness import Politeness
from scraper.project import default_database
from scraper.retry import RetryPolicy
from scraper.robots import Robots
from scraper.settings import NO_LAYERS, Layers, Settings
from scraper.spider import Definition, Spider, define, instantiate
from scraper.store.database import Database
from scraper.store.frontier import Budget, SqliteFrontier
from scraper.store.runs import Run, begin, counters, finish, reopen, requeue, unfinished
from scraper.store.shapes import Occasion, adapt
from scraper.summary import Summary, summarize
from scraper.transport.wire import Wire
from scraper.version import VERSION

__all__ = ["Crawl", "CrawlOptions", "Options", "Resume", "crawl", "run"]

#: new: begin a run; continue: go on with the unfinished run of the series or begin one; must: go on or fail.
Resume = Literal["new", "continue", "must"]


@dataclass(slots=True)
class Options:
    """What a run is begun with; stored with it, and used again when it is resumed."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    start: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def merged(self, run: Run) -> Options:
        """The stored options of `run`, which these may repeat but not change."""
        for name in ("arguments", "settings"):
            for key, value in getattr(self, name).items():
                if (old := run.options[name].get(key)) != value:
                    raise SettingsError(
                        f"run {run.id} was begun with {key} = {old!r}, not {value!r}; resume without it, or begin a new run"
                    )
        if self.start and list(self.start) != run.options["start"]:
            raise SettingsError(
                f"run {run.id} was begun with another start; resume without --start, or begin a new run"
            )
        return Options(**run.options)

    def series(self, spider: str) -> str:
        """What two runs must share to be compared: spider, arguments, start."""
        return json.dumps([spider, dict(self.arguments), list(self.start)], sort_keys=True, default=str)

    def stored(self) -> dict[str, Any]:
        return {"arguments": dict(self.arguments), "start": list(self.start), "settings": dict(self.settings)}


class Crawl:
    """One crawl: prepared when made (errors of usage come then), run once.

    `spider` is a class. `arguments` are its own attributes by name; `start` replaces its start URLs;
    `settings` win over the spider's, and `layers` stand around it: what a configuration says, which nobody here
    reads. `target` is stored, so that `scraper resume` finds the spider again.
    `observers` are told what happens. `transport` replaces the default wire; `inline` and `loop`'s virtual
    time are for simulation.
    """

    def __init__(
        self,
        spider: type[Spider[Any]],
        *,
        db: str | Path | None = None,
        arguments: Mapping[str, Any] | None = None,
        start: Iterable[str] = (),
        settings: Mapping[str, Any] | None = None,
        layers: Layers = NO_LAYERS,
        resume: Resume = "new",
        target: str = "",
        observers: Sequence[Observer] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        inline: bool = False,
        seed: int | None = None,
    ) -> None:
        self.definition: Definition = define(spider)
        self.options = Options(dict(arguments or {}), tuple(start), dict(settings or {}))
        self._layers = layers
        self.settings = self._settings(self.options)
        self._check_start(resume)
        instantiate(self.definition, self.options.arguments)
        Items(self.definition.name, self.definition.items)
        self.database = str(db) if db is not None else default_database(self.definition.name)
        self.run_id: int | None = None
        self.earlier: Run | None = None
        self.resumed = False
        self._resume = resume
        self._target = target
        self._observers = list(observers)
        self._transport = transport
        self._inline = inline
        self._seed = seed
        self._engine: Engine | None = None
        self._clock: Clock | None = None
        self._stopping: tuple[str, float | None] | None = None

    def observe(self, *observers: Observer) -> None:
        """Tell these what happens, after those told already."""
        self._observers.extend(observers)

    def stop(self, reason: str = INTERRUPTED, grace: float | None = None) -> None:
        """Start nothing new; what is under way ends and is stored. The run can be resumed.

        What has not ended `grace` seconds later is given up, and fetched again by the resume.
        """
        self._stopping = (reason, grace)
        if self._engine is not None:
            self._engine.stop(reason, grace)

    @property
    def starts(self) -> Sequence[str]:
        """The start URLs that are known beforehand: those given, or the spider's own."""
        return self.options.start or tuple(self.definition.cls.start_urls)

    def now(self) -> float:
        """The time of this crawl in unix seconds."""
        return self._clock.unix() if self._clock is not None else time.time()

    def status(self) -> CrawlStatus:
        """What is going on right now in this process; empty before and after the crawl."""
        return self._engine.status() if self._engine is not None else CrawlStatus()

    async def run(self) -> Summary:
        """Crawl to the end.

        Raises UsageError, StoreError or DatabaseInUse; whatever the web does is in the summary.
        """
        clock = self._clock = Clock()
        holder = f"{self.definition.name}, scraper {VERSION}"
        database = await Database.open(self.database, holder=holder, now=clock.unix(), inline=self._inline)
        try:
            return await self._run_in(database, clock)
        finally:
            await database.close()

    async def _run_in(self, database: Database, clock: Clock) -> Summary:
        started = clock.mono()
        run = await self._begin(database, clock)
        self.run_id = run.id
        spider = instantiate(self.definition, self.options.arguments)
        items = Items(self.definition.name, self.definition.items)
        declared = items.tables
        budget = Budget(self.settings.max_pages, self.settings.max_pages_per_domain)
        frontier = SqliteFrontier(database.writer, run.id, budget)
        if self.resumed:
            await frontier.free_all(now=clock.unix())
        async with self._wires() as downloader:
            try:
                reason = await self._crawl(run, spider, items, frontier, downloader, clock, database)
            except UsageError as error:
                why = str(error)
                await database.writer.submit(lambda conn: finish(conn, run.id, "finished", why, clock.unix()))
                raise
        await frontier.store_selectors()
        await frontier.count(self._engine.time_spent() if self._engine is not None else {})
        summary = await database.writer.read(
            lambda conn: summarize(
                conn, run, database=self.database, seconds=clock.mono() - started, reason=reason,
                max_failed=self.settings.max_failed, declared=[table.name for table in declared],
            )
        )  # fmt: skip
        if (engine := self._engine) is not None and engine.to_requeue:
            again = engine.to_requeue
            await database.writer.submit(lambda conn: requeue(conn, run.id, again, clock.unix()))
            summary = replace(summary, queued=summary.queued + len(again))
        await database.writer.submit(
            lambda conn: finish(conn, run.id, summary.state, summary.reason, clock.unix())
        )
        notify(self._observers, CrawlEnded(summary.reason))
        return summary

    async def _crawl(
        self, run: Run, spider: Spider[Any], items: Items, frontier: SqliteFrontier, downloader: Downloader,
        clock: Clock, database: Database,
    ) -> str | None:  # fmt: skip
        politeness = Politeness(self.settings, clock)
        links = Links(self.settings, politeness)
        context = Context(
            spider=spider, definition=self.definition, settings=self.settings, clock=clock, frontier=frontier,
            politeness=politeness, robots=Robots(clock.unix),
            retry=RetryPolicy(self.settings.retries, seed=self._seed), downloader=downloader, items=items,
            links=links, meanings=Meanings(), parsing=Parsing(inline=self._inline),
            headers=self._headers(), plain_headers=self._headers(CARRIED),
            user_agent=self._user_agent(), observers=self._observers,
        )  # fmt: skip
        seeder = Seeder(self._starts(spider, run), links, frontier, clock)
        counted = await database.writer.read(lambda conn: counters(conn, run.id))
        items_before = sum(n for name, n in counted.items() if name.startswith("item."))
        self._engine = engine = Engine(context, f"{run.id}:{id(self):x}", seeder, items_before)
        database.writer.patient = engine.is_busy
        if self._stopping is not None:
            engine.stop(*self._stopping)
        notify(self._observers, CrawlStarted(run.id, self.resumed))
        try:
            return await engine.run()
        finally:
            await context.parsing.aclose()

    async def _begin(self, database: Database, clock: Clock) -> Run:
        """A new run, or the one to go on with; its stored options then count."""
        series = self.options.series(self.definition.name)
        of_series = None if self._resume == "must" else series
        found = await database.writer.read(lambda conn: unfinished(conn, of_series))
        if found is not None and self._resume != "new":
            self.options = self.options.merged(found)
            self.settings = self._settings(self.options)
            self.resumed = True
            await self._adapted(database, clock, lambda conn: reopen(conn, found))
            return found
        if self._resume == "must":
            raise UsageError(
                f"nothing to resume in {self.database}: no run is unfinished; start one with: scraper crawl"
            )
        if found is not None:
            notify(
                self._observers,
                Warned(f"run {found.id} is unfinished; go on with it: scraper resume {self.database}"),
            )
        stored = json.loads(json.dumps(self.options.stored(), default=str))
        return await self._adapted(
            database,
            clock,
            lambda conn: begin(
                conn,
                spider=self.definition.name,
                target=self._target,
                series=series,
                options=stored,
                now=clock.unix(),
            ),
        )

    async def _adapted(
        self, database: Database, clock: Clock, begun: Callable[[sqlite3.Connection], Run]
    ) -> Run:
        """Begin or reopen a run and, in the same transaction, bring its tables to what their classes say now."""
        occasion = Occasion(at=clock.unix())

        def work(conn: sqlite3.Connection) -> Run:
            run = begun(conn)
            occasion.run = run.id
            adapt(conn, Items(self.definition.name, self.definition.items).tables, occasion)
            return run

        run = await database.writer.submit(work)
        for note in (*database.notes, *occasion.notes):
            notify(self._observers, Warned(note))
        return run

    def _check_start(self, resume: Resume) -> None:
        """Before anything is opened: there is a start, and the ones given are URLs."""
        cls = self.definition.cls
        if resume == "new" and not self.options.start and cls.start is Spider.start and not cls.start_urls:
            raise SpiderError(
                f"{self.definition.place}: no start; set start_urls, write start(), or give --start URL"
            )
        for url in self.options.start:
            try:
                check_url(url, self.settings.max_url)
            except FetchError as error:
                raise UsageError(f"start: {error}") from error

    def _starts(self, spider: Spider[Any], run: Run) -> Any:
        if run.seeded:
            return list
        if self.options.start:
            return lambda: [Request(url) for url in self.options.start]
        return spider.start

    def _settings(self, options: Options) -> Settings:
        own = (self.definition.place, self.definition.settings)
        return Settings.of(*self._layers.around(own, ("flags", options.settings)))

    def _headers(self, only: Collection[str] | None = None) -> httpx.Headers:
        """What every request says about itself, unless it has a header of its own; `only` those of a setting."""
        made = httpx.Headers(
            {
                "User-Agent": self._user_agent(),
                "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                "Accept-Encoding": "gzip, deflate, br, zstd",
            }
        )
        own = {n: v for n, v in self.settings.headers.items() if only is None or n.lower() in only}
        made.update(own)
        return made

    def _user_agent(self) -> str:
        if self.settings.user_agent is not None:
            return self.settings.user_agent
        return f"scraper/{VERSION}" + (f" (+{self.settings.contact})" if self.settings.contact else "")

    @asynccontextmanager
    async def _wires(self) -> AsyncIterator[Downloader]:
        """The transports: the spider's own stay open, the default wire is ours to close."""
        own = None
        if self._transport is None:
            own = Wire(
                connect_timeout=self.settings.connect_timeout, guard=Guard(self.settings.private_hosts)
            )
        try:
            yield Downloader(
                {
                    "": cast("httpx.AsyncBaseTransport", self._transport or own),
                    **self.definition.cls.transports,
                }
            )
        finally:
            if own is not None:
                await own.aclose()


class CrawlOptions(TypedDict, total=False):
    """The keywords of `Crawl`, for `crawl` and `run`."""

    db: str | Path | None
    arguments: Mapping[str, Any] | None
    start: Iterable[str]
    settings: Mapping[str, Any] | None
    layers: Layers
    resume: Resume
    target: str
    observers: Sequence[Observer]
    transport: httpx.AsyncBaseTransport | None
    inline: bool
    seed: int | None


async def crawl(spider: type[Spider[Any]], **options: Unpack[CrawlOptions]) -> Summary:
    """Crawl with a spider class and return what became of it; `options` are those of `Crawl`."""
    return await Crawl(spider, **options).run()


def run(spider: type[Spider[Any]], **options: Unpack[CrawlOptions]) -> Summary:
    """`crawl` for scripts: runs its own event loop."""
    return asyncio.run(crawl(spider, **options))
