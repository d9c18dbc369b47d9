"""W13: answers with one bad header line, and some that must stay refused."""

from __future__ import annotations

from typing import Any

from benchmarks.wire_rows.scripted_server import answer, crawled, serving
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "read: 9 of 9; refused: 3 of 3"
BODY = b"<p>hello</p>"
READ = (
    ["X-Foo : 1"],
    ["PHP Warning: foo in bar"],
    ['"X": 1'],
    [": 1"],
    ["nonsense"],
    ["X: a\r\n  folded"],
    [f"Content-Length: {len(BODY)}"],
    [f"Content-Length: {len(BODY)}, {len(BODY)}"],
    ["Transfer-Encoding: identity"],
)
REFUSED = (["X: a\0b"], [f"Content-Length: {len(BODY) + 1}"], ["Content-Length: -1"])


class Reads(Spider[Any]):
    """The text of a page."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.text("p")}


def replay() -> str:
    """Crawl one page of each kind."""
    return f"read: {_read(READ)} of {len(READ)}; refused: {len(REFUSED) - _read(REFUSED)} of {len(REFUSED)}"


def _read(kinds: tuple[list[str], ...]) -> int:
    pages = {f"/{n}": answer(BODY, "Content-Type: text/html", *lines) for n, lines in enumerate(kinds)}
    with serving(pages) as server:
        seen, _ = crawled(Reads, *(f"{server.url}{path}" for path in pages))
    return seen.count("hello")
