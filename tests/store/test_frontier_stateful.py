"""The promises of `scraper.core.frontier.Frontier`, against a model of dicts, in whatever order things happen.

Another implementation is put through the same: a `Medium` for it, and two subclasses like those at the end.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scraper.core.frontier import Frontier
from scraper.core.models import (
    Budget,
    Column,
    Completed,
    DomainFacts,
    DomainLease,
    Done,
    ErrorRecord,
    ItemRow,
    Landing,
    Options,
    OriginFacts,
    Outcome,
    QueuedRequest,
    Rejected,
    Send,
    Table,
)
from scraper.errors import StoreError
from scraper.store.file.schema import prepare
from scraper.store.file.writer import InlineExecutor, Writer, connect
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.runs import begin
from scraper.testing import VirtualLoop
from tests.support.finished_visit import finished

T = TypeVar("T")

DOMAINS = ("a.example", "b.example", "c.example", "d.example")
#: Enough for `claim` to reach every domain.
ALL = 10
START = 1_000_000.0
NOTE = Table("note", (Column("key", "TEXT", key=True), Column("text", "TEXT")))
#: A link no medium can take: what stores it fails in the middle of its transaction.
UNSTORABLE = QueuedRequest(cast("str", object()), b"unstorable", DOMAINS[0], Options())


# ---------------------------------------------------------------------------------------- the other side


class Stored(NamedTuple):
    """A request as the medium holds it; `state` is queued, done, failed or skipped."""

    state: str
    depth: int
    priority: int
    attempts: int
    not_before: float


class Medium(Protocol):
    """An implementation under test: two processes' frontiers on one medium, and a view behind them."""

    @property
    def frontiers(self) -> Sequence[Frontier]: ...
    def run(self, coroutine: Coroutine[Any, Any, T]) -> T: ...
    def restart(self) -> None: ...
    def die(self, process: int, call: Callable[[Frontier], Awaitable[T]], *, late: bool) -> T | None: ...
    def requests(self) -> dict[bytes, Stored]: ...
    def items(self) -> set[str]: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


class SqliteMedium:
    """Two writers on one database file, all in one thread, under virtual time."""

    STATES = ("queued", "done", "failed", "skipped")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._folder = tempfile.TemporaryDirectory(prefix="scraper-frontier-")
        self._path = str(Path(self._folder.name, "crawl.db"))
        shutil.copyfile(_empty_database(), self._path)
        self._loop = VirtualLoop()
        self._reader = sqlite3.connect(self._path, isolation_level=None)
        self._writers: list[Writer] = []
        self.frontiers: list[Frontier] = []
        self.restart()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    def restart(self) -> None:
        """Every process is replaced by a new one that knows only what is stored; nothing is given back."""

        async def begin_anew() -> None:
            for writer in self._writers:
                await writer.close()
            self._writers = [Writer(InlineExecutor(self._path), self._path) for _ in range(2)]
            self.frontiers = [SqliteFrontier(writer, 1, self._budget) for writer in self._writers]

        self.run(begin_anew())

    def die(self, process: int, call: Callable[[Frontier], Awaitable[T]], *, late: bool) -> T | None:
        """A process dies in the middle of a call: before it took effect, or (late) after, with nobody told.

        Another one takes its place. The answer nobody heard; None when nothing took place.
        """

        async def last_words() -> T | None:
            writer = self._writers[process]
            if not late:
                writer.before_commit.append(_die)
            try:
                answer = await call(self.frontiers[process])
            except StoreError:
                answer = None
            await writer.close()
            self._writers[process] = Writer(InlineExecutor(self._path), self._path)
            self.frontiers[process] = SqliteFrontier(self._writers[process], 1, self._budget)
            return answer

        return self.run(last_words())

    def requests(self) -> dict[bytes, Stored]:
        rows = self._reader.execute(
            "SELECT fingerprint, state, depth, priority, attempts, not_before FROM _requests WHERE run = 1"
        )
        return {row[0]: Stored(self.STATES[row[1]], *row[2:]) for row in rows}

    def items(self) -> set[str]:
        if not self._reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'note'").fetchone():
            return set()
        return {key for (key,) in self._reader.execute("SELECT key FROM note")}

    def check(self) -> None:
        """Every counter is what a count over the tables says."""
        query = self._reader.execute
        counters = dict(query("SELECT name, value FROM _counters WHERE run = 1").fetchall())
        counts = query("SELECT " + ", ".join(f"({question})" for question in _COUNTED.values())).fetchone()
        assert {name: counters.get(name, 0) for name in _COUNTED} == dict(zip(_COUNTED, counts, strict=True))
        wrong = query(
            "SELECT d.name, q.taken, q.ok FROM _queues q JOIN _domains d ON d.id = q.domain WHERE"
            f" q.taken <> (SELECT count(*) FROM _requests r WHERE r.domain = q.domain AND {_TAKEN})"
            " OR q.ok <> (SELECT count(*) FROM _requests r WHERE r.domain = q.domain AND r.state = 1"
            "   AND r.kind IS NULL)"
        ).fetchall()
        assert not wrong

    def close(self) -> None:
        async def end() -> None:
            for writer in self._writers:
                await writer.close()

        self.run(end())
        self._reader.close()
        self._loop.close()
        self._folder.cleanup()


