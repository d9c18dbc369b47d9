"""From a request an author yields to one the frontier can hold: absolute, in scope, with its keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from scraper.core.models import Options, QueuedRequest, Request
from scraper.core.timing import timed
from scraper.core.urls import IDENTITY_VERSION, Parts, fingerprint_of_version
from scraper.engine.traps import is_endless
from scraper.errors import FetchError
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.spider.scope import check_url, in_scope, start_of

__all__ = ["Links", "Redirect", "is_plain"]

#: Links known to be stored, kept in front of the database; a power of two.
PROVED = 32_768
#: Links after which other tasks get a turn; about 10 ms.
BREATH = 500


class Links:
    """Scope, identity and politeness key of requests; and what is already known to be queued.

    Invariant: `_proved` holds only what a committed transaction stored: the URL as normalized and the seeds it
    was in scope of, with a depth and priority given; a link that would improve on them still goes to the
    database. Only requests whose URL alone is their identity are held.
    """

    def __init__(
        self, settings: Settings, politeness: Politeness, identity_version: int = IDENTITY_VERSION
    ) -> None:
        """`identity_version` is the run's (`scraper.core.urls.IDENTITY_VERSION`)."""
        self._settings = settings
        self._fingerprint = fingerprint_of_version(identity_version)
        self._former = fingerprint_of_version(1)
        self._politeness = politeness
        self._ignored = frozenset(name.lower() for name in settings.ignore_params)
        self._proved = _Proved()

    def seed(self, request: Request, ordinal: int = 0) -> QueuedRequest:
        """A start request. Raises FetchError `bad-url` or `unsupported-scheme`, saying what was expected."""
        url, parts = self.check(request.url)
        return self._queued(request, url, parts, _salt(request, b"", ordinal), _Descent(start_of(parts)))

    def check(self, url: str) -> tuple[str, Parts]:
        """A URL normalized and cut. Raises FetchError when it is none this crawler can fetch."""
        return check_url(url, self._settings.max_url)

    @timed("links")
    async def follow(
        self, requests: Iterable[Request], parent: QueuedRequest, counts: Counter[str], *, every: bool = False
    ) -> list[QueuedRequest]:
        """The requests a page yielded that are to be queued; what is left out is counted, never an error.

        Those known to be queued are left out too, but for `every`. A page of very many links lets other tasks
        run in between.
        """
        depth = parent.depth + 1
        descent = _Descent(parent.seed, depth, parent.id)
        too_deep = self._settings.max_depth is not None and depth > self._settings.max_depth
        queued: dict[bytes, QueuedRequest] = {}
        options, plain = None, False
        for ordinal, request in enumerate(requests):
            if ordinal % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if request.options is not options:  # those of one follow_all share theirs
                options = request.options
                plain = not every and is_plain(options)
            if plain and self._proved.holds(request.url, parent.seed, depth, options.priority):
                continue
            try:
                url, parts = self.check(request.url)
            except FetchError as error:
                counts[f"links.{error.kind}"] += 1
                continue
            if not self.in_scope(parts, parent.seed):
                counts["links.out-of-scope"] += 1
            elif too_deep:
                counts["links.too-deep"] += 1
            elif is_endless(parts.path, self._settings.max_path_depth, self._settings.max_repetitions):
                counts["links.trap"] += 1
            else:
                salt = _salt(request, parent.fingerprint, ordinal)
                link = self._queued(request, url, parts, salt, descent)
                if self._is_better(queued.get(link.fingerprint), link):
                    queued[link.fingerprint] = link
        return list(queued.values())

    def target(self, request: QueuedRequest, hop: Redirect, *, salted: bool = False) -> QueuedRequest:
        """The request for what `request` redirects to: same callback, data and depth, its own identity by URL.

        A start URL that redirects takes its target into scope. `salted` makes a request that no other equals, for a
        target that must be fetched although its URL is known.
        """
        seed = request.seed if request.depth else f"{request.seed} {hop.parts.netloc}".strip()
        salt = f"{request.fingerprint.hex()}:moved" if salted or not is_plain(hop.options) else ""
        descent = _Descent(seed, request.depth, request.id)
        made = self._queued(Request.of(hop.url, hop.options), hop.url, hop.parts, salt, descent)
        return replace(made, hops=request.hops + 1)

    def renewed(self, links: Sequence[QueuedRequest]) -> list[QueuedRequest]:
        """Links that an earlier run stored, with the fingerprints that this run gives them."""
        return [self._renewed(link) if "%" in link.url and is_plain(link.options) else link for link in links]

    def _renewed(self, link: QueuedRequest) -> QueuedRequest:
        key = self._fingerprint(link.url, ignore_params=self._ignored)
        return link if key == link.fingerprint else replace(link, fingerprint=key, former=link.fingerprint)

    def in_scope(self, parts: Parts, seeds: str) -> bool:
        """Whether a link may be followed by a request that descends from `seeds`."""
        return in_scope(self._settings, parts, seeds)

    def proved(self, stored: Sequence[QueuedRequest]) -> None:
        """These are in the database now; of very many, those that would be remembered."""
        for request in stored[-PROVED:]:
            if is_plain(request.options):
                self._proved.add(request.url, request.seed, request.depth, request.options.priority)

    @staticmethod
    def _is_better(before: QueuedRequest | None, link: QueuedRequest) -> bool:
        return before is None or before.options.priority < link.options.priority

    def _queued(
        self,
        request: Request,
        url: str,
        parts: Parts,
        salt: str,
        descent: _Descent,
    ) -> QueuedRequest:
        options = request.options
        vary: tuple[tuple[str, str], ...] = ()
        if options.vary:
            wanted = {name.lower() for name in options.vary}
            vary = tuple(sorted((n.lower(), v) for n, v in options.headers if n.lower() in wanted))
        if options.unique is not None:  # what an author writes is taken as it is written
            key = former = self._former(
                f"unique:{options.unique}", options.method, options.body, vary, self._ignored, salt
            )
        else:
            key = former = self._fingerprint(url, options.method, options.body, vary, self._ignored, salt)
            if "%" in url and not salt:
                former = self._former(url, options.method, options.body, vary, self._ignored)
        return QueuedRequest(
            url, key, self._politeness.key(parts.host), options, depth=descent.depth, parent=descent.parent,
            seed=descent.seed, former=b"" if former == key else former,
        )  # fmt: skip


