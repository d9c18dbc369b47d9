"""The values that travel between the layers: requests, outcomes, leases, rows. Immutable, no behaviour."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import IntEnum
from typing import Any, Literal
from urllib.parse import urlencode

from scraper.typed import encode_arguments

__all__ = [
    "Column",
    "Completed",
    "Done",
    "DomainFacts",
    "DomainLease",
    "ErrorRecord",
    "ItemRow",
    "Limit",
    "Options",
    "OriginFacts",
    "Outcome",
    "Pending",
    "QueuedRequest",
    "Rate",
    "Rejected",
    "Request",
    "Requests",
    "Send",
    "SendKind",
    "State",
    "Table",
]


# ---------------------------------------------------------------------------------------------- politeness


_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second to one domain; `gap` is the least time between two sends, in seconds."""

    per_second: float

    @property
    def gap(self) -> float:
        return 1.0 / self.per_second

    @classmethod
    def parse(cls, value: Rate | str | float | None) -> Rate | None:
        """Read a rate as people write it: "5/s", "30/min", "1000/h", "1/10s", a number per second, None.

        Raises ValueError with the accepted forms.
        """
        if value is None or isinstance(value, Rate):
            return value
        if isinstance(value, str):
            if value.strip().lower() in {"none", "off", "unlimited"}:
                return None
            if match := _RATE.fullmatch(value):
                unit = _UNITS.get(match[3].lower())
                seconds = unit and unit * float(match[2] or 1)
                if seconds and float(match[1]) > 0:
                    return cls(float(match[1]) / seconds)
            elif re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
                return cls.parse(float(value))
        elif not isinstance(value, bool) and 0 < value < float("inf"):
            return cls(float(value))
        raise ValueError(f'not a rate: {value!r}; write "5/s", "30/min", "1000/h", a number per second, or none')

    def __str__(self) -> str:
        for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
            if (amount := self.per_second * seconds) >= 1:
                return f"{amount:g}/{unit}"
        return f"{self.per_second * 86_400:g}/day"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one host or domain gets instead of the spider's own limits; None keeps the spider's."""

    rate: Rate | str | float | None = None
    concurrency: int | None = None
    delay: float | None = None
    robots: bool | None = None


# ---------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything of a request but its URL; shared by all requests of one `follow_all`.

    `args` is the JSON text of the callback's data, already encoded; `accept` holds extra statuses.
    """

    callback: str = "parse"
    args: str | None = None
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    priority: int = 0
    accept: tuple[int, ...] = ()
    errback: str | None = None
    revisit: str | float | None = None
    unique: str | None = None
    vary: tuple[str, ...] = ()
    via: str | None = None
    dont_filter: bool = False


class Request:
    """A page to fetch and the callback that gets it.

    `url` is absolute; `callback` a method of the spider (default `parse`), `args` its keyword arguments
    (JSON types, Decimal, date, datetime, bytes, item classes). `params` are added to the query. One of
    `json`, `form`, `content` makes the body and, with `method` left alone, a POST. Higher `priority` is
    fetched earlier. `accept` lists statuses beyond 2xx the callback wants. `unique` replaces the URL as
    identity, `vary` names headers that belong to it, `dont_filter` fetches even a known URL again.

    Raises TypeError for a callback that cannot be found again by name (a lambda, a closure) or data that
    cannot be stored; the message names callback and argument.
    """

    __slots__ = ("options", "url")
    url: str
    options: Options

    def __init__(
        self,
        url: str,
        callback: Callable[..., Any] | None = None,
        *,
        args: Mapping[str, Any] | None = None,
        method: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        priority: int = 0,
        accept: Iterable[int] = (),
        errback: Callable[..., Any] | None = None,
        revisit: Literal["always", "never"] | timedelta | None = None,
        unique: str | None = None,
        vary: Iterable[str] = (),
        via: str | None = None,
        dont_filter: bool = False,
    ) -> None:
        name = callback_name(callback) if callback is not None else "parse"
        body, content_type = _body(json, form, content)
        pairs = list((headers or {}).items())
        if content_type and not any(k.lower() == "content-type" for k, _ in pairs):
            pairs.append(("Content-Type", content_type))
        self.url = _with_params(url, params)
        self.options = Options(
            callback=name,
            args=encode_arguments(name, args) if args else None,
            method=(method or ("POST" if body or form is not None else "GET")).upper(),
            headers=tuple(pairs),
            body=body,
            priority=priority,
            accept=tuple(accept),
            errback=callback_name(errback) if errback is not None else None,
            revisit=revisit.total_seconds() if isinstance(revisit, timedelta) else revisit,
            unique=unique,
            vary=tuple(vary),
            via=via,
            dont_filter=dont_filter,
        )

    @classmethod
    def of(cls, url: str, options: Options) -> Request:
        """A request that shares `options` with others: no checking, no copying."""
        request = cls.__new__(cls)
        request.url, request.options = url, options
        return request

    def __repr__(self) -> str:
        return f"<Request {self.options.method} {self.url} → {self.options.callback}>"


