"""From a page to what is stored of it: the callback is run, and whatever it does becomes the one outcome of its visit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from scraper.core.codec import decode_arguments
from scraper.core.machine_limits import FILE_OR_THREAD_ERRNOS, limit_errno
from scraper.core.models import Done, Options, Outcome, Request
from scraper.core.tracebacks import forget, stands_in_source
from scraper.engine.callbacks import (
    BLOCKED,
    Call,
    OutOfTime,
    Unfit,
    Watch,
    call_with,
    is_async,
    only_error,
    place_of,
)
from scraper.engine.collect import Collector
from scraper.engine.context import Reading, Sending
from scraper.engine.domain_scheduler import Lane
from scraper.engine.revisit import Revisit, visit_record
from scraper.engine.sending import BEFORE_ASKED, LeaseLost
from scraper.engine.traps import DEEP
from scraper.engine.visit_ending import Ending
from scraper.engine.visit_services import Control
from scraper.errors import BadSelector, Blocked, FetchError, Retry, Skip, Stop, StoreError, Verdict
from scraper.page import Page, document_of
from scraper.spider import Spider

__all__ = ["Judge"]


@dataclass(slots=True)
class Judge:
    """Runs the callback or errback of one visit and makes its `Done`.

    `large`: a callback of the visit went through a page so large that the garbage collector rests (`CallbackThread`).
    """

    sending: Sending
    reading: Reading
    control: Control
    lane: Lane
    ending: Ending
    revisit: Revisit
    large: bool = False

    async def parse(self, page: Page) -> Done:
        """Run the callback; all it yielded is stored with the page, or nothing."""
        options = self.ending.request.options
        function = self.reading.definition.callbacks.get(options.callback)
        if function is None:
            return self.ending.broken(
                "callback-missing", f"the spider has no callback {options.callback!r} any more"
            )
        try:
            data = self._data(options)
        except (TypeError, ValueError) as error:
            return self.ending.broken("callback-args", f"{options.callback}: {error}")
        large = await self.reading.parsing.ready(page, self.lane.name)
        self.ending.page_counts["parsed"] = 1

        def call() -> Any:
            self.reading.spider.check(page)
            return call_with(function, self.reading.spider, page, data)

        collector = Collector(
            self.reading.items, options.callback, self.sending.common.settings.max_yield, page.url
        )
        document = document_of(page)
        self.ending.hits = document.hits
        done = await self._judge(call, function, collector, Outcome.ok(page.status), large)
        self.ending.counts.update(document.counts)
        self.ending.meant.update(self.reading.suggestions.of(page))
        effects = done.effects
        if self.revisit.tracked and effects.outcome.name == "ok" and 200 <= page.status < 300:
            record = visit_record(self.ending.request.url, page.url, page.headers, effects.links)
            return replace(done, result=replace(done.result, visit=record))
        return done

    def _data(self, options: Options) -> dict[str, Any]:
        if options.args is None:
            return {}
        return decode_arguments(options.args, self.reading.definition.parameters(options.callback))

    async def _judge(
        self,
        call: Callable[[], Any],
        function: Callable[..., Any],
        collector: Collector,
        good: Outcome,
        large: bool,
    ) -> Done:
        """Run a callback or errback and turn what it does into the outcome. One place, one kind each.

        With a `large` page a plain one runs in a thread; what is async has its awaits to let others go on.
        """
        place, watch = place_of(function), Watch(self.sending.common.clock.mono)
        if large and not self.large:
            self.large = True
            self.reading.thread.rest()
        try:
            limit = self.sending.common.settings.callback_timeout
            running = Call(call, place, limit, in_thread=large and not is_async(function))
            await running.run(collector, watch, self.reading.thread)
        except (LeaseLost, StoreError, KeyboardInterrupt):
            raise
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise  # we are cancelled, not something the callback waited for
            return self.ending.raised(error, collector.name, place, good.status)
        except BaseException as error:
            try:
                return await self._chosen(only_error(error), collector, good, place)
            finally:
                forget(error)
        finally:
            if not is_async(function):
                self.control.parsed(watch.longest)
            if watch.longest >= BLOCKED:
                self.sending.common.notices.warn_once(
                    f"blocked {collector.name}",
                    f"callback {collector.name} blocked the loop for {watch.longest:.1f} s: use asyncio.to_thread",
                )
        links = await self.reading.links.follow(
            collector.requests, self.ending.request, self.ending.counts, every=self.revisit.tracked
        )
        self._warn_of_traps()
        return self.ending.done(good, url=collector.url, collected=collector, links=links)

    def _warn_of_traps(self) -> None:
        common, domain = self.sending.common, self.lane.name
        if self.ending.counts["links.trap"]:
            common.notices.warn_once(
                "trap",
                f"{domain}: links with long or repeating paths are left out (max_path_depth, max_repetitions)",
            )
        unbounded = common.settings.max_depth is None and common.settings.max_pages_per_domain is None
        if self.ending.request.depth >= DEEP and unbounded:
            common.notices.warn_once(
                f"deep {domain}",
                f"{domain}: {DEEP} steps from the start; if it has no end, set max_depth or max_pages_per_domain",
            )

    async def _chosen(self, error: BaseException, collector: Collector, good: Outcome, place: str) -> Done:
        """The outcome of what a callback raised: it chose one, a fetch in it failed, or it is broken."""
        if isinstance(error, Verdict):
            return await self._verdict(error, good)
        if isinstance(error, FetchError):
            if good.name == "failed" and error.kind != "machine":
                return self.ending.done(Outcome.failed(error.kind, str(error), error.status))
            return await self.not_fetched(error, sub=True)
        if limit_errno(error) in FILE_OR_THREAD_ERRNOS:
            return self.short_of(error)
        if isinstance(error, Unfit):
            return self.ending.broken("callback-args", f"{collector.name}: {error}")
        if isinstance(error, OutOfTime):
            limit = self.sending.common.settings.callback_timeout
            return self.ending.broken(
                "callback-timeout", f"{collector.name} did not end within {limit:g} s (callback_timeout)"
            )
        if isinstance(error, BadSelector) and stands_in_source(error.__traceback__, error.selector):
            done = self.ending.misspelt(error, collector.name, place, self.sending.common.clock.unix())
            self.control.stop(f"bad selector in {collector.name}")
            return done
        return self.ending.raised(error, collector.name, place, good.status)

    async def _verdict(self, verdict: Verdict, good: Outcome) -> Done:
        """The outcome a callback chose; `good` is what it would have been (failed for an errback)."""
        now = self.sending.common.clock.unix()
        match verdict:
            case Skip():
                return self.ending.done(Outcome.skipped("skip", verdict.why))
            case Retry():
                backoff = self.sending.retry.backoff(self.ending.request.attempts + 1)
                if backoff is None:
                    error = FetchError("callback", f"retried too often: {verdict.why}")
                    if good.name == "failed":
                        return self.ending.done(Outcome.failed(error.kind, str(error)))
                    return await self._finally_failed(error)
                wait = backoff if verdict.after is None else verdict.after
                return self.ending.again(now + wait, "retry", verdict.why)
            case Blocked():
                await self.sending.lanes.park(self.lane, f"blocked: {verdict.why}")
                return self.ending.done(Outcome.retry(now, "blocked", verdict.why))
            case Stop():
                self.control.stop(verdict.why)
                return self.ending.done(Outcome.retry(now, "stop", verdict.why))
            case _:
                return self.ending.broken("callback", str(verdict))

    async def not_fetched(self, error: FetchError, *, sub: bool = False) -> Done:
        """Again later, or failed for good. `sub` errors come from `page.fetch` and concern another URL."""
        common, retry, request = self.sending.common, self.sending.retry, self.ending.request
        now = common.clock.unix()
        if error.kind == "machine":
            return self.short_of(error)
        # An outage is of its domain, and a domain that waits was not asked: this request did not fail.
        if error.outage or (error.kind == "domain-busy" and not sub):
            at = max(now, error.retry_at or 0.0)
            return self.ending.done(Outcome.retry(at, error.kind, str(error), error.status))
        asked = error.retry_at if error.kind == "http" else None
        tries = 1 + self.lane.domain.outage.settle(request.id)
        delay = retry.delay(
            request.attempts + tries,
            kind=error.kind,
            status=error.status,
            method=self._retried_as(error, sub=sub),
            asked=asked is not None,
        )
        at, latest = max(now + (delay or 0.0), error.retry_at or 0.0), now + common.settings.retry_after_max
        if not sub and error.status in {429, 503} and self.lane.domain.parked is not None:
            return self.ending.done(Outcome.retry(now, "http", str(error), error.status))
        if (asked or 0.0) > latest or (sub and at > latest):
            return await self._finally_failed(error)
        if error.kind == "domain-held":  # its holder is at work, so this try did not fail
            return self.ending.done(Outcome.retry(now + retry.held(), error.kind, str(error)))
        if delay is None:
            return await self._finally_failed(error)
        return self.ending.again(at, error.kind, str(error), error.status, tries=tries)

    def _retried_as(self, error: FetchError, *, sub: bool) -> str:
        """The method by which it is decided whether to ask again; any request may go once more that has not left.

        A visit that is made again makes the fetches of its callback again, so theirs counts.
        """
        sends = self.ending.sends
        if not sub:
            has_left = any(send.kind not in BEFORE_ASKED for send in sends)
            return self.ending.request.options.retried_as if has_left else "GET"
        if error.request is None:
            return "GET"
        url = error.request.url
        has_left = error.status is not None or any(send.kind == "sub" and send.url == url for send in sends)
        return str(error.request.options.retried_as) if has_left else "GET"

    def short_of(self, error: BaseException) -> Done:
        """This machine has nothing left for the visit: it is made again, and no try is counted."""
        self.ending.counts["waited.machine"] += 1
        at = self.control.machine_limit(self.lane, error)
        return self.ending.done(Outcome.retry(at, "machine", str(error)))

    async def _finally_failed(self, error: FetchError) -> Done:
        """No further try: the errback may still make something of it."""
        request, reading = self.ending.request, self.reading
        outcome = Outcome.failed(error.kind, str(error), error.status)
        name = request.options.errback or "failed"
        function = reading.definition.callbacks.get(name)
        if function is None or function is Spider.failed:
            return self.ending.done(outcome)
        error.request = Request.of(request.url, request.options)
        large = False
        if error.page is not None and error.kind != "parse":
            with suppress(FetchError):  # the page raises it when it is asked for an element
                large = await reading.parsing.ready(error.page, self.lane.name)
        collector = Collector(reading.items, name, self.sending.common.settings.max_yield, request.url)
        handler = function
        return await self._judge(lambda: handler(reading.spider, error), function, collector, outcome, large)
