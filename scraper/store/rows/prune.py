"""What runs leave behind, away again when newer runs have come: requests, sends, errors, kept pages.

Runs themselves, their counters, item rows and their history stay: they are small, or what the crawl was for.
"""

from __future__ import annotations

import sqlite3

from scraper.core.sql_names import quoted
from scraper.store.rows.history import history_of
from scraper.store.rows.vanished import keyed_tables

__all__ = ["forget_versions", "old_runs", "prune_some"]

#: Rows of one table removed in one transaction, at most.
STEP = 5_000
#: What belongs to a request, and what belongs to a run, with the columns that name one row.
_OF_REQUEST = ("_sends", "_pages")
_OF_RUN = {
    "_errors": "id",
    "_rejected": "id",
    "_commands": "id",
    "_selectors": "run, domain, place, call, selector",
    "_queues": "run, domain",
    "_fill": 'run, "table", "column"',
    "_visits": "key",
    "_cookies": "run, site, domain, path, name",
}


def old_runs(conn: sqlite3.Connection, keep: int) -> list[int]:
    """Runs with something to prune: older than the newest `keep` of the database, and not to be resumed."""
    rows = conn.execute(
        "SELECT id FROM _runs WHERE NOT pruned AND state NOT IN ('running', 'stopped') AND id < ? ORDER BY id",
        (_oldest_kept(conn, keep),),
    )
    return [run for (run,) in rows]


def prune_some(conn: sqlite3.Connection, keep: int) -> bool:
    """Remove a bounded number of rows of the oldest run that is not kept; whether there may be more."""
    runs = old_runs(conn, keep)
    if not runs:
        return False
    if _prune_requests(conn, runs[0]) and _prune_rest(conn, runs[0]):
        conn.execute("UPDATE _runs SET pruned = 1 WHERE id = ?", (runs[0],))
    return True


def _prune_requests(conn: sqlite3.Connection, run: int) -> bool:
    """Some requests of a run, and what belongs to them; whether these were the last."""
    requests = conn.execute(
        # Ids are given in order: the newest request stays, so that no id is given twice.
        "SELECT id FROM _requests WHERE run = ? AND id < (SELECT max(id) FROM _requests) LIMIT ?",
        (run, STEP),
    ).fetchall()
    for table in _OF_REQUEST:
        conn.executemany(f"DELETE FROM {table} WHERE request = ?", requests)  # noqa: S608 - constant names
    conn.executemany("DELETE FROM _requests WHERE id = ?", requests)
    return len(requests) < STEP


def _prune_rest(conn: sqlite3.Connection, run: int) -> bool:
    """Some rows of each other table of a run; whether these were the last."""
    left = False
    for table, key in _OF_RUN.items():
        removed = conn.execute(
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE run = ? LIMIT ?)",  # noqa: S608 - constant names
            (run, STEP),
        ).rowcount
        left = left or removed == STEP
    return not left


def forget_versions(conn: sqlite3.Connection, keep: int) -> int:
    """Remove the versions of rows that ended before the newest `keep` runs; how many they were."""
    oldest = _oldest_kept(conn, keep)
    return sum(
        conn.execute(f"DELETE FROM {quoted(history_of(table))} WHERE _until_run <= ?", (oldest,)).rowcount  # noqa: S608 - quoted
        for table in keyed_tables(conn)
    )


def _oldest_kept(conn: sqlite3.Connection, keep: int) -> int:
    """The oldest of the newest `keep` runs, those not counted that were taken back; 0 for an empty database."""
    newest = "SELECT id FROM _runs WHERE state <> 'undone' ORDER BY id DESC LIMIT ?"
    row = conn.execute(f"SELECT min(id) FROM ({newest})", (keep,)).fetchone()  # noqa: S608 - constant text
    return int(row[0] or 0)
