"""What a person reads about a crawl while it runs, on stderr: a live region on a terminal, else a line at times."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import click

from scraper.api.job import CrawlJob
from scraper.cli.output_streams import OutputLost
from scraper.cli.terminal.display import Display, counted, waiting_line
from scraper.cli.terminal.ending import ending
from scraper.cli.terminal.formatting import duration, number, plural, shown_database, with_local_times
from scraper.cli.terminal.region import Region, write_now
from scraper.core.tracebacks import printable
from scraper.core.urls import is_ip, normalize, split
from scraper.events import (
    GRACE,
    INTERRUPTED,
    STOPPED,
    CrawlStarted,
    DomainParked,
    Event,
    PageDone,
    PageTold,
    Stalled,
    Stopping,
    Warned,
    told,
)
from scraper.net.guard import refuse
from scraper.query import Reading, Unavailable
from scraper.reports.progress import Progress, progress_of
from scraper.reports.status import waiting_domains
from scraper.reports.summary import Summary

__all__ = ["Reporter", "say"]

#: Seconds between two lines where nothing can be drawn, two drawings, and two looks at the numbers.
LINE, FRAME, LOOK = 10.0, 0.125, 1.0
#: Seconds the display waits for a database that is locked; then it shows what it knew.
PATIENCE = 0.1

_COLOURS = {"✓": "green", "!": "yellow", "✗": "red"}


def say(line: str) -> None:
    """A line for a person, on stderr; its mark in colour where colours are wanted."""
    # no-color.org; click itself leaves colours out where the stream is no terminal
    click.echo(_marked(line), err=True, color=False if os.environ.get("NO_COLOR") else None)


def _marked(line: str) -> str:
    text = printable(line)
    colour = _COLOURS.get(text[:1])
    return (click.style(text[:1], fg=colour) if colour else text[:1]) + text[1:]


class Reporter:
    """An observer that says what happens. `quiet` leaves only what went wrong, `verbose` adds a line per page.

    With a `region` the numbers stand in it and move; without one there is a line every ten seconds.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, region: Region | None = None) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._region = None if quiet else region
        self._crawl: CrawlJob | None = None
        self._display = Display()
        self._numbers: Reading | None = None
        self._known: Progress | None = None
        self._said_stopping = False
        self._time: Callable[[], float] = lambda: 0.0
        self._began = self._looked = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case PageDone(done):
                self._display.page(done.effects.request.domain)
                if self._verbose:
                    self._say(_page_line(told(event)))
            case PageTold():  # of another process, and only when it is wanted
                self._say(_page_line(event))
            case CrawlStarted(run, resumed):
                self._started(run, resumed)
            case Warned(message):
                self._say(f"! {message}", always=True)
            case Stalled(seconds, why):
                self._say(f"! no page for {seconds:.0f} s: {why}", always=True)
            case Stopping(reason, grace) if reason in {INTERRUPTED, STOPPED}:
                if not self._said_stopping:
                    self._say(_stopping(reason, grace), always=True)
            case DomainParked(domain, why):
                self._say(f"! {domain} is parked: {with_local_times(why, time.time())}", always=True)
            case _:
                return

    def begin(self, crawl: CrawlJob, time: Callable[[], float]) -> None:
        self._crawl, self._time, self._began = crawl, time, time()
        self._display = Display(crawl.settings.max_pages)

    async def tick(self) -> None:
        """Keep the numbers moving until cancelled."""
        while True:
            await asyncio.sleep(self.every)
            self.look()

    @property
    def every(self) -> float:
        """Seconds between two looks."""
        return LINE if self._region is None else FRAME

    def look(self) -> None:
        """Show how far it is."""
        if (progress := self._progress()) is None:
            return
        if self._region is not None:
            self._draw(self._region)
        elif not self._quiet:
            self._line(progress)

    def forking(self) -> None:
        """No connection may be open when a process forks (sqlite.org/howtocorrupt.html, 2.6)."""
        if self._numbers is not None:
            self._numbers.close()
            self._numbers = None

    def redraw(self) -> None:
        """The process was stopped and goes on: what stands on the terminal is not ours any more."""
        if self._region is not None:
            self._region.forget()

    def interrupted(self) -> None:
        """A signal handler asks: say at once what the first Ctrl-C does, also while a callback keeps the loop."""
        text = _marked(_stopping(INTERRUPTED, GRACE)) + "\n"
        if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
            text = click.unstyle(text)
        region = self._region
        self._said_stopping = write_now(sys.stderr, text) if region is None else region.interject(text)

    def lost(self, lost: OutputLost) -> None:
        """Say that the crawl stops because its output has no place; this is dropped where stderr has none."""
        self._say(f"! {lost}: the crawl stops as after Ctrl-C", always=True)

    def left(self, database: str) -> None:
        """A person did not want to wait."""
        self.close()
        shown = shown_database(database)
        self._say(
            f"✗ stopped at once; nothing stored is lost. Continue with: scraper resume {shown}", always=True
        )

    def ended(self, summary: Summary) -> None:
        """The end, in six lines at most."""
        self.close()
        if self._quiet and summary.exit_code == 0:
            return
        for line in ending(summary):
            self._say(line, always=True)

    # ------------------------------------------------------------------ how it begins

    def _started(self, run: int, resumed: bool) -> None:
        if (crawl := self._crawl) is None:
            return
        self._began = self._time()  # as the summary counts it
        self._say(_first_line(crawl, run, resumed))
        if self._region is None and not self._quiet:
            self._progress()  # the pace of the first line counts from here
        if (warning := _no_contact(crawl)) is not None:
            self._say(warning)

    # ------------------------------------------------------------------ the numbers

    def _progress(self) -> Progress | None:
        """The numbers in the database, looked up once a second; None before there are any."""
        crawl, now = self._crawl, self._time()
        if crawl is None or crawl.run_id is None or crawl.database == ":memory:":
            return None
        if (reading := self._numbers) is None:
            reading = self._numbers = Reading(crawl.database, patience=PATIENCE)
        if now - self._looked >= LOOK or self._region is None:
            with suppress(Unavailable):  # locked for a moment: the old numbers stay
                self._known, self._looked = reading.read(progress_of, crawl.run_id), now
                self._display.update(now, self._known, crawl.status())
        return self._known

    def _draw(self, region: Region) -> None:
        seconds = self._time() - self._began
        lines = self._display.lines(seconds, time.time(), region.columns())
        region.draw([printable(line) for line in lines])

    def _line(self, progress: Progress) -> None:
        seconds = duration(self._time() - self._began)
        queued, pace = number(progress.queued), f"{self._display.pace():.1f}/s"
        waits = self._waits() if pace == "0.0/s" and progress.queued else ""
        self._say(f"  {seconds}  {counted(progress)} · {queued} queued · {pace}{waits}")

    def _waits(self) -> str:
        """What is waited for: by a domain that is held, else by the one that is due first."""
        now, crawl, reading = time.time(), self._crawl, self._numbers
        waits = self._display.waits(now)
        if not waits and reading is not None and crawl is not None and crawl.run_id is not None:
            with suppress(Unavailable):  # locked for a moment: the next line says it
                due = reading.read(waiting_domains, crawl.run_id, now)
                waits = f"{due[0].domain} {waiting_line(due[0], now)}" if due else ""
        return f" · {waits}" if waits else ""

    def close(self) -> None:
        """Nothing moves any more."""
        if self._numbers is not None:
            self._numbers.close()
            self._numbers = None
        if self._region is not None:
            self._region.clear()
            self._region = None

    def wrote(self, path: str, rows: int) -> None:
        """A file of this run's rows is there."""
        self._say(f"  wrote     {path}: {plural(rows, 'row')}")

    def told(self, lines: Iterable[str]) -> None:
        """Lines that were asked for, also where it is quiet."""
        for line in lines:
            self._say(line, always=True)

    def _say(self, line: str, *, always: bool = False) -> None:
        if always or not self._quiet:
            say(line)


