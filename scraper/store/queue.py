"""The queue in SQL: requests in, requests out. Functions on a connection inside the writer's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from scraper.models import Options, QueuedRequest

__all__ = ["COLUMNS", "Queue", "decode_options", "encode_options"]

COLUMNS = (
    "r.id, r.url, r.fingerprint, r.callback, r.options, r.body, r.depth, r.hops, r.attempts, r.parent, r.seed,"
    " r.not_before, r.priority"
)

_DEFAULTS = {f.name: f.default for f in fields(Options)}
#: Options with a column of their own.
_OWN_COLUMN = frozenset({"callback", "priority", "body"})
_ENCODED = tuple(name for name in _DEFAULTS if name not in _OWN_COLUMN)
_PLAIN = Options()


def encode_options(options: Options) -> str | None:
    """JSON of the options that differ from the defaults, without those that have a column; None for none."""
    changed = {
        name: value for name in _ENCODED if (value := getattr(options, name)) != _DEFAULTS[name]
    }
    return json.dumps(changed, separators=(",", ":")) if changed else None


def decode_options(callback: str, priority: int, text: str | None, body: bytes | None) -> Options:
    """The options back; the inverse of `encode_options`."""
    if text is None and not body and not priority and callback == "parse":
        return _PLAIN
    changed: dict[str, Any] = json.loads(text) if text else {}
    if "headers" in changed:
        changed["headers"] = tuple((name, value) for name, value in changed["headers"])
    for name in ("accept", "vary"):
        if name in changed:
            changed[name] = tuple(changed[name])
    return Options(callback=callback, priority=priority, body=body or b"", **changed)


class Queue:
    """Requests of one run, and the domains they belong to.

    Holds two caches of what the database is known to contain; `forget` them after a rollback.
    """

    #: Domains whose ids are kept in memory.
    CACHE = 50_000

    def __init__(self, run: int) -> None:
        self.run = run
        self._ids: dict[str, int] = {}
        self._last_options: Options | None = None
        self._last_text: str | None = None

    def forget(self) -> None:
        self._ids.clear()

    def domain_id(self, conn: sqlite3.Connection, name: str) -> int:
        """The id of a domain, with its row in `_domains` and its queue in this run made when missing."""
        found = self._ids.get(name)
        if found is not None:
            return found
        conn.execute("INSERT OR IGNORE INTO _domains (name) VALUES (?)", (name,))
        found = int(conn.execute("SELECT id FROM _domains WHERE name = ?", (name,)).fetchone()[0])
        conn.execute("INSERT OR IGNORE INTO _queues (run, domain) VALUES (?, ?)", (self.run, found))
        if len(self._ids) >= self.CACHE:
            self._ids.clear()
        self._ids[name] = found
        return found

    def insert(self, conn: sqlite3.Connection, requests: Iterable[QueuedRequest], now: float) -> tuple[int, dict[str, float]]:
        """Queue requests not known in this run. Returns how many were new, and from when their domains are due.

        A known one still queued takes over a smaller depth or a higher priority, so that `max_depth` does
        not depend on which page was parsed first.
        """
        added = 0
        due: dict[str, float] = {}
        for request in requests:
            domain = self.domain_id(conn, request.domain)
            options = request.options
            cursor = conn.execute(_INSERT, self._values(request, domain))
            if cursor.rowcount:
                added += 1
                at = max(now, request.not_before)
                due[request.domain] = min(at, due.get(request.domain, at))
            elif request.depth or options.priority:
                conn.execute(_IMPROVE, (request.depth, options.priority, self.run, request.fingerprint, request.depth, options.priority))
        for name, at in due.items():
            self.due(conn, name, at)
        return added, due

    def due(self, conn: sqlite3.Connection, name: str, at: float) -> None:
        """Let an unleased domain be claimed from `at` on; a leased one is settled at its release."""
        domain = self.domain_id(conn, name)
        conn.execute(
            "UPDATE _queues SET ready_at = ? WHERE run = ? AND domain = ? AND owner IS NULL AND parked IS NULL"
            " AND (ready_at IS NULL OR ready_at > ?)",
            (at, self.run, domain, at),
        )

    def take(self, conn: sqlite3.Connection, domain: int, name: str, epoch: int, n: int, now: float) -> list[QueuedRequest]:
        """Take up to `n` due requests under an epoch: priority, then depth, then order of arrival."""
        rows = conn.execute(_TAKE, (epoch, self.run, domain, epoch, now, n)).fetchall()
        rows.sort(key=lambda row: (-row[12], row[6], row[0]))
        return [self._request(name, row) for row in rows]

    def next_due(self, conn: sqlite3.Connection, domain: int, now: float) -> float | None:
        """When a domain without a lease has something to fetch; None when it has nothing."""
        free = "FROM _requests r, _queues q WHERE q.run = r.run AND q.domain = r.domain AND r.run = ? AND r.domain = ? AND r.state = 0 AND r.taken_epoch <> q.epoch"
        key = (self.run, domain)
        if conn.execute(f"SELECT 1 {free} AND r.not_before <= ? LIMIT 1", (*key, now)).fetchone():  # noqa: S608 - constant text
            return now
        found = conn.execute(f"SELECT min(r.not_before) {free} AND r.not_before > 0", key).fetchone()[0]  # noqa: S608 - constant text
        return float(found) if found is not None else None

    def _values(self, request: QueuedRequest, domain: int) -> tuple[Any, ...]:
        options = request.options
        if options is not self._last_options:
            self._last_options, self._last_text = options, encode_options(options)
        return (
            self.run, domain, request.fingerprint, request.url, options.priority, request.depth,
            request.not_before, request.attempts, request.hops, request.parent, request.seed,
            options.callback, self._last_text, options.body or None,
        )  # fmt: skip

    @staticmethod
    def _request(name: str, row: Sequence[Any]) -> QueuedRequest:
        id_, url, fingerprint, callback, options, body, depth, hops, attempts, parent, seed, not_before, priority = row
        made = decode_options(callback, priority, options, body)
        return QueuedRequest(url, fingerprint, name, made, id_, depth, hops, attempts, parent, seed, not_before)


_INSERT = """
INSERT INTO _requests (run, domain, fingerprint, url, priority, depth, not_before, attempts, hops, parent, seed,
    callback, options, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, fingerprint) DO NOTHING
"""

_IMPROVE = """
UPDATE _requests SET depth = min(depth, ?), priority = max(priority, ?)
WHERE run = ? AND fingerprint = ? AND state = 0 AND (depth > ? OR priority < ?)
"""

_TAKE = f"""
UPDATE _requests AS r SET taken_epoch = ? WHERE r.id IN (
    SELECT id FROM _requests
    WHERE run = ? AND domain = ? AND state = 0 AND taken_epoch <> ? AND not_before <= ?
    ORDER BY priority DESC, depth, id LIMIT ?)
RETURNING {COLUMNS.replace("r.", "")}
"""  # noqa: S608 - constant text