def _die(conn: sqlite3.Connection) -> None:
    raise StoreError("killed before the COMMIT")


_TAKEN = "r.state = 0 AND r.taken_epoch = q.epoch AND q.owner IS NOT NULL"
_COUNTED = {
    "queued": "SELECT count(*) FROM _requests WHERE state = 0",
    "taken": f"SELECT count(*) FROM _requests r JOIN _queues q ON q.domain = r.domain WHERE {_TAKEN}",
    "pages": "SELECT count(*) FROM _requests WHERE state = 1 AND kind IS NULL",
    "moved": "SELECT count(*) FROM _requests WHERE state = 1 AND kind IS NOT NULL",
    "failed": "SELECT count(*) FROM _requests WHERE state = 2",
    "skipped": "SELECT count(*) FROM _requests WHERE state = 3",
    "sends": "SELECT count(*) FROM _sends",
    "bytes": "SELECT coalesce(sum(bytes), 0) FROM _sends",
    "rejected": "SELECT count(*) FROM _rejected",
    "parsed": "SELECT count(*) FROM _errors",  # each visit of this test that tells of an error counts one
}


@cache
def _empty_database() -> str:
    """A prepared database with one run, copied for each example."""
    path = str(Path(tempfile.mkdtemp(prefix="scraper-frontier-"), "empty.db"))
    conn = connect(path)
    prepare(conn)
    begin(conn, spider="spider", target="spider.py", series="series", options={}, now=START)
    conn.close()
    return path


# ---------------------------------------------------------------------------------------- the model


@dataclass
class Known:
    """A request the run knows. `holder` is the domain's epoch under which it was handed out."""

    request: QueuedRequest
    order: int
    depth: int
    priority: int
    not_before: float
    attempts: int = 0
    state: str = "queued"
    holder: int | None = None
    moved: bool = False

    @property
    def has_page(self) -> bool:
        """Whether it is queued, or ended with a page: what redirects there is its duplicate."""
        return self.state == "queued" or (self.state == "done" and not self.moved)

    @property
    def rank(self) -> tuple[int, int, int]:
        return (-self.priority, self.depth, self.order)

    def stored(self) -> Stored:
        return Stored(self.state, self.depth, self.priority, self.attempts, self.not_before)


@dataclass
class Host:
    """A domain. `epoch` is that of the last lease not known to be lost; None: free."""

    epoch: int | None = None
    last_epoch: int = 0
    expires: float = 0.0
    hold: float = 0.0
    crawl_delay: float | None = None
    used_until: float = 0.0
    parked: str | None = None
    ok: int = 0
    robots: dict[str, OriginFacts] = field(default_factory=dict)


class Plan(NamedTuple):
    """A request to queue: which one of its domain, and how."""

    number: int
    domain: str
    depth: int
    priority: int
    wait: float


plans = st.lists(
    st.builds(
        Plan,
        number=st.integers(0, 8),
        domain=st.sampled_from(DOMAINS),
        depth=st.integers(0, 3),
        priority=st.integers(-1, 1),
        wait=st.sampled_from([0.0, 0.0, 0.0, 0.0, 5.0, 40.0]),
    ),
    min_size=1,
    max_size=10,
)
moments = st.sampled_from([0.25, 1.0, 5.0, 10.0, 29.75, 30.0, 40.0, 500.0])
lengths = st.sampled_from([10.0, 30.0])
processes = st.integers(0, 1)
owners = st.sampled_from(["one", "two", "three"])
picks = st.integers(0, 1_000)


