"""What a page costs, in numbers that are the same on every machine.

If a bound here is passed: look at what was added to the way of a page (`python -m benchmarks.profile`). If the cost is
worth it, raise the bound in the same commit and say why.
"""

from __future__ import annotations

import gc
import sqlite3
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from scraper import Page, Spider
from scraper.testing import Site, simulate

#: Python functions called, and statements given to SQLite, for one more page of ten links and three fields.
#: From Python 3.12 on a comprehension is no call. Outages, meta refresh, Retry-After of every status and the charset rules
#: of the HTML standard take twelve of them.
CALLS, STATEMENTS = 640 if sys.version_info < (3, 12) else 627, 8.5
#: For one more page: blocks of memory taken between two calls, objects that only the garbage collector can free, blocks that are
#: still there after the crawl, and bytes that the highest level of memory goes up by (what is known of each queued request).
TAKEN, CYCLES, KEPT, LEVEL = 740, 5, 2, 700 if sys.version_info < (3, 13) else 770


def _page(number: int, pages: int) -> str:
    links = "".join(f'<a href="/{(number * 10 + i) % pages}">{i}</a>' for i in range(1, 11))
    return f"<h1>Nr {number}</h1><p class=price>£{number}.50</p><p class=stock>{number} left</p>{links}"


class Shop(Spider):
    start_urls = ("http://shop.test/0",)

    def parse(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
        yield {"name": page.text("h1"), "price": page.decimal(".price"), "stock": page.number(".stock")}
        yield from page.follow_all("a")


def _cost(pages: int) -> Counter[str]:
    """What a crawl of so many pages calls: Python functions, and statements of SQLite."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, of: object) -> None:
        if event == "call":
            found["calls"] += 1
        elif event == "c_call" and isinstance(getattr(of, "__self__", None), sqlite3.Connection):
            found["statements"] += getattr(of, "__name__", "").startswith("execute")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        _crawl(pages)
    finally:
        sys.setprofile(before)
    return found


def _crawl(pages: int) -> None:
    site = Site(lambda request: _page(int(request.url.path[1:] or 0), pages))
    done = simulate(Shop, site, settings={"rate": None, "robots": False})
    assert done.summary.pages == pages


def test_a_page_costs_no_more_calls_and_statements_than_it_did() -> None:
    """One more page adds a bounded number of Python calls and SQL statements, whatever the machine is doing."""
    _cost(50)  # fills what is remembered for good
    few, many = _cost(100), _cost(300)
    calls, statements = ((many[name] - few[name]) / 200 for name in ("calls", "statements"))
    assert calls <= CALLS, f"{calls:.0f} Python calls a page, {CALLS} are allowed: see the head of {__file__}"
    assert statements <= STATEMENTS, f"{statements:.1f} SQL statements a page: see the head of {__file__}"


# ------------------------------------------------------------------------------------------- memory


@contextmanager
def _no_collector() -> Iterator[None]:
    """The collector's own moments would depend on what other tests left."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _taken(pages: int) -> int:
    """Blocks that a crawl takes: what there is more of at each Python call and return than at the last, added up."""
    taken, blocks = 0, sys.getallocatedblocks
    last = blocks()

    def count(frame: FrameType, event: str, of: object) -> None:
        nonlocal taken, last
        if event not in {"call", "return"}:
            return  # looking at the heap takes its time
        now = blocks()
        if now > last:
            taken += now - last
        last = now

    before = sys.getprofile()
    with _no_collector():
        sys.setprofile(count)
        try:
            _crawl(pages)
        finally:
            sys.setprofile(before)
    return taken


def _cycles(pages: int) -> int:
    with _no_collector():
        _crawl(pages)
        return gc.collect()


def _kept(pages: int) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    _crawl(pages)
    gc.collect()
    return sys.getallocatedblocks() - before


def _level(pages: int) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        _crawl(pages)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("measure", "most", "what"),
    [
        (_taken, TAKEN, "blocks of memory"),
        (_cycles, CYCLES, "objects in reference cycles"),
        (_kept, KEPT, "blocks that are never given back"),
        (_level, LEVEL, "bytes of peak memory"),
    ],
)
def test_a_page_takes_no_more_memory_than_it_did(
    measure: Callable[[int], int], most: float, what: str
) -> None:
    """Counts, not times, in one thread under a virtual clock: the machine's load does not show in them. What is too much is
    measured again, since a thread that another test left behind may take a block of its own."""
    _crawl(50)  # fills what is remembered for good
    for _ in range(3):
        found = (measure(90) - measure(30)) / 60
        if found <= most:
            return
    pytest.fail(f"{found:.1f} {what} a page, {most} are allowed: see the head of {__file__}")
