"""What one visit produced, written as a whole: first its effects on the queue, then what it found on its page."""

from __future__ import annotations

import sqlite3
from typing import Protocol

from scraper.core.models import Done, PageResult
from scraper.store.queue.counters import Deltas
from scraper.store.queue.effects import QueueEffects

__all__ = ["PageSink", "Results"]


class PageSink(Protocol):
    """Takes page results inside the writer's transaction: `PageResults` of this database, or a journal.

    After a rollback `forget` is called.
    """

    def apply(
        self, conn: sqlite3.Connection, deltas: Deltas, domain: int, result: PageResult, at: float
    ) -> None: ...

    def forget(self) -> None: ...


class Results:
    """Writes `Done`s of one run. Called inside the writer's transaction, in the savepoint of the page."""

    def __init__(self, effects: QueueEffects, pages: PageSink) -> None:
        self._effects = effects
        self._pages = pages

    def forget(self) -> None:
        """After a rollback: what was thought to exist may not."""
        self._effects.forget()
        self._pages.forget()

    def write(
        self, conn: sqlite3.Connection, deltas: Deltas, domain: int, done: Done, now: float, at: float
    ) -> dict[str, float]:
        """Store both parts of `done`, which ended `at` by the wall clock.

        Returns which domains have new work, and from when (unix seconds).
        """
        due = self._effects.apply(conn, deltas, domain, done.effects, now, at)
        self._pages.apply(conn, deltas, domain, done.result, at)
        return due
