"""What one visit produced, written as a whole: items, links, sends, error and outcome of a request."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from scraper.core.clock import iso
from scraper.core.models import Completed, Done, ErrorRecord, Pace, QueuedRequest, Rejected, State
from scraper.store.queue.cookies import store_cookies
from scraper.store.queue.counters import Deltas
from scraper.store.queue.requests import Queue, encode_options
from scraper.store.queue.revisits import Visits
from scraper.store.rows.fill import Fill
from scraper.store.rows.selectors import SelectorCounts
from scraper.store.rows.tables import ItemTables, Provenance

__all__ = ["Results"]

#: Failed pages kept of one place in the author's code.
KEPT = 5
_END_STATES = {"ok": State.DONE, "moved": State.DONE, "failed": State.FAILED, "skipped": State.SKIPPED}
_COUNTED = {"ok": "pages", "moved": "moved", "failed": "failed", "skipped": "skipped", "retry": "retries"}


class Results:
    """Writes `Done`s of one run. Called inside the writer's transaction, in the savepoint of the page."""

    def __init__(self, run: int, queue: Queue) -> None:
        self._run = run
        self._queue = queue
        self._tables = ItemTables()
        self.selectors = SelectorCounts(run)
        self._paces: dict[Pace, int] = {}
        self.fill = Fill(run)
        self.visits = Visits(run)
        self._second = -1
        self._at = ""

    def forget(self) -> None:
        """After a rollback: what was thought to exist may not."""
        self._tables.forget()
        self.visits.forget()
        self._paces.clear()

    def write(
        self, conn: sqlite3.Connection, deltas: Deltas, domain: int, done: Done, now: float
    ) -> Completed:
        """Store everything of `done`. The caller has checked that its domain is leased, and still is."""
        request, outcome = done.request, done.outcome
        stored = self._items(conn, deltas, done, now)
        links = self._visited(conn, deltas, done, stored, now)
        if outcome.to is not None:
            links = (*links, outcome.to)
        added, due = self._queue.insert(conn, links, now, leased=request.domain)
        deltas["queued"] += added
        deltas["links"] += added
        self._sends(conn, deltas, domain, done)
        if done.cookies:
            store_cookies(conn, self._run, done.cookies)
        if done.error is not None:
            self._error(conn, done, done.error, now)
        if outcome.name == "retry":
            self._again(conn, done)
            due[request.domain] = min(outcome.at, due.get(request.domain, outcome.at))
        else:
            deltas["queued"] -= 1
            self._end(conn, done, now)
        for name, value in done.counts.items():
            deltas[name] += value
        if outcome.kind != "waiting":  # put back unasked: that is no further try
            deltas[_COUNTED[outcome.name]] += 1
        if done.hits:
            self.selectors.add(domain, done)
        if done.items:
            self.fill.add(done.items, done.url or request.url)
        return Completed(written=True, due=due, stored=stored, notes=self._notes())

    def _visited(
        self, conn: sqlite3.Connection, deltas: Deltas, done: Done, stored: Counter[str], now: float
    ) -> Sequence[QueuedRequest]:
        """The links of a page: those it yielded, or those of the earlier visit that is good enough."""
        if done.kept is not None:
            links, kept = self.visits.keep(conn, deltas, done, now)
            stored.update(kept)
            return links
        if done.validators is not None:
            self.visits.remember(conn, done, now)
        return done.links

    def _notes(self) -> tuple[str, ...]:
        """How tables were altered on the way; said once."""
        if not self._tables.notes:
            return ()
        notes = tuple(self._tables.notes)
        self._tables.notes.clear()
        return notes

    def _items(self, conn: sqlite3.Connection, deltas: Deltas, done: Done, now: float) -> Counter[str]:
        stored: Counter[str] = Counter()
        refused: Sequence[Rejected] = ()
        if done.items:
            request = done.request
            origin = Provenance(
                done.url or request.url, self._run, self._iso(now), request.id, request.fingerprint
            )
            stored, refused, conflicts = self._tables.write(conn, done.items, origin)
            deltas["items"] += len(done.items) - len(refused)
            for name, value in stored.items():
                deltas[f"item.{name}"] += value
            for name, value in conflicts.items():
                deltas[f"conflict.{name}"] += value
        if rejected := [*done.rejected, *refused]:
            deltas["rejected"] += len(rejected)
            conn.executemany(
                'INSERT INTO _rejected (run, request, "table", reason, item, place) VALUES (?, ?, ?, ?, ?, ?)',
                [(self._run, done.request.id, r.table, r.reason, r.item, r.place) for r in rejected],
            )
        return stored

    def _iso(self, now: float) -> str:
        """The time as items carry it; many pages share a second."""
        if int(now) != self._second:
            self._second, self._at = int(now), iso(now)
        return self._at

    def _sends(self, conn: sqlite3.Connection, deltas: Deltas, domain: int, done: Done) -> None:
        request = done.request
        for send in done.sends:
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
        deltas["sends"] += len(done.sends)

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

    def _error(self, conn: sqlite3.Connection, done: Done, error: ErrorRecord, now: float) -> None:
        request = done.request.id
        conn.execute(
            "INSERT INTO _errors (run, request, kind, message, place, detail, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._run, request, error.kind, error.message, error.place, error.detail, now),
        )
        if (page := done.page) is not None:
            conn.execute(
                "INSERT OR REPLACE INTO _pages (request, run, url, status, headers, body, place)"
                " SELECT ?, ?, ?, ?, ?, ?, ?"
                " WHERE (SELECT count(*) FROM _pages WHERE run = ? AND place = ? AND request <> ?) < ?",
                (
                    request,
                    self._run,
                    page.url,
                    page.status,
                    json.dumps(page.headers),
                    page.body,
                    error.place,
                    self._run,
                    error.place,
                    request,
                    KEPT,
                ),
            )

    def _again(self, conn: sqlite3.Connection, done: Done) -> None:
        """Queued again, taken by nobody."""
        request, outcome = done.request, done.outcome
        conn.execute(
            "UPDATE _requests SET attempts = ?, not_before = ?, taken_epoch = 0, status = ?, kind = ?, why = ?"
            " WHERE id = ?",
            (request.attempts, outcome.at, outcome.status, outcome.kind, outcome.why, request.id),
        )

    def _end(self, conn: sqlite3.Connection, done: Done, now: float) -> None:
        request, outcome = done.request, done.outcome
        conn.execute(
            "UPDATE _requests SET state = ?, status = ?, kind = ?, why = ?, ended = ?, attempts = ? WHERE id = ?",
            (
                _END_STATES[outcome.name], outcome.status, outcome.kind or None, outcome.why or None, now,
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
