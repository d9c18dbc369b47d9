"""The two crawlers that are compared: how each is made ready, called, and asked what it found.

Both do one job: from the start page follow product links, category links and pagers; take the same eight
fields of every product; write the items while crawling (ours to its database, Scrapy to a JSON-lines feed).
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from benchmarks.serving import PROJECT, WORK, BenchmarkError, Server

__all__ = ["FIELDS", "Contender", "Items", "Ours", "Scrapy", "environment", "our_command"]

FIELDS = ("upc", "title", "price", "tax", "rating", "stock", "reviews", "category")
Items = list[tuple[Any, ...]]

SPIDER = """\
from decimal import Decimal

import scrapy

RATINGS = {"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}


class BooksSpider(scrapy.Spider):
    name = "books"
    allowed_domains = ["127.0.0.1"]
    # The settings of a generated project; what differs is marked.
    custom_settings = {
        "BOT_NAME": "books",
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS": @CONCURRENCY@,  # generated: not set (16)
        "CONCURRENT_REQUESTS_PER_DOMAIN": @CONCURRENCY@,  # generated: 1
        "DOWNLOAD_DELAY": 0,  # generated: 1
        "FEED_EXPORT_ENCODING": "utf-8",
    }

    def __init__(self, start, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]

    def parse(self, response):
        yield from response.follow_all(css="article.product_pod h3 a", callback=self.parse_book)
        yield from response.follow_all(css="div.side_categories a, ul.pager a")

    def parse_book(self, response):
        yield {
            "upc": response.css("table tr:nth-child(1) td::text").get(),
            "title": response.css("h1::text").get(),
            "price": Decimal(response.css("p.price_color::text").get().lstrip("£")),
            "tax": Decimal(response.css("table tr:nth-child(5) td::text").get().lstrip("£")),
            "rating": RATINGS[response.css("p.star-rating::attr(class)").get().split()[-1]],
            "stock": int(response.css("p.availability").re_first(r"\\d+")),
            "reviews": int(response.css("table tr:nth-child(7) td::text").get()),
            "category": response.css("ul.breadcrumb li:nth-child(3) a::text").get(),
        }
"""


class Contender(Protocol):
    """One crawler."""

    @property
    def name(self) -> str: ...

    def versions(self) -> dict[str, str]:
        """Name → version of what matters for its speed."""

    def command(self, server: Server, folder: Path) -> list[str]:
        """The command line of one crawl that keeps what it writes in `folder` (empty, made for it)."""

    def items(self, folder: Path) -> Items:
        """What the crawl found, as (…FIELDS) tuples, sorted by upc."""


def environment() -> dict[str, str]:
    """The children's environment: byte code is cached, as it is after an installation."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(PROJECT), "PYTHONPYCACHEPREFIX": str(WORK / "pycache")}


def our_command(server: Server, folder: Path, concurrency: int) -> list[str]:
    """The arguments of `python`, without it, of one crawl with spiders/books.py."""
    what = [str(PROJECT / "spiders" / "books.py"), "--start", server.url, "--db", str(folder / "books.db")]
    limits = ["--rate", "none", "-c", str(concurrency), "--set", f"private_hosts={server.netloc}"]
    return ["-m", "scraper", "crawl", *what, *limits]


class Ours:
    """This project, as it stands in the folder above, on the Python that runs the benchmark."""

    name = "scraper"

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency

    def versions(self) -> dict[str, str]:
        names = ("httpx", "aiohttp", "selectolax", "aiosqlite", "ada-url")
        ours = _ask([sys.executable, "-c", "from scraper.version import VERSION; print(VERSION)"]).strip()
        return {"scraper": ours, **_installed(sys.executable, names), "sqlite": sqlite3.sqlite_version}

    def command(self, server: Server, folder: Path) -> list[str]:
        return [sys.executable, *our_command(server, folder, self._concurrency)]

    def items(self, folder: Path) -> Items:
        with closing(sqlite3.connect(folder / "books.db")) as conn:
            return _comparable(conn.execute(f"SELECT {', '.join(FIELDS)} FROM book").fetchall())  # noqa: S608 (constants)


class Scrapy:
    """Scrapy as generated, in an environment of its own that is made on first use."""

    name = "Scrapy"

    def __init__(self, concurrency: int, log_level: str) -> None:
        self._log_level = log_level
        self._python = WORK / "scrapy" / "bin" / "python"
        self._spider = WORK / "scrapy_books.py"
        self._install()
        self._spider.write_text(SPIDER.replace("@CONCURRENCY@", str(concurrency)), encoding="utf-8")

    def _install(self) -> None:
        if self._python.exists() and not subprocess.run(self._importing(), capture_output=True).returncode:
            return
        print("making an environment for Scrapy (first use) …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(WORK / "scrapy")], check=True)
        if subprocess.run([str(self._python), "-m", "pip", "install", "-qq", "scrapy"]).returncode:
            raise BenchmarkError("pip could not install Scrapy; it said why above")

    def _importing(self) -> list[str]:
        return [str(self._python), "-c", "import scrapy, twisted.internet.asyncioreactor"]

    def versions(self) -> dict[str, str]:
        return _installed(str(self._python), ("scrapy", "twisted", "lxml", "parsel"))

    def command(self, server: Server, folder: Path) -> list[str]:
        log = ["-s", f"LOG_LEVEL={self._log_level}"]
        feed = ["-O", str(folder / "items.jsonl")]
        start = ["-a", f"start={server.url}"]
        return [str(self._python), "-m", "scrapy", "runspider", str(self._spider), *start, *feed, *log]

    def items(self, folder: Path) -> Items:
        lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
        return _comparable([tuple(json.loads(line)[name] for name in FIELDS) for line in lines])


def _comparable(rows: Items) -> Items:
    """The same value for the same fact, however it was stored: prices as Decimal."""
    return sorted(
        (upc, title, Decimal(str(price)), Decimal(str(tax)), *rest) for upc, title, price, tax, *rest in rows
    )


def _installed(python: str, names: tuple[str, ...]) -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*map(version, {names!r}))"
    return dict(zip(names, _ask([python, "-c", code]).split(), strict=True))


def _ask(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, env=environment())
    if answer.returncode:
        raise BenchmarkError(f"{command[0]} lacks a package: {answer.stderr.strip().splitlines()[-1]}")
    return answer.stdout
