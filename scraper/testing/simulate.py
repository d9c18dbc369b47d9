"""A whole crawl under virtual time: spider, scripted site, real engine, real SQLite; nothing else is faked."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.api import Crawl
from scraper.spider import Spider
from scraper.summary import Summary
from scraper.testing.clock import VirtualLoop
from scraper.testing.site import Hit, Site

__all__ = ["Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulated crawl did: its summary, the server's log, its item tables, and how long it took.

    `seconds` is virtual time; `tables` maps names to rows (dicts, internal columns included).
    """

    summary: Summary
    hits: Sequence[Hit]
    tables: Mapping[str, list[dict[str, Any]]]
    seconds: float


def simulate(
    spider: type[Spider[Any]], site: Site, *, db: str | Path | None = None, seed: int = 0, **options: Any
) -> Simulation:
    """Crawl `site` with `spider` under virtual time, deterministic for equal arguments.

    `db` keeps the database; otherwise it is temporary. `options` are those of `scraper.Crawl`.
    """
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        path = str(db or Path(folder, "simulation.db"))
        loop = VirtualLoop()
        try:
            crawl = Crawl(spider, db=path, transport=site, inline=True, seed=seed, **options)
            summary = loop.run_until_complete(crawl.run())
            seconds = loop.time()
        finally:
            loop.close()
        return Simulation(summary, site.hits, _tables(path), seconds)


def _tables(path: str) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as conn:
        conn.row_factory = sqlite3.Row
        names = conn.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 1) <> '_'"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        quoted = {name: '"' + name.replace('"', '""') + '"' for (name,) in names}
        return {
            name: [dict(row) for row in conn.execute(f"SELECT * FROM {quote} ORDER BY rowid")]  # noqa: S608 - quoted
            for name, quote in quoted.items()
        }
