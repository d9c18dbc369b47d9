"""How a visit ends: its one `Done`, made in one place, whatever led there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scraper.core.charsets import TextFault
from scraper.core.models import (
    Cookie,
    Done,
    EarlierVisit,
    Effects,
    ErrorRecord,
    KeptPage,
    Options,
    Outcome,
    PageResult,
    QueuedRequest,
    Send,
    Site,
    Suggestion,
)
from scraper.core.tracebacks import describe, storable
from scraper.engine.collect import Collector
from scraper.page import Page

__all__ = ["Ending", "kept"]

#: Octets of a body that is kept when a callback fails on it.
KEPT = 2 << 20
#: Headers of an answer that may hold a secret are not.
_SECRET = re.compile(r"cookie|auth|token|secret|session|csrf|xsrf|key|credential", re.IGNORECASE)


def kept(page: Page) -> KeptPage | None:
    """A page as it is stored when the callback failed on it; None for one that is too large."""
    if len(page.body) > KEPT:
        return None
    headers = [(n, v) for n, v in page.headers.multi_items() if not _SECRET.search(n)]
    return KeptPage(page.url, page.status, headers, page.body)


class Ending:
    """Makes the `Done` of one visit. `sends`, `cookies`, `hits` and what is counted grow while the visit is under way.

    `counts` are about the request and its links, `page_counts` about the page; `text_fault` is what was wrong with
    its text.

    `place` is where the spider is defined (file:line): it stands in for a place in the author's code; `veiled`
    takes the secrets out of text that is stored for people to read.
    """

    __slots__ = (
        "_place",
        "_veiled",
        "cookies",
        "counts",
        "hits",
        "meant",
        "page_counts",
        "request",
        "sends",
        "text_fault",
    )

    def __init__(self, request: QueuedRequest, place: str, veiled: Callable[[str, Options], str]) -> None:
        self.request = request
        self.sends: list[Send] = []
        self.cookies: list[Cookie] = []
        self.counts: Counter[str] = Counter()
        self.page_counts: dict[str, int] = {}
        self.text_fault: TextFault | None = None
        self.hits: Mapping[Site, bool] = {}
        self.meant: dict[Site, Suggestion] = {}
        self._place = place
        self._veiled = veiled

    @property
    def seed(self) -> str:
        """The seed of the request (`QueuedRequest.seed`)."""
        return self.request.seed

    def note_fault(self, fault: TextFault) -> None:
        """A page, of the visit or fetched in it, could not be read as it should be; the first one is told of."""
        self.text_fault = self.text_fault or fault
        name = "text.unreadable" if fault.declares is None else "text.wrong-header"
        self.page_counts[name] = self.page_counts.get(name, 0) + 1

    def done(
        self,
        outcome: Outcome,
        *,
        url: str = "",
        error: ErrorRecord | None = None,
        request: QueuedRequest | None = None,
        collected: Collector | None = None,
        links: Sequence[QueuedRequest] = (),
    ) -> Done:
        """The visit ended with `outcome`, at `url` when redirects led away from the request's own.

        What a callback yielded is in `collected`; `links` are the requests of it that are to be queued.
        """
        if outcome.why:
            outcome = replace(outcome, why=storable(self._veil(outcome.why)))
        if error is not None:
            error = replace(error, message=self._veil(error.message), detail=self._veil(error.detail))
        if outcome.name == "failed":
            self.counts[f"failed.{outcome.kind}"] += 1
            if outcome.status in {404, 410}:
                self.counts["failed.gone"] += 1
        request = request or self.request
        comes_again = outcome.name == "retry" and error is None
        return Done(
            Effects(request, outcome, links, self.sends, self.cookies, self.counts),
            PageResult(
                request.id,
                request.fingerprint,
                request.domain,
                url or request.url,
                items=collected.rows if collected else (),
                rejected=collected.rejected if collected else (),
                error=error,
                counts=self.page_counts,
                hits={} if comes_again else self.hits,
                meant=self.meant,
            ),
        )

    def _veil(self, text: str) -> str:
        return self._veiled(text, self.request.options)

    def spared(self, outcome: Outcome, earlier: EarlierVisit, links: Sequence[QueuedRequest]) -> Done:
        """The page was not fetched again, or has not changed: the earlier visit counts, and its `links` do."""
        self.counts["not-revisited" if outcome.name == "skipped" else "not-modified"] += 1
        done = self.done(outcome, links=links)
        return replace(done, result=replace(done.result, earlier=earlier))

    def again(self, at: float, kind: str, why: str, status: int | None = None, *, tries: int = 1) -> Done:
        """One more try, not before `at` (unix seconds). `tries` count since the request was queued."""
        tried = replace(self.request, attempts=self.request.attempts + tries)
        return self.done(Outcome.retry(at, kind, why, status), request=tried)

    def broken(self, kind: str, why: str) -> Done:
        """The author's code does not fit the request: no line of it is to blame."""
        return self.done(Outcome.failed(kind, why), error=ErrorRecord(kind, why, self._place))

    def raised(self, error: BaseException, callback: str, place: str, status: int | None) -> Done:
        """A callback raised; `place` is where it is defined."""
        record = describe(error, "callback", callback, place)
        return self.done(Outcome.failed("callback", record.message, status), error=record)

    def misspelt(self, error: BaseException, callback: str, place: str, now: float) -> Done:
        """A selector of the author's is no CSS: no page can do, so this one is queued for after the correction."""
        record = describe(error, "selector", callback, place)
        return self.done(Outcome.retry(now, "selector", record.message), error=record)

    def internal(self, error: Exception) -> Done:
        """A fault of ours that some page brought out: it must not end the crawl of all others."""
        record = describe(error, "internal", self.request.url, self._place)
        return self.done(Outcome.failed("internal", record.message), error=record)