class Redirect(Protocol):
    """Where a redirect leads: a normalized URL, its parts, and the options it is asked for with."""

    @property
    def url(self) -> str: ...
    @property
    def parts(self) -> Parts: ...
    @property
    def options(self) -> Options: ...


class _Descent(NamedTuple):
    """Where a request comes from: the seed it descends from, its depth, and the request that led to it."""

    seed: str
    depth: int = 0
    parent: int | None = None


class _Proved:
    """Links with the depth and priority they are stored with. Exact: what it holds is true, but it forgets.

    A table of fixed size in which the hash of a link says which two places may hold it; where both are taken, a later
    link takes the first. A dict that drops its oldest is made anew every so often, megabytes at once, and the heap is
    left with holes.
    """

    def __init__(self) -> None:
        self._places: list[tuple[str, str, int, int] | None] = [None] * PROVED

    def add(self, url: str, seed: str, depth: int, priority: int) -> None:
        """A link is stored."""
        first, second = _places_of(url, seed)
        places = self._places
        if not _is_free(places[first], url, seed) and _is_free(places[second], url, seed):
            first = second
        places[first] = (url, seed, depth, priority)

    def holds(self, url: str, seed: str, depth: int, priority: int) -> bool:
        """Whether a link is stored, with no greater depth and no smaller priority."""
        for place in _places_of(url, seed):
            known = self._places[place]
            if known is not None and known[0] == url and known[1] == seed:
                return known[2] <= depth and known[3] >= priority
        return False


def _places_of(url: str, seed: str) -> tuple[int, int]:
    number = hash((url, seed))
    return number & (PROVED - 1), (number >> 20) & (PROVED - 1)


def _is_free(known: tuple[str, str, int, int] | None, url: str, seed: str) -> bool:
    return known is None or (known[0] == url and known[1] == seed)


def is_plain(options: Options) -> bool:
    """Whether the URL alone is the identity of a request."""
    return (
        options.method == "GET" and not options.unique and not options.vary and not options.body
        and not options.dont_filter
    )  # fmt: skip


def _salt(request: Request, parent: bytes, ordinal: int) -> str:
    return f"{parent.hex()}:{ordinal}" if request.options.dont_filter else ""
