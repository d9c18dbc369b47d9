"""`scraper explain`: what became of one URL, and why."""

from __future__ import annotations

import time
from pathlib import Path

import click

from scraper.cli.database import opened
from scraper.core.clock import iso
from scraper.core.tracebacks import printable
from scraper.errors import UsageError
from scraper.net.identity import user_agent
from scraper.project.folder import find_database
from scraper.project.target import find_target
from scraper.reports.explain import Attempt
from scraper.reports.explain import explain as explained
from scraper.reports.runs import Run, chosen_run
from scraper.settings import NO_LAYERS, Layer, Settings

__all__ = ["explain"]


@click.command()
@click.argument("database")
@click.argument("url")
@click.option("--run", "number", type=int, metavar="N", help="This run instead of the newest.")
def explain(database: str, url: str, number: int | None) -> None:
    """Why URL was fetched, skipped, retried, or never queued, in a run of DATABASE."""
    path = find_database(database)
    with opened(database) as reading:
        run = reading.read(chosen_run, number)
        settings, doubt = _settings(run, path)
        found = reading.read(explained, run, url, settings, user_agent(settings), time.time())
    lines = [f"{found.url}  {found.state}{': ' + found.reason if found.reason else ''}"]
    lines += [f"  {note}" for note in (*found.notes, *doubt)]
    lines += [f"  {_attempt(attempt)}" for attempt in found.attempts]
    if not found.attempts and found.state != "never queued":
        lines.append("  nothing was sent for it")
    for line in lines:
        click.echo(printable(line))


def _settings(run: Run, path: str) -> tuple[Settings, list[str]]:
    """The settings of a run: those it was begun with over those its spider and project have now."""
    own: Layer = ("spider", {})
    layers, doubt = NO_LAYERS, []
    try:
        found = find_target(run.target or run.spider, Path(path).resolve().parent)
        own, layers = (found.definition.place, dict(found.definition.settings)), found.layers
    except UsageError as error:
        doubt = [f"the spider's own settings are not known: {str(error).partition(chr(10))[0]}"]
    return Settings.of(*layers.around(own, (f"run {run.id}", run.options["settings"]))), doubt


def _attempt(attempt: Attempt) -> str:
    status = str(attempt.status) if attempt.status is not None else "no answer"
    line = f"{iso(attempt.sent)}  {attempt.kind}  {status}  {attempt.seconds:.2f} s  {attempt.bytes} bytes"
    return f"{line}  {attempt.url}".rstrip()
