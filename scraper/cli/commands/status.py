"""`scraper status`: how a crawl is doing, from its database, whether it runs, stopped or died."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import click

from scraper.cli.database import opened
from scraper.cli.terminal.display import Display, counted, hours
from scraper.cli.terminal.formatting import number, plural, shown_database
from scraper.cli.terminal.region import Region, is_terminal
from scraper.core.clock import iso, local_time
from scraper.core.models import CrawlStatus
from scraper.core.tracebacks import printable
from scraper.project.folder import find_database
from scraper.reports.progress import Progress, progress_of, sends_per_second, taken_domains
from scraper.reports.runs import latest_run
from scraper.store.file.lock import holder_of
from scraper.store.queue.leases import upcoming_domains

__all__ = ["status"]

#: Seconds between two drawings and two looks; and between two lines where nothing can be drawn.
FRAME, LOOK, LINE = 0.125, 1.0, 10.0
#: Domains shown.
SHOWN = 5


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
@click.option("--watch", is_flag=True, help="Go on until the crawl has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(database: str, run: int | None, watch: bool, as_json: bool) -> None:
    """How the newest run of DATABASE is doing: running, stopped or dead, its numbers, what it waits for."""
    path = find_database(database)
    with opened(path) as conn:
        chosen = latest_run(conn, run)
        if watch:
            _watch(conn, path, chosen)
        progress = progress_of(conn, chosen)
        holder = holder_of(path) if progress.state == "running" else None
        if as_json:
            click.echo(json.dumps(_as_json(conn, progress, holder)))
        else:
            for line in _lines(conn, path, progress, holder):
                click.echo(printable(line))


def _lines(conn: sqlite3.Connection, path: str, progress: Progress, holder: str | None) -> Sequence[str]:
    now = time.time()
    lines = [f"{progress.spider}  run {progress.run}  {_state(progress, path, holder)}"]
    took = hours((progress.finished or (now if holder else _last_send(conn, progress))) - progress.started)
    pace = f" · {sends_per_second(conn, progress.run, now):.1f}/s" if holder else ""
    lines.append(f"  {counted(progress)} · {number(progress.queued)} queued{pace}   {took}")
    if holder is not None:
        lines += [
            f"  {d.name}  {plural(d.in_flight, 'request')} taken"
            for d in taken_domains(conn, progress.run, SHOWN)
        ]
        lines += [
            f"  {later.domain}  waits: {later.why} until {local_time(later.at, now)}"
            for later in upcoming_domains(conn, progress.run, now, SHOWN)
        ]
    return lines


def _state(progress: Progress, path: str, holder: str | None) -> str:
    """In words, with what to do next."""
    shown = shown_database(path)
    if holder is not None:
        return f"running: {holder}"
    if progress.state == "running":
        return f"died while it ran; continue with: scraper resume {shown}"
    why = f": {progress.reason}" if progress.reason else ""
    after = f"; continue with: scraper resume {shown}" if progress.state == "stopped" else ""
    return f"{progress.state}{why}{after}"


def _last_send(conn: sqlite3.Connection, progress: Progress) -> float:
    """When a dead process was last heard of."""
    found = conn.execute(
        "SELECT ended FROM _sends WHERE run = ? ORDER BY id DESC LIMIT 1", (progress.run,)
    ).fetchone()
    return float(found[0]) if found else progress.started


def _as_json(conn: sqlite3.Connection, progress: Progress, holder: str | None) -> dict[str, object]:
    now = time.time()
    told = asdict(progress)
    told["started"] = iso(progress.started)
    told["finished"] = None if progress.finished is None else iso(progress.finished)
    told |= {"live": holder is not None, "holder": holder}
    told["per_second"] = sends_per_second(conn, progress.run, now)
    told["domains"] = {d.name: d.in_flight for d in taken_domains(conn, progress.run, SHOWN)}
    later = upcoming_domains(conn, progress.run, now, SHOWN)
    told["waiting"] = [{"domain": u.domain, "until": iso(u.at), "why": u.why} for u in later]
    return told


def _watch(conn: sqlite3.Connection, path: str, run: int) -> None:
    """Show the numbers until nobody crawls into the database any more, or a person has seen enough."""
    display, region = Display(), Region(sys.stderr) if is_terminal(sys.stderr) else None
    looked = said = 0.0
    try:
        while holder_of(path) is not None and (progress := progress_of(conn, run)).state == "running":
            now = time.monotonic()
            if now - looked >= LOOK:
                domains = taken_domains(conn, run, SHOWN)
                display.update(now, progress, CrawlStatus(domains, len(domains)))
                looked = now
            seconds = time.time() - progress.started
            if region is not None:
                lines = display.lines(seconds, time.time(), region.columns())
                region.draw([printable(line) for line in lines])
            elif now - said >= LINE:
                click.echo(
                    f"  {hours(seconds)}  {counted(progress)} · {number(progress.queued)} queued", err=True
                )
                said = now
            time.sleep(FRAME if region is not None else LOOK)
    except KeyboardInterrupt:
        return
    finally:
        if region is not None:
            region.clear()
