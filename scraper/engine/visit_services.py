"""What a visit may ask of the engine that runs it."""

from __future__ import annotations

from typing import Protocol

from scraper.core.models import Done, Landing
from scraper.engine.domain_scheduler import Lane

__all__ = ["Control"]


class Control(Protocol):
    """The engine, as its visits know it."""

    def stop(self, reason: str, grace: float | None = None) -> None:
        """Start nothing new; give up what is still under way after `grace` seconds."""
        ...

    def parsed(self, seconds: float) -> None:
        """A callback kept the loop busy for this long."""
        ...

    def machine_limit(self, lane: Lane, error: BaseException) -> float:
        """This machine has nothing left for a visit. Returns the unix time from which to try it again."""
        ...

    async def move(self, lane: Lane, moved: Done, duplicate: Done | None) -> Landing:
        """End a request that redirects, as `Frontier.move` does. Raises LeaseLost."""
        ...
