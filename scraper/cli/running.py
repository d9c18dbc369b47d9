"""What `scraper crawl` and `scraper resume` do: prepare a crawl, run it under the signals of a person, report."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.api.job import CrawlJob
from scraper.cli.output_streams import OUTPUT, OutputLost
from scraper.cli.terminal.json_events import JsonEvents
from scraper.cli.terminal.region import Region, is_terminal, screen
from scraper.cli.terminal.report import Reporter, say
from scraper.cli.terminal.signals import heeding
from scraper.core.models import Run
from scraper.engine.options import Resume
from scraper.errors import UsageError
from scraper.events import GRACE
from scraper.project.folder import find_database
from scraper.project.target import change_to, find_target, pairs_of, stored_target
from scraper.query.run_files import check_run_output, export_run
from scraper.reports.stored_runs import run_to_resume
from scraper.reports.summary import Summary

if TYPE_CHECKING:
    from scraper.profiling import Profile

__all__ = ["Look", "crawl_and_report", "go_on", "interruptible", "start"]


def start(target: str, given: Mapping[str, Any]) -> int:
    """A new crawl with the spider TARGET, under the flags of `scraper crawl`; the exit code."""
    if given["folder"] is not None:
        change_to(given["folder"])
    if given["output"] is not None:
        check_run_output(given["output"])
    look = _look(given)
    with look.stage() as region:
        found = find_target(target)
        prepared = CrawlJob(
            found.cls,
            db=given["db"] or found.database(),
            layers=found.layers,
            arguments=pairs_of(given["arguments"], "-a"),
            start=given["start"],
            settings=_settings(given),
            resume="continue" if given["go_on"] else "new",
            target=stored_target(target),
        )
        return crawl_and_report(prepared, look, region, given["workers"])


def go_on(database: str, given: Mapping[str, Any]) -> int:
    """The unfinished run of DATABASE, or what failed of its newest, to its end; the exit code."""
    failed: str | None = given["failed"]
    path = find_database(database)
    run = run_to_resume(path, finished=failed is not None)
    look = _look(given)
    how: Resume = "must" if failed is None else "failed"
    with look.stage() as region:
        return crawl_and_report(
            _continued(run, path, how, failed or None, given), look, region, given["workers"]
        )


def _continued(run: Run, path: str, how: Resume, failed: str | None, given: Mapping[str, Any]) -> CrawlJob:
    """The crawl that goes on with a run, given its secrets again; the demo's shop opens again where the run knows it."""
    if run.target.startswith("scraper.demo."):
        from scraper.demo import DemoCrawl, DemoServer

        server = DemoServer(run.options["settings"]["allowed"])
        return DemoCrawl(server, db=path, resume=how, failed=failed)
    same = {name: run.options[name] for name in ("arguments", "start", "settings")}
    same["arguments"] = {**same["arguments"], **pairs_of(given["arguments"], "-a")}
    if given["proxy"]:
        same["settings"] = {**same["settings"], "proxy": list(given["proxy"])}
    found = find_target(run.target, near=Path(path).resolve().parent)
    return CrawlJob(
        found.cls, db=path, layers=found.layers, resume=how, failed=failed, target=run.target, **same
    )


@dataclass(frozen=True, slots=True)
class Look:
    """How a person wants to see a crawl."""

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    output: str | None = None
    profile: bool = False

    def stage(self) -> AbstractContextManager[Region | None]:
        """A region to draw in where stderr is a terminal. It begins before the spider is imported, whose log
        handlers keep the stderr they find."""
        return screen() if is_terminal(sys.stderr) and not self.quiet else nullcontext()


def _look(given: Mapping[str, Any]) -> Look:
    names = ("quiet", "verbose", "as_json", "output", "profile")
    return Look(**{name: given[name] for name in names if name in given})


