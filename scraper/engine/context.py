"""What the visits of a crawl share, by use: what sends requests, and what reads pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scraper.engine.common import Common
from scraper.engine.lanes import Lanes
from scraper.engine.links import Links
from scraper.engine.outages import Outages
from scraper.engine.parsing import Parsing
from scraper.engine.suggestions import Suggestions
from scraper.engine.threads import CallbackThread
from scraper.engine.traps import Repetition
from scraper.items import Items
from scraper.net.downloader import Downloader
from scraper.net.identity import Identity
from scraper.net.request_headers import Outgoing
from scraper.net.retry import RetryPolicy
from scraper.net.robots import Robots
from scraper.politeness import Politeness
from scraper.spider import Definition, Spider
from scraper.spider.files import Files

__all__ = ["Reading", "Sending"]


@dataclass(frozen=True, slots=True)
class Sending:
    """The collaborators that requests pass on their way out. `user_agent` is among the headers of every request."""

    common: Common
    lanes: Lanes
    politeness: Politeness
    robots: Robots
    retry: RetryPolicy
    outages: Outages
    downloader: Downloader
    identity: Identity
    outgoing: Outgoing
    user_agent: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The collaborators that turn a response into items and links."""

    spider: Spider[Any]
    definition: Definition
    items: Items
    links: Links
    files: Files
    suggestions: Suggestions
    parsing: Parsing
    thread: CallbackThread
    repetition: Repetition

    @property
    def callbacks(self) -> Mapping[str, Callable[..., Any]]:
        """The callbacks of the spider by name."""
        return self.definition.callbacks
