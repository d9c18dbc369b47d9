"""The runs of one database: begun, found, resumed, ended; and who is crawling into it.

`Frontier` says who may fetch what within a run, `Ledger` says which run. SQLite implements both (`scraper.store`). What
an implementation promises:

- a run and the item tables it needs come together: a refused table leaves no run behind;
- a database has at most one crawl, which may have several processes: the others join it;
- orders, counters and marks are there after the call that made them returned, whatever dies then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.models import Budget, Ending, NewRun, Requeued, Run, Table

__all__ = ["CrawlHold", "Ledger", "LiveCrawl", "Membership"]


class CrawlHold(Protocol):
    """The right of one crawl to a database. It ends with the last process that has it."""

    def release(self) -> None:
        """Give it back."""
        ...


class Ledger(Protocol):
    """The runs of one open database. All times are unix seconds; errors of the medium are `StoreError`.

    Time comes from here: `anchor` sets a clock to it, and what is due is told by `Clock.unix`. When a run begins, goes on
    or ends is for people to read: there `now` is `Clock.wall`.
    """

    @property
    def path(self) -> str:
        """The file the database is in, which others may read meanwhile."""
        ...

    async def anchor(self, clock: Clock) -> None:
        """Set a clock to the time that is stored and compared here, the same in all processes of a crawl."""
        ...

    # ------------------------------------------------------------------ which run

    async def begin(self, new: NewRun, tables: Sequence[Table], *, now: float) -> Run:
        """A new run, in state running, and in the same transaction item tables as their classes have them now.

        How tables were altered goes to `warn`. Raises TableError, and there is no run, where that loses data.
        """
        ...

    async def find(self, number: int) -> Run | None:
        """A run by its number."""
        ...

    async def latest(self) -> Run | None:
        """The newest run that was not undone."""
        ...

    async def unfinished(self, series: str | None = None) -> Run | None:
        """The newest run with work left, of one series or of any."""
        ...

    async def reopen(self, run: Run, tables: Sequence[Table], *, now: float) -> Run:
        """A run goes on, with its tables as `begin` has them. Raises TableError, and nothing has changed."""
        ...

    async def requeue_failed(
        self, run: Run, kind: str | None, tables: Sequence[Table], *, now: float, at: float | None = None
    ) -> Requeued:
        """Reopen a run and queue its failed requests again, all or of one kind, in one transaction.

        They are due `now` (`Clock.unix`); `at` is the moment for people, `now` if not given.
        Raises UsageError where nothing failed, TableError as `reopen`.
        """
        ...

    # ------------------------------------------------------------------ within a run

    def frontier(self, run: int, budget: Budget) -> Frontier:
        """Who may fetch what in a run."""
        ...

    async def requeue(self, run: int, requests: Sequence[int], *, now: float) -> None:
        """Queue some failed requests again, due `now` (`Clock.unix`), by their ids: what made them fail can be mended."""
        ...

    async def count(self, run: int, counts: Mapping[str, int]) -> None:
        """Add to the counters of a run."""
        ...

    async def counters(self, run: int) -> Mapping[str, int]:
        """All counters of a run."""
        ...

    async def has_items(self, run: int, limit: int) -> bool:
        """Whether a run has stored at least `limit` item rows, whichever process stored them."""
        ...

    # ------------------------------------------------------------------ the end

    async def end(self, run: int, ending: Ending, *, now: float) -> Mapping[str, int]:
        """End a run; its counters then. A complete run marks the rows it did not see; old runs are pruned."""
        ...

    async def give_up(self, run: int, why: str, *, now: float) -> None:
        """End a run that cannot go on: its start is broken."""
        ...

    def check(self) -> None:
        """Raise StoreError when the file was removed or replaced since it was opened."""
        ...

    def group_while(self, busy: Callable[[], bool]) -> None:
        """From now on results may wait a moment for others to be stored with them, while `busy()`."""
        ...

    def keep_hold(self) -> CrawlHold | None:
        """The crawl's hold outlives this object, and the caller releases it; None where there is no file."""
        ...

    async def close(self) -> None:
        """Store what waits and end the connection, and the hold unless it was kept."""
        ...


class LiveCrawl(Protocol):
    """The crawl that runs on a database now, as another process sees it. Errors are `StoreError`."""

    def holder(self) -> str | None:
        """Who is crawling, in words; None when no crawl is running."""
        ...

    def writer(self) -> int | None:
        """The process that is inside a writing transaction; None when there is none or the system does not tell."""
        ...

    def stop(self, run: int, *, now: float) -> None:
        """Order the crawl of `run` to stop: it hears of it within about a second."""
        ...

    def set_limit(self, run: int, domain: str, changes: Mapping[str, str], *, now: float) -> None:
        """Order other limits for a domain, by the names and in the spelling of settings."""
        ...

    def retry_now(self, run: int, domains: Sequence[str], *, now: float) -> None:
        """Order an attempt at domains that are down: at these, or at all that are."""
        ...


class Membership(Protocol):
    """Which workers of one crawl are alive. One object in a process."""

    def enter(self, number: int) -> None:
        """This process is worker `number` from now on. Raises StoreError where that cannot be noted."""
        ...

    def is_dead(self, number: int) -> bool:
        """Whether no process is worker `number` any more. Not to be asked about oneself."""
        ...

    def leave(self) -> None:
        """This process stops being a worker."""
        ...
