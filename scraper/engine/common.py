"""What every part of a crawl needs: its settings, its clock, its frontier, and a way to tell people something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.events import Event, Observer, Warned, notify
from scraper.settings import Settings

__all__ = ["Common", "Notices"]


class Notices:
    """Tells the observers of a crawl. Invariant: `warn_once` says one thing about each subject."""

    def __init__(
        self, observers: Sequence[Observer], failed: Callable[[Observer, Exception], object]
    ) -> None:
        """`failed` is told of an observer that raises."""
        self._observers = observers
        self._failed = failed
        self._warned: set[str] = set()

    def tell(self, event: Event) -> None:
        """Tell all observers."""
        notify(self._observers, event, self._failed)

    def warn_once(self, about: str, message: str) -> None:
        """Say something a person should know, once for each `about`."""
        if about not in self._warned:
            self._warned.add(about)
            self.tell(Warned(message))


@dataclass(frozen=True, slots=True)
class Common:
    """Shared by all parts of one crawl in one process."""

    settings: Settings
    clock: Clock
    frontier: Frontier
    notices: Notices
