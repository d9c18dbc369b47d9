"""Looking at crawls, live or dead, from another terminal: runs and hosts; list and info."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import click

from scraper.cli.opened import opened
from scraper.cli.words import shown_place
from scraper.loader import known_spiders, load_spider
from scraper.query import write_answer
from scraper.query.crawls import hosts_of, latest_run, runs_of
from scraper.settings import Settings
from scraper.spider import Spider, define

__all__ = ["hosts", "info", "list_spiders", "runs"]


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
    with opened(database) as conn:
        write_answer(runs_of(conn), sys.stdout)


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="This run instead of the newest.")
def hosts(database: str, run: int | None) -> None:
    """The domains of a run of DATABASE: sends, the smallest gap between two, what is parked and why."""
    with opened(database) as conn:
        write_answer(hosts_of(conn, latest_run(conn, run)), sys.stdout)
