"""The seam that scales: who may fetch what, and what became of it.

One protocol. SQLite implements it (`scraper.store`); whatever implements it must pass
`tests/store/test_frontier_stateful.py` unchanged. What an implementation promises:

- never twice: a request taken under a live lease is handed to nobody else;
- never early: nothing is handed out before its `not_before`, no domain before its `ready_at`;
- nothing lost: a request is queued until a `complete` that returned `written` ended it;
- fenced: a write under a lease that another owner has taken over changes nothing;
- whole: items, links, sends, counters and outcome of a page are stored together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from scraper.core.models import (
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

__all__ = ["Frontier"]


class Frontier(Protocol):
    """All times are unix seconds of the clock that `Ledger.anchor` has set; `now` is the caller's `Clock.unix`.

    Only `at` is of the wall clock: when a visit ended, for people to read; `now` if not given. Errors of the medium are
    `StoreError`.
    """

    async def add(self, requests: Sequence[QueuedRequest], *, now: float) -> int:
        """Queue requests; those whose fingerprint the run knows are ignored. Returns how many are new.

        A known one that is still queued takes over a smaller depth and a higher priority.
        """
        ...

    async def claim(
        self, owner: str, *, domains: int, per_domain: int, lease: float, now: float, workers: int = 1
    ) -> list[DomainLease]:
        """Lease up to `domains` domains that are due, for `lease` seconds, each with up to `per_domain` requests.

        Within a domain: priority (high first), depth (small first), order of arrival. Budgets are kept here.
        Where `workers` owners share the run, one takes beyond its `share` only what nobody else wanted.
        """
        ...

    async def share(self, workers: int) -> int:
        """How many domains an owner holds when all that have work are divided among `workers`."""
        ...

    async def refill(self, lease: DomainLease, n: int, *, now: float) -> list[QueuedRequest]:
        """Up to `n` more requests under a lease that is held; none when it was lost or is over, or parked."""
        ...

    async def extend(self, leases: Sequence[DomainLease], *, lease: float, now: float) -> list[DomainLease]:
        """Prolong leases to `now + lease`. What is missing from the answer is lost."""
        ...

    async def complete(
        self, lease: DomainLease, done: Done, *, now: float, at: float | None = None
    ) -> Completed:
        """Store all that a visit produced and end, requeue or move its request, in one transaction."""
        ...

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
        """End a request that redirects, by what the run knows of the target `moved.effects.outcome.to`, in one transaction.

        `moved` is stored when the target is new, `duplicate` when it is queued or ended with a page; None for a
        caller that would rather ask again. `waiting` are requests this process has taken and no visit has begun:
        they count as queued. See `Landing`.
        """
        ...

    async def earlier_links(self, request: QueuedRequest) -> list[QueuedRequest]:
        """What the page of a request with `known` linked to in that earlier run, as requests of this run.

        They are not queued yet: `complete` is given them with the effects of the visit.
        """
        ...

    async def put_facts(self, lease: DomainLease, facts: DomainFacts, *, now: float) -> bool:
        """Store politeness state of a leased domain; False when the lease was lost.

        `facts.parked` parks the domain: its requests stay queued and nothing claims it in this run.
        """
        ...

    async def borrow(self, owner: str, domain: str, *, lease: float, now: float) -> DomainLease | float:
        """A lease on one domain for a single fetch; else when its present lease ends (unix), `inf` when parked.

        It does not wait for the domain's hold: `facts.not_before` is for the borrower to keep.
        """
        ...

    async def release(self, leases: Sequence[DomainLease], *, now: float) -> None:
        """Give domains back, each with the `facts` its lease carries; what was taken is queued again."""
        ...

    async def pending(self, *, now: float) -> Pending:
        """What is left of the run, from counters (never a count over the queue)."""
        ...

    async def seeded(self) -> None:
        """All start requests are stored: a resume need not run `start()` again."""
        ...

    async def upcoming(self, n: int, *, now: float) -> Sequence[Upcoming]:
        """Up to `n` domains with queued requests that nobody holds and that are due later, soonest first."""
        ...

    async def held(self) -> int:
        """How many domains the processes of this crawl hold together."""
        ...

    async def last_answer(self) -> float:
        """When the newest stored request of any process was answered; 0.0 without one."""
        ...

    async def commands(self, after: int) -> Sequence[Command]:
        """The orders that people gave for this run since the one with the id `after`, oldest first."""
        ...

    async def flush(self) -> None:
        """Store what is counted and not stored yet (of selectors): a report of the run then sees all of it."""
        ...

    async def free_all(self, *, now: float) -> None:
        """End every lease of the run: no crawl is running, so their owners are dead. Parked domains are tried again."""
        ...

    async def free_dead(self, is_dead: Callable[[str], bool], *, now: float) -> int:
        """End the leases of owners that are dead; how many domains are free now."""
        ...
