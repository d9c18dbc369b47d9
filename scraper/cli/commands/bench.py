"""`scraper bench`: what this machine can do, with everything switched on, at a shop that it serves itself."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from scraper.cli.running import Look, interruptible
from scraper.cli.terminal.formatting import duration, number
from scraper.cli.terminal.profile import profile_lines
from scraper.cli.terminal.report import Reporter, say
from scraper.demo.endless import EndlessCrawl, serving
from scraper.errors import UsageError
from scraper.profiling import Figures, Profile
from scraper.settings.parsers import read_seconds
from scraper.version import VERSION, sqlite_version

__all__ = ["bench"]

#: The share of the time that is measured as it is; in the rest the profile is on, which makes a page dearer.
PLAIN = 0.75
#: Seconds below which there is nothing to measure.
LEAST = 1.0
#: Pages of the shop for each second: more than any machine gets through, few enough that most links are known soon.
FASTEST = 5_000


@dataclass(frozen=True)
class _Speed:
    """What was measured without a profile. `cpu` and `server_cpu` are seconds, of the crawl and of the server beside it."""

    pages: int
    items: int
    seconds: float
    cpu: float
    server_cpu: float
    peak_mb: float
    cores: int
    interrupted: bool

    @property
    def pages_per_second(self) -> float:
        return self.pages / self.seconds

    @property
    def cpu_ms_per_page(self) -> float:
        return 1000 * self.cpu / max(1, self.pages)


@click.command()
@click.option("--seconds", default="20s", metavar="TIME", help="How long: 20s, 2m.")
@click.option("--db", metavar="FILE", help="Write the database here and keep it; default a temporary one.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object on stdout.")
def bench(seconds: str, db: str | None, as_json: bool) -> int:
    """Crawl a generated shop on this machine as fast as it goes, and say where the time went.

    Pages of 30 kB with ten links and eight fields, over loopback, from a server in a process of its own. Everything is on
    but the rate limit: robots.txt, the queue on disk, duplicates, history. A real site is slower, and you are polite to it.
    """
    lasting = _time(seconds)
    if db is not None and Path(db).exists():
        raise UsageError(f"{db} is there already; bench writes a new database: choose another file")
    say(f"scraper {VERSION} · Python {platform.python_version()} · SQLite {sqlite_version()} · {_machine()}")
    say(
        f"crawling a shop of 30 kB pages, 10 links and 8 fields each, served by this machine, for {duration(lasting)}"
    )
    with TemporaryDirectory(prefix="scraper-bench-") as folder:
        speed = _plain(db or f"{folder}/bench.db", lasting * PLAIN)
        figures = None if speed.interrupted else _profiled(f"{folder}/profile.db", lasting * (1 - PLAIN))
    for line in _lines(speed, figures):
        say(line)
    if as_json:
        click.echo(json.dumps(_plain_values(speed, figures)))
    return 130 if speed.interrupted else 0


def _time(given: str) -> float:
    try:
        seconds = read_seconds(given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--seconds: {error}") from error
    if seconds < LEAST:
        raise UsageError(f"--seconds {given}: {LEAST:g} s or more, or there is nothing to measure")
    return seconds


def _machine() -> str:
    cores = os.cpu_count() or 1
    return f"{platform.machine()}, {cores} core{'s' * (cores > 1)}"


def _plain(db: str, seconds: float) -> _Speed:
    """A crawl as it is, drawn where there is a terminal."""
    children = _children()
    with Look().stage() as region, serving(round(seconds * FASTEST)) as shop:
        crawl = EndlessCrawl(shop, seconds=seconds, db=db)
        reporter = Reporter(quiet=region is None, region=region)
        began, cpu = time.perf_counter(), time.process_time()
        try:
            summary = asyncio.run(interruptible(crawl, reporter))
        finally:
            reporter.close()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if summary is None:
        raise KeyboardInterrupt
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    interrupted = summary.exit_code == 130
    return _Speed(
        summary.pages, summary.rows, took, cpu, _children() - children, peak, _usable_cores(), interrupted
    )


def _profiled(db: str, seconds: float) -> Figures | None:
    """Where the time goes; None where a person left."""
    with serving(round(seconds * FASTEST)) as shop, Profile() as profile:
        crawl = EndlessCrawl(shop, seconds=seconds, db=db, observers=[profile])
        summary = asyncio.run(interruptible(crawl, Reporter(quiet=True)))
        return None if summary is None else profile.measured(crawl.status().spent)


def _children() -> float:
    """Seconds of CPU of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lines(speed: _Speed, figures: Figures | None) -> Iterator[str]:
    mark = "!" if speed.interrupted else "✓"
    pace = number(round(speed.pages_per_second))
    yield f"{mark} {pace} pages a second: {number(speed.pages)} in {duration(speed.seconds)}"
    busy = speed.cpu / speed.seconds
    yield f"  CPU       {speed.cpu_ms_per_page:.2f} ms a page; the crawl kept {100 * busy:.0f} % of a core busy"
    beside = speed.server_cpu / speed.seconds
    cores = "the one core of this machine: it takes that from the crawl"
    if speed.cores > 1:
        cores = f"one of the {speed.cores} cores of this machine"
    each = 1000 * speed.server_cpu / max(1, speed.pages)
    yield f"  server    {100 * beside:.0f} % of a core, {each:.2f} ms a page, beside the crawl, on {cores}"
    yield f"  memory    {speed.peak_mb:.0f} MB at most"
    if figures is not None:
        yield "  where the time goes, with the profile on, which makes a page dearer by about a tenth:"
        yield from profile_lines(figures)


def _plain_values(speed: _Speed, figures: Figures | None) -> dict[str, Any]:
    return {
        "scraper": VERSION,
        "python": platform.python_version(),
        "sqlite": sqlite_version(),
        "machine": _machine(),
        **asdict(speed),
        "pages_per_second": round(speed.pages_per_second, 1),
        "cpu_ms_per_page": round(speed.cpu_ms_per_page, 4),
        "profile": None if figures is None else figures.plain(),
    }
