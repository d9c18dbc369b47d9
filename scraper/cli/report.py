"""What a person reads about a crawl, on stderr: a line at the start, one every ten seconds, a short end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import click

from scraper.api import Crawl
from scraper.cli.findings import findings
from scraper.cli.words import duration, number, plural, shown_database
from scraper.events import INTERRUPTED, STOPPED, CrawlStarted, DomainParked, Event, PageDone, Stopping, Warned
from scraper.summary import Summary
from scraper.trace import printable

__all__ = ["Reporter"]

EVERY = 10.0


class Reporter:
    """An observer that says what happens. `quiet` leaves only what went wrong."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._pages = self._items = 0
        self._crawl: Crawl | None = None
        self._time: Callable[[], float] = lambda: 0.0
        self._started = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case PageDone(done, _):
                self._pages += done.outcome.name == "ok"
                self._items += len(done.items)
            case CrawlStarted(run, resumed):
                self._first_line(run, resumed)
            case Warned(message):
                self._say(f"! {message}", always=True)
            case Stopping(reason, grace) if reason in {INTERRUPTED, STOPPED}:
                self._stopping(reason, grace)
            case DomainParked(domain, why):
                self._say(f"! {domain} is parked: {why}", always=True)
            case _:
                return

    def begin(self, crawl: Crawl, time: Callable[[], float]) -> None:
        self._crawl, self._time, self._started = crawl, time, time()

    def _first_line(self, run: int, resumed: bool) -> None:
        if (crawl := self._crawl) is None:
            return
        settings = crawl.settings
        rate = f"{settings.rate} per domain" if settings.rate else "no rate limit"
        robots = "robots.txt obeyed" if settings.robots else "robots.txt ignored"
        again = " goes on" if resumed else ""
        self._say(f"{crawl.definition.name} → {crawl.database}   run {run}{again} · {rate} · {robots}")

    async def tick(self) -> None:
        """A line every ten seconds; under pytest's or a pipe's eyes nothing moves."""
        while True:
            await asyncio.sleep(EVERY)
            seconds = self._time() - self._started
            rate = self._pages / seconds if seconds else 0.0
            self._say(
                f"  {duration(seconds)}  {number(self._pages)} pages · {number(self._items)} items · {rate:.1f}/s"
            )

    def _stopping(self, reason: str, grace: float | None) -> None:
        why = "" if reason == INTERRUPTED else f" ({reason})"
        time = f" get {grace:g} s" if grace is not None else " end first"
        self._say(
            f"! stopping{why}: no new requests; those under way{time}. Ctrl-C again leaves now.", always=True
        )

    def left(self, database: str) -> None:
        self._say(
            f"✗ stopped at once; nothing stored is lost. Continue with: scraper resume {shown_database(database)}",
            always=True,
        )

    def ended(self, summary: Summary) -> None:
        """The end in six lines at most."""
        if self._quiet and summary.exit_code == 0:
            return
        for line in _end(summary)[:6]:
            self._say(line, always=True)

    def _say(self, line: str, *, always: bool = False) -> None:
        if always or not self._quiet:
            click.echo(printable(line), err=True)


def _end(summary: Summary) -> list[str]:
    mark = {0: "✓"}.get(summary.exit_code, "!" if summary.exit_code in {5, 130} else "✗")
    database = shown_database(summary.database)
    if summary.exit_code == 4:
        return [f"{mark} {summary.start_problem}. Nothing crawled."]
    lines = [
        f"{mark} {summary.spider}: {_counted(summary)} in {duration(summary.seconds)}{_because(summary)}"
    ]
    lines += findings(summary)
    if summary.rejected:
        told = f"{plural(summary.rejected, 'item')} could not be stored"
        lines.append(f"  rejected  {told}      → scraper query {database} _rejected")
    if summary.state == "stopped":
        lines.append(f"  continue with: scraper resume {database}")
    elif summary.rows:
        lines.append(f"  next      scraper query {database} {_example(summary)}")
    return lines


def _counted(summary: Summary) -> str:
    parts = [plural(summary.pages, "page")]
    for table, counts in summary.items.items():
        rows = sum(counts.values())
        told = [f"{number(counts[what])} {what}" for what in ("new", "changed") if counts.get(what)]
        parts.append(f"{number(rows)} {table}" + (f" ({', '.join(told)})" if told else ""))
    if not summary.rows:
        parts.append("no items")
    return ", ".join(parts)


def _because(summary: Summary) -> str:
    if summary.exit_code == 3 and summary.empty_tables and summary.rows:
        return f"; no {', no '.join(summary.empty_tables)}"
    if summary.reason and summary.exit_code in {0, 5, 130} and summary.reason != "pages failed":
        left = f", {number(summary.queued)} queued" if summary.state == "stopped" else ""
        return f"; {summary.reason}{left}"
    return ""


def _example(summary: Summary) -> str:
    return max(summary.items, key=lambda name: sum(summary.items[name].values()))
