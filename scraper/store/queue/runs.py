"""Runs in SQL: begin, find, end and count them. Functions on a connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scraper.core.models import Requeued, Run
from scraper.core.urls import IDENTITY_VERSION
from scraper.errors import UsageError
from scraper.store.queue.cookies import forget_cookies
from scraper.store.queue.orders import forget_stops
from scraper.store.rows.vanished import mark_vanished

__all__ = [
    "Run",
    "begin",
    "counters",
    "end_run",
    "find",
    "finish",
    "identified",
    "identity_version",
    "latest",
    "reopen",
    "requeue",
    "requeue_failed",
    "rows_by_table",
    "run_of",
    "unfinished",
]

#: States of a run that can be resumed: its process died, or it stopped with work left.
UNFINISHED = ("running", "stopped")
_COLUMNS = "id, spider, target, series, options, started, state, reason, seeded"


def _run(row: tuple[Any, ...]) -> Run:
    id_, spider, target, series, options, started, state, reason, seeded = row
    return Run(id_, spider, target, series, json.loads(options), started, state, reason, bool(seeded))


def begin(
    conn: sqlite3.Connection, *, spider: str, target: str, series: str, options: Mapping[str, Any], now: float
) -> Run:
    """A new run, in state running."""
    text = json.dumps(options, sort_keys=True, separators=(",", ":"))
    row = conn.execute(
        "INSERT INTO _runs (spider, target, series, options, started, state, identity_version)"  # noqa: S608 - constant text
        f" VALUES (?, ?, ?, ?, ?, 'running', ?) RETURNING {_COLUMNS}",
        (spider, target, series, text, now, IDENTITY_VERSION),
    ).fetchone()
    return _run(row)


def identity_version(conn: sqlite3.Connection, run: int) -> int:
    """How a run distinguishes URLs; also in a database that only an older version has opened for writing."""
    row = conn.execute("SELECT * FROM _runs WHERE id = ?", (run,))
    names = [name for name, *_ in row.description]
    return int(row.fetchone()[names.index("identity_version")]) if "identity_version" in names else 1


def identified(conn: sqlite3.Connection, run: Run) -> Run:
    """The run as it is crawled: with its own way to distinguish URLs."""
    return replace(run, identity_version=identity_version(conn, run.id))


def latest(conn: sqlite3.Connection) -> Run | None:
    """The newest run of the database that was not taken back."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM _runs WHERE state <> 'undone' ORDER BY id DESC LIMIT 1"  # noqa: S608 - constant text
    ).fetchone()
    return _run(row) if row else None


def find(conn: sqlite3.Connection, number: int) -> Run | None:
    """A run by its number."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM _runs WHERE id = ?", (number,)).fetchone()  # noqa: S608 - constant text
    return _run(row) if row else None


def run_of(conn: sqlite3.Connection, number: int) -> Run:
    """A run by its number, which exists."""
    run = find(conn, number)
    assert run is not None
    return run


def unfinished(conn: sqlite3.Connection, series: str | None = None) -> Run | None:
    """The newest run with work left, of one series or of any."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM _runs WHERE state IN (?, ?) AND coalesce(series = ?, TRUE)"  # noqa: S608 - constant text
        " ORDER BY id DESC LIMIT 1",
        (*UNFINISHED, series),
    ).fetchone()
    return _run(row) if row else None


def reopen(conn: sqlite3.Connection, run: Run) -> Run:
    """A run goes on."""
    forget_stops(conn, run.id)
    conn.execute(
        "UPDATE _runs SET state = 'running', ended = NULL, reason = NULL, resumed = resumed + 1 WHERE id = ?",
        (run.id,),
    )
    return run


