"""Whether a page that an earlier run has fetched is fetched again, asked for changes, or left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx

from scraper.core.models import EarlierVisit, Known, Options, QueuedRequest, VisitRecord

__all__ = ["NOT_MODIFIED", "Revisit", "visit_record"]

NOT_MODIFIED = 304
#: A request that has one of these asks a question of its own (RFC 9110, sections 13.1 and 14.2).
CONDITIONAL = frozenset(
    {"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"}
)
#: Longer validators are not kept: nothing real has them.
LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Revisit:
    """The decision for one request, made before anything is sent.

    `tracked`: a visit of it is remembered, as its `revisit` is not "always". `spared`: it is not fetched again.
    """

    policy: str | float
    known: Known | None
    depth: int
    max_depth: int | None

    @classmethod
    def of(cls, request: QueuedRequest, default: str | float, max_depth: int | None) -> Revisit:
        policy = request.options.revisit if request.options.revisit is not None else default
        return cls(policy, request.known if policy != "always" else None, request.depth, max_depth)

    @property
    def tracked(self) -> bool:
        return self.policy != "always"

    def spared(self, now: float) -> bool:
        """Whether the earlier visit is good enough `now`, by the wall clock; one that it dates far ahead is not."""
        if self.known is None:
            return False
        return isinstance(self.policy, str) or abs(now - self.known.visited) < self.policy

    def asking(self, options: Options) -> Options:
        """The options with the question whether the page has changed; as they are where it cannot be asked."""
        known = self.known
        if (
            known is None
            or options.method != "GET"
            or any(n.lower() in CONDITIONAL for n, _ in options.headers)
        ):
            return options
        asked = (("If-None-Match", known.etag), ("If-Modified-Since", known.modified))
        headers = tuple((name, value) for name, value in asked if value is not None)
        return replace(options, headers=(*options.headers, *headers)) if headers else options

    @property
    def deeper(self) -> bool:
        """Whether the links of the page may be followed."""
        return self.max_depth is None or self.depth < self.max_depth

    def earlier(self, *, confirmed: bool) -> EarlierVisit:
        """The visit that stands in for this one; `confirmed`: the site has just said that the page is unchanged."""
        assert self.known is not None
        return EarlierVisit(self.known.request, None if confirmed else self.known.visited)

    def why(self) -> str:
        """Why a page is not fetched again."""
        assert self.known is not None
        policy = f'"{self.policy}"' if isinstance(self.policy, str) else f"{self.policy:g} s"
        return f"seen by run {self.known.run}; revisit is {policy}"


def visit_record(
    url: str, final: str, headers: httpx.Headers, links: Sequence[QueuedRequest]
) -> VisitRecord | None:
    """What to remember of a page, so that a later run may be spared it; None for one that must be fetched again.

    That is one whose links have headers or a body: these are not kept when a request has ended, so it could not
    be asked for again. What is reached over redirects is remembered without validators, as they are of another URL.
    """
    if any(link.options.headers or link.options.body for link in links):
        return None
    fingerprints = b"".join(link.fingerprint for link in links)
    if url != final:
        return VisitRecord(None, None, fingerprints)
    return VisitRecord(_short(headers.get("etag")), _short(headers.get("last-modified")), fingerprints)


def _short(value: str | None) -> str | None:
    """A validator that can be sent back as it came."""
    return value if value and len(value) <= LONGEST and value.isascii() and value.isprintable() else None
