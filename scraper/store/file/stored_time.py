"""The time that a database counts in: machine time, anchored once per boot in the table `_clock`.

Everything stored that is compared later is the machine's seconds plus the offset of that table. The first crawl that
opens the database in a boot chooses the offset: its time goes on from the wall clock's, or from where the database's time
had come to (`seen`) if that is later. From then on setting the wall clock changes nothing.

There are these cases:

- the boot is the stored one: its offset counts;
- another boot, or another machine (a copied file): a new offset;
- the boot cannot be told: each crawl counts as one, and its workers take the offset their crawl has stored;
- the machine's clock is behind what the database has seen although the boot is the same (a restored snapshot, a time
  namespace whose number was used again): a new offset. The stored time never goes back.
"""

from __future__ import annotations

import sqlite3

from scraper.core.clock import StoredTime
from scraper.core.machine_time import Machine, this_machine

__all__ = ["anchor", "joined_offset", "note_seen", "read_time"]

#: Seconds by which the stored time may seem to go back: the clocks of two processors need not agree to the last digit.
SLACK = 0.001
#: Newest sends looked at for the last time a crawl that died has stored.
NEWEST = 1_000


def anchor(conn: sqlite3.Connection, machine: Machine, wall: float) -> float:
    """The offset for this boot, stored if this is its first opening. Inside a transaction of the crawl that has the lock."""
    now, row = machine.seconds(), _row(conn)
    offset = _valid(row, machine, now)
    if offset is None:
        offset = max(wall, _last_stored(conn, row)) - now
        conn.execute(
            "INSERT OR REPLACE INTO _clock (id, boot, offset, seen) VALUES (1, ?, ?, ?)",
            (machine.boot or "", offset, now + offset),
        )
    else:
        note_seen(conn, now + offset)
    return offset


def joined_offset(conn: sqlite3.Connection, machine: Machine, wall: float) -> float:
    """The offset that the crawl this process belongs to has stored; where there is none, as `anchor`."""
    row = _row(conn)
    if row is not None and row[0] == (machine.boot or ""):
        return row[1]
    return anchor(conn, machine, wall)


def note_seen(conn: sqlite3.Connection, now: float) -> None:
    """The database's time has come to `now`: no later boot begins before it."""
    conn.execute("UPDATE _clock SET seen = ? WHERE id = 1 AND seen < ?", (now, now))


def read_time(conn: sqlite3.Connection, wall: float, machine: Machine | None = None) -> StoredTime:
    """The moment `wall` by the database's time, for one who only reads; also of databases without the table.

    `machine` is this one if not given.
    """
    machine = machine or this_machine()
    told = conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_clock'").fetchone()
    row, seconds = _row(conn) if told else None, machine.seconds()
    offset = _valid(row, machine, seconds)
    if offset is not None:
        return StoredTime(seconds + offset, wall)
    return StoredTime(wall if row is None else max(wall, row[2]), wall)


def _row(conn: sqlite3.Connection) -> tuple[str, float, float] | None:
    """The boot, its offset, and how far the time had come; None before the first opening."""
    found: tuple[str, float, float] | None = conn.execute("SELECT boot, offset, seen FROM _clock").fetchone()
    return found


def _valid(row: tuple[str, float, float] | None, machine: Machine, now: float) -> float | None:
    """The stored offset if it counts for this boot, whose clock is at `now`."""
    if row is None or machine.boot is None:
        return None
    boot, offset, seen = row
    return offset if boot == machine.boot and now + offset >= seen - SLACK else None


def _last_stored(conn: sqlite3.Connection, row: tuple[str, float, float] | None) -> float:
    """The latest time that something in the database bears: a crawl that died had no time to note it."""
    (ended,) = conn.execute(
        "SELECT max(ended) FROM (SELECT ended FROM _sends ORDER BY id DESC LIMIT ?)", (NEWEST,)
    ).fetchone()
    return max(ended or 0.0, 0.0 if row is None else row[2])
