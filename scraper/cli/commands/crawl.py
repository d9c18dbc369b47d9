"""`scraper crawl` and `scraper resume`: what they take. What they do is imported when they run."""

from __future__ import annotations

from typing import Any

import click

from scraper.cli.memory import undisturbed

__all__ = ["crawl", "resume"]


@click.command()
@click.argument("target")
@click.option("-a", "arguments", multiple=True, metavar="KEY=VALUE", help="An argument of the spider.")
@click.option("--start", multiple=True, metavar="URL", help="Start here instead of start_urls (repeatable).")
@click.option("--db", metavar="FILE", help="The database; default data/<spider>.db in the project.")
@click.option("--rate", metavar="RATE", help="Requests per domain: 5/s, 30/min, none.")
@click.option("-c", "--concurrency", metavar="N", help="Requests in flight per domain.")
@click.option("--max-pages", metavar="N", help="Stop after N pages.")
@click.option("--max-items", metavar="N", help="Stop after N items.")
@click.option("--max-time", metavar="TIME", help="Stop after this long: 90s, 10m, 2h.")
@click.option("--max-depth", metavar="N", help="Follow links N steps from the start.")
@click.option(
    "--proxy",
    multiple=True,
    metavar="URL",
    help="Fetch through a proxy: http://user:password@host:port (repeatable: they take turns).",
)
@click.option("--no-robots", is_flag=True, help="Do not ask robots.txt.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting.")
@click.option("--workers", type=click.IntRange(1), default=1, metavar="N", help="Crawl with N processes.")
@click.option("--resume", "go_on", is_flag=True, help="Go on with the unfinished run, or start one.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on stdout.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="This run's rows, at the end: .jsonl, .csv, .parquet, .json, .xlsx.",
)
@click.option("--profile", is_flag=True, help="At the end, say where the time of your spider went.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every page.")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
def crawl(target: str, **given: Any) -> int:
    """Run the spider TARGET: a name, a file, file.py:Class, or module:Class."""
    with undisturbed():
        from scraper.cli.running import start

    return start(target, given)


@click.command()
@click.argument("database")
@click.option(
    "--failed",
    is_flag=False,
    flag_value="",
    metavar="[KIND]",
    help="Do the failed requests of the newest run again, all or those of one kind.",
)
@click.option(
    "-a",
    "arguments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A secret argument of the spider, which was not stored.",
)
@click.option(
    "--proxy",
    multiple=True,
    metavar="URL",
    help="The proxy, where its password was not stored (repeatable).",
)
@click.option("--workers", type=click.IntRange(1), default=1, metavar="N", help="Crawl with N processes.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every page.")
def resume(database: str, **given: Any) -> int:
    """Go on with the unfinished run of DATABASE (a file, or a spider's name)."""
    with undisturbed():
        from scraper.cli.running import go_on

    return go_on(database, given)
