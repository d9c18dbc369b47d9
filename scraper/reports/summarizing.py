"""The summary of a run that has just ended, read from its database while its crawl still holds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scraper.core.models import Run
from scraper.errors import QueryError, StoreError
from scraper.items.expectations import Expectation
from scraper.query.connection import InlineReader, Reader, ThreadReader
from scraper.reports.exit_codes import judged
from scraper.reports.failures import UNREPEATED, problems_of
from scraper.reports.hints import advice_for
from scraper.reports.quality import broken, emptied, shrunk
from scraper.reports.selectors import missed_selectors
from scraper.reports.summary import RunFacts, Summary
from scraper.store.file.writer import explaining
from scraper.store.queue.runs import counters, rows_by_table

__all__ = ["read_summary", "summarize"]


async def read_summary(path: str, run: Run, facts: RunFacts, *, inline: bool = False) -> Summary:
    """`summarize` over a connection of its own, in a thread unless `inline`. Raises StoreError."""
    reader: Reader
    try:
        if inline:
            reader = InlineReader(path)
        else:
            reader = ThreadReader(path)
            await reader.open()
    except QueryError as error:
        raise StoreError(str(error)) from error
    try:
        with explaining(path):
            return await reader.run(lambda conn: summarize(conn, run, facts))
    finally:
        await reader.close()


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
    return judged(_compared(conn, made, facts.expect), facts.max_failed)


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
        f"SELECT url, why, attempts, kind, {UNREPEATED} FROM _requests r"  # noqa: S608 - a constant
        " WHERE run = ? AND state IN (2, 3) ORDER BY id LIMIT 1",
        (run,),
    ).fetchone()
    if row is None:
        return ""
    url, why, attempts, kind, unrepeated = row
    tries = f" ({attempts + 1} tries in {seconds:.0f} s)" if attempts else ""
    advice = advice_for(kind or "", why or "", unrepeated or "")
    return f"{url}  {why}{tries}{f'; {advice}' if advice else ''}"
