"""The queue in SQL: requests in, requests out. Functions on a connection inside the writer's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from itertools import groupby, islice
from typing import Any, NamedTuple

from scraper.core.models import LONGEST_HOLD, Options, QueuedRequest, Redirection

__all__ = ["Found", "Queue", "decode_options", "encode_options"]

#: Requests inserted with one call: a page may have hundreds of thousands of links.
CHUNK = 1_000

_DEFAULTS = {f.name: f.default for f in fields(Options)}
#: Options with a column of their own.
_OWN_COLUMN = frozenset({"callback", "priority", "body"})
_ENCODED = tuple(name for name in _DEFAULTS if name not in _OWN_COLUMN)


def encode_options(options: Options) -> str | None:
    """JSON of the options that differ from the defaults, without those that have a column; None for none."""
    changed = {name: value for name in _ENCODED if (value := getattr(options, name)) != _DEFAULTS[name]}
    return json.dumps(changed, separators=(",", ":")) if changed else None


def decode_options(callback: str, priority: int, text: str | None, body: bytes | None) -> Options:
    """The options back; the inverse of `encode_options`. Equal ones may be one object."""
    options = _decode(callback, priority, text)
    return replace(options, body=body) if body else options


@lru_cache(maxsize=256)
def _decode(callback: str, priority: int, text: str | None) -> Options:
    changed: dict[str, Any] = json.loads(text) if text else {}
    if "headers" in changed:
        changed["headers"] = tuple((name, value) for name, value in changed["headers"])
    for name in ("accept", "vary"):
        if name in changed:
            changed[name] = tuple(changed[name])
    if "redirects" in changed:
        changed["redirects"] = tuple(Redirection(url, status) for url, status in changed["redirects"])
    return Options(callback=callback, priority=priority, **changed)


class Found(NamedTuple):
    """A request the run knows: whether an owner has taken it, and whether it is queued or ended with a page.

    One that was not revisited counts as having its page: the earlier visit's.
    """

    id: int
    taken: bool
    has_page: bool


class Queue:
    """Requests of one run, and the domains they belong to; `per_domain` of each may end ok (None: any number).

    `rename` is told of each request that earlier runs may know by another fingerprint. Holds a cache of what the
    database is known to contain; `forget` it after a rollback.
    """

    #: Domains whose ids are kept in memory.
    CACHE = 50_000

    def __init__(
        self,
        run: int,
        per_domain: int | None = None,
        rename: Callable[[sqlite3.Connection, QueuedRequest], None] = lambda conn, request: None,
    ) -> None:
        self.run = run
        self._per_domain = per_domain
        self._rename = rename
        self._ids: dict[str, int] = {}
        self._last_options: Options | None = None
        self._last_text: str | None = None

    def forget(self) -> None:
        self._ids.clear()

    def may_end(self, ok: int) -> float:
        """How many more requests of a domain may end ok when so many did."""
        return float("inf") if self._per_domain is None else self._per_domain - ok

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

    def insert(
        self, conn: sqlite3.Connection, requests: Iterable[QueuedRequest], now: float, leased: str = ""
    ) -> tuple[int, dict[str, float]]:
        """Queue requests not known in this run. Returns how many were new, and from when their domains are due.

        A known one still queued takes over a smaller depth or a higher priority, so that `max_depth` does
        not depend on which page was parsed first. `leased` is a domain known to be under a lease now.
        """
        added = 0
        due: dict[str, float] = {}
        for (name, not_before), group in groupby(requests, key=lambda r: (r.domain, r.not_before)):
            while alike := list(islice(group, CHUNK)):
                if new := self._insert_alike(conn, self.domain_id(conn, name), alike):
                    added += new
                    at = max(now, not_before)
                    due[name] = min(at, due.get(name, at))
        for name, at in due.items():
            if name != leased:
                self._due(conn, name, at)
        return added, due

    def _insert_alike(self, conn: sqlite3.Connection, domain: int, requests: Sequence[QueuedRequest]) -> int:
        """Requests of one domain; returns how many were new."""
        for request in requests:
            if request.former:
                self._rename(conn, request)
        new = conn.executemany(_INSERT, [self._values(request, domain) for request in requests]).rowcount
        if new < len(requests):
            better = (
                (r.depth, r.options.priority, self.run, r.fingerprint, r.depth, r.options.priority)
                for r in requests
            )
            conn.executemany(_IMPROVE, better)
        return new

    def _due(self, conn: sqlite3.Connection, name: str, at: float) -> None:
        """Let a domain be claimed from `at` on, or when its hold is over.

        A leased domain is settled at its release or takeover; a parked or spent one stays as it is.
        """
        conn.execute(
            _DUE, {"run": self.run, "domain": self.domain_id(conn, name), "at": at, "most": self._per_domain}
        )

    def take(
        self, conn: sqlite3.Connection, domain: int, name: str, epoch: int, n: float, now: float
    ) -> list[QueuedRequest]:
        """Take up to `n` due requests under an epoch: priority, then depth, then order of arrival.

        One that is due further away than anything is held has that from a wrong clock: it is due.
        """
        if n <= 0:
            return []
        rows = conn.execute(
            _TAKE, (epoch, self.run, domain, epoch, now, now + LONGEST_HOLD, int(n))
        ).fetchall()
        rows.sort(key=lambda row: (-row[12], row[6], row[0]))
        return [self._request(name, row) for row in rows]

    def take_one(self, conn: sqlite3.Connection, name: str, fingerprint: bytes, epoch: int) -> QueuedRequest:
        """Take a request of a domain that was just queued, under an epoch."""
        row = conn.execute(_TAKE_ONE, (epoch, self.run, fingerprint)).fetchone()
        return self._request(name, row)

    def find(self, conn: sqlite3.Connection, fingerprint: bytes) -> Found | None:
        """What the run knows of a fingerprint; None for nothing."""
        row = conn.execute(_FIND, (self.run, fingerprint)).fetchone()
        return None if row is None else Found(row[0], bool(row[1]), bool(row[2]))

    def next_due(self, conn: sqlite3.Connection, domain: int, now: float) -> float | None:
        """When a domain that loses its owner has something to fetch; None when it has nothing."""
        key = (self.run, domain, now, now + LONGEST_HOLD)
        if conn.execute(_DUE_NOW, key).fetchone():
            return now
        found = conn.execute(_DUE_LATER, key).fetchone()[0]
        return None if found is None else float(found)

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
        (
            id_,
            url,
            fingerprint,
            callback,
            text,
            body,
            depth,
            hops,
            attempts,
            parent,
            seed,
            not_before,
            priority,
        ) = row
        options = decode_options(callback, priority, text, body)
        return QueuedRequest(
            url, fingerprint, name, options, id_, depth, hops, attempts, parent, seed, not_before
        )


_INSERT = """
INSERT INTO _requests (run, domain, fingerprint, url, priority, depth, not_before, attempts, hops, parent,
    seed, callback, options, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, fingerprint) DO NOTHING
