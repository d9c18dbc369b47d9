"""`scraper browse`: datasette on this machine's own address."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import click

from scraper.cli.commands.query import attaching
from scraper.core.extras import require
from scraper.errors import UsageError
from scraper.project.folder import find_database
from scraper.query import Reading

__all__ = ["browse", "command_of"]

HOST = "127.0.0.1"


@click.command()
@click.argument("database")
@attaching
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8001, metavar="N", help="The port; 0 for any free one."
)
@click.option("--open", "show", is_flag=True, help="Open the page in the web browser.")
def browse(database: str, attach: Sequence[str], port: int, show: bool) -> int:
    """Look at DATABASE in a web browser, on this machine only, until Ctrl-C."""
    paths = [find_database(name) for name in (database, *attach)]
    for path in paths:
        Reading(path).close()  # raises where datasette would show an error page
    require("browse", "scraper browse")
    click.echo(f"{', '.join(paths)} → http://{HOST}:{port}/   Ctrl-C ends it", err=True)
    with subprocess.Popen(command_of(paths, port, show), env=_environment()) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return 0
    if code:
        raise UsageError(
            f"datasette ended with exit code {code}; is port {port} taken? --port 0 takes a free one"
        )
    return 0


def command_of(paths: Sequence[str], port: int, show: bool) -> list[str]:
    """The datasette that serves these files: read-only, as a crawl goes on writing them, to this machine only."""
    made = [sys.executable, "-m", "datasette", "serve", *paths, "--host", HOST, "--port", str(port)]
    made += ["--setting", "default_allow_sql", "on", "--setting", "allow_download", "off"]
    return [*made, "--open"] if show else made


def _environment() -> dict[str, str]:
    """Ours, without plugins and secrets that were meant for another datasette."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DATASETTE_")}
