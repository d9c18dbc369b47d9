"""The frontier in SQLite: `scraper.frontier.Frontier` over the writer's transaction.

A domain's row in `_queues` is its lease: `ready_at` is both "may be claimed from then on" and "leased until", so
a dead owner's domain becomes claimable by itself, and no reaper runs. The epoch counts owners; a request is taken
while its `taken_epoch` equals its domain's epoch, so a new epoch frees whatever a dead owner had taken.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from scraper.models import Completed, DomainFacts, DomainLease, Done, OriginFacts, Pending, QueuedRequest
from scraper.store.queue import Queue
from scraper.store.results import Results
from scraper.store.writer import Writer

__all__ = ["Budget", "SqliteFrontier"]

T = TypeVar("T")
#: Origins whose robots.txt travels with a lease.
ORIGINS = 32
#: Seconds a stored due time may lie ahead; a later one was written by a clock that was wrong.
LONGEST_HOLD = 86_400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests may end ok; None for no limit."""

    pages: int | None = None
    pages_per_domain: int | None = None


class SqliteFrontier:
    """One run's frontier in one database.

    Invariants: everything runs in the writer's transaction, so a method's changes are there together or not
    at all; `_counters` always equals what the tables say, once `_flush` ran in the same transaction.
    """

    def __init__(self, writer: Writer, run: int, budget: Budget = Budget()) -> None:  # noqa: B008 - immutable
        self._writer = writer
        self._run = run
        self._budget = budget
        self._queue = Queue(run)
        self._results = Results(run, self._queue)
        self._deltas: Counter[str] = Counter()
        writer.before_commit = self._flush

    # ------------------------------------------------------------------ the protocol

    async def add(self, requests: Sequence[QueuedRequest], *, now: float) -> int:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> int:
            added, _ = self._queue.insert(conn, requests, now)
            deltas["queued"] += added
            return added

        return await self._submit(work)

    async def claim(
        self, owner: str, *, domains: int, per_domain: int, lease: float, now: float
    ) -> list[DomainLease]:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> list[DomainLease]:
            self._flush(conn)
            rows = conn.execute(
                "SELECT q.domain, d.name FROM _queues q JOIN _domains d ON d.id = q.domain"
                " WHERE q.run = ? AND q.ready_at <= ? ORDER BY q.ready_at LIMIT ?",
                (self._run, now, domains),
            ).fetchall()
            leases = []
            for domain, name in rows:
                made = self._lease(conn, deltas, domain, name, owner, now + lease)
                taken = self._take(conn, deltas, made, domain, per_domain, now)
                if taken:
                    leases.append(replace(made, requests=tuple(taken)))
                else:
                    self._settle(conn, deltas, domain, now)
            return leases

        return await self._submit(work)

    async def refill(self, lease: DomainLease, n: int, *, now: float) -> list[QueuedRequest]:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> list[QueuedRequest]:
            self._flush(conn)
            domain = self._queue.domain_id(conn, lease.domain)
            if not self._held(conn, domain, lease):
                return []
            return self._take(conn, deltas, lease, domain, n, now)

        return await self._submit(work)

    async def extend(self, leases: Sequence[DomainLease], *, lease: float, now: float) -> list[DomainLease]:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> list[DomainLease]:
            kept = []
            for held in leases:
                domain = self._queue.domain_id(conn, held.domain)
                cursor = conn.execute(
                    "UPDATE _queues SET ready_at = ? WHERE run = ? AND domain = ? AND epoch = ? AND owner = ?",
                    (now + lease, self._run, domain, held.epoch, held.owner),
                )
                if cursor.rowcount:
                    conn.execute("UPDATE _domains SET used_until = ? WHERE id = ?", (now + lease, domain))
                    kept.append(replace(held, expires=now + lease))
            return kept

        return await self._submit(work)

    async def complete(self, lease: DomainLease, done: Done, *, now: float) -> Completed:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> Completed:
            domain = self._queue.domain_id(conn, lease.domain)
            if not self._held(conn, domain, lease) or not self._is_taken(conn, done.request.id, lease):
                deltas["fenced"] += 1
                return Completed(written=False)
            completed = self._results.write(conn, deltas, domain, done, now)
            ok = done.outcome.name == "ok"
            conn.execute(
                "UPDATE _queues SET taken = taken - 1, ok = ok + ? WHERE run = ? AND domain = ?",
                (ok, self._run, domain),
            )
            deltas["taken"] -= 1
            return completed

        return await self._submit(work, urgent=False)

    async def put_facts(self, lease: DomainLease, facts: DomainFacts, *, now: float) -> bool:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> bool:
            domain = self._queue.domain_id(conn, lease.domain)
            held = self._held(conn, domain, lease)
            if held:
                self._store_facts(conn, domain, facts, until=lease.expires)
            return held

        return await self._submit(work)

    async def borrow(self, owner: str, domain: str, *, lease: float, now: float) -> DomainLease | float:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> DomainLease | float:
            id_ = self._queue.domain_id(conn, domain)
            holder, ready_at, parked = conn.execute(
                "SELECT owner, ready_at, parked FROM _queues WHERE run = ? AND domain = ?", (self._run, id_)
            ).fetchone()
            if parked is not None:
                return float("inf")
            if holder is not None and ready_at > now:
                return float(ready_at)
            return self._lease(conn, deltas, id_, domain, owner, now + lease)

        return await self._submit(work)

    async def release(self, leases: Sequence[DomainLease], *, now: float) -> None:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> None:
            for lease in leases:
                domain = self._queue.domain_id(conn, lease.domain)
                if self._held(conn, domain, lease):
                    self._store_facts(conn, domain, lease.facts, until=lease.facts.used_until)
                    self._settle(conn, deltas, domain, now)

        await self._submit(work)

    async def pending(self, *, now: float) -> Pending:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> Pending:
            self._flush(conn)
            next_due = conn.execute(
                "SELECT min(ready_at) FROM _queues WHERE run = ? AND ready_at IS NOT NULL", (self._run,)
            ).fetchone()[0]
            seeded = conn.execute("SELECT seeded FROM _runs WHERE id = ?", (self._run,)).fetchone()[0]
            return Pending(
                queued=self._count(conn, "queued"),
                taken=self._count(conn, "taken"),
                next_due=next_due,
                seeded=bool(seeded),
                spent=self._room(conn) <= 0,
            )

        return await self._submit(work)

    async def seeded(self) -> None:
        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> None:
            conn.execute("UPDATE _runs SET seeded = 1 WHERE id = ?", (self._run,))

        await self._submit(work)

    # ------------------------------------------------------------------ beyond the protocol

    async def free_all(self, *, now: float) -> None:
        """End every lease of the run: the caller holds the database's lock, so their owners are dead.

        Parked domains get another chance; their requests were only put back.
        """

        def work(conn: sqlite3.Connection, deltas: Counter[str]) -> None:
            self._flush(conn)
            rows = conn.execute(
                "SELECT domain FROM _queues WHERE run = ? AND (owner IS NOT NULL OR parked IS NOT NULL)",
                (self._run,),
            ).fetchall()
            for (domain,) in rows:
                conn.execute("UPDATE _queues SET parked = NULL WHERE run = ? AND domain = ?", (self._run, domain))
                self._settle(conn, deltas, domain, now)

        await self._submit(work)

    async def _submit(
        self, work: Callable[[sqlite3.Connection, Counter[str]], T], *, urgent: bool = True
    ) -> T:
        def run(conn: sqlite3.Connection) -> T:
            deltas: Counter[str] = Counter()
            try:
                result = work(conn, deltas)
            except BaseException:
                self._queue.forget()
                self._results.forget()
                raise
            self._deltas.update(deltas)
            return result

        return await self._writer.submit(run, urgent=urgent)

    def _flush(self, conn: sqlite3.Connection) -> None:
        """Write what the group counted; before its COMMIT, and before anything reads a counter."""
        if self._deltas:
            conn.executemany(
                "INSERT INTO _counters (run, name, value) VALUES (?, ?, ?)"
                " ON CONFLICT (run, name) DO UPDATE SET value = value + excluded.value",
                [(self._run, name, value) for name, value in self._deltas.items() if value],
            )
            self._deltas.clear()

    def _count(self, conn: sqlite3.Connection, name: str) -> int:
        row = conn.execute(
            "SELECT value FROM _counters WHERE run = ? AND name = ?", (self._run, name)
        ).fetchone()
        return int(row[0]) if row else 0

    def _room(self, conn: sqlite3.Connection) -> float:
        """How many more requests may be taken before the page budget could be passed."""
        if self._budget.pages is None:
            return float("inf")
        return self._budget.pages - self._count(conn, "pages") - self._count(conn, "taken")

    def _take(
        self, conn: sqlite3.Connection, deltas: Counter[str], lease: DomainLease, domain: int, n: int, now: float
    ) -> list[QueuedRequest]:
        room = self._room(conn) - deltas["taken"]
        if self._budget.pages_per_domain is not None:
            ok, taken = conn.execute(
                "SELECT ok, taken FROM _queues WHERE run = ? AND domain = ?", (self._run, domain)
            ).fetchone()
            room = min(room, self._budget.pages_per_domain - ok - taken)
        n = int(min(n, room))
        if n <= 0:
            return []
        requests = self._queue.take(conn, domain, lease.domain, lease.epoch, n, now)
        conn.execute(
            "UPDATE _queues SET taken = taken + ? WHERE run = ? AND domain = ?",
            (len(requests), self._run, domain),
        )
        deltas["taken"] += len(requests)
        return requests

    def _lease(
        self, conn: sqlite3.Connection, deltas: Counter[str], domain: int, name: str, owner: str, expires: float
    ) -> DomainLease:
        taken, epoch = conn.execute(
            "SELECT taken, epoch FROM _queues WHERE run = ? AND domain = ?", (self._run, domain)
        ).fetchone()
        deltas["taken"] -= taken
        facts = self._facts(conn, domain)
        conn.execute(
            "UPDATE _queues SET epoch = epoch + 1, taken = 0, owner = ?, ready_at = ? WHERE run = ? AND domain = ?",
            (owner, expires, self._run, domain),
        )
        conn.execute("UPDATE _domains SET used_until = ? WHERE id = ?", (expires, domain))
        return DomainLease(name, epoch + 1, owner, expires, facts)

    def _settle(self, conn: sqlite3.Connection, deltas: Counter[str], domain: int, now: float) -> None:
        """End the lease of a domain: free what was taken, and say when it is due again.

        A domain whose budget is spent has no due time; neither has a parked one.
        """
        parked, taken, ok = conn.execute(
            "SELECT parked, taken, ok FROM _queues WHERE run = ? AND domain = ?", (self._run, domain)
        ).fetchone()
        deltas["taken"] -= taken
        conn.execute(
            "UPDATE _queues SET epoch = epoch + 1, taken = 0, owner = NULL WHERE run = ? AND domain = ?",
            (self._run, domain),
        )
        spent = self._budget.pages_per_domain is not None and ok >= self._budget.pages_per_domain
        due = None if parked is not None or spent else self._queue.next_due(conn, domain, now)
        if due is not None:
            held = conn.execute("SELECT not_before FROM _domains WHERE id = ?", (domain,)).fetchone()[0]
            due = max(due, min(held, now + LONGEST_HOLD))
        conn.execute("UPDATE _queues SET ready_at = ? WHERE run = ? AND domain = ?", (due, self._run, domain))

    def _held(self, conn: sqlite3.Connection, domain: int, lease: DomainLease) -> bool:
        row = conn.execute(
            "SELECT epoch, owner FROM _queues WHERE run = ? AND domain = ?", (self._run, domain)
        ).fetchone()
        return bool(row) and row == (lease.epoch, lease.owner)

    @staticmethod
    def _is_taken(conn: sqlite3.Connection, request: int, lease: DomainLease) -> bool:
        row = conn.execute("SELECT state, taken_epoch FROM _requests WHERE id = ?", (request,)).fetchone()
        return bool(row) and row == (0, lease.epoch)

    def _facts(self, conn: sqlite3.Connection, domain: int) -> DomainFacts:
        used_until, not_before, crawl_delay = conn.execute(
            "SELECT used_until, not_before, crawl_delay FROM _domains WHERE id = ?", (domain,)
        ).fetchone()
        origins = conn.execute(
            "SELECT origin, robots, expires, status FROM _origins WHERE domain = ? ORDER BY expires DESC LIMIT ?",
            (domain, ORIGINS),
        ).fetchall()
        return DomainFacts(
            used_until, not_before, crawl_delay, origins=tuple(OriginFacts(*row) for row in origins)
        )

    def _store_facts(self, conn: sqlite3.Connection, domain: int, facts: DomainFacts, *, until: float) -> None:
        conn.execute(
            "UPDATE _domains SET used_until = ?, not_before = ?, crawl_delay = ? WHERE id = ?",
            (until, facts.not_before, facts.crawl_delay, domain),
        )
        conn.executemany(
            "INSERT INTO _origins (origin, domain, robots, status, expires) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET robots = excluded.robots, status = excluded.status,"
            " expires = excluded.expires",
            [(o.origin, domain, o.robots, o.status, o.expires) for o in facts.origins],
        )
        if facts.parked is not None:
            conn.execute(
                "UPDATE _queues SET parked = ? WHERE run = ? AND domain = ?", (facts.parked, self._run, domain)
            )
