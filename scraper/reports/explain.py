"""Why a URL was fetched, skipped or retried in a run, or never queued: worked out from what the run stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from scraper.core.clock import iso
from scraper.core.models import OriginFacts
from scraper.core.urls import fingerprint_of_version, split
from scraper.errors import FetchError
from scraper.net.robots import Rules
from scraper.politeness import down_since
from scraper.settings import Settings
from scraper.spider.scope import check_url, in_scope
from scraper.store.file.stored_time import read_time
from scraper.store.queue.runs import Run, counters, identity_version, run_of

__all__ = ["Attempt", "Explanation", "explain"]

_STATES = ("queued", "done", "failed", "skipped")
#: Seeds compared with a URL at most.
SEEDS = 10_000
#: Other runs that are looked into for a URL.
RUNS = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent. Times are unix seconds of the machine's clock.

    `url` is empty where it is the request's own.
    """

    kind: str
    url: str
    sent: float
    seconds: float
    status: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a URL: a word, why, everything else worth a line, and what was sent.

    `state` is queued, done, failed, skipped, or "never queued".
    """

    url: str
    state: str
    reason: str
    notes: Sequence[str] = ()
    attempts: Sequence[Attempt] = ()


def explain(
    conn: sqlite3.Connection, run: Run, url: str, settings: Settings, agent: str, now: float
) -> Explanation:
    """What became of `url` in a run that had these settings.

    `agent` is its User-Agent, `now` unix seconds by the wall clock.
    """
    try:
        normal, _ = check_url(url, settings.max_url)
    except FetchError as error:
        return Explanation(url, "never queued", str(error))
    known = conn.execute(
        "SELECT id FROM _requests WHERE run = ? AND url = ? ORDER BY id LIMIT 1", (run.id, normal)
    ).fetchone()
    same = (
        known
        or conn.execute(
            "SELECT id FROM _requests WHERE run = ? AND fingerprint = ?",
            (run.id, _fingerprint(conn, run, normal, settings)),
        ).fetchone()
    )
    if same is None:
        return _never(conn, run, normal, settings, agent)
    found = _queued(conn, run, same[0], settings, agent, now)
    if found.url == url:
        return found
    why = "the same page: the query is sorted, the fragment dropped, percent-encodings spelled alike"
    if settings.ignore_params:
        why += f", ignore_params left out ({', '.join(sorted(settings.ignore_params))})"
    return Explanation(
        found.url, found.state, found.reason, [f"{url} is {why}", *found.notes], found.attempts
    )


def _fingerprint(conn: sqlite3.Connection, run: Run, url: str, settings: Settings) -> bytes:
    """What the run knows a plain request for a URL by."""
    made = fingerprint_of_version(identity_version(conn, run.id))
    return made(url, ignore_params=frozenset(name.lower() for name in settings.ignore_params))


# ------------------------------------------------------------------------------------------- it was queued


def _queued(
    conn: sqlite3.Connection, run: Run, request: int, settings: Settings, agent: str, now: float
) -> Explanation:
    row = conn.execute(
        "SELECT r.url, r.state, r.kind, r.why, p.url, r.depth, r.callback, r.attempts, r.not_before, r.priority,"
        " r.domain, r.hops FROM _requests r LEFT JOIN _requests p ON p.id = r.parent WHERE r.id = ?",
        (request,),
    ).fetchone()
    url, state, kind, why, parent, depth, callback, attempts, not_before, priority, domain, hops = row
    led = "redirected to by" if hops else "found on"
    notes = [f"{led} {parent or 'the start'}, depth {depth}, for {callback}"]
    if priority:
        notes[0] += f", priority {priority}"
    if attempts:
        again = f" and may be repeated: {why or kind}" if state == 0 else _failures(conn, request)
        notes.append(f"{attempts} of its tries failed{again}")
    if kind == "robots" and (rule := _rule(conn, url, agent)):
        notes.append(rule)
    if kind == "redirect":
        notes.append(_after_redirect(conn, request))
    place = conn.execute(
        "SELECT place FROM _errors WHERE request = ? ORDER BY id DESC LIMIT 1", (request,)
    ).fetchone()
    if place is not None and state != 1:
        notes.append(f"at {place[0]}")
    told = _told(kind, why)
    if state == 0:
        told = _waiting(conn, run, domain, not_before, settings, now) + (f" (last: {told})" if told else "")
    elif kind == "redirect":
        told = f"redirects to {why}"
    return Explanation(url, _STATES[state], told, notes, _attempts(conn, request))


def _failures(conn: sqlite3.Connection, request: int) -> str:
    """How the tries of a request failed: the outcome that is stored with it is that of the last one."""
    rows = conn.execute(
        "SELECT DISTINCT status FROM _sends WHERE request = ? AND kind <> 'robots'"
        " AND (status IS NULL OR status >= 400) ORDER BY id",
        (request,),
    )
    told = [f"HTTP {status}" if status is not None else "no answer" for (status,) in rows]
    return f": {', '.join(told)}" if told else ""


def _told(kind: str | None, why: str | None) -> str:
    """A kind of failure and what was said, on one line; HTTP 404 says its kind itself."""
    first = (why or "").partition("\n")[0]
    return first if kind == "http" else ": ".join(part for part in (kind, first) if part)


def _after_redirect(conn: sqlite3.Connection, request: int) -> str:
    row = conn.execute(
        "SELECT url, state, why FROM _requests WHERE parent = ? AND hops > 0 LIMIT 1", (request,)
    ).fetchone()
    if row is None:
        return "the page it leads to was known already"
    return f"then {row[0]}: {_STATES[row[1]]}{' ' + row[2] if row[2] else ''}"


def _waiting(
    conn: sqlite3.Connection, run: Run, domain: int, not_before: float, settings: Settings, now: float
) -> str:
    """Why a queued request has not been fetched yet: the first thing that holds it."""
    (parked,) = conn.execute(
        "SELECT parked FROM _queues WHERE run = ? AND domain = ?", (run.id, domain)
    ).fetchone() or (None,)
    hold, cause = _hold(conn, domain)
    counted = counters(conn, run.id)
    if parked:
        return f"its domain is parked: {parked}"
    if settings.max_pages is not None and counted.get("pages", 0) >= settings.max_pages:
        return f"the budget is spent: max_pages {settings.max_pages}"
    if run.state == "stopped":
        return f"the run stopped before its turn: {run.reason or 'stopped'}"
    if run.state != "running":
        return f"the run ended before its turn: {run.reason or run.state}"
    moment = read_time(conn, now)
    if max(not_before, hold) > moment.now:
        until = f"not before {iso(moment.shown(max(not_before, hold)))}"
        if hold <= moment.now or not cause:
            return until
        if down_since(cause) is not None:
            return f"its domain is {cause}; {until}"
        return f"its domain waits ({cause}); {until}"
    if down_since(cause) is not None:  # it is being tried, or its crawl died
        return f"its domain is {cause}"
    return f"waits for its turn among {counted.get('queued', 0)} that are queued"


def _hold(conn: sqlite3.Connection, domain: int) -> tuple[float, str]:
    """Until when nothing is sent to a domain, and why; an older version wrote no reason."""
    columns = {name for (name,) in conn.execute("SELECT name FROM pragma_table_info('_domains')")}
    why = "coalesce(waits_for, '')" if "waits_for" in columns else "''"
    return conn.execute(
        f"SELECT not_before, {why} FROM _domains WHERE id = ?",  # noqa: S608 - constant texts
        (domain,),
    ).fetchone() or (0.0, "")


def _attempts(conn: sqlite3.Connection, request: int) -> list[Attempt]:
    rows = conn.execute(
        "SELECT kind, coalesce(url, ''), sent, ended - sent, status, bytes FROM _sends WHERE request = ? ORDER BY id",
        (request,),
    )
    return [Attempt(*row) for row in rows]


# ------------------------------------------------------------------------------------------- it never was


def _never(conn: sqlite3.Connection, run: Run, url: str, settings: Settings, agent: str) -> Explanation:
    """The one reason why a URL was not queued, as far as the run tells."""
    notes = _elsewhere(conn, run, url, settings)
    if settings.robots:
        notes += _robots(conn, url, agent)
    hop = conn.execute(
        "SELECT r.url FROM _sends s JOIN _requests r ON r.id = s.request WHERE s.run = ? AND s.url = ? LIMIT 1",
        (run.id, url),
    ).fetchone()
    if hop is not None:
        return Explanation(
            url, "never queued", f"it was fetched on the way from {hop[0]}, which led there", notes
        )
    if (outside := _outside(conn, run, url, settings)) is not None:
        return Explanation(url, "never queued", outside, notes)
    counted = counters(conn, run.id)
    deep = counted.get("links.too-deep", 0)
    if deep and settings.max_depth is not None:
        why = (
            f"no page down to max_depth {settings.max_depth} gave it; {deep} links were left out as too deep"
        )
    elif queued := counted.get("queued", 0):
        why = f"no page fetched so far gave it; {queued} are still queued"
    else:
        why = f"in scope, but no callback gave it on any of {counted.get('parsed', 0)} pages"
    return Explanation(url, "never queued", why, notes)


def _outside(conn: sqlite3.Connection, run: Run, url: str, settings: Settings) -> str | None:
    parts = split(url)
    seeds = [
        seed
        for (seed,) in conn.execute(
            "SELECT DISTINCT replace(replace(seed, 'https://', ''), 'http://', '') FROM _requests"
            " WHERE run = ? AND depth = 0 LIMIT ?",
            (run.id, SEEDS),
        )
    ]
    if any(in_scope(settings, parts, seed) for seed in seeds):
        return None
    told = ", ".join(sorted(settings.allowed) if settings.scope == "listed" else seeds[:3])
    more = f" and {len(seeds) - 3} more" if settings.scope != "listed" and len(seeds) > 3 else ""
    return f'out of scope: {parts.netloc} with scope = "{settings.scope}" of {told or "nothing"}{more}'


def _elsewhere(conn: sqlite3.Connection, run: Run, url: str, settings: Settings) -> list[str]:
    """The newest other run that knows the URL."""
    others = conn.execute("SELECT id FROM _runs WHERE id <> ? ORDER BY id DESC LIMIT ?", (run.id, RUNS))
    for other in [run_of(conn, number) for (number,) in others.fetchall()]:
        found = conn.execute(
            "SELECT state, ended FROM _requests WHERE run = ? AND fingerprint = ?",
            (other.id, _fingerprint(conn, other, url, settings)),
        ).fetchone()
        if found is not None:
            state, ended = found
            at = f" at {iso(ended)}" if ended else ""
            return [f"run {other.id} has it: {_STATES[state]}{at}; see --run {other.id}"]
    return []


def _robots(conn: sqlite3.Connection, url: str, agent: str) -> list[str]:
    """Whether the robots.txt that was read would have forbidden it, and by which rule."""
    rules = _rules(conn, url)
    if rules is None or rules.allows(url, agent):
        return []
    by = f": {rule}" if (rule := rules.forbidding(url, agent)) else ""
    return [f"robots.txt of {rules.facts.origin} does not allow it either{by}"]


def _rule(conn: sqlite3.Connection, url: str, agent: str) -> str:
    """The rule of the robots.txt as it was read last; "" where it has none against the URL."""
    rules = _rules(conn, url)
    rule = rules.forbidding(url, agent) if rules is not None else ""
    return f"forbidden by {rule}" if rule else ""


def _rules(conn: sqlite3.Connection, url: str) -> Rules | None:
    origin = split(url).origin
    row = conn.execute("SELECT robots, status FROM _origins WHERE origin = ?", (origin,)).fetchone()
    return None if row is None else Rules(OriginFacts(origin, row[0], 0.0, row[1]))
