"""Looking at crawls, live or dead, from another terminal: runs, status, errors, hosts, explain; list and info."""

from __future__ import annotations

import inspect
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from scraper.cli.report import number, plural, shown_database, shown_place
from scraper.clock import iso
from scraper.errors import QueryError
from scraper.loader import known_spiders, load_spider
from scraper.project import find_database
from scraper.query import open_readonly, write_answer
from scraper.query.crawls import FailureGroup, errors_of, hosts_of, latest_run, runs_of, trail_of
from scraper.settings import Settings
from scraper.spider import Spider, define
from scraper.trace import printable

__all__ = ["errors", "explain", "hosts", "info", "list_spiders", "runs"]


@contextmanager
def _opened(database: str) -> Iterator[sqlite3.Connection]:
    with closing(open_readonly(find_database(database))) as conn:
        try:
            yield conn
        except sqlite3.Error as error:
            raise QueryError(f"{database}: {error}") from error


@click.command("list")
def list_spiders() -> None:
    """The spiders of this project and of installed plugins, and where each one is."""
    known = known_spiders()
    for name, cls in sorted(known.items()):
        about = _about(cls).partition("\n")[0]
        click.echo(f"{name}  {shown_place(define(cls).place)}  {about}".rstrip())
    if not known:
        click.echo("no spiders: put one into spiders/, or name a file: scraper crawl FILE.py", err=True)


def _about(cls: type[Spider[Any]]) -> str:
    """A spider's own documentation, or that of its file."""
    own = cls.__dict__.get("__doc__") or getattr(sys.modules.get(cls.__module__), "__doc__", None)
    return inspect.cleandoc(own or "")


@click.command()
@click.argument("target")
def info(target: str) -> None:
    """What the spider TARGET says of itself: doc, start, arguments, items, settings."""
    cls = load_spider(target)
    definition = define(cls)
    settings = Settings.of((definition.place, definition.settings))
    click.echo(f"{definition.name}  {shown_place(definition.place)}")
    for line in _about(cls).splitlines():
        click.echo(f"  {line}".rstrip())
    starts = list(cls.start_urls)
    own = "give --start URL" if cls.start is Spider.start else "start()"
    click.echo(f"  start      {', '.join(starts[:3]) or own}{' …' if len(starts) > 3 else ''}")
    for name, annotation in definition.arguments.items():
        default = f" = {getattr(cls, name)!r}" if hasattr(cls, name) else "  (required)"
        click.echo(f"  -a {name}: {getattr(annotation, '__name__', annotation)}{default}")
    if definition.items:
        click.echo(f"  items      {', '.join(item.__name__ for item in definition.items)}")
    rate = settings.rate or "none"
    click.echo(f"  limits     rate {rate}, concurrency {settings.concurrency}, scope {settings.scope}")
    for name, value in definition.settings.items():
        if name not in {"rate", "concurrency", "scope"}:
            click.echo(f"  {name} = {value!r}")


@click.command()
@click.argument("database")
def runs(database: str) -> None:
    """The runs of DATABASE (a file, or a spider's name), newest first."""
    with _opened(database) as conn:
        write_answer(runs_of(conn), sys.stdout)


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
@click.option("--kind", metavar="KIND", help="Only this kind of failure.")
@click.option("--full", is_flag=True, help="With the lines of code that led there.")
def errors(database: str, run: int | None, kind: str | None, full: bool) -> None:
    """What failed in a run of DATABASE, grouped by kind and place."""
    with _opened(database) as conn:
        groups = errors_of(conn, latest_run(conn, run), kind)
    for group in groups:
        _show(group, full=full)
    if not groups:
        click.echo("nothing failed", err=True)


def _show(group: FailureGroup, *, full: bool) -> None:
    what = f"HTTP {group.status}" if group.kind == "http" else group.kind
    message = printable(group.message.partition("\n")[0])
    said = f"  {message}" if message and message != what else ""
    click.echo(f"{plural(group.count, 'page')}  {what}  {shown_place(group.place)}{said}".rstrip())
    click.echo(f"    first: {printable(group.url)}")
    if full and group.detail:
        for line in group.detail.splitlines():
            click.echo(f"    {printable(line)}")


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
def hosts(database: str, run: int | None) -> None:
    """The domains of a run of DATABASE: sends, the smallest gap between two, what is parked and why."""
    with _opened(database) as conn:
        write_answer(hosts_of(conn, latest_run(conn, run)), sys.stdout)


@click.command()
@click.argument("database")
@click.argument("url")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
def explain(database: str, url: str, run: int | None) -> None:
    """Why URL was fetched, skipped, retried, or not, in a run of DATABASE."""
    with _opened(database) as conn:
        chosen = latest_run(conn, run)
        trail = trail_of(conn, chosen, url)
    if trail is None:
        raise QueryError(
            f"run {chosen} of {shown_database(find_database(database))} never queued {url}: no page linked to it,"
            " or it was out of scope, too deep, or another URL counted as the same page"
        )
    click.echo(f"{trail.url}  {trail.state}{'  ' + printable(trail.reason) if trail.reason else ''}")
    click.echo(f"  found on  {trail.found_on or 'the start'}, depth {trail.depth}, for {trail.callback}")
    for kind, sent_to, sent, status in trail.sends:
        elsewhere = f"  {sent_to}" if sent_to != trail.url else ""
        click.echo(f"  {iso(sent)}  {kind}  {status if status is not None else 'no answer'}{elsewhere}")
    if not trail.sends:
        click.echo("  nothing was sent for it")
    elif trail.attempts:
        click.echo(f"  {number(trail.attempts)} of the tries failed and were repeated")
