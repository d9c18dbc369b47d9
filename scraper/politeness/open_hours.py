"""The hours of the day in which a domain may be sent to, on the loop's clock."""

from __future__ import annotations

from scraper.core.clock import Clock
from scraper.core.models import Hours

__all__ = ["OpenHours"]


class OpenHours:
    """`hours` (None: all day), looked at again only when they change.

    Invariant: before `_open_until` (loop time) they are open; `closed_until` is when they open next, as far as known.
    """

    __slots__ = ("_clock", "_open_until", "closed_until", "hours")

    def __init__(self, hours: Hours | None, clock: Clock) -> None:
        self.hours = hours
        self.closed_until = 0.0
        self._clock = clock
        self._open_until = float("inf") if hours is None else 0.0

    def is_open(self, now: float) -> bool:
        """Whether they are open at loop time `now`; if not, `closed_until` says when they are."""
        if now < self._open_until or self.hours is None:
            return True
        is_open, changes = self.hours.at(self._clock.unix())
        at = self._clock.to_mono(changes)
        if is_open:
            self._open_until = at
        else:
            self.closed_until = at
        return is_open
