"""`scraper shell`: a Python prompt with a page."""

from __future__ import annotations

import asyncio
import code
import tempfile
from typing import Any

import click

from scraper.cli.commands.get import project_layers
from scraper.cli.curl import request_of
from scraper.core.models import Request
from scraper.core.tracebacks import printable
from scraper.errors import FetchError, ScraperError, UsageError
from scraper.page import Node, Page
from scraper.testing.single_page import fetch_page

__all__ = ["Session", "shell"]

WELCOME = "page · css(sel) · fetch(url) · curl('curl …') fetches politely and sets page"


@click.command()
@click.argument("url", required=False)
@click.option("--no-robots", is_flag=True, help="Do not ask robots.txt.")
def shell(url: str | None, no_robots: bool) -> None:
    """A Python prompt with the page of URL: IPython where it is installed."""
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        session = Session(folder, {"robots": False} if no_robots else {})
        if url is not None:
            try:
                session.fetch(url)
            except UsageError:
                raise
            except ScraperError as error:
                click.echo(f"! {printable(str(error))}", err=True)
        _prompt(session.names)


class Session:
    """What a prompt can do. Its pages share one folder, so that the rate of a domain holds between fetches."""

    def __init__(self, folder: str, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self._layers = project_layers()
        self.names: dict[str, Any] = {
            "page": None, "css": self.css, "fetch": self.fetch, "curl": self.curl, "Request": Request,
        }  # fmt: skip

    def css(self, sel: str) -> list[Node]:
        """Every match on the page last fetched."""
        page = self.names["page"]
        if page is None:
            raise UsageError("no page yet: fetch(url)")
        return [node for node in page.css(sel) if isinstance(node, Node)]

    def fetch(self, target: str | Request) -> Page:
        """Fetch a URL (relative to the page) or a request, politely; it becomes `page`. Raises FetchError."""
        request = Request(target) if isinstance(target, str) else target
        before = self.names["page"]
        if before is not None:
            request = Request.of(before.request(request.url)[0].url, request.options)
        fetched = asyncio.run(
            fetch_page(request, settings=self._settings, layers=self._layers, folder=self._folder)
        )
        if fetched.page is None:
            raise FetchError("http", f"{request.url}: {fetched.why}")
        self.names["page"] = page = fetched.page
        click.echo(f"{printable(repr(page))}  {len(page.body)} bytes", err=True)
        return page

    def curl(self, command: str) -> Page:
        """Fetch what a pasted curl command asks for. No shell is run."""
        return self.fetch(request_of(command))


def _prompt(names: dict[str, Any]) -> None:
    try:
        from IPython import start_ipython  # type: ignore[import-not-found,unused-ignore]  # where it is installed
    except ImportError:
        code.interact(banner=WELCOME, local=names, exitmsg="")
        return
    click.echo(WELCOME, err=True)
    start_ipython(argv=["--no-banner"], user_ns=names)
