"""Domains in SQL: who holds them and until when, when they are due, and what is known of their politeness.

Functions on a connection inside the writer's transaction. A domain's row in `_queues` is its lease: `ready_at` is
both "may be claimed from then on" and "leased until", so a dead owner's domain becomes claimable by itself, and no
reaper runs. The epoch counts owners; a request is taken while its `taken_epoch` equals its domain's epoch, so a
new epoch frees whatever a dead owner had taken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from scraper.core.clock import iso
from scraper.core.models import (
    LONGEST_HOLD,
    DomainFacts,
    DomainLease,
    OriginFacts,
    QueuedRequest,
    Upcoming,
)
from scraper.store.queue.cookies import cookies_for
from scraper.store.queue.requests import Queue

__all__ = ["DomainRow", "Leases", "down_domains", "last_answer", "parked_domains", "upcoming_domains"]

#: Origins whose robots.txt travels with a lease.
ORIGINS = 32
#: Domains counted at most when they are divided among workers; with so many, all have enough.
COUNTED = 4_096


class DomainRow(NamedTuple):
    """The row of a domain in one run. Without an `owner`, `ready_at` is when it is due; None: never."""

    domain: int
    epoch: int
    owner: str | None
    ready_at: float | None
    taken: int
    ok: int
    parked: str | None

    def is_held(self, lease: DomainLease) -> bool:
        """Whether the lease is still the last one given; it may be over, but nobody has taken it over."""
        return self.epoch == lease.epoch and self.owner == lease.owner


def upcoming_domains(conn: sqlite3.Connection, run: int, now: float, limit: int) -> list[Upcoming]:
    """Up to `limit` domains of a run without an owner that are due later, soonest first."""
    rows = conn.execute(
        "SELECT d.name, q.ready_at,"
        # A hold that is over no longer keeps its domain back: its requests wait for their own time.
        " CASE WHEN d.not_before > 0 AND d.not_before <= :now THEN 'retries' ELSE"
        " coalesce(d.waits_for, CASE WHEN d.not_before > :now THEN 'Retry-After' ELSE 'retries' END) END"
        " FROM _queues q JOIN _domains d ON d.id = q.domain"
        " WHERE q.run = :run AND q.ready_at > :now AND q.owner IS NULL ORDER BY q.ready_at LIMIT :limit",
        {"run": run, "now": now, "limit": limit},
    ).fetchall()
    return [Upcoming(*row) for row in rows]


def last_answer(conn: sqlite3.Connection) -> float:
    """When the newest request that was answered got its answer, in any run; 0.0 without one."""
    row = conn.execute(
        "SELECT ended FROM _sends WHERE status IS NOT NULL ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return float(row[0]) if row else 0.0


def down_domains(conn: sqlite3.Connection, run: int, now: float, limit: int) -> list[Upcoming]:
    """Up to `limit` domains of a run that their owners know to be down, with the next attempt at each, soonest first."""
    rows = conn.execute(
        "SELECT d.name, d.not_before, d.waits_for FROM _queues q JOIN _domains d ON d.id = q.domain"
        " WHERE q.run = :run AND q.owner IS NOT NULL AND d.not_before > :now AND d.waits_for LIKE 'down since %'"
        " ORDER BY d.not_before LIMIT :limit",
        {"run": run, "now": now, "limit": limit},
    ).fetchall()
    return [Upcoming(*row) for row in rows]


def parked_domains(conn: sqlite3.Connection, run: int, limit: int) -> dict[str, str]:
    """Up to `limit` parked domains of a run, by name, and why each is."""
    rows = conn.execute(
        "SELECT d.name, q.parked FROM _queues q JOIN _domains d ON d.id = q.domain"
        " WHERE q.run = ? AND q.parked IS NOT NULL ORDER BY d.name LIMIT ?",
        (run, limit),
    )
    return dict(rows.fetchall())


class Leases:
    """The domains of one run. Invariant: the epoch of a domain rises whenever its owner changes or goes."""

    def __init__(self, run: int, queue: Queue) -> None:
        self._run = run
        self._queue = queue

    def row(self, conn: sqlite3.Connection, name: str) -> DomainRow:
        """The row of a domain, made when it is new."""
        domain = self._queue.domain_id(conn, name)
        found = conn.execute(
            "SELECT domain, epoch, owner, ready_at, taken, ok, parked FROM _queues WHERE run = ? AND domain = ?",
            (self._run, domain),
        ).fetchone()
        return DomainRow(*found)

    def due(self, conn: sqlite3.Connection, now: float, limit: int) -> list[tuple[str, float, DomainRow]]:
        """Up to `limit` domains that are due or whose lease is over, longest due first: name, hold, row."""
        rows = conn.execute(
            "SELECT d.name, d.not_before, q.domain, q.epoch, q.owner, q.ready_at, q.taken, q.ok, q.parked"
            " FROM _queues q JOIN _domains d ON d.id = q.domain"
            " WHERE q.run = ? AND q.ready_at <= ? ORDER BY q.ready_at LIMIT ?",
            (self._run, now, limit),
        ).fetchall()
        return [(name, not_before, DomainRow(*row)) for name, not_before, *row in rows]

    def active(self, conn: sqlite3.Connection) -> int:
        """Domains that have work, due or leased; COUNTED at most."""
        row = conn.execute(
            "SELECT count(*) FROM (SELECT 1 FROM _queues WHERE run = ? AND ready_at IS NOT NULL LIMIT ?)",
            (self._run, COUNTED),
        ).fetchone()
        return int(row[0])

    def held(self, conn: sqlite3.Connection, owner: str) -> int:
        """Domains an owner holds."""
        row = conn.execute(
            "SELECT count(*) FROM _queues WHERE run = ? AND owner = ?", (self._run, owner)
        ).fetchone()
        return int(row[0])

    def all_held(self, conn: sqlite3.Connection) -> int:
        """Domains that have an owner."""
        row = conn.execute(
            "SELECT count(*) FROM _queues WHERE run = ? AND owner IS NOT NULL", (self._run,)
        ).fetchone()
        return int(row[0])

    def owners(self, conn: sqlite3.Connection) -> list[str]:
        """Everybody who holds a domain, dead or alive."""
        rows = conn.execute(
            "SELECT DISTINCT owner FROM _queues WHERE run = ? AND owner IS NOT NULL", (self._run,)
        ).fetchall()
        return [owner for (owner,) in rows]

    def of_owner(self, conn: sqlite3.Connection, owner: str) -> list[DomainRow]:
        """The domains of an owner."""
        rows = conn.execute(
            "SELECT domain, epoch, owner, ready_at, taken, ok, parked FROM _queues WHERE run = ? AND owner = ?",
            (self._run, owner),
        ).fetchall()
        return [DomainRow(*row) for row in rows]

    def bound(self, conn: sqlite3.Connection) -> list[DomainRow]:
        """All domains with an owner, dead or alive, and all parked ones."""
        rows = conn.execute(
            "SELECT domain, epoch, owner, ready_at, taken, ok, parked FROM _queues"
            " WHERE run = ? AND (owner IS NOT NULL OR parked IS NOT NULL)",
            (self._run,),
        ).fetchall()
        return [DomainRow(*row) for row in rows]

    def next_due(self, conn: sqlite3.Connection) -> float | None:
        """When a domain may be claimed next; None when none ever can."""
        row = conn.execute(
            "SELECT min(ready_at) FROM _queues WHERE run = ? AND ready_at IS NOT NULL", (self._run,)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def grant(
        self,
        conn: sqlite3.Connection,
        row: DomainRow,
        name: str,
        owner: str,
        expires: float,
        requests: Sequence[QueuedRequest] = (),
    ) -> DomainLease:
        """A new owner, under the next epoch, which has taken `requests` already."""
        facts = self._facts(conn, row.domain, name)
        conn.execute(
            "UPDATE _queues SET epoch = ?, taken = ?, owner = ?, ready_at = ? WHERE run = ? AND domain = ?",
            (row.epoch + 1, len(requests), owner, expires, self._run, row.domain),
        )
        conn.execute("UPDATE _domains SET used_until = ? WHERE id = ?", (expires, row.domain))
        return DomainLease(name, row.epoch + 1, owner, expires, facts, tuple(requests))

    def extend(self, conn: sqlite3.Connection, lease: DomainLease, expires: float) -> bool:
        """Prolong a lease; False when another owner took the domain."""
        domain = self._queue.domain_id(conn, lease.domain)
        held = conn.execute(
            "UPDATE _queues SET ready_at = ? WHERE run = ? AND domain = ? AND epoch = ? AND owner = ?",
            (expires, self._run, domain, lease.epoch, lease.owner),
        ).rowcount
        if held:
            conn.execute("UPDATE _domains SET used_until = ? WHERE id = ?", (expires, domain))
        return bool(held)

    def took(self, conn: sqlite3.Connection, domain: int, count: int) -> None:
        """The holder took more requests."""
        conn.execute(
            "UPDATE _queues SET taken = taken + ? WHERE run = ? AND domain = ?", (count, self._run, domain)
        )

    def ended(
        self, conn: sqlite3.Connection, domain: int, lease: DomainLease, request: int, *, ok: bool
    ) -> bool:
        """The holder is done with a request. False, and nothing changed, when it is not the holder's any more.

        This is the fence: the one statement every completion has to pass.
        """
        cursor = conn.execute(
            "UPDATE _queues SET taken = taken - 1, ok = ok + ?"
            " WHERE run = ? AND domain = ? AND epoch = ? AND owner = ? AND EXISTS"
            " (SELECT 1 FROM _requests WHERE id = ? AND state = 0 AND taken_epoch = ?)",
            (ok, self._run, domain, lease.epoch, lease.owner, request, lease.epoch),
        )
        return cursor.rowcount == 1

    def settle(self, conn: sqlite3.Connection, row: DomainRow, now: float, earliest: float = 0.0) -> None:
        """No owner any more: what was taken is free, and the row says when the domain is due again.

        Not before `earliest`, which the last owner knew. A parked domain is never due, neither is one whose own
        budget is spent.
        """
        due = None
        if row.parked is None and self._queue.may_end(row.ok):
            due = self._queue.next_due(conn, row.domain, now)
        if due is not None:
            hold = self._hold(conn, row.domain, now)
            own = max(hold, min(earliest, now + LONGEST_HOLD))
            if due > own and hold <= now:  # the domain could be sent to before
                conn.execute("UPDATE _domains SET waits_for = 'retries' WHERE id = ?", (row.domain,))
            due = max(due, own)
        conn.execute(
            "UPDATE _queues SET epoch = epoch + 1, taken = 0, owner = NULL, ready_at = ?, parked = ?"
            " WHERE run = ? AND domain = ?",
            (due, row.parked, self._run, row.domain),
        )

    def disbelieve(self, conn: sqlite3.Connection, now: float) -> None:
        """Let domains be claimed now that are due further away than anything is held: a wrong clock has written that."""
        conn.execute(
            "UPDATE _queues SET ready_at = ? WHERE run = ? AND owner IS NULL AND ready_at > ?",
            (now, self._run, now + LONGEST_HOLD),
        )

    def store(
        self, conn: sqlite3.Connection, row: DomainRow, facts: DomainFacts, used_until: float | None = None
    ) -> DomainRow:
        """Keep what the holder knows of a domain; the row as it then is.

        `used_until` is its last send, when the holder sends no more; else the end of its lease stays.
        """
        conn.execute(
            "UPDATE _domains SET not_before = ?, crawl_delay = ?, used_until = coalesce(?, used_until),"
            " away_until = ?, auto_rate = ?, auto_ceiling = ?, auto_why = ?, waits_for = ?,"
            " pushbacks = ?, refusals = ? WHERE id = ?",
            (
                facts.not_before, facts.crawl_delay, used_until, facts.away_until, facts.rate, facts.ceiling,
                facts.why or None, facts.waits_for or None, facts.pushbacks, facts.refusals, row.domain,
            ),
        )  # fmt: skip
        for origin in facts.origins:
            self._store_origin(conn, row.domain, origin)
        return row if facts.parked is None else self._park(conn, row, facts.parked)

    def _store_origin(self, conn: sqlite3.Connection, domain: int, origin: OriginFacts) -> None:
        """Keep an origin's robots.txt; what it said before stays known, with the time in which it held."""
        conn.execute(
            "INSERT INTO _robots (origin, robots, since, until) SELECT origin, robots, since, ?"
            " FROM _origins WHERE origin = ? AND robots IS NOT ?",
            (origin.since, origin.origin, origin.robots),
        )
        conn.execute(
            "INSERT INTO _origins (origin, domain, robots, status, expires, since) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET domain = excluded.domain, status = excluded.status,"
            " since = CASE WHEN robots IS excluded.robots THEN since ELSE excluded.since END,"
            " robots = excluded.robots, expires = excluded.expires",
            (origin.origin, domain, origin.robots, origin.status, origin.expires, origin.since),
        )

    def _park(self, conn: sqlite3.Connection, row: DomainRow, why: str) -> DomainRow:
        conn.execute(
            "UPDATE _queues SET parked = ? WHERE run = ? AND domain = ?", (why, self._run, row.domain)
        )
        return row._replace(parked=why)

    def park_if_away(self, conn: sqlite3.Connection, row: DomainRow, now: float) -> DomainRow:
        """Park a domain that asked, in whatever run, for a longer wait than anybody waits, while it lasts."""
        found = conn.execute("SELECT away_until FROM _domains WHERE id = ?", (row.domain,)).fetchone()
        if row.parked is not None or not now < found[0] <= now + LONGEST_HOLD:
            return row
        return self._park(conn, row, f"it asked to be left alone until {iso(found[0])} (Retry-After)")

    def _hold(self, conn: sqlite3.Connection, domain: int, now: float) -> float:
        """Until when the domain asked not to be sent to; an impossible time is corrected in the row."""
        row = conn.execute("SELECT not_before FROM _domains WHERE id = ?", (domain,)).fetchone()
        held, longest = float(row[0]), now + LONGEST_HOLD
        if held > longest:
            conn.execute("UPDATE _domains SET not_before = ? WHERE id = ?", (longest, domain))
        return min(held, longest)

    def _facts(self, conn: sqlite3.Connection, domain: int, name: str) -> DomainFacts:
        known = conn.execute(
            "SELECT used_until, not_before, crawl_delay, auto_rate, auto_ceiling, coalesce(auto_why, ''),"
            " coalesce(waits_for, ''), pushbacks, refusals FROM _domains WHERE id = ?",
            (domain,),
        ).fetchone()
        used_until, not_before, crawl_delay, *learned = known
        origins = conn.execute(
            "SELECT origin, robots, expires, status, since FROM _origins WHERE domain = ?"
            " ORDER BY expires DESC LIMIT ?",
            (domain, ORIGINS),
        ).fetchall()
        rules = tuple(OriginFacts(*row) for row in origins)
        rate, ceiling, why, waits_for, pushbacks, refusals = learned
        return DomainFacts(
            used_until, not_before, crawl_delay, origins=rules, rate=rate, ceiling=ceiling, why=why,
            waits_for=waits_for, pushbacks=pushbacks, refusals=refusals, cookies=cookies_for(conn, self._run, name),
            answered=self._has_answered(conn, domain),
        )  # fmt: skip

    def _has_answered(self, conn: sqlite3.Connection, domain: int) -> bool:
        """Whether pages of a domain ended well in this run or the last complete one before it."""
        found = conn.execute(
            "SELECT 1 FROM _queues WHERE domain = :domain AND ok > 0 AND run IN"
            " (:run, (SELECT max(id) FROM _runs WHERE state = 'complete' AND id < :run)) LIMIT 1",
            {"domain": domain, "run": self._run},
        )
        return found.fetchone() is not None
