"""`scraper new`: a first spider for a page."""

from __future__ import annotations

import click

__all__ = ["new"]


@click.command()
@click.argument("url")
@click.option("-o", "output", metavar="FILE", help="Where to write it; default a name made from the host.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(url: str, output: str | None, force: bool) -> int:
    """Fetch the page at URL and write a first spider for it: what repeats on the page, and the link to the next one.

    The page is fetched as a crawl would: robots.txt, rate and the project's settings hold.
    """
    from scraper.cli.commands.draft import write_spider

    return write_spider(url, output, force=force)
