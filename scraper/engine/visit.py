"""The life of one request, from its turn to what is stored. `Visit.run` reads as the table of contents.

There are five ways a visit can end (`Outcome`), and one exception that ends it with nothing: `LeaseLost`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import httpx

from scraper.core.codec import decode_arguments
from scraper.core.models import Done, Options, Outcome, QueuedRequest, Request, SendKind
from scraper.core.tracebacks import forget, stands_in_source
from scraper.core.urls import split
from scraper.engine.callbacks import (
    BLOCKED,
    OutOfTime,
    Unfit,
    Watch,
    call_with,
    is_async,
    only_error,
    place_of,
    run_in_time,
)
from scraper.engine.collect import Collector
from scraper.engine.context import Context
from scraper.engine.hops import Disallowed, Later, LeaseLost, Traveller, redirect_target, redirected
from scraper.engine.outcome import Ending, kept
from scraper.engine.revisit import NOT_MODIFIED, Revisit, validators_of
from scraper.engine.schedule import Lane
from scraper.engine.subfetch import SubFetcher, page_of
from scraper.engine.traps import DEEP
from scraper.errors import BadSelector, Blocked, FetchError, Retry, Skip, Stop, StoreError, Verdict
from scraper.net.downloader import Reply
from scraper.net.messages import content_type_of
from scraper.page import Page
from scraper.spider import Spider

__all__ = ["Visit"]


@lru_cache(maxsize=1_024)
def _accepts(content_type: str, accept_types: tuple[str, ...]) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or any(part in kind for part in accept_types)


class Visit:
    """One request being visited. `run` never raises but for cancellation, `LeaseLost` and errors of ours."""

    def __init__(
        self, context: Context, lane: Lane, request: QueuedRequest, turn_over: Callable[[bool], None]
    ) -> None:
        self._context = context
        self._lane = lane
        self._turn_over = turn_over
        self._ending = Ending(request, context.definition.place, context.identity.veiled)
        self._traveller = Traveller(context, lane, request.seed, self._ending.sends, self._ending.cookies)
        self._type_accepted = True
        self._not_modified = False
        self._is_large = False
        settings = context.settings
        self._revisit = Revisit.of(request, settings.revisit, settings.max_depth)

    @property
    def _request(self) -> QueuedRequest:
        return self._ending.request

    def put_back(self, error: Exception) -> Done:
        """The end of a visit that is to be made again: the crawl cannot store what it found."""
        return self._ending.done(Outcome.retry(self._context.clock.unix(), "table", str(error)))

    def internal(self, error: Exception) -> Done:
        """The end of a visit that brought out a fault of ours."""
        return self._ending.internal(error)

    def over(self) -> None:
        """What it found is stored, or given up."""
        if self._is_large:
            self._context.aside.rested()

    async def run(self) -> Done:
        """Fetch the page, run its callback, and say what became of the request."""
        try:
            try:
                if self._revisit.spared(self._context.clock.unix()):
                    outcome = Outcome.skipped("revisit", self._revisit.why())
                    return self._ending.spared(outcome, self._revisit.kept(asked=False))
                reply = await self._travel()
            finally:
                self._turn_over(bool(self._ending.sends))
            if isinstance(reply, Outcome):
                return self._ending.done(reply)
            return await self._arrived(reply)
        except Disallowed as refusal:
            return self._ending.done(Outcome.skipped("robots", str(refusal)))
        except Later as later:
            return self._ending.done(Outcome.retry(later.at, "waiting", str(later)))
        except FetchError as error:
            return await self._not_fetched(error)
        except (LeaseLost, StoreError):
            raise
        except Exception as error:
            return self.internal(error)

    # ------------------------------------------------------------------ on the wire

    async def _travel(self) -> Reply | Outcome:
        """Hop by hop to the page: inside the domain here, out of it as a new request."""
        url, options = self._request.url, self._request.options
        seen, settings = {url}, self._context.settings
        for hop in range(settings.max_hops + 1 - self._request.hops):
            await self._traveller.admit(url, self._lane)
            asked = options if hop else self._revisit.asking(options)
            kind: SendKind = "redirect" if hop else "page"
            reply = await self._traveller.send(self._lane, url, asked, kind, self._is_wanted)
            if reply.status == NOT_MODIFIED and asked is not options:
                self._not_modified = True
                return reply
            target = redirect_target(url, reply)
            if target is None:
                return reply
            target, parts = self._context.links.check(target)
            options = redirected(options, reply.status, split(url), parts, settings.secret_headers)
            if self._context.politeness.key(parts.host) != self._lane.name:
                return self._moved(target, options, reply.status)
            if not self._context.links.in_scope(parts, self._request.seed):
                if self._request.depth:
                    return Outcome.skipped("out-of-scope", f"redirects to {target}", reply.status)
                # A start takes what it redirects to into scope.
                self._ending.request = replace(self._request, seed=f"{self._request.seed} {parts.netloc}")
            if target in seen and options.method == "GET":
                raise FetchError("too-many-redirects", f"redirect loop at {target}", status=reply.status)
            seen.add(target)
            url = target
        raise FetchError("too-many-redirects", f"more than {settings.max_hops} redirects (max_hops)")

    def _moved(self, target: str, options: Options, status: int) -> Outcome:
        """A hop to another domain: one new request there, if scope lets it."""
        links = self._context.links
        parts = split(target)
        moved = links.moved(self._request, target, parts, Request.of(target, options))
        if not links.in_scope(parts, moved.seed):
            return Outcome.skipped("out-of-scope", f"redirects to {target}", status)
        return Outcome.moved(moved, status)

    def _is_wanted(self, status: int, headers: httpx.Headers) -> bool:
        """Whether to read a body: not that of a redirect, not one of a type nobody accepts."""
        if 300 <= status < 400 and "location" in headers:
            return False
        self._type_accepted = self._accepts_type(headers)
        return self._type_accepted or not 200 <= status < 300

    def _accepts_type(self, headers: httpx.Headers) -> bool:
        return _accepts(content_type_of(headers), self._context.settings.accept_types)

    # ------------------------------------------------------------------ at the page

    async def _arrived(self, reply: Reply) -> Done:
        """A response is here: note what it says about the domain, then accept or refuse it."""
        status, domain = reply.status, self._lane.domain
        if status in {401, 403}:
            if domain.refused():
                await self._context.control.park(
                    self._lane, f"HTTP {status} {domain.refusals} times in a row"
                )
                return self._ending.done(
                    Outcome.retry(self._context.clock.unix(), "http", f"HTTP {status}", status)
                )
        elif status not in {429, 503}:
            domain.welcomed()
        if self._not_modified:
            outcome = Outcome("ok", why="not modified", status=status)
            return self._ending.spared(outcome, self._revisit.kept(asked=True))
        fetcher = SubFetcher(self._context, self._request, self._ending.sends, self._ending.cookies)
        page = page_of(self._context, reply, self._request.options, fetcher)
        if not (
            200 <= status < 300
            or status in self._request.options.accept
            or status in self._context.settings.accept
        ):
            raise FetchError(
                "http",
                f"HTTP {status}",
                status=status,
                page=page,
                retry_at=self._traveller.asked_to_wait(reply),
            )
        if not self._type_accepted:
            kind = content_type_of(reply.headers)
            return self._ending.done(
                Outcome.skipped("type", f"content type {kind} (accept_types)", status), url=page.url
            )
        return await self._accepted(page, reply)

    async def _accepted(self, page: Page, reply: Reply) -> Done:
        """A page for its callback: keep it where that fails, and see whether the domain repeats itself."""
        if reply.unknown_coding:
            said = f"bodies in a content coding nobody knows ({reply.unknown_coding}); pages are as they were sent"
            self._context.warn_once("coding", f"{self._lane.name}: {said}")
        done = await self._parse(page)
        if done.error is not None and self._context.settings.keep_failed:
            done = replace(done, page=kept(page))
        if self._request.depth:
            endless = self._context.repetition.exceeded(self._lane.name, reply.headers, reply.body)
            if endless is not None:
                await self._context.control.park(self._lane, endless)
        return done

    async def _parse(self, page: Page) -> Done:
        """Run the callback; all it yielded is stored with the page, or nothing."""
        options = self._request.options
        function = self._context.definition.callbacks.get(options.callback)
        if function is None:
            return self._ending.broken(
                "callback-missing", f"the spider has no callback {options.callback!r} any more"
            )
        try:
            data = self._data(options)
        except (TypeError, ValueError) as error:
            return self._ending.broken("callback-args", f"{options.callback}: {error}")
        large = await self._context.parsing.ready(page, self._lane.name)
        self._ending.counts["parsed"] += 1

        def call() -> Any:
            self._context.spider.check(page)
            return call_with(function, self._context.spider, page, data)

        collector = Collector(self._context.items, options.callback, self._context.settings.max_yield)
        self._ending.hits = page.hits
        done = await self._judge(call, function, collector, Outcome.ok(page.status), page.url, large)
        self._ending.counts.update(page.counts)
        self._ending.meant.update(self._context.meanings.of(page))
        if self._revisit.tracked and done.outcome.name == "ok" and 200 <= page.status < 300:
            validators = validators_of(self._request.url, page.url, page.headers, done.links)
            return replace(done, validators=validators)
        return done

    def _data(self, options: Options) -> dict[str, Any]:
        if options.args is None:
            return {}
        return decode_arguments(options.args, self._context.definition.parameters(options.callback))

    async def _judge(
        self,
        call: Callable[[], Any],
        function: Callable[..., Any],
        collector: Collector,
        good: Outcome,
        url: str,
        large: bool,
    ) -> Done:
        """Run a callback or errback and turn what it does into the outcome. One place, one kind each.

        With a `large` page a plain one runs in a thread; what is async has its awaits to let others go on.
        """
        place, watch = place_of(function), Watch(self._context.clock.mono)
        if large and not self._is_large:
            self._is_large = True
            self._context.aside.rest()
        try:
            aside, limit = self._context.aside, self._context.settings.callback_timeout
            in_thread = large and not is_async(function)
            await run_in_time(call, collector, place, limit, watch, aside, in_thread=in_thread)
        except (LeaseLost, StoreError, KeyboardInterrupt):
            raise
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise  # we are cancelled, not something the callback waited for
            return self._ending.raised(error, collector.name, place, good.status)
        except BaseException as error:
            try:
                return await self._chosen(only_error(error), collector, good, place)
            finally:
                forget(error)
        finally:
            if not is_async(function):
                self._context.control.parsed(watch.longest)
            if watch.longest >= BLOCKED:
                self._context.warn_once(
                    f"blocked {collector.name}",
                    f"callback {collector.name} blocked the loop for {watch.longest:.1f} s: use asyncio.to_thread",
                )
        links = await self._context.links.follow(
            collector.requests, self._request, self._ending.counts, every=self._revisit.tracked
        )
        self._warn_of_traps()
        return self._ending.done(good, url=url, collected=collector, links=links)

    def _warn_of_traps(self) -> None:
        context, settings = self._context, self._context.settings
        if self._ending.counts["links.trap"]:
            context.warn_once(
                "trap",
                f"{self._lane.name}: links with long or repeating paths are left out (max_path_depth, max_repetitions)",
            )
        unbounded = settings.max_depth is None and settings.max_pages_per_domain is None
        if self._request.depth >= DEEP and unbounded:
            context.warn_once(
                f"deep {self._lane.name}",
                f"{self._lane.name}: {DEEP} steps from the start; if it has no end, set max_depth or max_pages_per_domain",
            )

    async def _chosen(self, error: BaseException, collector: Collector, good: Outcome, place: str) -> Done:
        """The outcome of what a callback raised: it chose one, a fetch in it failed, or it is broken."""
        if isinstance(error, Verdict):
            return await self._verdict(error, good)
        if isinstance(error, FetchError):
            if good.name == "failed":
                return self._ending.done(Outcome.failed(error.kind, str(error), error.status))
            return await self._not_fetched(error, sub=True)
        if isinstance(error, Unfit):
            return self._ending.broken("callback-args", f"{collector.name}: {error}")
        if isinstance(error, OutOfTime):
            limit = self._context.settings.callback_timeout
            return self._ending.broken(
                "callback-timeout", f"{collector.name} did not end within {limit:g} s (callback_timeout)"
            )
        if isinstance(error, BadSelector) and stands_in_source(error.__traceback__, error.selector):
            done = self._ending.misspelt(error, collector.name, place, self._context.clock.unix())
            self._context.control.stop(f"bad selector in {collector.name}")
            return done
        return self._ending.raised(error, collector.name, place, good.status)

    async def _verdict(self, verdict: Verdict, good: Outcome) -> Done:
        """The outcome a callback chose; `good` is what it would have been (failed for an errback)."""
        now = self._context.clock.unix()
        match verdict:
            case Skip():
                return self._ending.done(Outcome.skipped("skip", verdict.why))
            case Retry():
                wait = (
                    verdict.after
                    if verdict.after is not None
                    else self._context.retry.backoff(self._request.attempts + 1)
                )
                if wait is None or self._request.attempts >= self._context.settings.retries:
                    error = FetchError("callback", f"retried too often: {verdict.why}")
                    if good.name == "failed":
                        return self._ending.done(Outcome.failed(error.kind, str(error)))
                    return await self._finally_failed(error)
                return self._ending.again(now + wait, "retry", verdict.why)
            case Blocked():
                await self._context.control.park(self._lane, f"blocked: {verdict.why}")
                return self._ending.done(Outcome.retry(now, "blocked", verdict.why))
            case Stop():
                self._context.control.stop(verdict.why)
                return self._ending.done(Outcome.retry(now, "stop", verdict.why))
            case _:
                return self._ending.broken("callback", str(verdict))

    # ------------------------------------------------------------------ when it did not work

    async def _not_fetched(self, error: FetchError, *, sub: bool = False) -> Done:
        """Again later, or failed for good. `sub` errors come from `page.fetch` and concern another URL."""
        context, request = self._context, self._request
        now = context.clock.unix()
        method = "GET" if sub else request.options.method
        delay = context.retry.delay(request.attempts + 1, kind=error.kind, status=error.status, method=method)
        at = max(now + (delay or 0.0), error.retry_at or 0.0)
        if sub and at > now + context.settings.retry_after_max:
            return await self._finally_failed(error)
        if not sub and error.status in {429, 503} and self._lane.domain.parked is not None:
            return self._ending.done(Outcome.retry(now, "http", str(error), error.status))
        if error.kind == "domain-held":  # its holder is at work: that is no failed try of ours
            return self._ending.done(Outcome.retry(now + context.retry.held(), error.kind, str(error)))
        if delay is None:
            return await self._finally_failed(error)
        return self._ending.again(at, error.kind, str(error), error.status)

    async def _finally_failed(self, error: FetchError) -> Done:
        """No further try: the errback may still make something of it."""
        request, context = self._request, self._context
        outcome = Outcome.failed(error.kind, str(error), error.status)
        name = request.options.errback or "failed"
        function = context.definition.callbacks.get(name)
        if function is None or function is Spider.failed:
            return self._ending.done(outcome)
        error.request = Request.of(request.url, request.options)
        large = False
        if error.page is not None and error.kind != "parse":
            with suppress(FetchError):  # the page raises it when it is asked for an element
                large = await context.parsing.ready(error.page, self._lane.name)
        collector = Collector(context.items, name, context.settings.max_yield)
        handler = function
        return await self._judge(
            lambda: handler(context.spider, error), function, collector, outcome, request.url, large
        )
