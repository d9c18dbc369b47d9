"""The proof of politeness: every send a database knows of, held against what was in force when it was sent.

Nothing here trusts the crawler: the times of the sends, the limits stored with them, the robots.txt of that time and
the Retry-After of the answers are all that counts. Sends are read domain by domain in the order in which they left
(SQLite sorts them, on disk if they are many), so memory does not grow with their number.

A rate is kept when every window holds what it may: for all sends i < j of a domain, t(j) - t(i) is at least the sum
of the gaps in force from i + 1 to j. With one rate that is "at most rate * W + 1 requests in every window of W
seconds". Let k(i) = t(i) minus the sum of all gaps up to i: then k(j) must not be less than the greatest k(i) before
it, which one pass over the sends decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby
from typing import NamedTuple

from scraper.reports.robots_rules import RulesThen
from scraper.reports.runs import latest_run

__all__ = [
    "JITTER",
    "BrokenRule",
    "DomainProof",
    "PolitenessReport",
    "ProvenSend",
    "Verdict",
    "Window",
    "politeness_of",
    "prove",
]

#: Seconds by which a send may be early: timers and clocks are not exact (the promise is stated with them).
JITTER = 0.005
#: Offending pairs kept for each domain and rule.
KEPT = 3
#: Domains of a report that kept everything; those that did not are all in it.
SHOWN = 40


class _SendRow(NamedTuple):
    """A send as it is stored, with the pace that was in force; `gap` None where none was recorded."""

    id: int
    domain: int
    run: int
    request: int
    kind: str
    sent: float
    ended: float
    status: int | None
    hold: float | None
    gap: float | None
    pause: float
    concurrency: int
    agent: str | None


@dataclass(frozen=True, slots=True)
class ProvenSend:
    """A send that shows a broken rule; times are unix seconds."""

    url: str
    kind: str
    sent: float
    ended: float
    status: int | None
    run: int


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that was broken by the last of `sends`, given the one before it where the rule is about two."""

    rule: str
    said: str
    sends: Sequence[ProvenSend]


@dataclass(frozen=True, slots=True)
class Window:
    """The fullest window: so many requests in so many seconds, where so many were allowed."""

    requests: int
    seconds: float
    allowed: float


@dataclass(frozen=True, slots=True)
class DomainProof:
    """What was found for one domain. `unknown` sends were stored without what was in force; they prove nothing.

    `gaps` are the least and the greatest gap in force, `pause` the longest one; `may_open` is how many requests were
    allowed at once, which a pause makes one; `waits` counts the answers that asked
    for one, `robots` the sends that robots.txt was asked about, `connects` the sends that were attempts to connect, which
    failed: they are judged as the others are.
    """

    domain: str
    sends: int
    unknown: int
    gaps: tuple[float, float] | None
    smallest_gap: float | None
    busiest: Window | None
    most_open: int
    may_open: int
    pause: float
    waits: int
    robots: int
    broken: Sequence[BrokenRule]
    connects: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether every rule was kept, by how many sends to how many domains."""

    kept: bool
    sends: int
    domains: int


@dataclass(frozen=True, slots=True)
class PolitenessReport:
    """The verdict on all domains, how many sends prove nothing (`unknown`), and the domains worth showing."""

    verdict: Verdict
    unknown: int
    proofs: Sequence[DomainProof]


@dataclass(slots=True)
class _Found:
    """What one domain's sends have shown so far; `finished` makes a proof of it."""

    domain: str
    sends: int = 0
    unknown: int = 0
    gaps: tuple[float, float] | None = None
    smallest_gap: float | None = None
    busiest: Window | None = None
    pause: float = 0.0
    most_open: int = 0
    may_open: int = 0
    waits: int = 0
    robots: int = 0
    connects: int = 0
    concurrency: int = 0
    broken: list[tuple[str, str, list[_SendRow]]] = field(default_factory=list)

    def add(self, rule: str, said: str, first: _SendRow | None, second: _SendRow) -> None:
        if sum(known == rule for known, _, _ in self.broken) < KEPT:
            self.broken.append((rule, said, [second] if first is None else [first, second]))

    def finished(self, rules: RulesThen) -> DomainProof:
        broken = [
            BrokenRule(rule, said, [_proven(send, rules) for send in sends])
            for rule, said, sends in self.broken
        ]
        return DomainProof(
            self.domain, self.sends, self.unknown, self.gaps, self.smallest_gap, self.busiest,
            self.most_open, self.may_open or self.concurrency, self.pause, self.waits, self.robots, broken, self.connects,
        )  # fmt: skip


