"""One crawl step by step, as the programs need it that run crawls: the command line, workers, tests.

Authors have `scraper.Crawl`. Nothing here prints, logs or touches signals.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scraper.api.database import join_ledger, membership, open_ledger
from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.ledger import Ledger, Membership
from scraper.core.machine_limits import connection_budget, raise_file_limit
from scraper.core.models import Budget, CrawlStatus, Ending, NewRun, Request, Run, Table
from scraper.engine import Common, Engine, Notices, Plan, Seeder, check_start, reading_of, sending_of
from scraper.engine.closing import conflict_warnings
from scraper.engine.options import Ended, Member, Options, Resume
from scraper.errors import UsageError
from scraper.events import GRACE, INTERRUPTED, CrawlEnded, CrawlStarted, Event, Observer, Warned, notify
from scraper.items import Items
from scraper.net.downloader import Downloader
from scraper.net.transports import open_wires
from scraper.net.wire.tls import check_hosts
from scraper.project.folder import default_database, project_folder
from scraper.query.spider_database import Past
from scraper.reports.summarizing import read_summary
from scraper.reports.summary import RunFacts, Summary
from scraper.settings import NO_LAYERS, Layers, Settings
from scraper.spider import Definition, Spider, define, instantiate, lend
from scraper.spider.files import Files
from scraper.version import VERSION

__all__ = ["CrawlJob"]

#: Seconds that a callback in a thread gets to return when the crawl is over; those under way had their grace before.
LAST_WAIT = 1.0


class CrawlJob:
    """One crawl: prepared when made (errors of usage come then), run once.

    `spider` is a class. `arguments` are its own attributes by name; `start` replaces its start URLs;
    `settings` win over the spider's, and `layers` stand around it: what a configuration says, which is not
    read here. `failed` is the kind of failures that `resume="failed"` does again, None for all. `target` is stored,
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
        self._transport = transport
        self._inline = inline
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
        self._seed = seed
        self._engine: Engine | None = None
        self._clock: Clock | None = None
        self._stopping: tuple[str, float | None] | None = None
        #: What the first observer raised that raised anything.
        self.observer_error: Exception | None = None

    def observe(self, *observers: Observer) -> None:
        """Tell these what happens, after those told already.

        One that raises is told nothing more: the crawl stops as after Ctrl-C, and `run` then raises that error.
        """
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
        """The time of this crawl in unix seconds, by the wall clock."""
        return self._clock.wall() if self._clock is not None else time.time()

    def status(self) -> CrawlStatus:
        """What is going on right now in this process; empty before and after the crawl."""
        return self._engine.status() if self._engine is not None else CrawlStatus()

    async def run(self) -> Summary:
        """Crawl to the end.

        Raises UsageError, StoreError, DatabaseInUse, or what an observer raised; whatever the web does is in the summary.
        """
        clock = self._clock = Clock()
        ledger = await self.open(clock)
        try:
            run = await self.begin(ledger, clock)
            started = clock.mono()
            try:
                ended = await self.work(ledger, run, clock, Member(f"{run.id}:{id(self):x}"))
            except UsageError as error:
                await ledger.give_up(run.id, str(error), now=clock.wall())
                raise
            summary = await self.conclude(ledger, run, ended, clock, clock.mono() - started)
            if self.observer_error is not None:
                raise self.observer_error
            return summary
        finally:
            await ledger.close()

    # ------------------------------------------------------------------ its parts, for several processes

    async def open(self, clock: Clock) -> Ledger:
        """The ledger of the database, held by this crawl; the clock has its time then.

        From here on the process may open as many files as the hard limit allows.
        """
        raise_file_limit()
        holder = f"{self.definition.name}, scraper {VERSION}"
        return await _anchored(
            await open_ledger(
                self.database, holder=holder, now=clock.wall(), inline=self._inline, warn=self._warn
            ),
            clock,
        )

    async def join(self, clock: Clock, *, inline: bool = False) -> Ledger:
        """The ledger of the database, where this crawl holds it already; `inline` uses no thread."""
        inline = inline or self._inline
        joined = await join_ledger(self.database, now=clock.wall(), inline=inline, warn=self._warn)
        return await _anchored(joined, clock)

    def membership(self) -> Membership:
        """Which workers of this crawl are alive."""
        return membership(self.database)

    async def begin(self, ledger: Ledger, clock: Clock) -> Run:
        """The run to work on, with all leases of the dead ended."""
        run = await self._begin(ledger, clock)
        self.run_id = run.id
        if self.resumed:
            await self.frontier(ledger, run).free_all(now=clock.unix())
        return run

    async def work(self, ledger: Ledger, run: Run, clock: Clock, member: Member) -> Ended:
        """Fetch until nothing is left or something stops it; what selectors found is stored at the end."""
        frontier = self.frontier(ledger, run)
        async with open_wires(self.settings, self.definition.cls.transports, self._transport) as downloader:
            reason = await self._crawl(ledger, frontier, run, downloader, clock, member)
        await frontier.flush()
        await ledger.count(run.id, self._engine.time_spent() if self._engine is not None else {})
        return Ended(reason, self._engine.to_requeue if self._engine is not None else [])

    async def conclude(self, ledger: Ledger, run: Run, ended: Ended, clock: Clock, seconds: float) -> Summary:
        """Read the numbers of the run, and end it."""
        facts = RunFacts(
            database=self.database, seconds=seconds, reason=ended.reason, max_failed=self.settings.max_failed,
            declared=[table.name for table in self._tables()], expect=self.definition.expect,
        )  # fmt: skip
        ledger.check()
        summary = await read_summary(ledger.path, run, facts, inline=self._inline)
        if ended.again:
            await ledger.requeue(run.id, ended.again, now=clock.unix())
            summary = replace(summary, queued=summary.queued + len(ended.again))
        ending = Ending(summary.state, summary.reason, self.settings.keep_runs)
        summary = replace(summary, counters=await ledger.end(run.id, ending, now=clock.wall()))
        for warning in conflict_warnings(summary):
            self.tell(warning)
        self.tell(CrawlEnded(summary.reason))
        return summary

    def frontier(self, ledger: Ledger, run: Run) -> Frontier:
        """The run's frontier, within its budget."""
        return ledger.frontier(run.id, Budget(self.settings.max_pages, self.settings.max_pages_per_domain))

    def tell(self, event: Event) -> None:
        """Tell the observers."""
        notify(self._observers, event, self._observer_failed)

    def _observer_failed(self, observer: Observer, error: Exception) -> None:
        self._observers[self._observers.index(observer)] = _deaf
        self.observer_error = self.observer_error or error
        self.stop(grace=GRACE)

    def report_to(self, observer: Observer) -> None:
        """This one alone is told from now on."""
        self._observers = [observer]

    # ------------------------------------------------------------------ within

    async def _crawl(
        self, ledger: Ledger, frontier: Frontier, run: Run, downloader: Downloader, clock: Clock, member: Member,
    ) -> str | None:  # fmt: skip
        spider = instantiate(self.definition, self.options.arguments)
        lend(spider, past := Past(ledger.path, inline=self._inline))
        plan = Plan(
            spider, self.definition, self._files(), self._inline, self._seed,
            resumed=self.resumed, identity_version=run.identity_version,
        )  # fmt: skip
        common = Common(self.settings, clock, frontier, Notices(self._observers, self._observer_failed))
        sending = sending_of(plan, common, member, downloader)
        reading = reading_of(plan, sending)
        if sending.identity.uses_proxies and member.seeds:
            self.tell(Warned("through a proxy, private addresses are known by our own name lookup only"))
        starts = self._starts(spider, run) if member.seeds else None
        seeder = Seeder(starts, reading.links, frontier, clock)
        limit = self.settings.max_items
        is_full = None if limit is None else partial(ledger.has_items, run.id, limit)
        connections = connection_budget() if self._transport is None else None
        self._engine = engine = Engine(sending, reading, seeder, is_full, connections)
        ledger.group_while(engine.is_busy)
        if self._stopping is not None:
            engine.stop(*self._stopping)
        self.tell(CrawlStarted(run.id, self.resumed))
        try:
            reason = await engine.run()
            if not await reading.thread.ended(LAST_WAIT):
                self.tell(
                    Warned("a callback never returned: it is left behind, and its page is queued again")
                )
            return reason
        finally:
            await past.close()
            await reading.parsing.aclose()

    async def _begin(self, ledger: Ledger, clock: Clock) -> Run:
        """A new run, or the one to go on with; its stored options then count."""
        series = self.options.series(self.definition.name)
        if self._resume == "failed":
            return await self._begin_failed(ledger, clock)
        found = await ledger.unfinished(None if self._resume == "must" else series)
        if found is not None and self._resume != "new":
            self._take_over(found)
            return await ledger.reopen(found, self._tables(), now=clock.wall())
        if self._resume == "must":
            raise UsageError(
                f"nothing to resume in {self.database}: no run is unfinished; start one with: scraper crawl"
            )
        if found is not None:
            self._warn(f"run {found.id} is unfinished; go on with it: scraper resume {self.database}")
        stored = json.loads(json.dumps(self.options.stored(), default=str))
        new = NewRun(self.definition.name, self._target, series, stored)
        return await ledger.begin(new, self._tables(), now=clock.wall())

    async def _begin_failed(self, ledger: Ledger, clock: Clock) -> Run:
        """The newest run once more, with what failed in it queued again."""
        found = await ledger.latest()
        if found is None:
            raise UsageError(f"nothing to resume in {self.database}: it has no run")
        self._take_over(found)
        done = await ledger.requeue_failed(
            found, self._failed, self._tables(), now=clock.unix(), at=clock.wall()
        )
        self._warn(str(done))
        return found

    def _tables(self) -> Sequence[Table]:
        """The item tables that the spider's classes declare."""
        return Items(self.definition.name, self.definition.items).tables

    def _warn(self, message: str) -> None:
        self.tell(Warned(message))

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
        made = Settings.of(*self._layers.around(own, ("flags", options.settings))).within(project_folder())
        if self._transport is None and not self._inline:
            check_hosts(made.tls)  # before there is a database
        return made

    def _files(self) -> Files:
        folder = self.settings.files or f"files/{self.definition.name}"
        return Files(project_folder() / folder, inline=self._inline)


def _deaf(event: Event) -> None:
    """In the place of an observer that raised."""


async def _anchored(ledger: Ledger, clock: Clock) -> Ledger:
    """The ledger, when it has set the clock to its time."""
    try:
        await ledger.anchor(clock)
    except BaseException:
        await ledger.close()
        raise
    return ledger
