"""What each part of the way of a page costs by itself, in µs of CPU.

    python -m benchmarks.parts [--rounds N] [--only PART,…] [--json OUT]

Each part is the product's own code, called as the engine calls it. A line's figure is the least of the rounds: what other
programs do to the machine only ever adds. The last column is its share of a loop of plain Python timed in the same rounds:
that is what to compare between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx

from benchmarks.measure import cpu_model
from scraper.core import urls
from scraper.core.charsets import decode_text
from scraper.core.clock import Clock
from scraper.core.models import (
    Budget,
    DomainLease,
    Done,
    Effects,
    Options,
    Outcome,
    PageResult,
    QueuedRequest,
    Send,
)
from scraper.demo.endless import Pages, path_of, serving
from scraper.demo.endless.spider import EndlessShop, Product
from scraper.engine.collect import Collector
from scraper.items import Items
from scraper.net.decode import Decoder
from scraper.net.downloader import Limits
from scraper.net.transports import open_wires
from scraper.page import Page
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.spider import define
from scraper.store.file.database import Database
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.runs import begin

#: Requests that the frontier is filled with, and how many a call adds or claims.
QUEUED, BATCH = 20_000, 100
#: Requests in flight where pages are fetched.
CONCURRENCY = 32
COUNT = 2_000
BASE = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Part:
    """One thing to measure: `run(n)` does it n times. `per` says what one of it is."""

    name: str
    per: str
    times: int
    run: Callable[[int], Awaitable[None]]


def _part(name: str, per: str, times: int, once: Callable[[], object]) -> Part:
    async def run(count: int) -> None:
        for _ in range(count):
            once()

    return Part(name, per, times, run)


def _page(html: bytes, number: int) -> Page:
    headers = httpx.Headers({"content-type": "text/html; charset=utf-8"})
    return Page(
        url=f"{BASE}{path_of(number)}",
        status=200,
        headers=headers,
        body=html,
        source=lambda: decode_text(html, "text/html; charset=utf-8"),
        options=Options(callback="product"),
    )


def _parts_of_a_page() -> Iterator[Part]:
    """What happens between a body and what is stored, without network or database."""
    pages, spider = Pages(COUNT), EndlessShop()
    html = pages.page(7)
    zipped = gzip.compress(html, 6)

    def undo() -> None:
        decoder = Decoder("gzip", 1 << 26)
        b"".join(decoder.feed(zipped))
        decoder.finish()

    yield _part("decode: gzip of 30 kB", "page", 1_000, undo)
    yield _part("decode: text", "page", 3_000, lambda: decode_text(html, "text/html; charset=utf-8"))
    yield _part("parse: the tree", "page", 500, lambda: _page(html, 7)._document.root())
    ready = _page(html, 7)
    ready._document.root()

    def fields() -> Product:
        for thing in spider.product(ready):
            if isinstance(thing, Product):
                return thing
        raise AssertionError("a product has fields")

    yield _part("parse: eight fields", "page", 2_000, fields)
    yield _part("parse: ten links", "page", 2_000, lambda: list(spider.parse(ready)))
    paths = [path_of(target) for target in pages.targets(7)]
    yield _part("join: one link, known", "link", 50_000, lambda: urls.join(BASE, paths[0]))
    yield _part("join: one link, new", "link", 5_000, lambda: urls.join.__wrapped__(BASE, paths[0]))
    url = BASE + paths[0]
    yield _part("join: normal form, new", "link", 5_000, lambda: urls.normalize.__wrapped__(url))
    yield _part("join: fingerprint", "link", 20_000, lambda: urls.fingerprint(url))
    items, item = Items("endless", define(EndlessShop).items), fields()
    yield _part(
        "items: one checked and made a row", "item", 10_000, lambda: items.convert(item, 1, "shop.py:1")
    )

    def collect() -> None:
        Collector(items, "product", 1_000).take(item, "shop.py:1")

    yield _part("items: one through the pipeline", "item", 10_000, collect)


def _turns() -> Part:
    politeness = Politeness(Settings.of(("here", {"rate": None, "concurrency": 4})), Clock())

    async def run(count: int) -> None:
        domain = politeness.domain("shop.test")
        for _ in range(count):
            async with domain.turn() as turn:
                await turn.permit()

    return Part("turn: taken, permitted, given back", "send", 10_000, run)


def _request(number: int) -> QueuedRequest:
    url = f"http://shop.test{path_of(number)}"
    return QueuedRequest(url, urls.fingerprint(url), "shop.test", Options(callback="product"))


@asynccontextmanager
async def _frontier() -> AsyncIterator[SqliteFrontier]:
    now = time.time()
    with tempfile.TemporaryDirectory(prefix="scraper-parts-") as folder:
        database = await Database.open(f"{folder}/parts.db", holder="parts", now=now)
        try:
            run = await database.writer.submit(
                lambda conn: begin(conn, spider="shop", target="shop.py", series="shop", options={}, now=now)
            )
            yield SqliteFrontier(database.writer, run.id, Budget())
        finally:
            await database.close()


def _frontier_parts(frontier: SqliteFrontier) -> Iterator[Part]:
    """In this order: what is added is claimed, what is claimed is completed."""
    added, claimed, leases = iter(range(10**8)), list[QueuedRequest](), list[DomainLease]()

    async def add(count: int) -> None:
        for _ in range(count // BATCH):
            await frontier.add([_request(next(added)) for _ in range(BATCH)], now=time.time())

    async def claim(count: int) -> None:
        now = time.time()
        if not leases:
            leases.extend(await frontier.claim("parts", domains=1, per_domain=1, lease=3_600.0, now=now))
            claimed.extend(leases[0].requests)
        for _ in range(count // BATCH):
            claimed.extend(await frontier.refill(leases[0], BATCH, now=now))

    async def complete(count: int) -> None:
        items = Items("endless", define(EndlessShop).items)
        for first in range(0, count, CONCURRENCY):
            some = [claimed.pop() for _ in range(min(CONCURRENCY, count - first))]
            await asyncio.gather(*(one(request, items) for request in some))

    async def one(request: QueuedRequest, items: Items) -> None:
        now = time.time()
        item = Product(f"SKU-{request.id}", "name", "brand", Decimal("7.50"), 4.5, 3, 9, "Lamps")
        rows = (items.convert(item, 1, "shop.py:1"),)
        sends = (Send("page", request.domain, request.url, now, now, 200, 30_000),)
        effects = Effects(request, Outcome.ok(200), sends=sends)
        result = PageResult(request.id, request.fingerprint, request.domain, request.url, items=rows)
        done = Done(effects, result)
        await frontier.complete(leases[0], done, now=now)

    yield Part(f"frontier: added, {BATCH} at a time", "request", 5_000, add)
    yield Part(f"frontier: claimed, {BATCH} at a time", "request", 2_000, claim)
    yield Part(f"frontier: completed with an item, {CONCURRENCY} at a time", "page", 1_000, complete)


@asynccontextmanager
async def _fetching() -> AsyncIterator[Part]:
    async def permit() -> None:
        return

    settings, limits = Settings.of(("here", {})), Limits(60.0, 1 << 24, 1 << 26)
    with serving(COUNT) as shop:
        async with open_wires(settings, {}, None) as downloader:

            async def some(count: int) -> None:
                for number in range(count):
                    request = httpx.Request(
                        "GET", f"http://{shop.netloc}{path_of(number % COUNT)}", extensions={"named": True}
                    )
                    await downloader.fetch(request, permit=permit, limits=limits)

            async def run(count: int) -> None:
                await asyncio.gather(*(some(count // CONCURRENCY) for _ in range(CONCURRENCY)))

            yield Part(f"fetch: 30 kB, {CONCURRENCY} at a time", "page", 1_600, run)


def _reference() -> float:
    """Seconds that a loop of plain Python takes: integers, a dictionary, a list, calls."""
    began = time.process_time()
    table: dict[int, int] = {}
    for number in range(100_000):
        table[number % 997] = len(str(number)) + table.get(number % 499, 0)
    return time.process_time() - began


async def _measure(
    parts: list[Part], rounds: int, found: dict[str, list[float]], each: dict[str, str]
) -> None:
    for part in parts:
        await part.run(min(part.times, BATCH))
    for _ in range(rounds):
        found.setdefault("reference", []).append(_reference())
        for part in parts:
            began = time.process_time()
            await part.run(part.times)
            found.setdefault(part.name, []).append((time.process_time() - began) / part.times)
            each[part.name] = part.per


async def _all(rounds: int, only: list[str]) -> tuple[dict[str, list[float]], dict[str, str]]:
    found: dict[str, list[float]] = {}
    each: dict[str, str] = {}

    def wanted(part: Part) -> bool:
        return not only or part.name.partition(":")[0] in only

    async with _fetching() as fetch:
        await _measure([fetch] if wanted(fetch) else [], rounds, found, each)
    plain = [part for part in (*_parts_of_a_page(), _turns()) if wanted(part)]
    await _measure(plain, rounds, found, each)
    if not only or "frontier" in only:
        async with _frontier() as frontier:
            needed = (rounds + 1) * 2_000
            await frontier.add([_request(10**8 + number) for number in range(needed)], now=time.time())
            await _measure(list(_frontier_parts(frontier)), rounds, found, each)
    return found, each


def main() -> int:
    """Print the table; exit code 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ("fetch", "decode", "parse", "join", "items", "turn", "frontier")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--only", default="", metavar="PARTS", help=f"of {','.join(names)}; default all")
    parser.add_argument("--json", metavar="OUT", help="keep every figure")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    if unknown := set(only) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    found, each = asyncio.run(_all(options.rounds, only))
    reference = min(found["reference"])
    print(
        f"{cpu_model()}, Python {sys.version.split()[0]}; the reference loop takes {1000 * reference:.1f} ms"
    )
    print("| part | µs | per | share of the reference |\n|---|---|---|---|")
    for name, times in found.items():
        if name != "reference":
            least = min(times)
            print(f"| {name} | {1e6 * least:,.1f} | {each[name]} | {1000 * least / reference:.2f} ‰ |")
    if options.json:
        kept = {"cpu": cpu_model(), "python": sys.version.split()[0], "seconds": found, "per": each}
        Path(options.json).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
