"""What a crawl remembers of links it has stored."""

from __future__ import annotations

import asyncio
from collections import Counter

from scraper.core.clock import Clock
from scraper.core.models import QueuedRequest, Request
from scraper.engine import Links
from scraper.politeness import Politeness
from scraper.settings import Settings


def _links() -> tuple[Links, QueuedRequest]:
    settings = Settings(scope="any")
    links = Links(settings, Politeness(settings, Clock()))
    return links, links.seed(Request("https://a.test/"))


async def _follow(links: Links, parent: QueuedRequest, numbers: range) -> list[QueuedRequest]:
    return await links.follow([Request(f"https://a.test/{n}") for n in numbers], parent, Counter())


def test_links_that_are_stored_are_hardly_ever_offered_again() -> None:
    """Of 4,000 stored links at most one in fifty is forgotten; none that was never stored is taken for known."""

    async def run() -> None:
        links, parent = _links()
        links.proved(await _follow(links, parent, range(4_000)))
        assert len(await _follow(links, parent, range(4_000))) <= 80
        assert len(await _follow(links, parent, range(4_000, 8_000))) == 4_000

    asyncio.run(run())


def test_memory_of_links_is_bounded_however_many_are_stored() -> None:
    """The last ones are known best: seven of ten of the last 10,000 of 100,000."""

    async def run() -> None:
        links, parent = _links()
        links.proved(await _follow(links, parent, range(100_000)))
        again = await _follow(links, parent, range(90_000, 100_000))
        assert len(again) < 3_000

    asyncio.run(run())


def test_a_link_that_improves_on_a_stored_one_is_offered_again() -> None:
    async def run() -> None:
        links, parent = _links()
        links.proved(await _follow(links, parent, range(1)))
        better = Request("https://a.test/0", priority=5)
        assert [r.url for r in await links.follow([better], parent, Counter())] == ["https://a.test/0"]

    asyncio.run(run())
