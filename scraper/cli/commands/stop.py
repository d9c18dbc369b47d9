"""`scraper stop`: ask the crawl that runs on a database to end, from any terminal."""

from __future__ import annotations

import time
from contextlib import closing

import click

from scraper.api.database import live_crawl
from scraper.cli.terminal.formatting import shown_database
from scraper.core.ledger import LiveCrawl
from scraper.errors import UsageError
from scraper.events import GRACE
from scraper.project.folder import find_database
from scraper.query import open_readonly
from scraper.reports.runs import latest_run

__all__ = ["stop"]

#: Seconds to wait for the crawl to end: until it hears the order, its grace, and the end itself.
PATIENCE = GRACE + 10.0
LOOK = 0.1


@click.command()
@click.argument("database")
def stop(database: str) -> int:
    """Ask the crawl that runs on DATABASE to stop: no new requests, those under way end, then it leaves."""
    path = find_database(database)
    shown = shown_database(path)
    crawl = live_crawl(path)
    holder = crawl.holder()
    if holder is None:
        raise UsageError(f"no crawl is running on {shown}; scraper runs {shown} shows how the last one ended")
    with closing(open_readonly(path)) as conn:
        run = latest_run(conn)
    crawl.stop(run, now=time.time())
    click.echo(f"asked {holder} to stop", err=True)
    if not _ended(crawl):
        click.echo(f"! it is still ending; look again with: scraper status {shown}", err=True)
        return 1
    click.echo(f"stopped; continue with: scraper resume {shown}", err=True)
    return 0


def _ended(crawl: LiveCrawl) -> bool:
    """Wait until the crawl has ended. A lock sends no event to a process that does not want it."""
    until = time.monotonic() + PATIENCE
    while crawl.holder() is not None:
        if time.monotonic() > until:
            return False
        time.sleep(LOOK)
    return True
