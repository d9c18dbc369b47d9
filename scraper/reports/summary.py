"""What became of a run, read from its database: the numbers, the problems, and the exit code."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scraper.core.models import Run
from scraper.events import INTERRUPTED, STOPPED
from scraper.items.expectations import Expectation
from scraper.reports.failures import Problem, problems_of
from scraper.reports.quality import Emptied, Shrunk, broken, emptied, shrunk
from scraper.reports.selectors import SelectorHits, missed_selectors
from scraper.store.queue.runs import counters, rows_by_table

__all__ = ["EXIT_CODES", "Problem", "RunFacts", "SelectorHits", "Summary", "summarize"]

#: Exit codes of the command line, in the order in which the first that applies is taken.
EXIT_CODES: Mapping[int, str] = {
    2: "usage, configuration, or a spider that does not load",
    7: "a crawl on this database is already running",
    6: "disk, database or permission; resumable",
    130: "stopped by a person; resumable",
    4: "no start could be reached or was allowed",
    5: "work is left: parked domains, Stop, too many failures in a row; resumable",
    1: "a callback raised, failures above max_failed, or an expectation broken",
    3: "finished without items, or a declared table stayed empty",
    0: "good; a budget that was reached is good, and said",
}

#: Reasons to stop that are no fault: the person set the limit.
BUDGETS = ("max_pages", "max_items", "max_time")


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


def summarize(conn: sqlite3.Connection, run: Run, facts: RunFacts) -> Summary:
    """Read a run's numbers and judge them."""
    counted = counters(conn, run.id)
    items = rows_by_table(counted)
    parked = dict(
        conn.execute(
            "SELECT d.name, q.parked FROM _queues q JOIN _domains d ON d.id = q.domain"
            " WHERE q.run = ? AND q.parked IS NOT NULL",
            (run.id,),
        ).fetchall()
    )
    made = Summary(
        run=run.id,
        spider=run.spider,
        target=run.target,
        database=facts.database,
        state="",
        reason=facts.reason or (None if parked else _spent_domains(conn, run.id)),
        pages=counted.get("pages", 0),
        queued=counted.get("queued", 0),
        seconds=facts.seconds,
        items=items,
        rejected=counted.get("rejected", 0),
        problems=problems_of(conn, run.id),
        parked=parked,
        counters=counted,
        empty_tables=[name for name in facts.declared if not sum(items.get(name, {}).values())],
        start_problem=_start_problem(conn, run.id, counted, facts.seconds),
        sends=counted.get("sends", 0),
        silent=missed_selectors(conn, run.id),
        example=_example(conn, items),
        refusal=_refusal(conn, run.id) if counted.get("rejected") else ("", ""),
    )
    return _judged(_compared(conn, made, facts.expect), facts.max_failed)


def _compared(conn: sqlite3.Connection, summary: Summary, expect: Sequence[Expectation]) -> Summary:
    """With what was expected, and what the last complete run found. What was cut short has fewer rows for that."""
    whole = summary.reason is None and not summary.queued
    return replace(
        summary,
        broken=broken(conn, summary.run, expect, whole=whole),
        emptied=emptied(conn, summary.run),
        shrunk=shrunk(conn, summary.run) if whole else (),
    )


def _refusal(conn: sqlite3.Connection, run: int) -> tuple[str, str]:
    """Where the first item came from that could not be stored, and why not."""
    found = conn.execute(
        "SELECT place, reason FROM _rejected WHERE run = ? ORDER BY id LIMIT 1", (run,)
    ).fetchone()
    return found or ("", "")


def _example(conn: sqlite3.Connection, items: Mapping[str, Mapping[str, int]]) -> str:
    """A question to the table with most rows: its names and its largest numbers, where it has both."""
    if not items:
        return ""
    table = max(items, key=lambda name: sum(items[name].values()))
    columns = [
        (name, kind)
        for name, kind, pk in conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table,))
        if name.isidentifier() and not name.startswith("_")
    ]
    texts = [name for name, kind in columns if kind == "TEXT"]
    named = next((name for name in texts if name in _NAMES), texts[0] if texts else None)
    amount = next((name for name, kind in columns if kind in {"NUMERIC", "REAL", "INTEGER"}), None)
    if named is None or amount is None or not table.isidentifier():
        return table
    return f'"select {named}, {amount} from {table} order by {amount} desc limit 10"'  # noqa: S608 - to read, and of identifiers only


#: Columns that say what a row is about.
_NAMES = ("title", "name", "headline", "product", "label")


def _judged(summary: Summary, max_failed: float) -> Summary:
    """The exit code, by the order of `EXIT_CODES`, and the state of the run that follows from it."""
    budget = summary.reason is not None and summary.reason.startswith(BUDGETS)
    spent = budget or bool(summary.queued and not summary.parked and summary.reason is None)
    code, state, reason = 0, "complete", summary.reason
    failed = summary.counters.get("failed", 0) - summary.counters.get("failed.gone", 0)
    callback = sum(p.count for p in summary.problems if p.kind.startswith("callback"))
    if summary.reason in {INTERRUPTED, STOPPED}:
        code, state = 130, "stopped"
    elif summary.start_problem:
        code, state, reason = 4, "finished", summary.start_problem
    elif (summary.queued and not spent) or (reason or "").startswith("broken callback:"):
        code, state = 5, "stopped"
        reason = summary.reason or f"parked: {', '.join(summary.parked)}"
    elif callback or failed > max_failed * max(1, summary.pages + failed):
        code, state, reason = 1, "finished", reason or "pages failed"
    elif summary.broken:
        code, state, reason = 1, "finished", reason or summary.broken[0]
    elif not summary.rows or summary.empty_tables:
        code, state, reason = 3, "finished", reason or "no items"
    elif spent:
        state, reason = "finished", reason or "max_pages reached"
    elif failed:
        state, reason = "finished", "pages failed"
    elif summary.parked:
        state, reason = "finished", f"parked: {', '.join(summary.parked)}"
    return replace(summary, exit_code=code, state=state, reason=reason)


def _spent_domains(conn: sqlite3.Connection, run: int) -> str | None:
    """Which domains reached their own budget: something is queued, nothing parks them, and they are not due."""
    names = [
        name
        for (name,) in conn.execute(
            "SELECT d.name FROM _queues q JOIN _domains d ON d.id = q.domain WHERE q.run = ? AND q.parked IS NULL"
            " AND q.ready_at IS NULL AND EXISTS (SELECT 1 FROM _requests r WHERE r.run = q.run"
            " AND r.domain = q.domain AND r.state = 0) ORDER BY d.name",
            (run,),
        )
    ]
    if not names:
        return None
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"max_pages_per_domain reached: {', '.join(names[:3])}{more}"


def _start_problem(conn: sqlite3.Connection, run: int, counted: Mapping[str, int], seconds: float) -> str:
    """Why nothing could be begun: set when no page was ever parsed and nothing is still queued."""
    if any(counted.get(name) for name in ("parsed", "queued", "not-modified", "not-revisited")):
        return ""
    row = conn.execute(
        "SELECT url, why, attempts FROM _requests WHERE run = ? AND state IN (2, 3) ORDER BY id LIMIT 1",
        (run,),
    ).fetchone()
    if row is None:
        return ""
    url, why, attempts = row
    tries = f" ({attempts + 1} tries in {seconds:.0f} s)" if attempts else ""
    return f"{url}  {why}{tries}"
