"""A crawl from a program: `await crawl(Books, db="books.db")`, or `run(Books)` in a script.

Nothing here prints, logs or touches signals; it works inside a running loop, many at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import httpx

from scraper.api.job import CrawlJob
from scraper.core.models import CrawlStatus
from scraper.engine.options import Resume
from scraper.events import INTERRUPTED, Observer
from scraper.reports.summary import Summary
from scraper.settings import Layers, Settings
from scraper.spider import Spider

__all__ = ["Crawl", "CrawlOptions", "crawl", "run"]


class CrawlOptions(TypedDict, total=False):
    """The keywords of `Crawl`, for `crawl` and `run`."""

    db: str | Path | None
    arguments: Mapping[str, Any] | None
    start: Iterable[str]
    settings: Mapping[str, Any] | None
    layers: Layers
    resume: Resume
    failed: str | None
    target: str
    observers: Sequence[Observer]
    transport: httpx.AsyncBaseTransport | None
    inline: bool
    seed: int | None


class Crawl:
    """One crawl: prepared when made (errors of usage come then), run once.

    `spider` is a class. The options, all of them keywords:

    - `db`: the database file; without it `data/<spider>.db` in the project.
    - `arguments`: the spider's own attributes by name. `start`: URLs instead of its start URLs.
    - `settings`: they win over the spider's.
    - `resume`: "new", "continue" (the unfinished run, or a new one), "must" (go on or fail), "failed" (what failed in the
      newest run, of the kind `failed` or all).
    - `observers`: callables that are told each event (`scraper.events`).
    - `transport`: an `httpx.AsyncBaseTransport` in place of the network.
    - `layers`, `target`, `inline`, `seed`: for programs that configure, resume or simulate crawls.

    Raises SpiderError, SettingsError or another UsageError.
    """

    def __init__(self, spider: type[Spider[Any]], **options: Unpack[CrawlOptions]) -> None:
        self._job = CrawlJob(spider, **options)

    @property
    def database(self) -> str:
        """The path of the database."""
        return self._job.database

    @property
    def settings(self) -> Settings:
        """What is in force: of the class, the configuration and the options; a resumed run brings its own when it begins."""
        return self._job.settings

    @property
    def run_id(self) -> int | None:
        """The number of the run, None until it has begun."""
        return self._job.run_id

    def observe(self, *observers: Observer) -> None:
        """Tell these what happens, after those told already."""
        self._job.observe(*observers)

    def stop(self, reason: str = INTERRUPTED, grace: float | None = None) -> None:
        """Start nothing new; what is under way ends and is stored. The run can be resumed.

        What has not ended `grace` seconds later is given up, and fetched again by the resume.
        """
        self._job.stop(reason, grace)

    def status(self) -> CrawlStatus:
        """What is going on right now in this process; empty before and after the crawl."""
        return self._job.status()

    async def run(self) -> Summary:
        """Crawl to the end.

        Raises UsageError, StoreError or DatabaseInUse; whatever the web does is in the summary.
        """
        return await self._job.run()


async def crawl(spider: type[Spider[Any]], **options: Unpack[CrawlOptions]) -> Summary:
    """Crawl with a spider class and return its summary; `options` are those of `Crawl`."""
    return await Crawl(spider, **options).run()


def run(spider: type[Spider[Any]], **options: Unpack[CrawlOptions]) -> Summary:
    """`crawl` for scripts: runs its own event loop."""
    return asyncio.run(crawl(spider, **options))
