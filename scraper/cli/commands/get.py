"""`scraper get`: one page to stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from scraper.core.models import Request
from scraper.core.tracebacks import printable
from scraper.page import Page, document_of
from scraper.project.config_file import read_configuration
from scraper.project.folder import project_folder
from scraper.settings import Layers
from scraper.testing.single_page import fetch_page

__all__ = ["get", "project_layers"]


@click.command()
@click.argument("url")
@click.option(
    "-s", "--select", "selector", metavar="CSS", help="The text of every match, or its ::attr(name)."
)
@click.option("--md", "form", flag_value="md", help="As Markdown.")
@click.option(
    "--json", "form", flag_value="json", help="JSON as it is, a page as url, status, title, text, links."
)
@click.option("--links", "form", flag_value="links", help="The links, absolute, one per line.")
@click.option("--headers", "form", flag_value="headers", help="Status and headers.")
@click.option("--no-robots", is_flag=True, help="Do not ask robots.txt.")
def get(url: str, selector: str | None, form: str | None, no_robots: bool) -> int:
    """Fetch URL politely and write it to stdout: its text, or what is asked of it."""
    settings = {"robots": False} if no_robots else {}
    fetched = asyncio.run(fetch_page(Request(url), settings=settings, layers=project_layers()))
    page = fetched.page
    if page is None:
        click.echo(f"✗ {printable(url)}  {printable(fetched.why)}", err=True)
        return 4
    if selector is not None:
        return _selected(page, selector)
    if form is None:
        _raw(page)
    else:
        click.echo(printable(_FORMS[form](page), lines=True))
    return 0


def project_layers() -> Layers:
    """What is configured for every spider here: who we are, and how polite."""
    return read_configuration(project_folder(Path.cwd()), os.environ).layers("")


def _selected(page: Page, selector: str) -> int:
    """A line for each match; 3 when there is none, with what was probably meant."""
    values = page.attrs(selector) if "::attr" in selector else page.texts(selector)
    for value in values:
        click.echo(printable(value))
    if values:
        return 0
    meant = document_of(page).suggest(selector.partition("::")[0])
    told = f'; did you mean "{meant[0]}"? ({meant[1]} matches)' if meant else ""
    click.echo(f'✗ nothing matches "{printable(selector)}" on {page.url}{told}', err=True)
    return 3


def _raw(page: Page) -> None:
    """The page as it is: bytes into a pipe, readable text onto a terminal."""
    if not sys.stdout.isatty() and hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(page.body)
        sys.stdout.buffer.flush()
        return
    click.echo(printable(page.source.replace("\r\n", "\n"), lines=True))


def _json(page: Page) -> str:
    if "json" in page.headers.get("content-type", ""):
        return json.dumps(page.json(), ensure_ascii=False, indent=2)
    made: dict[str, Any] = {
        "url": page.url, "status": page.status, "headers": dict(page.headers),
        "title": page.text("title", default=None), "text": page.text("body", default=""), "links": page.links(),
    }  # fmt: skip
    return json.dumps(made, ensure_ascii=False, indent=2)


def _headers(page: Page) -> str:
    return "\n".join([f"HTTP {page.status}", *(f"{n}: {v}" for n, v in page.headers.multi_items())])


_FORMS = {
    "md": Page.markdown,
    "json": _json,
    "links": lambda page: "\n".join(page.links()),
    "headers": _headers,
}
