"""What a page costs, in numbers that are the same on every machine.

If a bound here is passed: look at what was added to the way of a page (`python -m benchmarks.profile`). If the cost is
worth it, raise the bound in the same commit and say why.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from types import FrameType

import pytest

from scraper import Page, Spider
from scraper.testing import Site, simulate

#: Python functions called, and statements given to SQLite, for one more page of ten links and three fields.
CALLS, STATEMENTS = 630, 8.5


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

    site = Site(lambda request: _page(int(request.url.path[1:] or 0), pages))
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        done = simulate(Shop, site, settings={"rate": None, "robots": False})
    finally:
        sys.setprofile(before)
    assert done.summary.pages == pages
    return found


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other versions count functions otherwise")
def test_a_page_costs_no_more_calls_and_statements_than_it_did() -> None:
    """One more page adds a bounded number of Python calls and SQL statements, whatever the machine is doing."""
    _cost(50)  # fills what is remembered for good
    few, many = _cost(100), _cost(300)
    calls, statements = ((many[name] - few[name]) / 200 for name in ("calls", "statements"))
    assert calls <= CALLS, f"{calls:.0f} Python calls a page, {CALLS} are allowed: see the head of {__file__}"
    assert statements <= STATEMENTS, f"{statements:.1f} SQL statements a page: see the head of {__file__}"
