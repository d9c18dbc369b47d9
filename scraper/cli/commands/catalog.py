"""What `scraper list` and `scraper info` show: the spiders there are, and what one says of itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from scraper.cli.project_health import project_findings
from scraper.cli.terminal.formatting import shown_place
from scraper.core.tracebacks import printable
from scraper.items import Items
from scraper.net.wire.tls import check_hosts
from scraper.project.folder import project_folder
from scraper.project.loader import Catalog, survey
from scraper.project.target import Target, find_target
from scraper.settings import Settings
from scraper.spider import Spider

__all__ = ["show", "show_all", "told_faults"]

#: Start URLs that `info` shows.
MOST = 3


def show_all() -> None:
    """A line for each spider, on stdout; on stderr one for each that does not load."""
    catalog = survey()
    rows = [
        (known.name, shown_place(known.origin), _about(known.cls).partition("\n")[0])
        for known in catalog.spiders.values()
    ]
    names, places = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    for name, place, about in rows:
        click.echo(printable(f"{name:{names}}  {place:{places}}  {about}".rstrip()))
    for fault in told_faults(catalog):
        click.echo(printable(f"! {fault}"), err=True)
    for finding in project_findings():
        if finding.remedy and finding.name in {"config", "environment"}:
            click.echo(printable(f"! {finding.value}; {finding.remedy}"), err=True)
    if not rows and catalog.startless:
        name = catalog.startless[0].name
        click.echo(f"no spider has a start of its own: scraper crawl {name} --start URL", err=True)
    elif not rows:
        click.echo("no spiders: put one into spiders/, or name a file: scraper crawl FILE.py", err=True)


def told_faults(catalog: Catalog) -> Iterator[str]:
    """One line for each file or plugin that does not load, and for each spider hidden by another's name."""
    for broken in catalog.broken:
        origin, why = shown_place(broken.origin), shown_place(broken.why)
        yield why if why.startswith(origin) else f"{origin} does not load: {why}"
    for known in catalog.hidden:
        used = shown_place(catalog.spiders[known.name].origin)
        yield f'two spiders are named "{known.name}": {used} is used, {shown_place(known.origin)} is not'


def _about(cls: type[Spider[Any]]) -> str:
    """A spider's own documentation, or that of its file."""
    own = cls.__dict__.get("__doc__") or getattr(sys.modules.get(cls.__module__), "__doc__", None)
    return inspect.cleandoc(own or "")


def show(target: str) -> None:
    """What one spider says of itself, and which settings come from where.

    Raises SettingsError, at the end, for a certificate that a crawl could not use.
    """
    found = find_target(target)
    definition = found.definition
    click.echo(f"{definition.name}  {shown_place(definition.place)}")
    for line in _about(found.cls).splitlines():
        click.echo(printable(f"  {line}".rstrip()))
    head = ""
    for name, value in _facts(found):
        click.echo(printable(f"  {'' if name == head else name:9}  {value}"))
        head = name
    layers = found.layers.around((definition.place, definition.settings), ("", {}))
    check_hosts(Settings.of(*layers).within(project_folder()).tls)


def _facts(found: Target) -> Iterator[tuple[str, str]]:
    """What is shown of a spider, a name and a value for each line."""
    yield "start", _start(found.cls)
    yield from (("arguments", line) for line in _arguments(found))
    yield from (("items", line) for line in _items(found))
    layers = found.layers.around((found.definition.place, found.definition.settings), ("", {}))
    settings = Settings.of(*layers)
    rate = f"{settings.rate} per domain" if settings.rate else "no rate limit"
    yield "limits", f"{rate}, {settings.concurrency} at a time, scope {settings.scope}"
    yield from (("", f"{host}: {limit}") for host, limit in _limits(settings))
    # The last layer that names a setting is the one that counts.
    origins = {key: source for source, values in layers for key in values}
    width = max((len(name) for name in origins), default=0)
    for name in (name for name in Settings.names() if name in origins):
        value = _shown(name, getattr(settings, name))
        yield "settings", f"{name:{width}} = {value}  ({shown_place(origins[name])})"


def _start(cls: type[Spider[Any]]) -> str:
    if cls.start is not Spider.start:
        return "start()"
    starts = list(cls.start_urls)
    return ", ".join(starts[:MOST]) + (" …" if len(starts) > MOST else "") or "none: give --start URL"


def _arguments(found: Target) -> Iterator[str]:
    for name, annotation in found.definition.arguments.items():
        shown = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        default = f" = {getattr(found.cls, name)!r}" if hasattr(found.cls, name) else "  (required)"
        yield f"-a {name}: {shown}{default}"


def _items(found: Target) -> Iterator[str]:
    for table in Items(found.definition.name, found.definition.items).tables:
        columns = (f"{column.name} {column.type}{' key' if column.key else ''}" for column in table.columns)
        yield f"{table.name} ({', '.join(columns)})"


def _limits(settings: Settings) -> Iterator[tuple[str, str]]:
    for host, limit in settings.limits.items():
        told = (f"{name} {value}" for name in limit.__slots__ if (value := getattr(limit, name)) is not None)
        yield host, ", ".join(told)


def _shown(name: str, value: Any) -> str:
    """A value as it is written. Of headers only the names: their values may be secrets."""
    if isinstance(value, Mapping):
        return ", ".join(value) or "none"
    if isinstance(value, (tuple, frozenset)):
        return (
            ", ".join(str(part) for part in (value if isinstance(value, tuple) else sorted(value))) or "none"
        )
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
