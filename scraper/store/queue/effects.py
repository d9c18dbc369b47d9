"""What a visit changes in the queue, written: its request ends or waits, links are queued, sends are recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from scraper.core.models import LONGEST_HOLD, Effects, Outcome, Pace, QueuedRequest, Send, State
from scraper.store.queue.cookies import store_cookies
from scraper.store.queue.counters import Deltas
from scraper.store.queue.requests import Queue, encode_options

__all__ = ["QueueEffects"]

_END_STATES = {"ok": State.DONE, "moved": State.DONE, "failed": State.FAILED, "skipped": State.SKIPPED}
_COUNTED = {"ok": "pages", "moved": "moved", "failed": "failed", "skipped": "skipped", "retry": "retries"}


class QueueEffects:
    """Applies the effects of one run's visits. Called inside the writer's transaction, in the savepoint of the page."""

    def __init__(self, run: int, queue: Queue) -> None:
        self._run = run
        self._queue = queue
        self._paces: dict[Pace, int] = {}

    def forget(self) -> None:
        """After a rollback: what was thought to exist may not."""
        self._paces.clear()

    def apply(
        self, conn: sqlite3.Connection, deltas: Deltas, domain: int, effects: Effects, now: float, at: float
    ) -> dict[str, float]:
        """Write all effects of a visit, which ended `at` by the wall clock.

        The caller has checked that its domain is leased, and still is.

        Returns which domains have new work, and from when (unix seconds).
        """
        request, outcome, links = effects.request, effects.outcome, effects.links
        if outcome.to is not None:
            links = (*links, outcome.to)
        added, due = self._queue.insert(conn, links, now, leased=request.domain)
        deltas["queued"] += added
        deltas["links"] += added
        self._record_sends(conn, deltas, domain, request, effects.sends)
        if effects.cookies:
            store_cookies(conn, self._run, effects.cookies)
        if outcome.name == "retry":
            outcome = replace(outcome, at=min(outcome.at, now + LONGEST_HOLD))
            _requeue(conn, request, outcome)
            due[request.domain] = min(outcome.at, due.get(request.domain, outcome.at))
        else:
            deltas["queued"] -= 1
            _end(conn, request, outcome, at)
        for name, value in effects.counts.items():
            deltas[name] += value
        if outcome.kind != "waiting":  # put back before it was asked: not a try
            deltas[_COUNTED[outcome.name]] += 1
        return due

    def _record_sends(
        self,
        conn: sqlite3.Connection,
        deltas: Deltas,
        domain: int,
        request: QueuedRequest,
        sends: Sequence[Send],
    ) -> None:
        for send in sends:
            to = domain if send.domain == request.domain else self._queue.domain_id(conn, send.domain)
            url = None if send.url == request.url else send.url
            conn.execute(
                "INSERT INTO _sends (run, request, domain, kind, url, sent, ended, status, bytes, pace, hold)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._run, request.id, to, send.kind, url, send.sent, send.ended, send.status, send.bytes,
                    None if send.pace is None else self._pace_id(conn, send.pace), send.hold,
                ),
            )  # fmt: skip
            deltas["bytes"] += send.bytes
        deltas["sends"] += len(sends)

    def _pace_id(self, conn: sqlite3.Connection, pace: Pace) -> int:
        """The row of a pace: many sends share a few."""
        found = self._paces.get(pace)
        if found is None:
            values = (pace.gap, pace.pause, pace.concurrency, pace.agent)
            conn.execute(
                "INSERT INTO _paces (gap, pause, concurrency, agent) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                values,
            )
            row = conn.execute(
                "SELECT id FROM _paces WHERE gap = ? AND pause = ? AND concurrency = ? AND agent IS ?", values
            ).fetchone()
            found = self._paces[pace] = int(row[0])
        return found


def _requeue(conn: sqlite3.Connection, request: QueuedRequest, outcome: Outcome) -> None:
    """Queued again, taken by no one."""
    conn.execute(
        "UPDATE _requests SET attempts = ?, not_before = ?, taken_epoch = 0, status = ?, kind = ?, why = ?"
        " WHERE id = ?",
        (request.attempts, outcome.at, outcome.status, outcome.kind, outcome.why, request.id),
    )


def _end(conn: sqlite3.Connection, request: QueuedRequest, outcome: Outcome, at: float) -> None:
    conn.execute(
        "UPDATE _requests SET state = ?, status = ?, kind = ?, why = ?, ended = ?, attempts = ? WHERE id = ?",
        (
            _END_STATES[outcome.name], outcome.status, outcome.kind or None, outcome.why or None, at,
            request.attempts, request.id,
        ),
    )  # fmt: skip
    options = request.options
    # Pages of a broken callback are queued again after fifty of them (`runs.requeue`).
    may_be_repeated = outcome.name == "failed" and outcome.kind.startswith("callback")
    if not may_be_repeated and (options.headers or options.body):
        # Working state that may be secret: gone now, kept only while the request may be tried again.
        plain = encode_options(replace(options, headers=(), body=b""))
        # An empty body instead of none says so: this request cannot be made again (`runs.requeue_failed`).
        conn.execute("UPDATE _requests SET options = ?, body = x'' WHERE id = ?", (plain, request.id))
