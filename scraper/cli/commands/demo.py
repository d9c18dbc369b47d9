"""`scraper demo`: a crawl to watch without a network, and a question to its database."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from scraper.cli.commands.query import query
from scraper.cli.running import Look, crawl_and_report
from scraper.cli.terminal.formatting import shown_database
from scraper.demo import TARGET, DemoCrawl, DemoServer
from scraper.errors import UsageError
from scraper.events import CrawlStarted, Event, Observer
from scraper.project.folder import default_database
from scraper.reports.stored_runs import other_target

__all__ = ["demo"]

QUESTION = (
    "select name, price, round(avg(stars), 1) as stars, count(*) as reviews"
    " from product join review using (sku) group by sku order by stars desc, price limit 8"
)


@click.command()
@click.option("--db", metavar="FILE", help="The database; default data/demo.db in the project.")
@click.pass_context
def demo(context: click.Context, db: str | None) -> int:
    """Crawl a small shop that runs on this machine for as long, then ask the database a question.

    Three sites, about 260 pages: one site is slow, one says 429 with Retry-After and redirects, one has links
    that are gone and a branch robots.txt forbids. Needs no network.
    """
    database = db or default_database("demo")
    _refuse_another_spiders(database)
    look = Look()
    with look.stage() as region, closing(DemoServer()) as server:
        crawl = DemoCrawl(server, db=database, observers=[_announcing(server)])
        code = crawl_and_report(crawl, look, region)
    if code == 0:
        click.echo(f'\n$ scraper query {shown_database(database)} "{QUESTION}"', err=True)
        context.invoke(query, database=database, question=QUESTION)
    return code


def _announcing(server: DemoServer) -> Observer:
    """Says where the shop is, once the crawl begins."""
    shop, reviews, partner = server.netlocs
    served = f"serving a shop on {shop}, its reviews on {reviews} (slow), a partner on {partner} (busy)"

    def announce(event: Event) -> None:
        if isinstance(event, CrawlStarted):
            click.echo(served, err=True)

    return announce


def _refuse_another_spiders(database: str) -> None:
    """Raise UsageError where the database holds runs of another spider, perhaps one called demo too."""
    found = other_target(database, TARGET) if Path(database).is_file() else None
    if found is not None:
        raise UsageError(f"{database} holds crawls of {found}; choose another file: scraper demo --db FILE")
