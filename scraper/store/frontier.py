"""The frontier in SQLite: `scraper.core.frontier.Frontier` over the writer's transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from scraper.core.models import (
    Budget,
    Command,
    Completed,
    DomainFacts,
    DomainLease,
    Done,
    Landing,
    Pending,
    QueuedRequest,
    Upcoming,
)
from scraper.store.file.stored_time import note_seen
from scraper.store.file.writer import Writer
from scraper.store.queue.counters import Counters, Deltas
from scraper.store.queue.effects import QueueEffects
from scraper.store.queue.leases import Leases, last_answer, upcoming_domains
from scraper.store.queue.orders import commands_after
from scraper.store.queue.requests import Queue
from scraper.store.queue.revisits import EarlierVisits
from scraper.store.results import PageSink, Results
from scraper.store.rows.page_results import PageResults

__all__ = ["SqliteFrontier"]

#: Seconds after which a domain that is due is taken by a worker that has its share of domains already.
UNWANTED = 1.0

#: No limit.
UNLIMITED = Budget()

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, Deltas], T]


class SqliteFrontier:
    """One run's frontier in one database; several processes may have one each.

    Invariants: everything runs in the writer's transaction, so a method's changes are there together or not
    at all, and `_counters` equals what the tables say after every COMMIT. Pages that ended ok and requests
    taken together never exceed the budget, whoever took them.
    """

    def __init__(
        self,
        writer: Writer,
        run: int,
        budget: Budget = UNLIMITED,
        warn: Callable[[str], None] = lambda message: None,
        pages: PageSink | None = None,
    ) -> None:
        """`warn` is told, in sentences, how item tables were altered for what is stored.

        `pages` takes what visits found on their pages instead of the tables of this database.
        """
        self._writer = writer
        self._warn = warn
        self._run = run
        self._budget = budget
        self._earlier = EarlierVisits(run)
        self._queue = Queue(run, budget.pages_per_domain, self._earlier.rename)
        self._leases = Leases(run, self._queue)
        self._pages = PageResults(run)
        self._results = Results(QueueEffects(run, self._queue), pages or self._pages)
        self._counters = Counters(run)
        writer.before_commit += [self._counters.flush, self._pages.flush_some]

    # ------------------------------------------------------------------ the protocol

    async def add(self, requests: Sequence[QueuedRequest], *, now: float) -> int:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> int:
            added, _ = self._queue.insert(conn, requests, now)
            deltas["queued"] += added
            return added

        return await self._submit(work)

    async def claim(
        self, owner: str, *, domains: int, per_domain: int, lease: float, now: float, workers: int = 1
    ) -> list[DomainLease]:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> list[DomainLease]:
            leases = []
            room = self._room(conn)
            most, before = domains, now
            if workers > 1:
                fair = self._share(conn, workers) - self._leases.held(conn, owner)
                most, before = (min(domains, fair), now) if fair > 0 else (domains, now - UNWANTED)
            for name, hold, row in self._leases.due(conn, before, most):
                deltas["taken"] -= row.taken
                room += row.taken
                row = self._leases.park_if_away(conn, row, now)
                may_go = row.parked is None and hold <= now
                n = min(per_domain, room, self._queue.may_end(row.ok)) if may_go else 0
                requests = self._take(conn, row.domain, name, row.epoch + 1, n, now)
                if requests:
                    deltas["taken"] += len(requests)
                    room -= len(requests)
                    leases.append(self._leases.grant(conn, row, name, owner, now + lease, requests))
                else:
                    self._leases.settle(conn, row, now)
            return leases

        return await self._submit(work)

    async def share(self, workers: int) -> int:
        return await self._submit(lambda conn, _: self._share(conn, workers))

    def _share(self, conn: sqlite3.Connection, workers: int) -> int:
        return -(-self._leases.active(conn) // workers)

    async def refill(self, lease: DomainLease, n: int, *, now: float) -> list[QueuedRequest]:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> list[QueuedRequest]:
            row = self._leases.row(conn, lease.domain)
            if not row.is_held(lease) or row.parked is not None or (row.ready_at or 0.0) <= now:
                return []
            most = min(n, self._room(conn), self._queue.may_end(row.ok + row.taken))
            requests = self._take(conn, row.domain, lease.domain, lease.epoch, most, now)
            if requests:
                self._leases.took(conn, row.domain, len(requests))
                deltas["taken"] += len(requests)
            return requests

        return await self._submit(work)

    async def extend(self, leases: Sequence[DomainLease], *, lease: float, now: float) -> list[DomainLease]:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> list[DomainLease]:
            expires = now + lease
            note_seen(conn, now)
            return [
                replace(held, expires=expires) for held in leases if self._leases.extend(conn, held, expires)
            ]

        return await self._submit(work)

    async def complete(
        self, lease: DomainLease, done: Done, *, now: float, at: float | None = None
    ) -> Completed:
        at = now if at is None else at
        notes: Sequence[str] = ()

        def work(conn: sqlite3.Connection, deltas: Deltas) -> Completed:
            nonlocal notes
            completed = self._complete(conn, deltas, lease, done, now, at)
            notes = self._pages.take_notes()
            return completed

        completed = await self._submit(work, urgent=False)
        for note in notes:  # after the COMMIT, and not in the writer's thread
            self._warn(note)
        return completed

    def _complete(
        self, conn: sqlite3.Connection, deltas: Deltas, lease: DomainLease, done: Done, now: float, at: float
    ) -> Completed:
        effects = done.effects
        domain = self._queue.domain_id(conn, lease.domain)
        ok = effects.outcome.name == "ok"
        if not self._leases.ended(conn, domain, lease, effects.request.id, ok=ok):
            deltas["fenced"] += 1
            return Completed(written=False)
        deltas["taken"] -= 1
        return Completed(written=True, due=self._results.write(conn, deltas, domain, done, now, at))

    async def move(
        self,
        lease: DomainLease,
        moved: Done,
        duplicate: Done | None,
        *,
        waiting: Collection[int],
        now: float,
        at: float | None = None,
    ) -> Landing:
        at = now if at is None else at
        target = moved.effects.outcome.to
        assert target is not None

        def work(conn: sqlite3.Connection, deltas: Deltas) -> Landing:
            known = self._queue.find(conn, target.fingerprint)
            if known is None:
                return self._move(conn, deltas, lease, moved, now, at)
            if known.taken and known.id not in waiting:
                return Landing("taken")
            if not known.has_page:
                return Landing("unseen")
            if duplicate is None:
                return Landing("seen")
            completed = self._complete(conn, deltas, lease, duplicate, now, at)
            return Landing("duplicate", due=completed.due) if completed.written else Landing("lost")

        return await self._submit(work)

    def _move(
        self, conn: sqlite3.Connection, deltas: Deltas, lease: DomainLease, moved: Done, now: float, at: float
    ) -> Landing:
        """End a request as moved, and take its target where that is of the same domain and due."""
        target, completed = moved.effects.outcome.to, self._complete(conn, deltas, lease, moved, now, at)
        assert target is not None
        if not completed.written:
            return Landing("lost")
        if target.domain != lease.domain or target.not_before > now:
            return Landing("new", due=completed.due)
        domain = self._queue.domain_id(conn, lease.domain)
        taken = self._queue.take_one(conn, lease.domain, target.fingerprint, lease.epoch)
        self._leases.took(conn, domain, 1)
        deltas["taken"] += 1
        (request,) = self._earlier.known(conn, [taken])
        due = {name: at for name, at in completed.due.items() if name != lease.domain}
        return Landing("new", request, due)

    async def earlier_links(self, request: QueuedRequest) -> list[QueuedRequest]:
        return await self._writer.read(lambda conn: self._earlier.links(conn, request))

    async def put_facts(self, lease: DomainLease, facts: DomainFacts, *, now: float) -> bool:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> bool:
            row = self._leases.row(conn, lease.domain)
            held = row.is_held(lease)
            if held:
                self._leases.store(conn, row, facts)
            return held

        return await self._submit(work)

    async def borrow(self, owner: str, domain: str, *, lease: float, now: float) -> DomainLease | float:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> DomainLease | float:
            row = self._leases.park_if_away(conn, self._leases.row(conn, domain), now)
            if row.parked is not None:
                return float("inf")
            if row.owner is not None and row.ready_at is not None and row.ready_at > now:
                return row.ready_at
            deltas["taken"] -= row.taken
            return self._leases.grant(conn, row, domain, owner, now + lease)

        return await self._submit(work)

    async def release(self, leases: Sequence[DomainLease], *, now: float) -> None:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> None:
            for lease in leases:
                row = self._leases.row(conn, lease.domain)
                if row.is_held(lease):
                    deltas["taken"] -= row.taken
                    row = self._leases.store(conn, row, lease.facts, lease.facts.used_until)
                    self._leases.settle(conn, row, now, lease.facts.due)

        await self._submit(work)

    async def pending(self, *, now: float) -> Pending:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> Pending:
            queued, taken = self._counters.values(conn, ("queued", "taken"))
            seeded = conn.execute("SELECT seeded FROM _runs WHERE id = ?", (self._run,)).fetchone()[0]
            spent = self._room(conn) <= 0
            return Pending(queued, taken, self._leases.next_due(conn), bool(seeded), spent)

        return await self._submit(work)

    async def seeded(self) -> None:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> None:
            conn.execute("UPDATE _runs SET seeded = 1 WHERE id = ?", (self._run,))

        await self._submit(work)

    async def upcoming(self, n: int, *, now: float) -> Sequence[Upcoming]:
        return await self._writer.read(lambda conn: upcoming_domains(conn, self._run, now, n))

    async def held(self) -> int:
        return await self._writer.read(self._leases.all_held)

    async def last_answer(self) -> float:
        return await self._writer.read(last_answer)

    async def commands(self, after: int) -> Sequence[Command]:
        self._writer.check_file()
        return await self._writer.read(lambda conn: commands_after(conn, self._run, after))

    async def flush(self) -> None:
        await self._writer.submit(self._pages.flush)

    async def free_all(self, *, now: float) -> None:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> None:
            for row in self._leases.bound(conn):
                deltas["taken"] -= row.taken
                self._leases.settle(conn, row._replace(parked=None), now)
            self._leases.disbelieve(conn, now)

        await self._submit(work)

    async def free_dead(self, is_dead: Callable[[str], bool], *, now: float) -> int:
        def work(conn: sqlite3.Connection, deltas: Deltas) -> int:
            rows = [
                row
                for owner in self._leases.owners(conn)
                if is_dead(owner)
                for row in self._leases.of_owner(conn, owner)
            ]
            for row in rows:
                deltas["taken"] -= row.taken
                self._leases.settle(conn, row, now)
            return len(rows)

        return await self._submit(work)

    async def _submit(self, work: Work[T], *, urgent: bool = True) -> T:
        def run(conn: sqlite3.Connection) -> T:
            deltas: Deltas = defaultdict(int)
            try:
                result = work(conn, deltas)
            except BaseException:
                self._queue.forget()
                self._results.forget()
                raise
            self._counters.add(deltas)
            return result

        return await self._writer.submit(run, urgent=urgent)

    def _take(
        self, conn: sqlite3.Connection, domain: int, name: str, epoch: int, n: float, now: float
    ) -> list[QueuedRequest]:
        """Due requests of a domain, with what earlier runs know of them."""
        return self._earlier.known(conn, self._queue.take(conn, domain, name, epoch, n, now))

    def _room(self, conn: sqlite3.Connection) -> float:
        """How many more requests may be taken before the page budget could be passed."""
        if self._budget.pages is None:
            return float("inf")
        pages, taken = self._counters.values(conn, ("pages", "taken"))
        return self._budget.pages - pages - taken
