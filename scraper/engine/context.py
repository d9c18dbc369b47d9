"""What all visits of a crawl share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.engine.links import Links
from scraper.engine.parsing import Parsing
from scraper.engine.schedule import Lane
from scraper.engine.suggestions import Meanings
from scraper.engine.threads import Aside
from scraper.engine.traps import Repetition
from scraper.events import Observer, Warned, notify
from scraper.items import Items
from scraper.net.downloader import Downloader
from scraper.net.identity import Identity
from scraper.net.request_headers import Outgoing
from scraper.net.retry import RetryPolicy
from scraper.net.robots import Robots
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.spider import Definition, Spider
from scraper.spider.files import Files

__all__ = ["Context", "Control"]


class Control(Protocol):
    """What a visit may ask of the engine that runs it."""

    def lane_for(self, name: str) -> AbstractAsyncContextManager[Lane]:
        """The lane of any domain, kept while it is used, borrowed if need be. Raises FetchError `domain-held`."""
        ...

    def stop(self, reason: str, grace: float | None = None) -> None:
        """Start nothing new; give up what is still under way after `grace` seconds."""
        ...

    async def park(self, lane: Lane, why: str) -> None:
        """Send nothing more to a domain."""
        ...

    def parsed(self, seconds: float) -> None:
        """A callback kept the loop for so long."""
        ...

    def room_changed(self, lane: Lane) -> None:
        """A domain may take more, or at another time."""
        ...


@dataclass(slots=True)
class Context:
    """The collaborators of one crawl.

    `user_agent` is among the headers of every request. `workers` processes share the run, this one included. `control` is
    the engine, which sets it when it is made.
    """

    spider: Spider[Any]
    definition: Definition
    settings: Settings
    clock: Clock
    frontier: Frontier
    politeness: Politeness
    robots: Robots
    retry: RetryPolicy
    downloader: Downloader
    items: Items
    links: Links
    identity: Identity
    files: Files
    meanings: Meanings
    parsing: Parsing
    aside: Aside
    repetition: Repetition
    outgoing: Outgoing
    user_agent: str
    observers: Sequence[Observer]
    workers: int = 1
    control: Control = field(init=False)
    _warned: set[str] = field(default_factory=set)

    def warn_once(self, about: str, message: str) -> None:
        """Say something a person should know, once for each `about`."""
        if about not in self._warned:
            self._warned.add(about)
            notify(self.observers, Warned(message))
