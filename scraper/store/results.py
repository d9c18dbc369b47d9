"""What one visit produced, written as a whole: items, links, sends, error and outcome of a request."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace

from scraper.clock import iso
from scraper.models import Completed, Done, Outcome, State
from scraper.store.queue import Queue, encode_options
from scraper.store.tables import ItemTables, Provenance

__all__ = ["Results"]

_END_STATES = {"ok": State.DONE, "moved": State.DONE, "failed": State.FAILED, "skipped": State.SKIPPED}
_COUNTED = {"ok": "pages", "moved": "moved", "failed": "failed", "skipped": "skipped", "retry": "retries"}


class Results:
    """Writes `Done`s of one run. Called inside the writer's transaction, in the savepoint of the page."""

    def __init__(self, run: int, queue: Queue) -> None:
        self._run = run
        self._queue = queue
        self._tables = ItemTables()

    def forget(self) -> None:
        """After a rollback: what was thought to exist may not."""
        self._tables.forget()

    def write(
        self, conn: sqlite3.Connection, deltas: Counter[str], domain: int, done: Done, now: float
    ) -> Completed:
        """Store everything of `done`. The caller has checked that the lease holds."""
        outcome = done.outcome
        stored = self._items(conn, deltas, done, now)
        links = (*done.links, outcome.to) if outcome.to is not None else done.links
        added, due = self._queue.insert(conn, links, now)
        deltas["queued"] += added
        deltas["links"] += added
        self._sends(conn, deltas, domain, done)
        if done.error is not None:
            error = done.error
            conn.execute(
                "INSERT INTO _errors (run, request, kind, message, place, detail, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._run, done.request.id, error.kind, error.message, error.place, error.detail, now),
            )
        due |= self._outcome(conn, deltas, done, now)
        for name, value in done.counts.items():
            deltas[name] += value
        deltas[_COUNTED[outcome.name]] += 1
        return Completed(written=True, due=due, stored=stored)

    def _items(self, conn: sqlite3.Connection, deltas: Counter[str], done: Done, now: float) -> dict[str, int]:
        rejected = list(done.rejected)
        stored: Counter[str] = Counter()
        if done.items:
            origin = Provenance(done.url or done.request.url, self._run, iso(now), done.request.id, done.request.fingerprint)
            stored, refused = self._tables.write(conn, done.items, origin)
            rejected.extend(refused)
        conn.executemany(
            'INSERT INTO _rejected (run, request, "table", reason, item, place) VALUES (?, ?, ?, ?, ?, ?)',
            [(self._run, done.request.id, r.table, r.reason, r.item, r.place) for r in rejected],
        )
        deltas["items"] += len(done.items) + len(done.rejected) - len(rejected)
        deltas["rejected"] += len(rejected)
        for name, value in stored.items():
            deltas[f"item.{name}"] += value
        return dict(stored)

    def _sends(self, conn: sqlite3.Connection, deltas: Counter[str], domain: int, done: Done) -> None:
        rows = []
        for send in done.sends:
            own = send.domain == done.request.domain
            rows.append(
                (
                    self._run, done.request.id, domain if own else self._queue.domain_id(conn, send.domain),
                    send.kind, None if send.url == done.request.url else send.url, send.sent, send.ended,
                    send.status, send.bytes,
                )
            )  # fmt: skip
            deltas["bytes"] += send.bytes
        conn.executemany(
            "INSERT INTO _sends (run, request, domain, kind, url, sent, ended, status, bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        deltas["sends"] += len(rows)

    def _outcome(
        self, conn: sqlite3.Connection, deltas: Counter[str], done: Done, now: float
    ) -> dict[str, float]:
        request, outcome = done.request, done.outcome
        if outcome.name == "retry":
            conn.execute(
                "UPDATE _requests SET attempts = ?, not_before = ?, taken_epoch = 0, status = ?, kind = ?, why = ?"
                " WHERE id = ?",
                (request.attempts, outcome.at, outcome.status, outcome.kind, outcome.why, request.id),
            )
            return {request.domain: outcome.at}
        deltas["queued"] -= 1
        conn.execute(
            "UPDATE _requests SET state = ?, status = ?, kind = ?, why = ?, ended = ?, attempts = ? WHERE id = ?",
            (
                _END_STATES[outcome.name], outcome.status, outcome.kind or None, outcome.why or None, now,
                request.attempts, request.id,
            ),
        )  # fmt: skip
        self._clear_secrets(conn, done, outcome)
        return {}

    def _clear_secrets(self, conn: sqlite3.Connection, done: Done, outcome: Outcome) -> None:
        """Headers and bodies are working state: gone when the request ended, kept while it may be tried again."""
        options = done.request.options
        if outcome.name != "failed" and (options.headers or options.body):
            plain = encode_options(replace(options, headers=(), body=b""))
            conn.execute("UPDATE _requests SET options = ?, body = NULL WHERE id = ?", (plain, done.request.id))