class Requests(list[Request]):
    """What `follow` and `follow_all` return: a list, maybe empty, that can be yielded as it is."""

    def options(
        self,
        *,
        priority: int | None = None,
        headers: Mapping[str, str] | None = None,
        errback: Callable[..., Any] | None = None,
        accept: Iterable[int] | None = None,
        revisit: Literal["always", "never"] | timedelta | None = None,
        via: str | None = None,
        dont_filter: bool | None = None,
    ) -> Requests:
        """The same requests with these options changed; what is not named stays."""
        changes: dict[str, Any] = {"priority": priority, "via": via, "dont_filter": dont_filter}
        changes["headers"] = tuple(headers.items()) if headers is not None else None
        changes["accept"] = tuple(accept) if accept is not None else None
        changes["errback"] = callback_name(errback) if errback is not None else None
        changes["revisit"] = revisit.total_seconds() if isinstance(revisit, timedelta) else revisit
        changes = {key: value for key, value in changes.items() if value is not None}
        made: dict[int, Options] = {}
        for request in self:
            if id(request.options) not in made:
                made[id(request.options)] = replace(request.options, **changes)
        return Requests(Request.of(r.url, made[id(r.options)]) for r in self)


def callback_name(callback: Callable[..., Any]) -> str:
    """The name under which a callback is stored and found again: a method of the spider."""
    name = getattr(callback, "__name__", "")
    if getattr(callback, "__self__", None) is None or not name.isidentifier():
        raise TypeError(
            f"{name or callback!r} cannot be a callback: it is stored by name and found again after a restart, "
            "so it must be a method of the spider, like self.parse_book; pass data as keyword arguments"
        )
    return name


def _body(json: Any, form: Mapping[str, Any] | None, content: bytes | str | None) -> tuple[bytes, str]:
    if sum(x is not None for x in (json, form, content)) > 1:
        raise TypeError("a request has one body: give json, form or content, not several")
    if json is not None:
        return jsonlib.dumps(json, separators=(",", ":")).encode(), "application/json"
    if form is not None:
        return urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return content or b"", ""


