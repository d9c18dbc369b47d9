"""`scraper hosts`: the domains of a crawl, and other limits for one of them while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing

import click

from scraper.api.database import live_crawl
from scraper.cli.database import opened
from scraper.cli.terminal.formatting import shown_database
from scraper.cli.terminal.host_table import host_table
from scraper.core.urls import domain_of
from scraper.errors import QueryError, UsageError
from scraper.project.folder import find_database
from scraper.query import open_readonly, write_answer
from scraper.reports.hosts import domain_in, domains_named, hosts_of
from scraper.reports.runs import latest_run
from scraper.settings import did_you_mean, read_limit

__all__ = ["hosts"]

#: What can be changed while a crawl runs.
CHANGEABLE = ("rate", "concurrency", "delay", "hours")


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
@click.option(
    "--set", "domain", metavar="DOMAIN", help="Change the limits of DOMAIN in the crawl that runs now."
)
@click.option(
    "--retry-now", is_flag=True, help="Try domains that are down at once: those named, or all of them."
)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
def hosts(
    database: str, run: int | None, domain: str | None, retry_now: bool, changes: tuple[str, ...]
) -> None:
    """The domains of a run of DATABASE: sends, rate, smallest gap, what they wait for. With --set DOMAIN
    KEY=VALUE… (rate, concurrency, delay, hours): other limits for one, within a second. With --retry-now
    [DOMAIN]…: do not wait for the next attempt at a domain that is down."""
    if retry_now:
        _retry(database, changes)
    elif domain is not None:
        _set(database, domain, changes)
    elif changes:
        raise UsageError(f"{changes[0]!r}: which domain? scraper hosts {database} --set DOMAIN {changes[0]}")
    else:
        path, now = find_database(database), time.time()
        crawled = live_crawl(path).holder() is not None
        with opened(path) as reading:
            chosen, newest = reading.read(latest_run, run), reading.read(latest_run)
            found = reading.read(hosts_of, chosen, now, crawled and chosen == newest)
        write_answer(host_table(found, now), sys.stdout, whole=not sys.stdout.isatty())


def _set(database: str, domain: str, changes: Sequence[str]) -> None:
    path = find_database(database)
    shown = shown_database(path)
    given = _read(changes)
    read_limit(domain, given)
    run, key = _meant(path, domain.lower())
    crawl = live_crawl(path)
    if crawl.holder() is None:
        raise UsageError(
            f"no crawl is running on {shown}: set it where the next one reads it, limits in scraper.toml"
        )
    crawl.set_limit(run, key, given, now=time.time())
    click.echo(f"{key}: {', '.join(f'{name} {value}' for name, value in given.items())}", err=True)


def _retry(database: str, domains: Sequence[str]) -> None:
    path = find_database(database)
    shown = shown_database(path)
    meant = [_meant(path, domain.lower())[1] for domain in domains]
    crawl = live_crawl(path)
    if crawl.holder() is None:
        raise UsageError(f"no crawl is running on {shown}; go on with: scraper resume {shown}")
    with closing(open_readonly(path)) as conn:
        run = latest_run(conn)
    crawl.retry_now(run, meant, now=time.time())
    click.echo(f"{', '.join(meant) or 'every domain that is down'}: tried again now", err=True)


def _read(changes: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for change in changes:
        key, mark, value = change.partition("=")
        if key not in CHANGEABLE:
            raise UsageError(f"{key!r} cannot be changed while a crawl runs{did_you_mean(key, CHANGEABLE)} "
                             f"What can: {', '.join(CHANGEABLE)}")  # fmt: skip
        if not mark or not value:
            raise UsageError(f"{change!r}: give a value, as in rate=2/s")
        given[key] = value
    if not given:
        raise UsageError(
            f"what is to change? For instance rate=2/s concurrency=1 (also {', '.join(CHANGEABLE)})"
        )
    return given


def _meant(path: str, domain: str) -> tuple[int, str]:
    """The newest run, and the domain of it that is meant: as it is named, or the one a host belongs to."""
    with closing(open_readonly(path)) as conn:
        run = latest_run(conn)
        for name in (domain, domain_of(domain)):
            if domain_in(conn, run, name):
                return run, name
        known = domains_named(conn, run)
    raise QueryError(f"run {run} has no domain {domain!r}{did_you_mean(domain, known)} See: scraper hosts")
