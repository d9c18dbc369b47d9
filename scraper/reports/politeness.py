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
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby
from typing import NamedTuple

from scraper.reports.robots_rules import RulesThen

__all__ = ["JITTER", "Broken", "DomainProof", "SendRow", "Window", "prove"]

#: Seconds by which a send may be early: timers and clocks are not exact (the promise is stated with them).
JITTER = 0.005
#: Offending pairs kept for each domain and rule.
KEPT = 3


class SendRow(NamedTuple):
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
class Broken:
    """A rule that was broken by `second`, given `first` (None for a rule about one send)."""

    rule: str
    said: str
    first: SendRow | None
    second: SendRow


@dataclass(frozen=True, slots=True)
class Window:
    """The fullest window: so many requests in so many seconds, where so many were allowed."""

    requests: int
    seconds: float
    allowed: float


@dataclass(slots=True)
class DomainProof:
    """What was found for one domain. `unknown` sends were stored without what was in force; they prove nothing.

    `gaps` are the least and the greatest gap in force, `crawl_delay` the longest pause; `waits` counts the answers that
    asked for one, `rules` the sends that robots.txt was asked about.
    """

    domain: str
    sends: int = 0
    unknown: int = 0
    gaps: tuple[float, float] | None = None
    smallest: float | None = None
    busiest: Window | None = None
    pause: float = 0.0
    most_open: int = 0
    may_open: int = 0
    waits: int = 0
    rules: int = 0
    broken: list[Broken] = field(default_factory=list)

    def add(self, rule: str, said: str, first: SendRow | None, second: SendRow) -> None:
        if sum(broken.rule == rule for broken in self.broken) < KEPT:
            self.broken.append(Broken(rule, said, first, second))


_SENDS = """
SELECT s.id, s.domain, s.run, s.request, s.kind, s.sent, s.ended, s.status, s.hold,
    p.gap, coalesce(p.pause, 0), coalesce(p.concurrency, 0), p.agent
FROM _sends s LEFT JOIN _paces p ON p.id = s.pace
WHERE :run IS NULL OR s.run = :run
ORDER BY s.domain, s.sent, s.id
"""


def prove(conn: sqlite3.Connection, run: int | None = None) -> Iterator[DomainProof]:
    """One proof for each domain that was sent to, in all runs of the database or in one."""
    sends = map(SendRow._make, conn.execute(_SENDS, {"run": run}))
    rules = RulesThen(conn)
    for domain, of_domain in groupby(sends, key=lambda send: send.domain):
        (name,) = conn.execute("SELECT name FROM _domains WHERE id = ?", (domain,)).fetchone()
        yield _prove_domain(name, of_domain, rules)


def _prove_domain(name: str, sends: Iterator[SendRow], rules: RulesThen) -> DomainProof:
    proof = DomainProof(name)
    spacing, wire, holds = _Spacing(proof), _Wire(proof), _Holds(proof)
    for send in sends:
        proof.sends += 1
        if send.gap is None:
            proof.unknown += 1
            continue
        delay = _robots(proof, rules, send)
        spacing.sent(send)
        wire.sent(send, max(send.pause, delay))
        holds.sent(send)
    return proof


class _Spacing:
    """The gap from send to send, and every window of them. `_peak` is the greatest k(i) so far and its send."""

    def __init__(self, proof: DomainProof) -> None:
        self._proof = proof
        self._last: SendRow | None = None
        self._asked = 0.0
        self._count = 0
        self._peak = float("-inf")
        self._start: tuple[SendRow, int, float] | None = None
        self._worst = float("-inf")

    def sent(self, send: SendRow) -> None:
        gap, proof, last = send.gap or 0.0, self._proof, self._last
        self._count += 1
        if last is not None:
            self._asked += gap
            between = send.sent - last.sent
            if proof.smallest is None or between < proof.smallest:
                proof.smallest = between
            if between < gap - JITTER:
                said = f"{between:.3f} s after the one before, {gap:.3f} s were asked for"
                proof.add("gap", said, last, send)
        if gap:
            least, most = proof.gaps or (gap, gap)
            proof.gaps = (min(least, gap), max(most, gap))
        self._window(send, gap)
        self._last = send

    def _window(self, send: SendRow, gap: float) -> None:
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

    def __init__(self, proof: DomainProof) -> None:
        self._proof = proof
        self._open: list[tuple[float, SendRow]] = []
        self._ended: SendRow | None = None

    def sent(self, send: SendRow, pause: float) -> None:
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
        proof.may_open = max(proof.may_open, send.concurrency)
        if len(self._open) > send.concurrency:
            said = f"{len(self._open)} requests under way, {send.concurrency} were allowed"
            proof.add("concurrency", said, self._open[0][1], send)
        if ended is None or send.ended > ended.ended:
            self._ended = send


class _Holds:
    """Retry-After: from the answer on, nothing is sent before the time it names."""

    def __init__(self, proof: DomainProof) -> None:
        self._proof = proof
        self._asked: list[tuple[float, SendRow]] = []
        self._held: SendRow | None = None

    def sent(self, send: SendRow) -> None:
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


def _robots(proof: DomainProof, rules: RulesThen, send: SendRow) -> float:
    """Whether robots.txt allowed a send then; the pause it asks for. It is not asked about itself."""
    if send.agent is None or send.kind == "robots":
        return 0.0
    url = rules.url_of(send.id)
    found = rules.at(url, send.sent)
    if found is None:
        proof.add("robots", "before its robots.txt was read", None, send)
        return 0.0
    proof.rules += 1
    if not found.allows(url, send.agent):
        proof.add(
            "robots", f"robots.txt did not allow {send.agent.partition(' ')[0]} to ask for it", None, send
        )
    return found.crawl_delay(send.agent) or 0.0