def _with_params(url: str, params: Mapping[str, Any] | None) -> str:
    if not params:
        return url
    head, mark, fragment = url.partition("#")
    return f"{head}{'&' if '?' in head else '?'}{urlencode(params, doseq=True)}{mark}{fragment}"


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request as the frontier holds it.

    `id` is 0 until stored. `seed` holds the `host:port` of the start URL it descends from (several, with a
    space between, when the start was redirected): what scope compares. `attempts` counts the tries that
    failed and may be repeated; `not_before` is a unix time in seconds, 0 for at once.
    """

    url: str
    fingerprint: bytes
    domain: str
    options: Options
    id: int = 0
    depth: int = 0
    hops: int = 0
    attempts: int = 0
    parent: int | None = None
    seed: str = ""
    not_before: float = 0.0


class State(IntEnum):
    """Where a stored request stands. A taken one is still QUEUED: taking is a lease, not a state."""

    QUEUED = 0
    DONE = 1
    FAILED = 2
    SKIPPED = 3


# ---------------------------------------------------------------------------------------------- leases


@dataclass(frozen=True, slots=True)
class OriginFacts:
    """What is known of an origin's robots.txt: its text (None: none applies), and until when (unix)."""

    origin: str
    robots: str | None
    expires: float
    status: int | None = None


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """Politeness state of a domain that must survive a restart. Times are unix seconds.

    `used_until`: up to when an owner may have sent to it (its last send, or the end of its lease);
    `not_before`: what Retry-After or backoff asked for; `parked`: why nothing is sent any more.
    """

    used_until: float = 0.0
    not_before: float = 0.0
    crawl_delay: float | None = None
    parked: str | None = None
    origins: tuple[OriginFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class DomainLease:
    """The right to send to one domain, until `expires` (unix), fenced by `epoch`.

    Every write under the lease names the epoch; once another owner took the domain the epoch is higher and
    the write does nothing. `requests` were claimed together with the domain.
    """

    domain: str
    epoch: int
    owner: str
    expires: float
    facts: DomainFacts = field(default_factory=DomainFacts)
    requests: tuple[QueuedRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """What is left. `queued` counts requests not ended (taken ones included), `taken` those under a lease.

    `next_due` is the unix time at which some domain can be claimed next, None when none ever can (all
    parked, or nothing queued); `spent` says the budget allows no further page.
    """

    queued: int
    taken: int
    next_due: float | None
    seeded: bool
    spent: bool = False


# ---------------------------------------------------------------------------------------------- results


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an item table. `type` is an SQLite type name: TEXT, INTEGER, REAL, NUMERIC, BLOB."""

    name: str
    type: str
    key: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The shape of an item table. `fill` keeps a stored value where the new one is None (`merge="fill"`).

    `open` marks a table of plain dicts, which gains a column for every new key.
    """

    name: str
    columns: tuple[Column, ...]
    fill: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One converted item: `values` stand in the order of `table.columns`, in SQLite's own types."""

    table: Table
    values: tuple[Any, ...]
    ordinal: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that could not be stored, and why. `place` is file:line of the callback that yielded it."""

    table: str
    reason: str
    item: str
    place: str = ""


SendKind = Literal["page", "redirect", "robots", "sub", "sitemap"]


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP request that left this machine. Times are unix seconds; `bytes` the body on the wire."""

    kind: SendKind
    domain: str
    url: str
    sent: float
    ended: float
    status: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What went wrong on a page, for a person: `place` is file:line in callback, `detail` more lines."""

    kind: str
    message: str
    place: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a visit ended. Build it with the class methods; there are five ways and no other."""

    name: Literal["ok", "retry", "failed", "skipped", "moved"]
    kind: str = ""
    why: str = ""
    status: int | None = None
    at: float = 0.0
    to: QueuedRequest | None = None

    @classmethod
    def ok(cls, status: int) -> Outcome:
        return cls("ok", status=status)

    @classmethod
    def retry(cls, at: float, kind: str, why: str, status: int | None = None) -> Outcome:
        """Queued again, not before `at` (unix seconds)."""
        return cls("retry", kind, why, status, at)

    @classmethod
    def failed(cls, kind: str, why: str, status: int | None = None) -> Outcome:
        return cls("failed", kind, why, status)

    @classmethod
    def skipped(cls, kind: str, why: str, status: int | None = None) -> Outcome:
        return cls("skipped", kind, why, status)

    @classmethod
    def moved(cls, to: QueuedRequest, status: int | None = None) -> Outcome:
        """A redirect to another domain: `to` is queued in the same transaction."""
        return cls("moved", "redirect", to.url, status, to=to)


@dataclass(frozen=True, slots=True)
class Done:
    """Everything one visit produced; written in one transaction or not at all."""

    request: QueuedRequest
    outcome: Outcome
    url: str = ""
    items: Sequence[ItemRow] = ()
    rejected: Sequence[Rejected] = ()
    links: Sequence[QueuedRequest] = ()
    sends: Sequence[Send] = ()
    error: ErrorRecord | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of a `Done`. Not `written`: the lease was lost and nothing was stored.

    `due` names the domains that have new work, and from when (unix). `stored` counts item rows by table and
    what they were: new, changed, same, merged (another page of this run had the key).
    """

    written: bool
    due: Mapping[str, float] = field(default_factory=dict)
    known: Sequence[QueuedRequest] = ()
    stored: Mapping[str, int] = field(default_factory=dict)