class FrontierMachine(RuleBasedStateMachine):
    """Random lives of a crawl. What is not known for certain (whether a lease that is over was already taken
    over by somebody) may be answered either way; everything else has to be exactly as the model says.
    """

    medium: Medium
    #: One of them for each life.
    budgets: tuple[Budget, ...] = (Budget(),)

    def open(self, budget: Budget) -> Medium:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget()
        self.now = START
        self.known: dict[bytes, Known] = {}
        self.hosts = {name: Host() for name in DOMAINS}
        self.items: set[str] = set()
        self.leases: dict[tuple[str, int], DomainLease] = {}
        self.handed: list[tuple[tuple[str, int], QueuedRequest]] = []
        self.is_seeded = False
        self.serial = 0

    @initialize(pick=picks)
    def a_run_begins(self, pick: int) -> None:
        self.budget = self.budgets[pick % len(self.budgets)]
        self.medium = self.open(self.budget)

    def teardown(self) -> None:
        if not hasattr(self, "medium"):
            return
        try:
            self._run_dry()
        finally:
            self.medium.close()

    # -------------------------------------------------------------------------------- what happens

    @rule(moment=moments)
    def time_passes(self, moment: float) -> None:
        self.now += moment

    @rule()
    def all_processes_die(self) -> None:
        self.medium.restart()

    @rule(process=processes)
    def the_start_is_stored(self, process: int) -> None:
        self._do(process, lambda frontier: frontier.seeded())
        self.is_seeded = True

    @rule(process=processes, plan=plans)
    def add(self, process: int, plan: list[Plan]) -> None:
        requests = [self._request(p) for p in plan]
        expected = len({r.fingerprint for r in requests} - self.known.keys())
        assert self._do(process, lambda f: f.add(requests, now=self.now)) == expected
        self._queue(requests)

    @rule(
        process=processes,
        owner=owners,
        domains=st.sampled_from([1, 2, ALL, ALL]),
        most=st.integers(1, 3),
        length=lengths,
        workers=st.sampled_from([1, 1, 2, 3]),
    )
    def claim(self, process: int, owner: str, domains: int, most: int, length: float, workers: int) -> None:
        free = {name: self._free(name) for name in DOMAINS if self._is_claimable(name)}
        room, _ = self._room()
        got = self._do(
            process,
            lambda f: f.claim(
                owner, domains=domains, per_domain=most, lease=length, now=self.now, workers=workers
            ),
        )
        assert len(got) <= domains
        assert len({lease.domain for lease in got}) == len(got)
        for lease in got:
            assert lease.domain in free, "claimed early, parked, or while another holds it"
            assert 0 < len(lease.requests) <= most
            self._granted(lease, owner, length)
            self._handed_out(lease, lease.requests)
        if domains == ALL and workers == 1:
            self._is_everything(free, most, {lease.domain: len(lease.requests) for lease in got}, room)

    def _is_everything(
        self, free: dict[str, list[Known]], most: int, got: dict[str, int], room: float
    ) -> None:
        """Nothing that could have been claimed was left, but for the budget."""
        if sum(got.values()) >= room:
            return
        for name, waiting in free.items():
            share = self._share(name, taken=0)
            assert got.get(name, 0) == min(most, len(waiting), share)

    @precondition(lambda self: self.leases)
    @rule(process=processes, pick=picks, most=st.integers(1, 4))
    def refill(self, process: int, pick: int, most: int) -> None:
        lease = self._lease(pick)
        free, live = self._free(lease.domain), self._is_live(lease)
        least_room, most_room = self._room()
        share = self._share(lease.domain, taken=self._taken(lease.domain))
        got = self._do(process, lambda f: f.refill(lease, most, now=self.now))
        if not live or self.hosts[lease.domain].parked is not None:
            assert got == []
            return
        fair = min(most, len(free), share)
        assert min(fair, least_room) <= len(got) <= min(fair, most_room)
        self._handed_out(lease, got)

    @precondition(lambda self: self.leases)
    @rule(process=processes, chosen=st.lists(picks, min_size=1, max_size=4), length=lengths)
    def extend(self, process: int, chosen: list[int], length: float) -> None:
        asked = {self._key(lease): lease for lease in map(self._lease, chosen)}
        kept = self._do(process, lambda f: f.extend(list(asked.values()), lease=length, now=self.now))
        answered = {self._key(lease): lease for lease in kept}
        assert answered.keys() <= asked.keys()
        for key, lease in asked.items():
            prolonged = answered.get(key)
            self._answered(lease, prolonged is not None)
            if prolonged is not None:
                assert prolonged == replace(lease, expires=self.now + length)
                self.leases[key] = prolonged
                host = self.hosts[lease.domain]
                host.expires = host.used_until = self.now + length

    @precondition(lambda self: self.handed)
    @rule(
        process=processes,
        pick=picks,
        how=st.integers(0, 9),
        wait=st.sampled_from([0.0, 5.0, 40.0]),
        links=plans,
    )
    def complete(self, process: int, pick: int, how: int, wait: float, links: list[Plan]) -> None:
        key, request = self.handed[pick % len(self.handed)]
        done = self._done(request, how, wait, links)
        lease = self.leases[key]
        self._complete(process, lease, done)

    @precondition(lambda self: self.handed)
    @rule(process=processes, pick=picks, how=st.integers(0, 9), links=plans, late=st.booleans())
    def a_process_dies_while_it_completes(
        self, process: int, pick: int, how: int, links: list[Plan], late: bool
    ) -> None:
        """A page is stored as a whole or not at all; leases live on until they are over."""
        key, request = self.handed[pick % len(self.handed)]
        lease, done = self.leases[key], self._done(request, how, 5.0, links)
        answer = self.medium.die(process, lambda f: f.complete(lease, done, now=self.now), late=late)
        if answer is not None:
            self._completed(lease, done, answer)

    @precondition(lambda self: self.handed)
    @rule(
        process=processes,
        pick=picks,
        number=st.integers(0, 8),
        domain=st.sampled_from(DOMAINS),
        wanted=st.booleans(),
        waiting=st.booleans(),
        death=st.sampled_from([None, None, None, "early", "late"]),
    )
    def move(
        self,
        process: int,
        pick: int,
        number: int,
        domain: str,
        wanted: bool,
        waiting: bool,
        death: str | None,
    ) -> None:
        """A redirect ends its request by what the run knows of the target, as a whole or not at all."""
        key, request = self.handed[pick % len(self.handed)]
        target, lease = self._request(Plan(number, domain, request.depth, 0, 0.0)), self.leases[key]
        if target.fingerprint == request.fingerprint:
            return
        moved = self._moved(request, Outcome.moved(target, 302))
        duplicate = self._moved(
            request, Outcome.skipped("duplicate", f"duplicate of {target.url}"), links=[target]
        )
        ids = {other.id for _, other in self.handed} if waiting else set()

        async def call(frontier: Frontier) -> Landing:
            other = duplicate if wanted else None
            return await frontier.move(lease, moved, other, waiting=ids, now=self.now)

        if death is None:
            landing = self._do(process, call)
        elif (answer := self.medium.die(process, call, late=death == "late")) is None:
            return
        else:
            landing = answer
        self._landed(
            lease,
            landing,
            {"new": moved, "duplicate": duplicate, "lost": moved}.get(landing.fate),
            target,
            wanted,
        )

    def _moved(self, request: QueuedRequest, outcome: Outcome, links: Sequence[QueuedRequest] = ()) -> Done:
        sends = [Send("page", request.domain, request.url, self.now, self.now + 0.1, 302, 0)]
        return finished(request, outcome, sends=sends, links=links)

    def _landed(
        self, lease: DomainLease, landing: Landing, done: Done | None, target: QueuedRequest, wanted: bool
    ) -> None:
        """The fate is that of the target; what was written is applied like any other page."""
        known = self.known.get(target.fingerprint)
        match landing.fate:
            case "new":
                assert known is None
            case "duplicate" | "seen":
                assert known is not None and known.has_page and wanted == (landing.fate == "duplicate")  # noqa: PT018 - one fate
            case "taken":
                assert known is not None and known.state == "queued" and known.holder is not None  # noqa: PT018 - one fate
            case "unseen":
                assert known is not None and not known.has_page  # noqa: PT018 - one fate
        is_home = landing.fate == "new" and target.domain == lease.domain
        due = {**landing.due, target.domain: self.now} if is_home else landing.due
        if done is not None:
            self._completed(lease, done, Completed(written=landing.fate != "lost", due=due))
        if is_home:
            assert landing.request is not None
            taken = self.known[target.fingerprint]
            assert landing.request == replace(target, id=landing.request.id)
            taken.holder = lease.epoch
            self.handed.append((self._key(lease), landing.request))

    @rule(process=processes, plan=plans, late=st.booleans())
    def a_process_dies_while_it_adds(self, process: int, plan: list[Plan], late: bool) -> None:
        """A chunk of start requests is queued as a whole or not at all."""
        requests = [self._request(p) for p in plan]
        if self.medium.die(process, lambda f: f.add(requests, now=self.now), late=late) is not None:
            self._queue(requests)

    @precondition(lambda self: self.handed)
    @rule(process=processes, pick=picks, links=plans)
    def complete_together_with_one_that_fails(self, process: int, pick: int, links: list[Plan]) -> None:
        """Pages that share a transaction: what cannot be stored harms no other."""
        key, bad = self.handed[pick % len(self.handed)]
        broken = self._done(bad, 9, 0.0, links)
        links_with_it = [*broken.effects.links, UNSTORABLE]
        broken = replace(broken, effects=replace(broken.effects, links=links_with_it))
        lease, others = self.leases[key], [r for k, r in self.handed if k == key and r is not bad][:3]
        pages = [self._done(request, how, 5.0, []) for how, request in enumerate(others, 2)]

        async def all_at_once(frontier: Frontier) -> list[Completed | BaseException]:
            together = [*pages[:1], broken, *pages[1:]]
            return await asyncio.gather(
                *(frontier.complete(lease, page, now=self.now) for page in together), return_exceptions=True
            )

        answers = self._do(process, all_at_once)
        failed = answers.pop(min(1, len(pages)))
        assert isinstance(failed, StoreError) or failed == Completed(written=False)
        for page, answer in zip(pages, answers, strict=True):
            assert isinstance(answer, Completed)
            self._completed(lease, page, answer)

    @precondition(lambda self: self.leases)
    @rule(
        process=processes,
        pick=picks,
        hold=st.sampled_from([0.0, 0.0, 20.0, 300.0]),
        delay=st.sampled_from([None, 2.0]),
        parked=st.sampled_from([None, None, "refused"]),
        robots=st.sampled_from([None, "User-agent: *", "Disallow: /"]),
    )
    def put_facts(
        self,
        process: int,
        pick: int,
        hold: float,
        delay: float | None,
        parked: str | None,
        robots: str | None,
    ) -> None:
        lease = self._lease(pick)
        facts = self._facts(lease.domain, hold, delay, parked, robots)
        held = self._do(process, lambda f: f.put_facts(lease, facts, now=self.now))
        self._answered(lease, held)
        if held:
            self._learned(lease.domain, facts)

    @precondition(lambda self: self.leases)
    @rule(
        process=processes,
        chosen=st.lists(picks, min_size=1, max_size=3),
        hold=st.sampled_from([0.0, 0.0, 20.0]),
        parked=st.sampled_from([None, None, None, "refused"]),
    )
    def release(self, process: int, chosen: list[int], hold: float, parked: str | None) -> None:
        leases = {self._key(lease): lease for lease in map(self._lease, chosen)}
        # Whether a lease that is over was taken over shows only in an answer, and release gives none.
        sure = [lease for lease in leases.values() if self._is_live(lease) or not self._may_be_held(lease)]
        given = [replace(lease, facts=self._facts(lease.domain, hold, None, parked, None)) for lease in sure]
        self._do(process, lambda f: f.release(given, now=self.now))
        for lease in given:
            if self._is_live(lease):
                self._learned(lease.domain, lease.facts)
                self.hosts[lease.domain].used_until = lease.facts.used_until
                self._lost(lease.domain)

    @rule(process=processes, owner=owners, domain=st.sampled_from([*DOMAINS]), length=lengths)
    def borrow(self, process: int, owner: str, domain: str, length: float) -> None:
        host = self.hosts[domain]
        answer = self._do(process, lambda f: f.borrow(owner, domain, lease=length, now=self.now))
        if host.parked is not None:
            assert answer == math.inf
        elif host.epoch is not None and host.expires > self.now:
            assert answer == host.expires
        else:
            assert isinstance(answer, DomainLease)
            assert answer.requests == ()
            self._granted(answer, owner, length)

    # -------------------------------------------------------------------------------- what always holds

    @invariant()
    def the_medium_is_as_the_model(self) -> None:
        """Nothing lost, nothing written that was not accepted, no order but the promised."""
        assert self.medium.requests() == {key: known.stored() for key, known in self.known.items()}
        assert self.medium.items() == self.items
        self.medium.check()

    @invariant()
    def budgets_are_kept(self) -> None:
        taken = sum(self._taken(name) for name in DOMAINS if self._is_leased(name))
        if self.budget.pages is not None:
            assert sum(host.ok for host in self.hosts.values()) + taken <= self.budget.pages
        if self.budget.pages_per_domain is not None:
            for host in self.hosts.values():
                assert host.ok <= self.budget.pages_per_domain

    @rule(process=processes, workers=st.integers(1, 3))
    def shares_cover_everything(self, process: int, workers: int) -> None:
        """All shares together are at least what is held and what is due."""
        share = self._do(process, lambda f: f.share(workers))
        known = sum(self._is_leased(name) or self._is_claimable(name) for name in DOMAINS)
        assert known <= share * workers

    @invariant()
    def pending_is_true(self) -> None:
        pending = self._do(self.serial % 2, lambda f: f.pending(now=self.now))
        assert pending.queued == sum(known.state == "queued" for known in self.known.values())
        sure = sum(self._taken(name) for name in DOMAINS if self._is_leased(name))
        assert sure <= pending.taken <= sum(map(self._taken, DOMAINS))
        assert pending.seeded == self.is_seeded
        pages, most = sum(host.ok for host in self.hosts.values()), self.budget.pages
        assert pending.spent == (most is not None and pages + pending.taken >= most)
        self._is_next_due(pending.next_due)

    def _is_next_due(self, answer: float | None) -> None:
        """A crawl that ends too early, sleeps too long or spins would be the price of another answer."""
        soonest = min(filter(None, map(self._due, DOMAINS)), default=None)
        if soonest is not None:
            assert answer is not None, "the crawl would end with work left"
            assert answer <= max(soonest, self.now), "the crawl would sleep too long"
        if any(host.epoch is not None and host.expires <= self.now for host in self.hosts.values()):
            return
        held = [host.expires for host in self.hosts.values() if host.epoch is not None]
        expected = min([*held, soonest or math.inf])
        assert max(answer or math.inf, self.now) == max(expected, self.now), "the crawl would spin"

    # -------------------------------------------------------------------------------- the model's rules

    def _do(self, process: int, call: Callable[[Frontier], Awaitable[T]]) -> T:
        async def ask() -> T:
            return await call(self.medium.frontiers[process])

        return self.medium.run(ask())

    def _request(self, plan: Plan) -> QueuedRequest:
        name = f"{plan.number}@{plan.domain}"
        return QueuedRequest(
            f"https://{plan.domain}/{plan.number}",
            name.encode().ljust(16, b"."),
            plan.domain,
            Options(callback=f"parse_{plan.number % 3}", priority=plan.priority, headers=(("X-N", name),)),
            depth=plan.depth,
            seed=plan.domain,
            not_before=self.now + plan.wait if plan.wait else 0.0,
        )

    def _queue(self, requests: Sequence[QueuedRequest]) -> None:
        for request in requests:
            known = self.known.get(request.fingerprint)
            if known is None:
                self.known[request.fingerprint] = Known(
                    request, len(self.known), request.depth, request.options.priority, request.not_before
                )
            elif known.state == "queued":
                known.depth = min(known.depth, request.depth)
                known.priority = max(known.priority, request.options.priority)

    def _key(self, lease: DomainLease) -> tuple[str, int]:
        return lease.domain, lease.epoch

    def _lease(self, pick: int) -> DomainLease:
        """One of the leases ever given: mostly one that lives, else a recent one."""
        some = [lease for lease in self.leases.values() if self._is_live(lease)]
        some += [*some, *list(self.leases.values())[-2:]]
        return some[pick % len(some)]

    def _may_be_held(self, lease: DomainLease) -> bool:
        return self.hosts[lease.domain].epoch == lease.epoch

    def _is_live(self, lease: DomainLease) -> bool:
        return self._may_be_held(lease) and self._is_leased(lease.domain)

    def _is_leased(self, domain: str) -> bool:
        host = self.hosts[domain]
        return host.epoch is not None and host.expires > self.now

    def _taken(self, domain: str) -> int:
        return sum(
            known.holder is not None and known.state == "queued"
            for known in self.known.values()
            if known.request.domain == domain
        )

    def _free(self, domain: str) -> list[Known]:
        """What may be handed out of a domain now, in order; what an overdue lease holds may."""
        leased = self._is_leased(domain)
        free = [
            known
            for known in self.known.values()
            if known.request.domain == domain
            and known.state == "queued"
            and known.not_before <= self.now
            and (known.holder is None or not leased)
        ]
        return sorted(free, key=lambda known: known.rank)

    def _is_claimable(self, domain: str) -> bool:
        host = self.hosts[domain]
        return (
            not self._is_leased(domain)
            and host.parked is None
            and host.hold <= self.now
            and bool(self._free(domain))
            and self._share(domain, taken=0) > 0
        )

    def _share(self, domain: str, *, taken: int) -> float:
        most = self.budget.pages_per_domain
        return math.inf if most is None else most - self.hosts[domain].ok - taken

    def _room(self) -> tuple[float, float]:
        """How many more may be taken: with all that overdue leases hold counted, and with none of it."""
        if self.budget.pages is None:
            return math.inf, math.inf
        left = self.budget.pages - sum(host.ok for host in self.hosts.values())
        sure = sum(self._taken(name) for name in DOMAINS if self._is_leased(name))
        return max(0, left - sum(map(self._taken, DOMAINS))), max(0, left - sure)

    def _due(self, domain: str) -> float | None:
        """When a domain can be claimed at the soonest; None for never."""
        host = self.hosts[domain]
        waiting = [k for k in self.known.values() if k.request.domain == domain and k.state == "queued"]
        if not waiting or host.parked is not None or self._share(domain, taken=0) <= 0:
            return None
        soonest = max(host.hold, min(known.not_before for known in waiting))
        return max(soonest, host.expires) if host.epoch is not None else max(soonest, 1.0)

    def _granted(self, lease: DomainLease, owner: str, length: float) -> None:
        host = self.hosts[lease.domain]
        assert lease.epoch > host.last_epoch, "a fence must rise"
        assert (lease.owner, lease.expires) == (owner, self.now + length)
        assert lease.facts.not_before == host.hold
        assert lease.facts.crawl_delay == host.crawl_delay
        assert lease.facts.used_until == host.used_until, "when another owner may have sent last"
        assert {origin.origin: origin for origin in lease.facts.origins} == host.robots
        self._lost(lease.domain)
        host.epoch = host.last_epoch = lease.epoch
        host.expires = host.used_until = lease.expires
        self.leases[self._key(lease)] = replace(lease, requests=())

    def _lost(self, domain: str) -> None:
        """Nobody holds a domain any more; what was handed out under its lease is free."""
        self.hosts[domain].epoch = None
        for known in self.known.values():
            if known.request.domain == domain:
                known.holder = None

    def _answered(self, lease: DomainLease, held: bool) -> None:
        """An answer tells whether a lease is held; when it is over, it may be either."""
        if self._is_live(lease):
            assert held
        elif not self._may_be_held(lease):
            assert not held, "a lease that another owner took over, or that was given back"
        elif not held:
            self._lost(lease.domain)

    def _handed_out(self, lease: DomainLease, requests: Sequence[QueuedRequest]) -> None:
        free = self._free(lease.domain)
        assert [r.fingerprint for r in requests] == [k.request.fingerprint for k in free[: len(requests)]]
        for request in requests:
            known = self.known[request.fingerprint]
            options = replace(known.request.options, priority=known.priority)
            assert request == replace(
                known.request, id=request.id, depth=known.depth, attempts=known.attempts, options=options,
                not_before=known.not_before, parent=request.parent,
            )  # fmt: skip
            known.holder = lease.epoch
            self.handed.append((self._key(lease), request))
        del self.handed[:-12]

    def _done(self, request: QueuedRequest, how: int, wait: float, links: list[Plan]) -> Done:
        self.serial += 1
        tried = replace(request, attempts=request.attempts + 1)
        moved = self._request(Plan(self.serial % 9, DOMAINS[self.serial % 4], request.depth, 0, 0.0))
        outcome, about = {
            0: (Outcome.failed("callback", "it raised"), request),
            1: (Outcome.skipped("type", "no page"), request),
            2: (Outcome.moved(moved, 302), request),
            3: (Outcome.retry(self.now + wait, "timeout", "too slow"), tried),
            4: (Outcome.retry(self.now, "blocked", "again at once"), request),
        }.get(how, (Outcome.ok(200), request))
        sends = [Send("page", request.domain, request.url, self.now, self.now + 0.1, 200, 100)]
        if how == 7:
            sends.append(
                Send("sub", DOMAINS[self.serial % 4], "https://c.example/x", self.now, self.now, 200, 7)
            )
        return finished(
            about,
            outcome,
            items=[ItemRow(NOTE, (f"{self.serial}", request.url), 0)] if how != 6 else [],
            rejected=[Rejected("note", "no price", "{}")] if how == 8 else [],
            links=[self._request(plan) for plan in links],
            sends=sends,
            error=ErrorRecord("callback", "it raised") if how == 0 else None,
            counts={"parsed": 1} if how == 0 else {},
        )

    def _complete(self, process: int, lease: DomainLease, done: Done) -> None:
        self._completed(lease, done, self._do(process, lambda f: f.complete(lease, done, now=self.now)))

    def _completed(self, lease: DomainLease, done: Done, answer: Completed) -> None:
        """Written as a whole under a lease that holds; nothing under one that was lost."""
        known = self.known[done.effects.request.fingerprint]
        still = known.state == "queued" and known.holder == lease.epoch and self._may_be_held(lease)
        if not still:
            assert not answer.written, "a request that is not the lease's any more"
        elif not answer.written:
            assert not self._is_live(lease), "refused under a live lease"
            self._lost(lease.domain)
        if answer.written:
            self._apply(known, done, answer)

    def _apply(self, known: Known, done: Done, answer: Completed) -> None:
        effects, outcome = done.effects, done.effects.outcome
        self.items |= {row.values[0] for row in done.result.items}
        links = [*effects.links, outcome.to] if outcome.to is not None else list(effects.links)
        fresh = {link.fingerprint for link in links} - self.known.keys()
        self._queue(links)
        known.attempts = effects.request.attempts
        known.holder = None
        due: dict[str, float] = {}
        for added in map(self.known.__getitem__, fresh):
            at = max(self.now, added.not_before)
            due[added.request.domain] = min(at, due.get(added.request.domain, at))
        if outcome.name == "retry":
            known.not_before = outcome.at
            due[known.request.domain] = min(outcome.at, due.get(known.request.domain, math.inf))
        else:
            known.state = {"ok": "done", "moved": "done"}.get(outcome.name, outcome.name)
            known.moved = outcome.name == "moved"
            self.hosts[known.request.domain].ok += outcome.name == "ok"
        assert answer.due == due

    def _facts(
        self, domain: str, hold: float, delay: float | None, parked: str | None, robots: str | None
    ) -> DomainFacts:
        origin = OriginFacts(f"https://{domain}", robots, self.now + 3600, 200)
        return DomainFacts(
            used_until=self.now - 0.25,
            not_before=self.now + hold if hold else 0.0,
            crawl_delay=delay,
            parked=parked,
            origins=(origin,) if robots else (),
        )

    def _learned(self, domain: str, facts: DomainFacts) -> None:
        host = self.hosts[domain]
        host.hold, host.crawl_delay = facts.not_before, facts.crawl_delay
        host.parked = host.parked or facts.parked
        host.robots |= {origin.origin: origin for origin in facts.origins}

    def _run_dry(self) -> None:
        """Nothing is lost: however it stands now, claiming again and again ends all that may be ended."""
        for _ in range(200):
            self.now += 1_000.0
            got = self._do(0, lambda f: f.claim("last", domains=ALL, per_domain=4, lease=10.0, now=self.now))
            for lease in got:
                self._granted(lease, "last", 10.0)
                self._handed_out(lease, lease.requests)
                for request in lease.requests:
                    done = finished(request, Outcome.ok(200))
                    self._complete(0, lease, done)
            # An empty answer is no end yet: the claim may only have ended an overdue lease, which makes room.
            if not got and self._do(0, lambda f: f.pending(now=self.now)).next_due is None:
                break
        self.the_medium_is_as_the_model()
        pending = self._do(0, lambda f: f.pending(now=self.now))
        assert pending.taken == 0
        if pending.spent:
            return
        assert pending.next_due is None
        for name in DOMAINS:
            assert self._due(name) is None, "a domain was forgotten"


# ---------------------------------------------------------------------------------------- SQLite


ORDINARY = settings(max_examples=55, stateful_step_count=40, deadline=None, print_blob=True)


class SqliteMachine(FrontierMachine):
    """Never twice, never early, nothing lost, fenced, whole; in SQLite."""

    def open(self, budget: Budget) -> Medium:
        return SqliteMedium(budget)


class SqliteBudgetMachine(SqliteMachine):
    """The same while budgets bound what may be taken."""

    budgets = (Budget(pages=4), Budget(pages=6, pages_per_domain=3), Budget(pages_per_domain=2))


TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = ORDINARY
TestSqliteWithBudgets = SqliteBudgetMachine.TestCase
TestSqliteWithBudgets.settings = ORDINARY
