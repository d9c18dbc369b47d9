"""A crawl from a program: `await crawl(Books, db="books.db")`, or `run(Books)` in a script.

Nothing here prints, logs or touches signals; it works inside a running loop, many at once.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import httpx

from scraper.core.clock import Clock
from scraper.core.models import CrawlStatus, Request
from scraper.engine import (
    CARRIED,
    Aside,
    Context,
    Engine,
    Links,
    Meanings,
    Parsing,
    Repetition,
    Seeder,
    check_start,
)
from scraper.engine.closing import close_run
from scraper.engine.options import Ended, Member, Options, Resume
from scraper.errors import UsageError
from scraper.events import INTERRUPTED, CrawlEnded, CrawlStarted, Event, Observer, Warned, notify
from scraper.items import Items
from scraper.net.downloader import Downloader
from scraper.net.identity import Identity, request_headers, user_agent
from scraper.net.request_headers import Outgoing
from scraper.net.retry import RetryPolicy
from scraper.net.robots import Robots
from scraper.net.transports import open_wires
from scraper.politeness import Politeness
from scraper.project.folder import default_database, project_folder
from scraper.query.spider_database import Past
from scraper.reports.summary import Summary, summarize
from scraper.settings import NO_LAYERS, Layers, Settings
from scraper.spider import Definition, Spider, define, instantiate, lend
from scraper.spider.files import Files
from scraper.store.file.database import Database
from scraper.store.frontier import Budget, SqliteFrontier
from scraper.store.queue.runs import (
    Run,
    begin,
    counters,
    finish,
    latest,
    reopen,
    requeue,
    requeue_failed,
    unfinished,
)
from scraper.store.rows.shapes import Occasion, adapt
from scraper.version import VERSION

__all__ = ["Crawl", "CrawlOptions", "Ended", "Member", "Options", "Resume", "crawl", "run"]

#: Seconds that a callback in a thread gets to return when the crawl is over; those under way had their grace before.
LAST_WAIT = 1.0


class Crawl:
    """One crawl: prepared when made (errors of usage come then), run once.

    `spider` is a class. `arguments` are its own attributes by name; `start` replaces its start URLs;
    `settings` win over the spider's, and `layers` stand around it: what a configuration says, which nobody here
    reads. `failed` is the kind of failures that `resume="failed"` does again, None for all. `target` is stored,
    so that `scraper resume` finds the spider again. `observers` are told what happens. `transport` replaces the
    default wire; `inline` and `loop`'s virtual time are for simulation.
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
        failed: str | None = None,
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
        self.options.find_secrets(self.settings, self.definition.secrets)
        check_start(self.definition, self.options.start, self.settings.max_url, needed=resume == "new")
        instantiate(self.definition, self.options.arguments)
        Items(self.definition.name, self.definition.items)
        self.database = str(db) if db is not None else default_database(self.definition.name)
        self.run_id: int | None = None
        self.earlier: Run | None = None
        self.resumed = False
        self._resume = resume
        self._failed = failed
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
        started = clock.mono()
        database = await self.open(clock)
        try:
            run = await self.begin(database, clock)
            try:
                ended = await self.work(database, run, clock, Member(f"{run.id}:{id(self):x}"))
            except UsageError as error:
                await self.give_up(database, run, error, clock)
                raise
            return await self.conclude(database, run, ended, clock, clock.mono() - started)
        finally:
            await database.close()

    # ------------------------------------------------------------------ its parts, for several processes

    async def open(self, clock: Clock) -> Database:
        """The database, locked for this crawl."""
        holder = f"{self.definition.name}, scraper {VERSION}"
        return await Database.open(self.database, holder=holder, now=clock.unix(), inline=self._inline)

    async def begin(self, database: Database, clock: Clock) -> Run:
        """The run to work on, with all leases of the dead ended."""
        run = await self._begin(database, clock)
        self.run_id = run.id
        if self.resumed:
            await self.frontier(database, run).free_all(now=clock.unix())
        return run

    async def work(self, database: Database, run: Run, clock: Clock, member: Member) -> Ended:
        """Fetch until nothing is left or something stops it; what selectors found is stored at the end."""
        frontier = self.frontier(database, run)
        async with open_wires(self.settings, self.definition.cls.transports, self._transport) as downloader:
            reason = await self._crawl(frontier, database, run, downloader, clock, member)
        await frontier.store_selectors()
        await frontier.count(self._engine.time_spent() if self._engine is not None else {})
        return Ended(reason, self._engine.to_requeue if self._engine is not None else [])

    async def conclude(
        self, database: Database, run: Run, ended: Ended, clock: Clock, seconds: float
    ) -> Summary:
        """Read what became of the run, and end it."""
        declared = [table.name for table in Items(self.definition.name, self.definition.items).tables]
        database.writer.check_file()
        summary = await database.writer.read(
            lambda conn: summarize(
                conn, run, database=self.database, seconds=seconds, reason=ended.reason,
                max_failed=self.settings.max_failed, declared=declared, expect=self.definition.expect,
            )
        )  # fmt: skip
        if ended.again:
            await database.writer.submit(lambda conn: requeue(conn, run.id, ended.again, clock.unix()))
            summary = replace(summary, queued=summary.queued + len(ended.again))
        summary = await close_run(
            database.writer, summary, keep_runs=self.settings.keep_runs, now=clock.unix(), tell=self.tell
        )
        notify(self._observers, CrawlEnded(summary.reason))
        return summary

    async def give_up(self, database: Database, run: Run, error: UsageError, clock: Clock) -> None:
        """The run cannot go on: its start is broken."""
        why = str(error)
        await database.writer.submit(lambda conn: finish(conn, run.id, "finished", why, clock.unix()))

    def frontier(self, database: Database, run: Run) -> SqliteFrontier:
        """The run's frontier, within its budget."""
        budget = Budget(self.settings.max_pages, self.settings.max_pages_per_domain)
        return SqliteFrontier(database.writer, run.id, budget)

    def tell(self, event: Event) -> None:
        """Tell the observers."""
        notify(self._observers, event)

    def report_to(self, observer: Observer) -> None:
        """This one alone is told from now on."""
        self._observers = [observer]

    # ------------------------------------------------------------------ within

    def _politeness(self, clock: Clock, member: Member) -> Politeness:
        agent = user_agent(self.settings)
        return Politeness(self.settings, clock, agent, member.workers, resumed=self.resumed)

    async def _crawl(
        self, frontier: SqliteFrontier, database: Database, run: Run, downloader: Downloader, clock: Clock,
        member: Member,
    ) -> str | None:  # fmt: skip
        spider = instantiate(self.definition, self.options.arguments)
        lend(spider, past := Past(self.database, inline=self._inline))
        items = Items(self.definition.name, self.definition.items)
        politeness = self._politeness(clock, member)
        links = Links(self.settings, politeness)
        identity = Identity(self.settings, clock, (getattr(spider, n) for n in self.definition.secrets))
        if identity.uses_proxies and member.seeds:
            self.tell(Warned("through a proxy, private addresses are known by our own name lookup only"))
        context = Context(
            spider=spider, definition=self.definition, settings=self.settings, clock=clock, frontier=frontier,
            politeness=politeness, robots=Robots(clock.unix, threads=not self._inline),
            retry=RetryPolicy(self.settings.retries, seed=self._seed), downloader=downloader, items=items,
            links=links, identity=identity, files=self._files(), meanings=Meanings(),
            parsing=Parsing(inline=self._inline), aside=Aside(), repetition=Repetition(self.settings.max_identical),
            outgoing=Outgoing(
                request_headers(self.settings),
                request_headers(self.settings, CARRIED - self.settings.secret_headers),
            ),
            user_agent=user_agent(self.settings), observers=self._observers, workers=member.workers,
        )  # fmt: skip
        starts = self._starts(spider, run) if member.seeds else None
        seeder = Seeder(starts, links, frontier, clock)
        counted = await database.writer.read(lambda conn: counters(conn, run.id))
        items_before = sum(n for name, n in counted.items() if name.startswith("item."))
        self._engine = engine = Engine(context, member.owner, seeder, items_before)
        database.writer.patient = engine.is_busy
        database.writer.log.warn = lambda message: self.tell(Warned(message))
        if self._stopping is not None:
            engine.stop(*self._stopping)
        notify(self._observers, CrawlStarted(run.id, self.resumed))
        try:
            reason = await engine.run()
            if not await context.aside.ended(LAST_WAIT):
                self.tell(
                    Warned("a callback never returned: it is left behind, and its page is queued again")
                )
            return reason
        finally:
            await past.close()
            await context.parsing.aclose()

    async def _begin(self, database: Database, clock: Clock) -> Run:
        """A new run, or the one to go on with; its stored options then count."""
        series = self.options.series(self.definition.name)
        if self._resume == "failed":
            return await self._begin_failed(database, clock)
        of_series = None if self._resume == "must" else series
        found = await database.writer.read(lambda conn: unfinished(conn, of_series))
        if found is not None and self._resume != "new":
            self._take_over(found)
            return await self._adapted(database, clock, lambda conn: reopen(conn, found))
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

    async def _begin_failed(self, database: Database, clock: Clock) -> Run:
        """The newest run once more, with what failed in it queued again."""
        found = await database.writer.read(latest)
        if found is None:
            raise UsageError(f"nothing to resume in {self.database}: it has no run")
        self._take_over(found)
        done = []

        def begun(conn: sqlite3.Connection) -> Run:
            done.append(requeue_failed(conn, found.id, self._failed, clock.unix()))
            return reopen(conn, found)

        run = await self._adapted(database, clock, begun)
        self.tell(Warned(str(done[0])))
        return run

    def _take_over(self, run: Run) -> None:
        """Go on with a run: its stored options count."""
        self.options = self.options.merged(run)
        self.settings = self._settings(self.options)
        self.resumed = True

    def _starts(self, spider: Spider[Any], run: Run) -> Any:
        if run.seeded:
            return list
        if self.options.start:
            return lambda: [Request(url) for url in self.options.start]
        return spider.start

    def _settings(self, options: Options) -> Settings:
        own = (self.definition.place, self.definition.settings)
        return Settings.of(*self._layers.around(own, ("flags", options.settings)))

    def _files(self) -> Files:
        folder = self.settings.files or f"files/{self.definition.name}"
        return Files(project_folder() / folder, inline=self._inline)


class CrawlOptions(TypedDict, total=False):
    """The keywords of `Crawl`, for `crawl` and `run`."""

    db: str | Path | None
    arguments: Mapping[str, Any] | None
    start: Iterable[str]
    settings: Mapping[str, Any] | None
    layers: Layers
    resume: Resume
    failed: str | None
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
