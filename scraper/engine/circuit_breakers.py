"""When failing is the rule: a callback that fails on every page, a site that refuses everything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from scraper.core.models import Effects
from scraper.politeness import REFUSALS

__all__ = ["FAILURES", "FailFast"]

#: Pages in a row on which a callback may fail before the crawl stops.
FAILURES = 50


class FailFast:
    """Watches how visits end, and remembers what has to be done again once the cause is mended.

    Invariant: `to_requeue` holds failed requests only; whoever ends the run puts them back into the queue, so
    that a resume does exactly the rest. (A misspelt selector needs none of it: its page is never failed.)
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._failing: dict[str, list[int]] = {}
        self._refused: dict[str, deque[int]] = {}
        self.to_requeue: list[int] = []
        self._broken: set[str] = set()

    def watch(self, effects: Effects) -> None:
        """A visit has ended and is committed."""
        outcome = effects.outcome
        if outcome.status in {401, 403}:
            self._refusal(effects)
        elif self._refused and outcome.status not in {None, 429, 503}:
            self._refused.pop(effects.request.domain, None)
        if outcome.name == "failed" and outcome.kind.startswith("callback"):
            self._callback_failed(effects)
        elif self._failing and outcome.name == "ok":
            self._failing.pop(effects.request.options.callback, None)

    def _callback_failed(self, effects: Effects) -> None:
        callback = effects.request.options.callback
        if callback in self._broken:
            self.to_requeue.append(effects.request.id)
            return
        failed = self._failing.setdefault(callback, [])
        failed.append(effects.request.id)
        if len(failed) >= FAILURES:
            self._broken.add(callback)
            self.to_requeue += self._failing.pop(callback)
            self._stop(f"broken callback: {callback} failed on {FAILURES} pages in a row")

    def _refusal(self, effects: Effects) -> None:
        """A 401 or 403. The one that parks its domain is queued again by itself, those before it are not.

        One whose headers or body are cleared by now would be another request: it stays failed.
        """
        domain, options = effects.request.domain, effects.request.options
        if effects.outcome.name == "failed" and not (options.headers or options.body):
            self._refused.setdefault(domain, deque(maxlen=REFUSALS)).append(effects.request.id)
        elif effects.outcome.name == "retry":
            self.to_requeue += self._refused.pop(domain, ())
