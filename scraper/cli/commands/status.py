"""`scraper status`: how a crawl is doing, from its database, whether it runs, stopped or died."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import click

from scraper.cli.database import opened
from scraper.cli.terminal.display import Display, counted, hours, waiting_line
from scraper.cli.terminal.formatting import number, plural, shown_database, with_local_times
from scraper.cli.terminal.region import Region, is_terminal
from scraper.core.models import CrawlStatus
from scraper.core.tracebacks import printable
from scraper.project.folder import find_database
from scraper.query import Reading
from scraper.reports.json_form import to_json
from scraper.reports.progress import Progress, taken_domains
from scraper.reports.runs import latest_run
from scraper.reports.status import DOMAINS, Status, WaitingDomain, live_progress, status_of

__all__ = ["status"]

#: Seconds between two drawings and two looks; and between two lines where nothing can be drawn.
FRAME, LOOK, LINE = 0.125, 1.0, 10.0


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
@click.option("--watch", is_flag=True, help="Go on until the crawl has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(database: str, run: int | None, watch: bool, as_json: bool) -> None:
    """How the newest run of DATABASE is doing: running, stopped or dead, its numbers, what it waits for."""
    path = find_database(database)
    with opened(path) as reading:
        chosen = reading.read(latest_run, run)
        if watch:
            _watch(reading, path, chosen)
        now = time.time()
        found = reading.read(status_of, path, chosen, now)
    if as_json:
        click.echo(json.dumps(to_json(found)))
        return
    for line in _lines(found, shown_database(path), now):
        click.echo(printable(line))


def _lines(found: Status, shown: str, now: float) -> Sequence[str]:
    lines = [f"{found.spider}  run {found.run}  {with_local_times(_state(found, shown), now)}"]
    pace = f" · {found.per_second:.1f}/s" if found.live else ""
    lines.append(f"{_numbers(found)}{pace}   {hours(found.seconds)}")
    if found.state == "running":
        lines += [f"  {name}  parked: {with_local_times(why, now)}" for name, why in found.parked.items()]
    if found.live:
        lines += [f"  {name}  {plural(taken, 'request')} taken" for name, taken in found.domains.items()]
        lines += [f"  {one.domain}  {waiting_line(one, now)}" for one in found.waiting]
        if any(_is_down(one) for one in found.waiting):
            lines.append(f"  try now: scraper hosts {shown} --retry-now")
    else:
        down = [one for one in found.waiting if _is_down(one)]
        lines += [f"  {one.domain}  {with_local_times(one.why, now)}" for one in down]
    return lines


def _is_down(one: WaitingDomain) -> bool:
    return one.why.startswith("down since ")


def _numbers(progress: Progress) -> str:
    return f"  {counted(progress)} · {number(progress.queued)} queued"


def _state(found: Status, shown: str) -> str:
    """In words, with what to do next."""
    if found.live:
        return f"running: {found.holder}"
    if found.state == "running":
        return f"died while it ran; continue with: scraper resume {shown}"
    why = f": {found.reason}" if found.reason else ""
    after = f"; continue with: scraper resume {shown}" if found.state == "stopped" else ""
    return f"{found.state}{why}{after}"


def _watch(reading: Reading, path: str, run: int) -> None:
    """Show the numbers until the crawl has ended, or the person has seen enough."""
    display, region = Display(), Region(sys.stderr) if is_terminal(sys.stderr) else None
    looked = said = 0.0
    try:
        while (progress := reading.read(live_progress, path, run)) is not None:
            now = time.monotonic()
            if now - looked >= LOOK:
                domains = reading.read(taken_domains, run, DOMAINS)
                display.update(now, progress, CrawlStatus(domains, len(domains)))
                looked = now
            seconds = max(0.0, time.time() - progress.started)
            if region is not None:
                lines = display.lines(seconds, time.time(), region.columns())
                region.draw([printable(line) for line in lines])
            elif now - said >= LINE:
                click.echo(f"  {hours(seconds)}{_numbers(progress)}", err=True)
                said = now
            time.sleep(FRAME if region is not None else LOOK)
    except KeyboardInterrupt:
        return
    finally:
        if region is not None:
            region.clear()
