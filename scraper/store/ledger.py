"""The ledger in SQLite: `scraper.core.ledger.Ledger` over one database and its writer."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.ledger import CrawlHold
from scraper.core.models import Budget, Ending, NewRun, Requeued, Run, Table
from scraper.store.file.database import Database
from scraper.store.file.stored_time import anchor, joined_offset
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue import runs
from scraper.store.queue.counters import add_counts, has_items
from scraper.store.results import PageSink
from scraper.store.rows.prune import prune_some
from scraper.store.rows.shapes import Occasion, adapt

__all__ = ["MEMORY", "SqliteLedger", "Warn"]

#: The path of a database that is not kept.
MEMORY = ":memory:"

Warn = Callable[[str], None]


class SqliteLedger:
    """Made by `open`, or by `join` in a further process of the same crawl; ended by `close`.

    Every method is one transaction. `warn` is told, in sentences, what a person should know: how opening changed the
    database of an older version and how tables were altered (when a run begins or goes on, and when results are
    stored), and that another program keeps the log from being folded.
    """

    def __init__(self, database: Database, warn: Warn, *, joined: bool = False) -> None:
        self._database = database
        self._joined = joined
        self._writer = database.writer
        self._warn = warn
        self._writer.log.warn = warn
        #: Where a database that is not kept is meanwhile.
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    async def open(cls, path: str, *, holder: str, now: float, inline: bool, warn: Warn) -> SqliteLedger:
        """Open or create a database and lock it. Raises StoreError or DatabaseInUse.

        `holder` says in words whose crawl it is. `inline` runs all work in the loop's own thread, as virtual time needs.
        """
        folder = tempfile.TemporaryDirectory(prefix="scraper-") if path == MEMORY else None
        try:
            file = path if folder is None else str(Path(folder.name, "memory.db"))
            made = cls(await Database.open(file, holder=holder, now=now, inline=inline), warn)
        except BaseException:
            if folder is not None:
                folder.cleanup()
            raise
        made._folder = folder
        return made

    @classmethod
    async def join(cls, path: str, *, now: float, inline: bool, warn: Warn) -> SqliteLedger:
        """Open a database that the crawl of this process has locked. Raises StoreError."""
        return cls(await Database.join(path, now=now, inline=inline), warn, joined=True)

    @property
    def path(self) -> str:
        return self._database.path

    async def anchor(self, clock: Clock) -> None:
        find = joined_offset if self._joined else anchor
        clock.anchor(await self._writer.submit(lambda conn: find(conn, clock.machine, clock.wall())))

    # ------------------------------------------------------------------ which run

    async def begin(self, new: NewRun, tables: Sequence[Table], *, now: float) -> Run:
        return await self._adapted(
            lambda conn: runs.begin(
                conn, spider=new.spider, target=new.target, series=new.series, options=new.options, now=now
            ),
            tables,
            now,
        )

    async def find(self, number: int) -> Run | None:
        return await self._one(lambda conn: runs.find(conn, number))

    async def latest(self) -> Run | None:
        return await self._one(runs.latest)

    async def unfinished(self, series: str | None = None) -> Run | None:
        return await self._one(lambda conn: runs.unfinished(conn, series))

    async def _one(self, found: Callable[[sqlite3.Connection], Run | None]) -> Run | None:
        def work(conn: sqlite3.Connection) -> Run | None:
            run = found(conn)
            return None if run is None else runs.identified(conn, run)

        return await self._writer.read(work)

    async def reopen(self, run: Run, tables: Sequence[Table], *, now: float) -> Run:
        return await self._adapted(lambda conn: runs.reopen(conn, run), tables, now)

    async def requeue_failed(
        self, run: Run, kind: str | None, tables: Sequence[Table], *, now: float, at: float | None = None
    ) -> Requeued:
        done: list[Requeued] = []

        def begun(conn: sqlite3.Connection) -> Run:
            done.append(runs.requeue_failed(conn, run.id, kind, now))
            return runs.reopen(conn, run)

        await self._adapted(begun, tables, now if at is None else at)
        return done[-1]

    async def _adapted(
        self, begun: Callable[[sqlite3.Connection], Run], tables: Sequence[Table], now: float
    ) -> Run:
        """Begin or reopen a run and, in the same transaction, bring its tables to what their classes say now."""
        occasion = Occasion(at=now)

        def work(conn: sqlite3.Connection) -> Run:
            run = runs.identified(conn, begun(conn))
            occasion.run = run.id
            adapt(conn, tables, occasion)
            return run

        run = await self._writer.submit(work)
        for note in (*self._database.notes, *occasion.notes):
            self._warn(note)
        return run

    # ------------------------------------------------------------------ within a run

    def frontier(self, run: int, budget: Budget, pages: PageSink | None = None) -> Frontier:
        """`pages` takes what visits found on their pages instead of the tables of this database."""
        return SqliteFrontier(self._writer, run, budget, self._warn, pages)

    async def requeue(self, run: int, requests: Sequence[int], *, now: float) -> None:
        await self._writer.submit(lambda conn: runs.requeue(conn, run, requests, now))

    async def count(self, run: int, counts: Mapping[str, int]) -> None:
        await self._writer.submit(lambda conn: add_counts(conn, run, counts))

    async def counters(self, run: int) -> Mapping[str, int]:
        return await self._writer.read(lambda conn: runs.counters(conn, run))

    async def has_items(self, run: int, limit: int) -> bool:
        return await self._writer.read(lambda conn: has_items(conn, run, limit))

    # ------------------------------------------------------------------ the end

    async def end(self, run: int, ending: Ending, *, now: float) -> Mapping[str, int]:
        await self._writer.submit(lambda conn: runs.end_run(conn, run, ending.state, ending.reason, now))
        counted = await self.counters(run)
        # A few thousand rows at a time: each is a transaction of its own, and a crash loses none of what is done.
        while await self._writer.submit(lambda conn: prune_some(conn, ending.keep_runs)):
            pass
        return counted

    async def give_up(self, run: int, why: str, *, now: float) -> None:
        await self._writer.submit(lambda conn: runs.finish(conn, run, "finished", why, now))

    def check(self) -> None:
        self._writer.check_file()

    def group_while(self, busy: Callable[[], bool]) -> None:
        self._writer.patient = busy

    def keep_hold(self) -> CrawlHold | None:
        return None if self._folder is not None else self._database.keep_lock()

    async def close(self) -> None:
        try:
            await self._database.close()
        finally:
            if self._folder is not None:
                self._folder.cleanup()
