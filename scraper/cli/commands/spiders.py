"""`scraper list` and `scraper info`: what they take. What they show is imported when they run."""

from __future__ import annotations

import click

__all__ = ["info", "list_spiders"]


@click.command("list")
def list_spiders() -> None:
    """The spiders of this project and of installed plugins, and where each one is."""
    from scraper.cli.commands.catalog import show_all

    show_all()


@click.command()
@click.argument("target")
def info(target: str) -> None:
    """What the spider TARGET says of itself: doc, start, arguments, items, settings and where they are from."""
    from scraper.cli.commands.catalog import show

    show(target)
