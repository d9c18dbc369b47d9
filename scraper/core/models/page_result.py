"""What a visit found on its page: items, errors, selectors. It can be stored later, and by another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from scraper.core.models.tables import ItemRow, Rejected

__all__ = ["EarlierVisit", "ErrorRecord", "KeptPage", "PageResult", "Site", "Suggestion", "VisitRecord"]


class Suggestion(NamedTuple):
    """What was probably meant by a selector that matched nothing, and how often that matches on the page."""

    selector: str
    matches: int


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
class VisitRecord:
    """What a later run needs to know of a page in order not to fetch it again.

    `etag` and `modified` (its Last-Modified) are what the page came with. `links` are the fingerprints of what it
    links to, joined; each has 16 bytes.
    """

    etag: str | None
    modified: str | None
    links: bytes = b""


@dataclass(frozen=True, slots=True)
class EarlierVisit:
    """The visit of an earlier run that stands in for this one: its rows count as seen by this run.

    `request` is the request that made it, `visited` when the page was fetched (unix seconds). `visited` is None
    where the site has just said that the page has not changed: then the time of this result counts. `links` are the
    fingerprints of what it links to, as in `VisitRecord`, where they are others than that visit's; else None.
    """

    request: int
    visited: float | None
    links: bytes | None = None


@dataclass(frozen=True, slots=True)
class PageResult:
    """What one visit found. It needs nothing of the queue: `scraper.core.journal` carries it to another process.

    `request`, `fingerprint` and `domain` are those of the request, `url` is where the page was found in the end.
    `counts` are added to the counters of the run. `hits` says of each selector that was asked for whether it
    matched, `meant` what was probably meant by one that did not, and how often that matches. `failed_page` is
    there when the callback failed on it, `visit` when a later run may be spared this page, `earlier` when this
    run was.
    """

    request: int
    fingerprint: bytes
    domain: str
    url: str
    items: Sequence[ItemRow] = ()
    rejected: Sequence[Rejected] = ()
    error: ErrorRecord | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[Site, bool] = field(default_factory=dict)
    meant: Mapping[Site, Suggestion] = field(default_factory=dict)
    failed_page: KeptPage | None = None
    visit: VisitRecord | None = None
    earlier: EarlierVisit | None = None