def _first_line(crawl: CrawlJob, run: int, resumed: bool) -> str:
    settings = crawl.settings
    rates = (
        (settings.rate, "per domain"),
        (settings.total_rate, "in all"),
        (settings.proxy_rate, "per proxy"),
    )
    said = [f"{str(rate).replace('/', ' req/', 1)} {of}" for rate, of in rates if rate]
    rate = ", ".join(said) or "no rate limit"
    robots = "robots.txt obeyed" if settings.robots else "robots.txt ignored"
    again = " goes on" if resumed else ""
    return f"{crawl.definition.name} → {crawl.database}   run {run}{again} · {rate} · {robots}"


def _stopping(reason: str, grace: float | None) -> str:
    why = "" if reason == INTERRUPTED else f" ({reason})"
    time = f" get {grace:g} s" if grace is not None else " end first"
    return f"! stopping{why}: no new requests; those under way{time}. Ctrl-C again leaves now."


def _no_contact(crawl: CrawlJob) -> str | None:
    """A site that cannot write to us blocks us; nobody minds on this machine."""
    settings = crawl.settings
    if settings.user_agent is not None or settings.contact is not None or _is_local(crawl.starts):
        return None
    return '! nobody can write to you: set contact = "you@example.com" (a setting), sites see it in the User-Agent'


def _is_local(starts: Sequence[str]) -> bool:
    """Whether all start URLs that are known lie on this machine."""
    try:
        hosts = [split(normalize(url)).host for url in starts]
    except ValueError:  # no URL: the crawl says so
        return True
    return bool(hosts) and all(host == "localhost" or (is_ip(host) and refuse(host)) for host in hosts)


def _page_line(page: PageTold) -> str:
    """What became of a request, for `-v`."""
    took = f"  {page.seconds:.2f} s" if page.seconds is not None else ""
    if page.outcome == "ok":
        what = f"{plural(sum(page.items.values()), 'item')}, {plural(page.links, 'link')}"
    else:
        what = f"{page.outcome}  {page.why}"
    return f"  {page.status or '---'}  {page.final_url}  {what}{took}"
