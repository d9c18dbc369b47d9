"""The live region of a crawl: one line of numbers, one for each of the busiest domains.

⠹ 128 pages · 1 240 books · 31 queued · 4.9/s · about 40 s left            00:01:04
  books.toscrape.com  4 in flight  ▂▄▆▇   waits: rate limit 81 %
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from scraper.cli.terminal.formatting import number, of_table, plural, with_local_times
from scraper.cli.terminal.region import fitted, width
from scraper.core.clock import local_time
from scraper.core.models import CrawlStatus, DomainStatus
from scraper.politeness import OUTAGE, down_since
from scraper.reports.progress import Pace, Progress
from scraper.reports.status import WaitingDomain

__all__ = ["Display", "counted", "hours", "waiting_line"]

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BARS = "▁▂▃▄▅▆▇█"
#: Domains shown, seconds of their past in a sparkline, and domains whose past is kept.
LANES, SPARKS, KEPT = 5, 8, 64
#: Tables named in the line of numbers.
TABLES = 3


class Display:
    """Makes the lines. `update` once a second with new numbers, `lines` as often as it is drawn."""

    def __init__(self, max_pages: int | None = None) -> None:
        self._max_pages = max_pages
        self._pace = Pace()
        self._recent: Counter[str] = Counter()
        self._past: dict[str, deque[int]] = {}
        self._progress: Progress | None = None
        self._status = CrawlStatus()
        self._turn = 0

    def page(self, domain: str) -> None:
        """A page of a domain ended."""
        self._recent[domain] += 1

    def update(self, now: float, progress: Progress, status: CrawlStatus) -> None:
        """The numbers as they are `now` (loop time)."""
        self._progress, self._status = progress, status
        self._pace.update(now, progress, status.spent)
        for name in {*self._past, *self._recent}:
            self._past.setdefault(name, deque(maxlen=SPARKS)).append(self._recent[name])
        self._recent.clear()
        self._forget()

    def lines(self, seconds: float, unix: float, columns: int) -> list[str]:
        """What to draw `seconds` into the crawl, at the unix time `unix`, on so many columns."""
        self._turn += 1
        head = f" {SPINNER[self._turn % len(SPINNER)]} {self._numbers()}"
        clock = hours(seconds)
        room = columns - 1 - len(clock) - 2
        head = fitted(head, room)
        return [f"{head}{' ' * (room - width(head))}  {clock}", *self._lanes(unix)]

    def pace(self) -> float:
        """Requests ended a second, over the last seconds."""
        return self._pace.per_second()

    def waits(self, unix: float) -> str:
        """What the first of the busiest domains that waits is kept back by, at the unix time `unix`; "" for none."""
        for domain in self._status.domains:
            if domain.waits == OUTAGE and domain.note:
                again = f"; tried again at {local_time(domain.until, unix)}" if domain.until else ""
                return f"{domain.name} {domain.note}{again}"
            if domain.waits:
                return f"{domain.name} waits: {_wait(domain, unix)}"
        return ""

    def _numbers(self) -> str:
        if (progress := self._progress) is None:
            return "starting"
        parts = [counted(progress), f"{number(progress.queued)} queued", f"{self.pace():.1f}/s"]
        if (left := self._pace.seconds_left(progress, self._max_pages)) is not None:
            parts.append(f"about {_roughly(left)} left")
        return " · ".join(parts)

    def _lanes(self, unix: float) -> list[str]:
        domains = self._status.domains
        if len(domains) == 1:
            only = domains[0]
            return [self._lane(only, _wait(only, unix) if only.waits == OUTAGE else self._most_time(), 0)]
        shown = sorted(domains[:LANES], key=lambda domain: domain.name)
        longest = max((width(domain.name) for domain in shown), default=0)
        lines = [self._lane(domain, _wait(domain, unix), longest) for domain in shown]
        if (more := self._status.held - LANES) > 0:
            lines.append(f"   … and {plural(more, 'more domain')}")
        return lines

    def _lane(self, domain: DomainStatus, wait: str, longest: int) -> str:
        name = domain.name + " " * (longest - width(domain.name))
        note = f"   {domain.note}" if domain.note else ""
        waits = f"   waits: {wait}" if wait else ""
        return f"   {name}  {domain.in_flight} in flight  {self._spark(domain.name)}{note}{waits}"

    def _most_time(self) -> str:
        """What took most of the last seconds, with its share."""
        if (largest := self._pace.largest_share()) is None:
            return ""
        cause, share = largest
        return f"{cause} {round(100 * share)} %"

    def _spark(self, name: str) -> str:
        past: Sequence[int] = self._past.get(name, ())
        most = max(past, default=0)
        bars = [BARS[n * (len(BARS) - 1) // most] if most else BARS[0] for n in past]
        return "".join(bars).rjust(SPARKS)

    def _forget(self) -> None:
        """Keep the past of the domains that are shown and of a few others."""
        shown = {domain.name for domain in self._status.domains[:LANES]}
        for name in [name for name in self._past if name not in shown][: max(0, len(self._past) - KEPT)]:
            del self._past[name]


def counted(progress: Progress) -> str:
    """Pages, rows by table, failures."""
    parts = [plural(progress.pages, "page")]
    parts += [of_table(rows, table) for table, rows in list(progress.items.items())[:TABLES]]
    if progress.failed:
        parts.append(f"{number(progress.failed)} failed")
    return " · ".join(parts)


def waiting_line(one: WaitingDomain, now: float) -> str:
    """Why a domain waits, and when it is due or tried again; `now` is unix seconds."""
    why, at = with_local_times(one.why, now), local_time(one.until, now)
    if down_since(one.why) is not None:
        return f"{why}; tried again at {at}"
    return f"waits: {why} until {at}"


def hours(seconds: float) -> str:
    """00:01:04."""
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _wait(domain: DomainStatus, unix: float) -> str:
    """What keeps a domain back; the time only when it is worth naming."""
    if domain.until is not None and domain.until - unix > 2:
        return f"{domain.waits} until {local_time(domain.until, unix)}"
    return domain.waits


def _roughly(seconds: float) -> str:
    """A time nobody can know exactly: 40 s, 5 min, 3 h."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds >= 20 else 0)):.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.0f} h"
