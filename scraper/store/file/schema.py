"""The internal tables of a crawl database, and its versions.

Names with a leading underscore are internal and may change between versions; the views are stable. Item tables
are made by `scraper.store.rows.tables`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping

from scraper.core.sql_names import quoted
from scraper.errors import StoreError
from scraper.store.rows.history import item_tables, keep_history

__all__ = ["APPLICATION_ID", "VERSION", "check", "prepare"]

#: `PRAGMA application_id` of our files: "SCRP".
APPLICATION_ID = 0x53435250
FIRST = """
CREATE TABLE _runs (
    id INTEGER PRIMARY KEY,
    spider TEXT NOT NULL,
    target TEXT NOT NULL,             -- as typed: a resume loads it again
    series TEXT NOT NULL,             -- spider, arguments and start override: what `diff` compares
    options TEXT NOT NULL,            -- JSON: arguments, start override, settings given for this run
    started REAL NOT NULL,            -- unix seconds, as all times
    ended REAL,
    state TEXT NOT NULL,              -- running, stopped (work is left), finished, complete
    reason TEXT,                      -- why stopped, or why not complete
    seeded INTEGER NOT NULL DEFAULT 0,
    resumed INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE _domains (               -- politeness state, across runs
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    used_until REAL NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    crawl_delay REAL
);

CREATE TABLE _origins (               -- robots.txt, across runs
    origin TEXT PRIMARY KEY,
    domain INTEGER NOT NULL REFERENCES _domains (id),
    robots TEXT,
    status INTEGER,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX _origins_domain ON _origins (domain, expires);

CREATE TABLE _queues (                -- a domain's queue in one run; ready_at doubles as its lease
    run INTEGER NOT NULL REFERENCES _runs (id),
    domain INTEGER NOT NULL REFERENCES _domains (id),
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    ready_at REAL,                    -- may be claimed from then on; NULL: nothing queued, or parked
    taken INTEGER NOT NULL DEFAULT 0,
    ok INTEGER NOT NULL DEFAULT 0,
    parked TEXT,
    PRIMARY KEY (run, domain)
) WITHOUT ROWID;
CREATE INDEX _queues_ready ON _queues (run, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX _queues_owner ON _queues (run, owner) WHERE owner IS NOT NULL;

CREATE TABLE _requests (
    id INTEGER PRIMARY KEY,           -- order of arrival
    run INTEGER NOT NULL REFERENCES _runs (id),
    domain INTEGER NOT NULL REFERENCES _domains (id),
    fingerprint BLOB NOT NULL,
    url TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, -- 0 queued, 1 done, 2 failed, 3 skipped
    priority INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    taken_epoch INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    hops INTEGER NOT NULL DEFAULT 0,
    parent INTEGER,
    seed TEXT NOT NULL DEFAULT '',
    callback TEXT NOT NULL,
    options TEXT,                     -- JSON of what differs from the defaults
    body BLOB,
    status INTEGER,
    kind TEXT,                        -- why failed, skipped or retried
    why TEXT,
    ended REAL
);
CREATE UNIQUE INDEX _requests_fingerprint ON _requests (run, fingerprint);
CREATE INDEX _requests_queue ON _requests (run, domain, priority DESC, depth, id) WHERE state = 0;
CREATE INDEX _requests_later ON _requests (run, domain, not_before) WHERE state = 0 AND not_before > 0;
CREATE INDEX _requests_failed ON _requests (run, kind) WHERE state = 2;

CREATE TABLE _sends (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    kind TEXT NOT NULL,               -- page, redirect, robots, sub, sitemap
    url TEXT,                         -- where it is not the request's own
    sent REAL NOT NULL,
    ended REAL NOT NULL,
    status INTEGER,
    bytes INTEGER NOT NULL
);
CREATE INDEX _sends_request ON _sends (request);

CREATE TABLE _counters (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE _errors (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    place TEXT NOT NULL,              -- file:line in callback
    detail TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX _errors_run ON _errors (run, kind, place);

CREATE TABLE _rejected (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER NOT NULL,
    "table" TEXT NOT NULL,
    reason TEXT NOT NULL,
    item TEXT NOT NULL,
    place TEXT NOT NULL
);

CREATE TABLE _selectors (             -- which selectors of the spider matched, by place in its code
    run INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    place TEXT NOT NULL,              -- file:line
    call TEXT NOT NULL,               -- css, text, follow_all, …
    selector TEXT NOT NULL,
    pages INTEGER NOT NULL,
    matched INTEGER NOT NULL,         -- pages on which it matched
    first_miss TEXT,                  -- URL of the first page on which it did not
    meant TEXT,                       -- a selector like it that matches there, and how often
    meant_matches INTEGER NOT NULL,
    PRIMARY KEY (run, domain, place, call, selector)
) WITHOUT ROWID;

CREATE TABLE _pages (
    request INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    url TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);

CREATE VIEW runs AS
    SELECT id, spider, state, reason, datetime(started, 'unixepoch') AS started,
        datetime(ended, 'unixepoch') AS ended,
        (SELECT value FROM _counters WHERE run = _runs.id AND name = 'pages') AS pages,
        (SELECT value FROM _counters WHERE run = _runs.id AND name = 'failed') AS failed
    FROM _runs;

CREATE VIEW requests AS
    SELECT r.id, r.run, r.url,
        CASE r.state WHEN 0 THEN 'queued' WHEN 1 THEN 'done' WHEN 2 THEN 'failed' ELSE 'skipped' END AS state,
        r.status, r.kind, r.why, r.callback, r.depth, r.attempts, p.url AS found_on,
        datetime(r.ended, 'unixepoch') AS ended
    FROM _requests r LEFT JOIN _requests p ON p.id = r.parent;

CREATE VIEW errors AS
    SELECT e.id, e.run, r.url, e.kind, e.message, e.place, datetime(e.at, 'unixepoch') AS at
    FROM _errors e LEFT JOIN _requests r ON r.id = e.request;
"""

COMMANDS = """
CREATE TABLE _commands (              -- orders to a running crawl, from other processes
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    what TEXT NOT NULL,               -- stop, …
    argument TEXT NOT NULL,           -- JSON
    at REAL NOT NULL
);
CREATE INDEX _commands_run ON _commands (run, id);
"""

QUALITY = """
CREATE TABLE _columns (               -- what the columns of item tables hold, as their classes declared it last
    "table" TEXT NOT NULL COLLATE NOCASE,
    "column" TEXT NOT NULL COLLATE NOCASE,
    kind TEXT NOT NULL,               -- decimal, datetime, json, …; empty: several
    PRIMARY KEY ("table", "column")
) WITHOUT ROWID;

CREATE TABLE _fill (                  -- how well the columns of item tables were filled
    run INTEGER NOT NULL,
    "table" TEXT NOT NULL,
    "column" TEXT NOT NULL,
    filled INTEGER NOT NULL,          -- rows with a value; counted for tables of plain dicts only
    empty INTEGER NOT NULL,           -- rows without
    url TEXT,                         -- the first page with an empty one, and the place in the code (file:line)
    place TEXT,
    PRIMARY KEY (run, "table", "column")
) WITHOUT ROWID;

CREATE TABLE _visits (                -- pages that `revisit` may spare a later run; across runs
    key BLOB PRIMARY KEY,             -- series and fingerprint
    request INTEGER NOT NULL,         -- the request that stands for it now: its rows are of this one
    run INTEGER NOT NULL,             -- the last run that saw it, fetched or not
    visited REAL NOT NULL,            -- when it was fetched, or found unchanged
    etag TEXT,
    modified TEXT,                    -- its Last-Modified
    links BLOB NOT NULL               -- fingerprints of what it links to, which that run knows
) WITHOUT ROWID;
"""

POLITENESS = """
ALTER TABLE _domains ADD COLUMN away_until REAL NOT NULL DEFAULT 0;   -- a Retry-After nobody waits for
ALTER TABLE _domains ADD COLUMN waits_for TEXT;                       -- why not_before, in words
ALTER TABLE _domains ADD COLUMN pushbacks INTEGER NOT NULL DEFAULT 0; -- 429 and 503 in a row
ALTER TABLE _domains ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;  -- 401 and 403 in a row
ALTER TABLE _domains ADD COLUMN auto_rate REAL;                       -- the adaptive rate, per second
ALTER TABLE _domains ADD COLUMN auto_ceiling REAL;                    -- the rate that was refused last
ALTER TABLE _domains ADD COLUMN auto_why TEXT;
ALTER TABLE _origins ADD COLUMN since REAL NOT NULL DEFAULT 0;
ALTER TABLE _sends ADD COLUMN pace INTEGER;                           -- what was in force: _paces
ALTER TABLE _sends ADD COLUMN hold REAL;                              -- until when a Retry-After asked to wait

CREATE TABLE _paces (
    id INTEGER PRIMARY KEY,
    gap REAL NOT NULL,                -- seconds from send to send
    pause REAL NOT NULL,              -- seconds from the end of a response to the next send
    concurrency INTEGER NOT NULL,
    agent TEXT                        -- whom robots.txt was obeyed as; NULL: not read
);
CREATE UNIQUE INDEX _paces_values ON _paces (gap, pause, concurrency, coalesce(agent, char(0)));

CREATE TABLE _robots (                -- what a robots.txt said before it changed
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    robots TEXT,
    since REAL NOT NULL,
    until REAL NOT NULL
);
CREATE INDEX _robots_origin ON _robots (origin, since);
"""

HISTORY = """
CREATE TABLE _migrations (            -- what was altered: the schema by a newer version, a table by a changed class
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    run INTEGER,                      -- the run that did it; NULL: opening the database, or `scraper migrate`
    what TEXT NOT NULL
);

CREATE TABLE _tables (                -- the item class each table was last written by
    name TEXT PRIMARY KEY COLLATE NOCASE,
    shape TEXT NOT NULL               -- JSON: columns, merge, indexes
) WITHOUT ROWID;

ALTER TABLE _runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
"""


def _history(conn: sqlite3.Connection) -> None:
    """Item tables made before: rows that come back, rows that pages disagree about, and the versions of a row."""
    for table in item_tables(conn):
        for column in ("_back_run", "_conflict_run"):
            conn.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {column} INTEGER")
        keep_history(conn, table)


DIAGNOSIS = """
ALTER TABLE _selectors ADD COLUMN function TEXT NOT NULL DEFAULT '';  -- of the author's, in which it stands
ALTER TABLE _pages ADD COLUMN place TEXT NOT NULL DEFAULT '';         -- where the callback failed on it
CREATE INDEX _errors_request ON _errors (request);
CREATE INDEX _pages_place ON _pages (run, place);
"""

COOKIES = """
CREATE TABLE _cookies (               -- of unfinished runs: working state
    run INTEGER NOT NULL,
    site TEXT NOT NULL,               -- the registrable domain
    domain TEXT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,              -- a secret: `scraper query` shows NULL
    host_only INTEGER NOT NULL,
    secure INTEGER NOT NULL,
    expires REAL,                     -- NULL: with the run
    port INTEGER NOT NULL,            -- 0: any
    PRIMARY KEY (run, site, domain, path, name)
) WITHOUT ROWID;
"""

ZEROES = """
DROP VIEW runs;

CREATE VIEW runs AS                   -- a run without failures has 0 of them
    SELECT id, spider, state, reason, datetime(started, 'unixepoch') AS started,
        datetime(ended, 'unixepoch') AS ended,
        coalesce((SELECT value FROM _counters WHERE run = _runs.id AND name = 'pages'), 0) AS pages,
        coalesce((SELECT value FROM _counters WHERE run = _runs.id AND name = 'failed'), 0) AS failed
    FROM _runs;
"""

CLOCK = """
CREATE TABLE _clock (                 -- stored times are the machine's seconds in this boot plus the offset
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot TEXT NOT NULL,               -- which boot of which machine; empty: it could not be told
    offset REAL NOT NULL,
    seen REAL NOT NULL                -- how far the time has come: no later boot begins before it
);
"""

#: How a run distinguishes URLs (`scraper.core.urls.IDENTITY_VERSION`): one that is under way keeps its way to its end.
IDENTITY = """
ALTER TABLE _runs ADD COLUMN identity_version INTEGER NOT NULL DEFAULT 1;
"""

#: What each schema version adds, oldest first: a new database runs all of them, an older one those it lacks. A
#: step that was published is never changed.
STEPS = (FIRST, COMMANDS, HISTORY, QUALITY, DIAGNOSIS, POLITENESS, COOKIES, ZEROES, CLOCK, IDENTITY)
#: What a step does beside its SQL: to tables whose names only the database knows.
BESIDE: Mapping[str, Callable[[sqlite3.Connection], None]] = {HISTORY: _history}
#: `PRAGMA user_version`: the schema version this code writes.
VERSION = len(STEPS)


def check(conn: sqlite3.Connection, path: str) -> None:
    """See, without changing anything, that a database is ours or empty.

    Raises StoreError for a file of another program or of a newer version.
    """
    version = _version(conn)
    application = conn.execute("PRAGMA application_id").fetchone()[0]
    if application == APPLICATION_ID:
        if version > VERSION:
            raise StoreError(
                f"{path} was written by a newer version (schema {version}, this one knows {VERSION}); "
                "upgrade scraper"
            )
    elif application or version or conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise StoreError(f"{path} is a database of another program; choose another file with --db")


def prepare(conn: sqlite3.Connection, now: float | None = None) -> list[str]:
    """Bring a checked database to `VERSION`: all the steps it lacks in one transaction that records itself.

    `now` is unix seconds, the machine's own if not given. Returns what was done to an older database, in
    sentences.
    """
    if _version(conn) == VERSION:
        return []
    conn.execute("BEGIN IMMEDIATE")
    try:
        before = _version(conn)  # again: another process may have done it meanwhile
        for version in range(before + 1, VERSION + 1):
            for statement in _statements(STEPS[version - 1]):
                conn.execute(statement)
            if (beside := BESIDE.get(STEPS[version - 1])) is not None:
                beside(conn)
        notes = []
        if 0 < before < VERSION:
            notes = [f"the database had schema {before} and has {VERSION} now; nothing was lost"]
            conn.execute(
                "INSERT INTO _migrations (at, what) VALUES (coalesce(?, strftime('%s', 'now')), ?)",
                (now, notes[0]),
            )
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        conn.execute(f"PRAGMA user_version = {VERSION}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return notes


def _version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would end the transaction they are to share."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    assert not statement.strip(), f"a schema step ends in the middle of a statement: {statement}"
