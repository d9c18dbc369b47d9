"""What a run did not see any more: gone, if the run is complete, and otherwise unknown.

A run can judge only rows that a run like it saw last: of the same series, and begun with the same settings of what
is reached. Of those a complete run marks as gone all that it did not see, but for rows it cannot speak of: their
page, or one that led to it, was refused this time, or something on their page could not be stored.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from scraper.core.sql_names import quoted
from scraper.store.rows.history import columns_of, item_tables, keys_of

__all__ = ["keyed_tables", "mark_vanished"]

#: Settings that decide which pages a run reaches.
_REACH = (
    "max_depth",
    "scope",
    "allowed",
    "ignore_params",
    "robots",
    "accept",
    "accept_types",
    "max_url",
    "max_hops",
)


def keyed_tables(conn: sqlite3.Connection) -> list[str]:
    """The item tables whose rows have a key, and so live on from run to run."""
    return [table for table in item_tables(conn) if keys_of(columns_of(conn, table))]


def mark_vanished(conn: sqlite3.Connection, run: int, *, complete: bool) -> None:
    """Mark the rows that a run did not see as gone if it is complete, and count them.

    Counted by table are `gone.<table>` and `unknown.<table>`.
    """
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS _peers (id INTEGER PRIMARY KEY)")
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS _spared (id INTEGER PRIMARY KEY)")
    conn.execute("DELETE FROM temp._peers")
    conn.execute("DELETE FROM temp._spared")
    conn.executemany("INSERT INTO temp._peers VALUES (?)", [(peer,) for peer in _peers(conn, run)])
    if complete:
        conn.execute(_SPARE, {"run": run})
    for table in keyed_tables(conn):
        _end_table(conn, table, run, complete=complete)


def _end_table(conn: sqlite3.Connection, table: str, run: int, *, complete: bool) -> None:
    name = quoted(table)
    unseen = "_gone_run IS NULL AND _run < :run AND _run IN (SELECT id FROM temp._peers)"
    count = conn.execute(f"SELECT count(*) FROM {name} WHERE {unseen}", {"run": run}).fetchone()[0]  # noqa: S608 - quoted
    gone = 0
    if complete and count:
        gone = conn.execute(
            f"UPDATE {name} SET _gone_run = :run WHERE {unseen}"  # noqa: S608 - quoted
            " AND _request NOT IN (SELECT id FROM temp._spared)",
            {"run": run},
        ).rowcount
    for what, value in (("gone", gone), ("unknown", count - gone)):
        named = (run, f"{what}.{table}")
        # A run that failed in part may be resumed and end again: the last end counts.
        conn.execute("DELETE FROM _counters WHERE run = ? AND name = ?", named)
        if value:
            conn.execute("INSERT INTO _counters (run, name, value) VALUES (?, ?, ?)", (*named, value))


def _peers(conn: sqlite3.Connection, run: int) -> list[int]:
    """The earlier runs that reached for the same pages."""
    series, text = conn.execute("SELECT series, options FROM _runs WHERE id = ?", (run,)).fetchone()
    reach = _reach(json.loads(text))
    rows = conn.execute("SELECT id, options FROM _runs WHERE series = ? AND id < ?", (series, run))
    return [id_ for id_, options in rows if _reach(json.loads(options)) == reach]


def _reach(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.get("settings", {}).items() if name in _REACH}


#: Requests of earlier runs whose rows this run cannot speak of. What was not revisited was seen. A page that is not
#: there (404, 410) takes its own rows with it, but not those of the pages it used to lead to.
_SPARE = """
INSERT OR IGNORE INTO temp._spared
WITH RECURSIVE
refused (id, fingerprint, absent) AS (
    SELECT id, fingerprint, state = 2 AND status IN (404, 410) FROM _requests
    WHERE run = :run AND state IN (2, 3) AND kind IS NOT 'revisit'
),
known (id, absent) AS (
    SELECT old.id, refused.absent FROM refused CROSS JOIN temp._peers AS peer
    JOIN _requests AS old ON old.run = peer.id AND old.fingerprint = refused.fingerprint
),
below (id) AS (
    SELECT child.id FROM known JOIN _requests AS child ON child.parent = known.id
    UNION
    SELECT child.id FROM below JOIN _requests AS child ON child.parent = below.id
)
SELECT id FROM known WHERE NOT absent
UNION
SELECT id FROM below WHERE id NOT IN (SELECT id FROM known WHERE absent)
UNION
SELECT old.id FROM (SELECT DISTINCT request FROM _rejected WHERE run = :run) AS rejected
JOIN _requests AS mine ON mine.id = rejected.request CROSS JOIN temp._peers AS peer
JOIN _requests AS old ON old.run = peer.id AND old.fingerprint = mine.fingerprint
"""
