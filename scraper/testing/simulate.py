"""A whole crawl under virtual time: spider, scripted site, real engine, real SQLite; nothing else is faked."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scraper.api.job import CrawlJob
from scraper.core.sql_names import quoted
from scraper.query import ask, open_readonly
from scraper.query.tables import own_tables
from scraper.reports.summary import Summary
from scraper.spider import Spider
from scraper.testing.scripted_site import Hit, Site
from scraper.testing.virtual_time import VirtualLoop

__all__ = ["Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulated crawl did: its summary, the server's log, its item tables, and how long it took.

    `seconds` is virtual time; `tables` maps names to rows (dicts, internal columns included); `kills` says how many
    of the kills that were asked for came before the end.
    """

    summary: Summary
    hits: Sequence[Hit]
    tables: Mapping[str, list[dict[str, Any]]]
    seconds: float
    kills: int = 0


def simulate(
    spider: type[Spider[Any]],
    site: httpx.AsyncBaseTransport,
    *,
    db: str | Path | None = None,
    seed: int = 0,
    begins: float = 0.0,
    kill: Sequence[float] = (),
    **options: Any,
) -> Simulation:
    """Crawl `site` with `spider` under virtual time, deterministic for equal arguments. Any other transport that opens no
    sockets will do, such as `httpx.MockTransport`; it has no log.

    `db` keeps the database; otherwise it is temporary. `begins` is when the crawl begins: give a later time when a
    database is crawled into again. At each time in `kill` the process dies as by `kill -9` and is resumed at once on
    the same file: nothing is given back, only what was committed is there. `options` are those of `scraper.Crawl`.
    """
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        path = str(db or Path(folder, "simulation.db"))
        options |= {"db": path, "transport": site, "inline": True, "seed": seed}
        now = begins
        for kills, at in enumerate((*sorted(kill), None)):
            loop = VirtualLoop(now)
            try:
                summary = _run(loop, CrawlJob(spider, **options), at, Path(folder))
                now = loop.time()
            finally:
                loop.close()
            if summary is not None:
                hits = site.hits if isinstance(site, Site) else ()
                return Simulation(summary, hits, _tables(path), now - begins, kills)
            options["resume"] = "continue"  # or begin: it may have died before the run was stored
        raise AssertionError("the last crawl has no time to be killed at: it ends")


def _run(loop: VirtualLoop, crawl: CrawlJob, kill: float | None, folder: Path) -> Summary | None:
    """The crawl to its end, or None when it was killed at the loop time `kill`."""
    task = loop.create_task(crawl.run())
    if kill is not None:
        timer = loop.create_task(asyncio.sleep(kill - loop.time()))
        loop.run_until_complete(asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED))
        timer.cancel()
        if not task.done():
            _die(loop, task, crawl.database, folder)
            return None
    return loop.run_until_complete(task)


def _die(loop: VirtualLoop, task: asyncio.Task[Summary], database: str, folder: Path) -> None:
    """Leave the database as the kernel finds it at this instant, whatever the dying tasks still write."""
    kept = {suffix: folder / f"kept{suffix}" for suffix in ("", "-wal") if Path(database + suffix).exists()}
    for suffix, copy in kept.items():
        shutil.copyfile(database + suffix, copy)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    for suffix in ("", "-wal", "-shm"):
        Path(database + suffix).unlink(missing_ok=True)
    for suffix, copy in kept.items():
        shutil.move(copy, database + suffix)


def _tables(path: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with closing(open_readonly(path)) as conn:
        for name in own_tables(conn):
            answer = ask(conn, f"SELECT * FROM {quoted(name)} ORDER BY rowid")  # noqa: S608 - quoted
            found[name] = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    return found