def _proven(send: _SendRow, rules: RulesThen) -> ProvenSend:
    return ProvenSend(rules.url_of(send.id), send.kind, send.sent, send.ended, send.status, send.run)


_SENDS = """
SELECT s.id, s.domain, s.run, s.request, s.kind, s.sent, s.ended, s.status, s.hold,
    p.gap, coalesce(p.pause, 0), coalesce(p.concurrency, 0), p.agent
FROM _sends s LEFT JOIN _paces p ON p.id = s.pace
WHERE :run IS NULL OR s.run = :run
ORDER BY s.domain, s.sent, s.id
"""


def politeness_of(
    conn: sqlite3.Connection, run: int | None = None, each: Callable[[DomainProof], object] | None = None
) -> PolitenessReport:
    """The verdict on all runs of a database, or on one; `each` is given every proof as soon as it is made.

    Raises QueryError when there is no such run.
    """
    chosen = None if run is None else latest_run(conn, run)
    latest_run(conn)
    sends = domains = unknown = 0
    shown: list[DomainProof] = []
    for proof in prove(conn, chosen):
        sends, domains, unknown = sends + proof.sends, domains + 1, unknown + proof.unknown
        if proof.broken or len(shown) < SHOWN:
            shown.append(proof)
        if each is not None:
            each(proof)
    kept = not any(proof.broken for proof in shown)
    return PolitenessReport(Verdict(kept, sends, domains), unknown, shown)


def prove(conn: sqlite3.Connection, run: int | None = None) -> Iterator[DomainProof]:
    """One proof for each domain that was sent to, in all runs of the database or in one."""
    sends = map(_SendRow._make, conn.execute(_SENDS, {"run": run}))
    rules = RulesThen(conn)
    for domain, of_domain in groupby(sends, key=lambda send: send.domain):
        (name,) = conn.execute("SELECT name FROM _domains WHERE id = ?", (domain,)).fetchone()
        yield _prove_domain(name, of_domain, rules)


def _prove_domain(name: str, sends: Iterator[_SendRow], rules: RulesThen) -> DomainProof:
    proof = _Found(name)
    spacing, wire, holds = _Spacing(proof), _Wire(proof), _Holds(proof)
    for send in sends:
        proof.sends += 1
        proof.connects += send.kind == "connect"
        if send.gap is None:
            proof.unknown += 1
            continue
        delay = _robots(proof, rules, send)
        spacing.sent(send)
        wire.sent(send, max(send.pause, delay))
        holds.sent(send)
    return proof.finished(rules)


