"""`scraper stop`: ask the crawl that runs on a database to end, from any terminal."""

from __future__ import annotations

import time
from contextlib import closing

import click

from scraper.cli.terminal.formatting import shown_database
from scraper.errors import UsageError
from scraper.events import GRACE
from scraper.project.folder import find_database
from scraper.query import open_readonly
from scraper.reports.runs import latest_run
from scraper.store.file.lock import holder_of
from scraper.store.file.writer import connect, explaining
from scraper.store.queue.orders import STOP, send_command

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
    holder = holder_of(path)
    if holder is None:
        raise UsageError(f"no crawl is running on {shown}; scraper runs {shown} shows how the last one ended")
    with closing(open_readonly(path)) as conn:
        run = latest_run(conn)
    with explaining(path), closing(connect(path)) as conn:
        send_command(conn, run, STOP, {}, time.time())
    click.echo(f"asked {holder} to stop", err=True)
    if not _ended(path):
        click.echo(f"! it is still ending; look again with: scraper status {shown}", err=True)
        return 1
    click.echo(f"stopped; continue with: scraper resume {shown}", err=True)
    return 0


def _ended(path: str) -> bool:
    """Wait until nobody crawls into the database. Locks send no events to those who do not want them."""
    until = time.monotonic() + PATIENCE
    while holder_of(path) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(LOOK)
    return True
