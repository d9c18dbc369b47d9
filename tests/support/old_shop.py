"""The crawl that is kept as a database of every schema version: `python tests/support/old_shop.py` writes that of today.

Three runs: one that is complete, one with everything that can go wrong, and one that was killed with requests
queued and under way. A later version has to open it, read it, and end the third run as if nothing had happened.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import httpx

from scraper import Key, Page, Spider
from scraper.events import Event, PageDone
from scraper.items import table
from scraper.testing import Answer, Site, simulate

FOLDER = Path(__file__).resolve().parents[1] / "store" / "databases"
PRODUCTS = 12


@dataclass
class Product:
    sku: Annotated[str, Key]
    name: str
    price: Decimal | None
    stars: float | None = None


@dataclass
class Quote:
    text: str
    at: str


@table(name="part", merge="fill")
@dataclass
class Part:
    shop: Annotated[str, Key]
    number: Annotated[int, Key]
    tags: list[str]
    photo: bytes | None = None


class OldShop(Spider[Product | Quote | Part | dict[str, Any]]):
    start_urls = ["https://shop.test/"]
    rate = None
    scope = "any"
    trouble: bool = False

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a", self.parse_product)
        if self.trouble:
            yield [page.request(f"https://closed.test/{n}", self.parse_product) for n in range(25)]
            yield page.request("https://shop.test/missing", self.parse_product)

    def parse_product(self, page: Page) -> Any:
        number = page.number("h1")
        if self.trouble and number == 3:
            raise ValueError("not this one")
        price: Any = float("nan") if self.trouble and number == 5 else page.decimal("b")
        yield Product(f"sku-{number:g}", page.text("h1"), price)
        yield Quote(page.text("q"), page.url)
        yield Part("shop.test", int(number), ["a", "b"], b"\x00\xff" if number % 2 else None)
        yield {"number": number, "title": page.text("h1"), "note": None}


def answer(request: httpx.Request) -> Answer | str | None:
    """The shop, as it is on every day."""
    host, path = request.url.host, request.url.path
    if path == "/robots.txt":
        return Answer("User-agent: *\nCrawl-delay: 1\n", headers={"Content-Type": "text/plain"})
    if host == "closed.test":
        return Answer("no", 403)
    if path == "/":
        return "".join(f'<a href="/p/{n}">{n}</a>' for n in range(PRODUCTS))
    if path.startswith("/p/"):
        number = path.removeprefix("/p/")
        return f"<h1>{number} chair</h1><b>£{number}.50</b><q>“sit”, it's №{number}</q>"
    return None


def crawl(db: str | Path, **options: Any) -> Any:
    """One crawl of the shop; `options` are those of `simulate`."""
    return simulate(OldShop, Site(answer, latency=0.3), db=db, target="oldshop:OldShop", **options)


class KilledAfter:
    """An observer that copies the database when so many pages are stored: what kill -9 would leave."""

    def __init__(self, pages: int, db: Path, copy: Path) -> None:
        self._left, self._db, self._copy = pages, db, copy

    def __call__(self, event: Event) -> None:
        if isinstance(event, PageDone):
            self._left -= 1
            if not self._left:
                with closing(sqlite3.connect(self._db)) as old, closing(sqlite3.connect(self._copy)) as new:
                    old.backup(new)


def load(path: Path, db: Path) -> None:
    """The database of a dump."""
    with closing(sqlite3.connect(db)) as conn:
        conn.executescript(path.read_text())


def dump(db: Path) -> str:
    """A database as SQL, with the marks of its header, which a dump leaves out."""
    with closing(sqlite3.connect(db)) as conn:
        marks = [
            f"PRAGMA {name} = {conn.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        return "\n".join([*conn.iterdump(), *marks, ""]).replace(f"{FOLDER.parent.parent}/", "")


def main() -> None:
    """Write the dump of a database as this version makes it."""
    with tempfile.TemporaryDirectory() as folder:
        db, killed = Path(folder, "shop.db"), Path(folder, "killed.db")
        assert crawl(db).summary.state == "complete"
        assert crawl(db, arguments={"trouble": True}).summary.state == "stopped"
        crawl(db, observers=[KilledAfter(5, db, killed)])
        with closing(sqlite3.connect(killed)) as conn:
            version = conn.execute("PRAGMA user_version").fetchone()[0]
            states = conn.execute("SELECT json_group_array(state) FROM _runs").fetchone()[0]
            taken = conn.execute("SELECT sum(taken) FROM _queues WHERE run = 3").fetchone()[0]
        assert json.loads(states) == ["complete", "stopped", "running"], states
        assert taken, "nothing was under way"
        (FOLDER / f"schema-{version}.sql").write_text(dump(killed))


if __name__ == "__main__":
    main()