class _Spacing:
    """The gap from send to send, and every window of them. `_peak` is the greatest k(i) so far and its send."""

    def __init__(self, proof: _Found) -> None:
        self._proof = proof
        self._last: _SendRow | None = None
        self._asked = 0.0
        self._count = 0
        self._peak = float("-inf")
        self._start: tuple[_SendRow, int, float] | None = None
        self._worst = float("-inf")

    def sent(self, send: _SendRow) -> None:
        gap, proof, last = send.gap or 0.0, self._proof, self._last
        self._count += 1
        if last is not None:
            self._asked += gap
            between = send.sent - last.sent
            if proof.smallest_gap is None or between < proof.smallest_gap:
                proof.smallest_gap = between
            if between < gap - JITTER:
                said = f"{between:.3f} s after the one before, {gap:.3f} s were asked for"
                proof.add("gap", said, last, send)
        if gap:
            least, most = proof.gaps or (gap, gap)
            proof.gaps = (min(least, gap), max(most, gap))
        self._window(send, gap)
        self._last = send

    def _window(self, send: _SendRow, gap: float) -> None:
        key, proof = send.sent - self._asked, self._proof
        if self._start is not None and gap:
            first, count, asked = self._start
            excess = (self._peak - key) / gap
            if excess > self._worst:
                self._worst = excess
                seconds, allowed_gaps = send.sent - first.sent, self._asked - asked
                requests = self._count - count + 1
                allowed = requests + (seconds - allowed_gaps) / gap
                proof.busiest = Window(requests, seconds, allowed)
            if self._peak - key > JITTER and first is not self._last:
                seconds = send.sent - first.sent
                said = f"{self._count - count + 1} requests in {seconds:.3f} s, {self._asked - asked:.3f} s were asked for"
                proof.add("window", said, first, send)
        if key >= self._peak:
            self._peak, self._start = key, (send, self._count, self._asked)


class _Wire:
    """Requests under way at once, and the pause from the end of a response to the next send."""

    def __init__(self, proof: _Found) -> None:
        self._proof = proof
        self._open: list[tuple[float, _SendRow]] = []
        self._ended: _SendRow | None = None

    def sent(self, send: _SendRow, pause: float) -> None:
        proof, ended = self._proof, self._ended
        while self._open and self._open[0][0] <= send.sent + JITTER / 5:
            heappop(self._open)
        if pause:
            proof.pause = max(proof.pause, pause)
            if ended is not None and send.sent < ended.ended + pause - JITTER:
                said = (
                    f"{send.sent - ended.ended:.3f} s after the response before, {pause:.3f} s were asked for"
                )
                proof.add("crawl-delay", said, ended, send)
        heappush(self._open, (send.ended, send))
        if len(self._open) > proof.most_open:
            proof.most_open = len(self._open)
        proof.concurrency = max(proof.concurrency, send.concurrency)
        if (
            send.kind not in {"robots", "connect"} or len(self._open) > 1
        ):  # alone they do not know of a Crawl-delay yet
            proof.may_open = max(proof.may_open, 1 if pause else send.concurrency)
        if len(self._open) > send.concurrency:
            said = f"{len(self._open)} requests under way, {send.concurrency} were allowed"
            proof.add("concurrency", said, self._open[0][1], send)
        if ended is None or send.ended > ended.ended:
            self._ended = send


class _Holds:
    """Retry-After: from the answer on, nothing is sent before the time it names."""

    def __init__(self, proof: _Found) -> None:
        self._proof = proof
        self._asked: list[tuple[float, _SendRow]] = []
        self._held: _SendRow | None = None

    def sent(self, send: _SendRow) -> None:
        while self._asked and self._asked[0][0] <= send.sent - JITTER / 5:
            _, answer = heappop(self._asked)
            if self._held is None or (answer.hold or 0.0) > (self._held.hold or 0.0):
                self._held = answer
        held = self._held
        if held is not None and held.hold is not None and send.sent < held.hold - JITTER:
            said = f"{held.hold - send.sent:.3f} s before the Retry-After of an answer allowed it"
            self._proof.add("retry-after", said, held, send)
        if send.hold is not None:
            self._proof.waits += 1
            heappush(self._asked, (send.ended, send))


def _robots(proof: _Found, rules: RulesThen, send: _SendRow) -> float:
    """Whether robots.txt allowed a send then; the pause it asks for. It is not asked about itself."""
    if send.agent is None or send.kind in {"robots", "connect"}:
        return 0.0
    url = rules.url_of(send.id)
    found = rules.at(url, send.sent)
    if found is None:
        proof.add("robots", "before its robots.txt was read", None, send)
        return 0.0
    proof.robots += 1
    if not found.allows(url, send.agent):
        proof.add(
            "robots", f"robots.txt did not allow {send.agent.partition(' ')[0]} to ask for it", None, send
        )
    return found.crawl_delay(send.agent) or 0.0
