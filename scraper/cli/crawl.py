"""`scraper crawl` and `scraper resume`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from scraper.api import Crawl
from scraper.cli.report import Reporter
from scraper.cli.target import change_to, find_target, stored_target
from scraper.errors import QueryError, UsageError
from scraper.events import GRACE
from scraper.project import find_database
from scraper.query import open_readonly
from scraper.store.runs import Run, unfinished
from scraper.summary import Summary

__all__ = ["crawl", "crawl_and_report", "resume"]


@click.command()
@click.argument("target")
@click.option("-a", "arguments", multiple=True, metavar="KEY=VALUE", help="An argument of the spider.")
@click.option("--start", multiple=True, metavar="URL", help="Start here instead of start_urls (repeatable).")
@click.option("--db", metavar="FILE", help="The database; default data/<spider>.db in the project.")
@click.option("--rate", metavar="RATE", help="Requests per domain: 5/s, 30/min, none.")
@click.option("-c", "--concurrency", metavar="N", help="Requests in flight per domain.")
@click.option("--max-pages", metavar="N", help="Stop after N pages.")
@click.option("--max-items", metavar="N", help="Stop after N items.")
@click.option("--max-time", metavar="TIME", help="Stop after this long: 90s, 10m, 2h.")
@click.option("--max-depth", metavar="N", help="Follow links N steps from the start.")
@click.option("--no-robots", is_flag=True, help="Do not ask robots.txt.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting.")
@click.option("--resume", "go_on", is_flag=True, help="Go on with the unfinished run, or start one.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
def crawl(target: str, folder: str | None, **given: Any) -> int:
    """Run the spider TARGET: a name, a file, file.py:Class, or module:Class."""
    if folder is not None:
        change_to(folder)
    found = find_target(target)
    reporter = Reporter(quiet=given["quiet"])
    prepared = Crawl(
        found.cls,
        db=given["db"] or found.database(),
        layers=found.layers,
        arguments=_pairs(given["arguments"], "-a"),
        start=given["start"],
        settings=_settings(given),
        resume="continue" if given["go_on"] else "new",
        target=stored_target(target),
        observers=[reporter],
    )
    return crawl_and_report(prepared, reporter)


@click.command()
@click.argument("database")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
def resume(database: str, quiet: bool) -> int:
    """Go on with the unfinished run of DATABASE (a file, or a spider's name)."""
    path = find_database(database)
    with closing(open_readonly(path)) as conn:
        run = _unfinished(conn, path)
    reporter = Reporter(quiet=quiet)
    return crawl_and_report(_continued(run, path, reporter), reporter)


def _continued(run: Run, path: str, reporter: Reporter) -> Crawl:
    """The crawl that goes on with a run; the demo's shop opens again where the run knows it."""
    if run.target.startswith("scraper.demo."):
        from scraper.demo import DemoCrawl, DemoServer

        server = DemoServer(run.options["settings"]["allowed"])
        return DemoCrawl(server, db=path, resume="must", observers=[reporter])
    same = {name: run.options[name] for name in ("arguments", "start", "settings")}
    found = find_target(run.target, near=Path(path).resolve().parent)
    return Crawl(
        found.cls,
        db=path,
        layers=found.layers,
        resume="must",
        target=run.target,
        observers=[reporter],
        **same,
    )


def _unfinished(conn: Any, path: str) -> Run:
    import sqlite3

    try:
        run = unfinished(conn)
    except sqlite3.OperationalError as error:
        raise QueryError(f"{path} is not a crawl database: {error}") from error
    if run is None:
        raise UsageError(f"nothing to resume in {path}: no run is unfinished; start one with: scraper crawl")
    return run


def crawl_and_report(crawl: Crawl, reporter: Reporter) -> int:
    """Crawl with the signals a person sends, report, and return the exit code."""
    summary = asyncio.run(_interruptible(crawl, reporter))
    if summary is None:
        reporter.left(crawl.database)
        return 130
    reporter.ended(summary)
    return summary.exit_code


async def _interruptible(crawl: Crawl, reporter: Reporter) -> Summary | None:
    """The crawl's summary; None when it was left at once, by a second Ctrl-C."""
    loop = asyncio.get_running_loop()
    reporter.begin(crawl, loop.time)
    task = asyncio.create_task(crawl.run())
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted:
            task.cancel()
            return
        interrupted = True
        crawl.stop(grace=GRACE)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    ticker = asyncio.create_task(reporter.tick())
    try:
        return await task
    except asyncio.CancelledError:
        return None
    finally:
        ticker.cancel()


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rate", "concurrency", "max_pages", "max_items", "max_time", "max_depth")
    settings = {name: given[name] for name in names if given[name] is not None}
    if given["no_robots"]:
        settings["robots"] = False
    return {**settings, **_pairs(given["settings"], "--set")}


def _pairs(pairs: tuple[str, ...], flag: str) -> dict[str, str]:
    made = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {pair}: write {flag} KEY=VALUE")
        made[key.strip().replace("-", "_")] = value
    return made