"""

_IMPROVE = """
UPDATE _requests SET depth = min(depth, ?), priority = max(priority, ?)
WHERE run = ? AND fingerprint = ? AND state = 0 AND (depth > ? OR priority < ?)
"""

_DUE = f"""
UPDATE _queues SET ready_at = max(:at, min(d.not_before, :at + {LONGEST_HOLD})) FROM _domains d
WHERE run = :run AND domain = :domain AND d.id = :domain AND owner IS NULL AND parked IS NULL
    AND (:most IS NULL OR ok < :most)
    AND (ready_at IS NULL OR ready_at > max(:at, min(d.not_before, :at + {LONGEST_HOLD})))
"""  # noqa: S608 - constant text

_TAKE = """
UPDATE _requests SET taken_epoch = ? WHERE id IN (
    SELECT id FROM _requests
    WHERE run = ? AND domain = ? AND state = 0 AND taken_epoch <> ? AND (not_before <= ? OR not_before > ?)
    ORDER BY priority DESC, depth, id LIMIT ?)
RETURNING id, url, fingerprint, callback, options, body, depth, hops, attempts, parent, seed, not_before, priority
"""

_TAKE_ONE = """
UPDATE _requests SET taken_epoch = ? WHERE run = ? AND fingerprint = ?
RETURNING id, url, fingerprint, callback, options, body, depth, hops, attempts, parent, seed, not_before, priority
"""

#: States: 0 queued, 1 done (kind "redirect": it moved), 2 failed, 3 skipped.
_FIND = """
SELECT r.id, r.state = 0 AND r.taken_epoch = q.epoch AND q.owner IS NOT NULL,
    r.state = 0 OR (r.state = 1 AND r.kind IS NOT 'redirect') OR (r.state = 3 AND r.kind = 'revisit')
FROM _requests r JOIN _queues q ON q.run = r.run AND q.domain = r.domain
WHERE r.run = ? AND r.fingerprint = ?
"""

_DUE_NOW = """
SELECT 1 FROM _requests WHERE run = ? AND domain = ? AND state = 0 AND (not_before <= ? OR not_before > ?) LIMIT 1
"""

_DUE_LATER = """
SELECT min(not_before) FROM _requests
WHERE run = ? AND domain = ? AND state = 0 AND not_before > 0 AND not_before > ? AND not_before <= ?
"""
