"""What became of a visit: rows, sends, errors, the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from scraper.core.models.cookie import Cookie
from scraper.core.models.limits import Pace
from scraper.core.models.request import Known, QueuedRequest

__all__ = [
    "Column",
    "Completed",
    "Done",
    "ErrorRecord",
    "ItemRow",
    "Kept",
    "KeptPage",
    "Outcome",
    "Rejected",
    "Send",
    "SendKind",
    "Site",
    "Table",
    "Validators",
]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an item table. `type` is an SQLite type name: TEXT, INTEGER, REAL, NUMERIC, BLOB.

    `kind` says what the values are (the words of `scraper.core.codec.value_kinds`): a datetime is TEXT as well.
    """

    name: str
    type: str
    key: bool = False
    required: bool = False
    kind: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """The shape of an item table. `fill` keeps a stored value where the new one is None (`merge="fill"`).

    `open` marks a table of plain dicts, which gains a column for every new key. `indexes` and `unique` are
    tuples of column names.
    """

    name: str
    columns: tuple[Column, ...]
    fill: bool = False
    open: bool = False
    indexes: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One converted item: `values` stand in the order of `table.columns`, in SQLite's own types.

    `place` is file:line of the callback that yielded it.
    """

    table: Table
    values: tuple[Any, ...]
    ordinal: int
    place: str = ""


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
    """One HTTP request that left this machine. Times are unix seconds; `bytes` the body on the wire.

    `pace` is what was in force for the domain; `hold` until when a Retry-After in the answer asked it to wait.
    """

    kind: SendKind
    domain: str
    url: str
    sent: float
    ended: float
    status: int | None
    bytes: int
    pace: Pace | None = None
    hold: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What went wrong on a page, for a person: `place` is file:line in callback, `detail` more lines."""

    kind: str
    message: str
    place: str = ""
    detail: str = ""


#: A place in the author's code that asks for a selector: file, line, function, method, selector.
Site: TypeAlias = tuple[str, int, str, str, str]


@dataclass(frozen=True, slots=True)
class KeptPage:
    """The page a callback failed on, as it came, so that it can be tried again without a network.

    `headers` hold nothing secret.
    """

    url: str
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


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


class Validators(NamedTuple):
    """What a page came with, to be asked for changes later."""

    etag: str | None
    modified: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier visit that is good enough. `asked`: the site said so now; `deeper`: its links may be followed."""

    known: Known
    asked: bool
    deeper: bool


@dataclass(frozen=True, slots=True)
class Done:
    """Everything one visit produced; written in one transaction or not at all.

    `hits` says of each selector that was asked for whether it matched, `meant` what was probably meant by one
    that did not, and how often that matches. `page` is there when the callback failed on it.
    `validators` are there when a later run may be spared this page,
    `kept` when this one was.
    """

    request: QueuedRequest
    outcome: Outcome
    url: str = ""
    items: Sequence[ItemRow] = ()
    rejected: Sequence[Rejected] = ()
    links: Sequence[QueuedRequest] = ()
    sends: Sequence[Send] = ()
    error: ErrorRecord | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[Site, bool] = field(default_factory=dict)
    meant: Mapping[Site, tuple[str, int]] = field(default_factory=dict)
    page: KeptPage | None = None
    validators: Validators | None = None
    kept: Kept | None = None
    cookies: Sequence[Cookie] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of a `Done`. Not `written`: the lease was lost and nothing was stored.

    `due` names the domains that have new work, and from when (unix). `stored` counts item rows by table and
    what they were: new, changed, same, back (it was gone), merged (another page of this run had the key).
    `notes` say how tables were altered for a class that changed.
    """

    written: bool
    due: Mapping[str, float] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
