"""What became of a run, read from its database: the numbers, the problems, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scraper.items.expectations import Expectation
from scraper.reports.failures import Problem
from scraper.reports.quality import Emptied, Shrunk
from scraper.reports.selectors import SelectorHits

__all__ = ["RunFacts", "SelectorHits", "Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished run.

    `items` maps tables to what happened to their rows: new, changed, same, merged. `target` is what was asked
    for when the run began, "" for a crawl from a program. `state` is complete, finished or stopped
    (resumable); `reason` why it is not complete. `silent` are selectors that matched nowhere. `example` is
    a question worth asking, as an argument of `scraper query`. `broken` are expectations that do not hold,
    `emptied` fields and `shrunk` tables that hold less than in the last complete run.
    """

    run: int
    spider: str
    target: str
    database: str
    state: str
    reason: str | None
    pages: int
    queued: int
    seconds: float
    items: Mapping[str, Mapping[str, int]]
    rejected: int
    problems: Sequence[Problem]
    parked: Mapping[str, str]
    counters: Mapping[str, int]
    empty_tables: Sequence[str] = ()
    start_problem: str = ""
    exit_code: int = 0
    sends: int = 0
    silent: Sequence[SelectorHits] = ()
    example: str = ""
    refusal: tuple[str, str] = ("", "")
    broken: Sequence[str] = ()
    emptied: Sequence[Emptied] = ()
    shrunk: Sequence[Shrunk] = ()

    @property
    def gone(self) -> Mapping[str, int]:
        """Rows of earlier runs that this complete run did not find any more, by table."""
        return self._by_table("gone.")

    @property
    def unknown(self) -> Mapping[str, int]:
        """Rows of earlier runs that this run did not see and cannot call gone, by table."""
        return self._by_table("unknown.")

    @property
    def conflicts(self) -> Mapping[str, int]:
        """Keys for which two pages of this run had different values, by table."""
        return self._by_table("conflict.")

    def _by_table(self, what: str) -> Mapping[str, int]:
        return {name.removeprefix(what): n for name, n in self.counters.items() if name.startswith(what)}

    @property
    def rows(self) -> int:
        """Item rows stored or seen again."""
        return sum(sum(n for what, n in counts.items()) for counts in self.items.values())


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a crawl knows of its run that the database does not.

    `database` is what it is called, `seconds` how long the run took, `reason` why the engine stopped, None when its
    queue drained. `max_failed` is the share of pages that may fail, `declared` the tables that should not stay empty.
    """

    database: str
    seconds: float
    reason: str | None
    max_failed: float
    declared: Sequence[str] = ()
    expect: Sequence[Expectation] = ()