def requeue(conn: sqlite3.Connection, run: int, requests: Sequence[int], now: float) -> None:
    """Put failed requests back into the queue: what made them fail is to be mended, then they are due again."""
    for request in requests:
        row = conn.execute(
            "SELECT kind, domain FROM _requests WHERE id = ? AND run = ? AND state = 2", (request, run)
        ).fetchone()
        if row is None:
            continue
        kind, domain = row
        conn.execute(
            "UPDATE _requests SET state = 0, taken_epoch = 0, not_before = 0, attempts = 0, status = NULL,"
            " kind = NULL, why = NULL, ended = NULL WHERE id = ?",
            (request,),
        )
        conn.execute(
            "UPDATE _queues SET ready_at = coalesce(min(ready_at, :now), :now)"
            " WHERE run = :run AND domain = :domain AND owner IS NULL AND parked IS NULL",
            {"now": now, "run": run, "domain": domain},
        )
        conn.executemany(
            "UPDATE _counters SET value = value + ? WHERE run = ? AND name = ?",
            [(1, run, "queued"), (-1, run, "failed"), (-1, run, f"failed.{kind}")],
        )


def requeue_failed(conn: sqlite3.Connection, run: int, kind: str | None, now: float) -> Requeued:
    """Queue failed requests of a run again, all or of one kind. One statement a table.

    Those whose headers or body were cleared stay failed: without them they would be another request. Raises
    UsageError where nothing failed.
    """
    chosen = "run = :run AND state = 2 AND (:kind IS NULL OR kind = :kind)"
    values = {"run": run, "kind": kind, "now": now}
    counted = conn.execute(
        "SELECT kind, count(*), sum(status IN (404, 410)) FROM _requests"  # noqa: S608 - constant text
        f" WHERE {chosen} AND body IS NOT x'' GROUP BY kind",
        values,
    ).fetchall()
    left = conn.execute(f"SELECT count(*) FROM _requests WHERE {chosen} AND body IS x''", values)  # noqa: S608 - constant text
    result = Requeued(run, sum(count for _, count, _ in counted), left.fetchone()[0])
    if not result.queued and not result.left:
        raise UsageError(f"nothing failed{f' with {kind!r}' if kind else ''} in run {run}")
    conn.execute(
        "UPDATE _queues SET ready_at = coalesce(min(ready_at, :now), :now) WHERE run = :run AND owner IS NULL"  # noqa: S608 - constant text
        f" AND domain IN (SELECT domain FROM _requests WHERE {chosen} AND body IS NOT x'')",
        values,
    )
    conn.execute(
        "UPDATE _requests SET state = 0, taken_epoch = 0, not_before = 0, attempts = 0, status = NULL,"  # noqa: S608 - constant text
        f" kind = NULL, why = NULL, ended = NULL WHERE {chosen} AND body IS NOT x''",
        values,
    )
    deltas = [("queued", result.queued), ("failed", -result.queued)]
    for name, count, gone in counted:
        deltas += [(f"failed.{name}", -count), ("failed.gone", -(gone or 0))]
    conn.executemany(
        "UPDATE _counters SET value = value + ? WHERE run = ? AND name = ?",
        [(delta, run, name) for name, delta in deltas],
    )
    return result


def finish(conn: sqlite3.Connection, run: int, state: str, reason: str | None, now: float) -> None:
    """A run ends: stopped (work is left), finished, or complete; then nothing of it needs cookies any more.

    Pages kept because they failed, and that did not in the end, are of no use any more either.
    """
    conn.execute(
        "DELETE FROM _pages WHERE run = ? AND place <> ''"
        " AND (SELECT state FROM _requests WHERE id = _pages.request) IN (1, 3)",
        (run,),
    )
    if state not in UNFINISHED:
        forget_cookies(conn, run)
    conn.execute("UPDATE _runs SET state = ?, reason = ?, ended = ? WHERE id = ?", (state, reason, now, run))


def end_run(conn: sqlite3.Connection, run: int, state: str, reason: str | None, now: float) -> None:
    """The run ends as `state`, and what it did not see is marked and counted, all in one transaction."""
    finish(conn, run, state, reason, now)
    if state != "stopped":
        mark_vanished(conn, run, complete=state == "complete")


def counters(conn: sqlite3.Connection, run: int) -> dict[str, int]:
    """All counters of a run."""
    return dict(conn.execute("SELECT name, value FROM _counters WHERE run = ?", (run,)).fetchall())


def rows_by_table(counted: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What happened to item rows, from the counters: {table: {"new": 3, "changed": 1, …}}."""
    tables: dict[str, dict[str, int]] = {}
    for name, value in counted.items():
        if name.startswith("item."):
            table, _, what = name[5:].rpartition(".")
            tables.setdefault(table, {})[what] = value
    return tables