def crawl_and_report(crawl: CrawlJob, look: Look, region: Region | None, workers: int = 1) -> int:
    """Crawl with the signals a person sends, report, write the rows to a file where asked; return the exit code."""
    reporter = Reporter(quiet=look.quiet, verbose=look.verbose, region=region)
    events = JsonEvents(crawl) if look.as_json else None
    profile = _profile(workers) if look.profile else None
    crawl.observe(*(observer for observer in (reporter, events, profile) if observer is not None))
    with OUTPUT.stopping(lambda lost: say(f"! {lost}")):
        try:
            with profile or nullcontext():
                summary = (
                    asyncio.run(interruptible(crawl, reporter))
                    if workers == 1
                    else _together(crawl, reporter, workers, pages=look.verbose or look.as_json)
                )
        except KeyboardInterrupt:  # a callback kept the loop, and the person did not want to wait for it
            summary = None
        finally:
            reporter.close()
        try:
            _tell_end(crawl, reporter, summary, look.output)
        finally:  # also where the file of `-o` has no place
            if profile is not None:
                _tell_profile(crawl, reporter, events, profile)
            if events is not None:
                events.left() if summary is None else events.ended(summary)
    return 130 if summary is None else summary.exit_code


def _tell_end(crawl: CrawlJob, reporter: Reporter, summary: Summary | None, output: str | None) -> None:
    if summary is None:
        reporter.left(crawl.database)
        return
    reporter.ended(summary)
    for path, rows in _files(summary, output):
        reporter.wrote(path, rows)


def _tell_profile(crawl: CrawlJob, reporter: Reporter, events: JsonEvents | None, profile: Profile) -> None:
    from scraper.cli.terminal.profile import profile_lines

    measured = profile.measured(crawl.status().spent)
    reporter.told(profile_lines(measured))
    if events is not None:
        events.profiled(measured)


def _files(summary: Summary, output: str | None) -> list[tuple[str, int]]:
    """The files of `-o`, written from the rows of this run."""
    if not output:
        return []
    filled = {table for table, counts in summary.items.items() if sum(counts.values())}
    return export_run(summary.database, summary.run, filled, output)


def _profile(workers: int) -> Profile:
    """Raises UsageError where there would be several processes to look at."""
    from scraper.profiling import Profile

    if workers > 1:
        raise UsageError("--profile looks at one process: leave --workers out")
    return Profile()


def _together(crawl: CrawlJob, reporter: Reporter, workers: int, *, pages: bool) -> Summary | None:
    """The crawl's summary when several processes share it; None when it was left at once."""
    from scraper.workers import Workers

    reporter.begin(crawl, time.monotonic)
    together, own = Workers(crawl, workers, pages=pages), os.getpid()

    def stop(lost: OutputLost) -> None:
        if os.getpid() != own:  # in a worker, for what its callbacks print: it stops, and the others with it
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            together.stop()
            reporter.lost(lost)

    with OUTPUT.stopping(stop):
        return together.run(reporter.every, reporter.look, reporter.forking)


async def interruptible(crawl: CrawlJob, reporter: Reporter) -> Summary | None:
    """The crawl's summary; None when it was left at once, by a second Ctrl-C."""
    loop = asyncio.get_running_loop()
    reporter.begin(crawl, loop.time)
    task = asyncio.create_task(crawl.run())
    loop.add_signal_handler(signal.SIGCONT, reporter.redraw)
    ticker = asyncio.create_task(reporter.tick())

    def end() -> None:
        crawl.stop(grace=GRACE)

    def stop(lost: OutputLost) -> None:
        loop.call_soon_threadsafe(end)
        reporter.lost(lost)

    with heeding(loop, end, task.cancel, reporter.interrupted), OUTPUT.stopping(stop):
        try:
            return await task
        except asyncio.CancelledError:
            return None
        finally:
            ticker.cancel()


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rate", "concurrency", "max_pages", "max_items", "max_time", "max_depth")
    settings = {name: given[name] for name in names if given[name] is not None}
    if given["proxy"]:
        settings["proxy"] = list(given["proxy"])
    if given["no_robots"]:
        settings["robots"] = False
    return {**settings, **pairs_of(given["settings"], "--set")}
