"""The hours of the day in which a domain may be sent to: by the clock on the wall, told in the loop's time."""

from __future__ import annotations

from scraper.core.clock import Clock
from scraper.core.models import Hours

__all__ = ["OpenHours"]

#: Seconds for which open hours are believed without a look at the wall clock, which may be set.
LOOK = 60.0


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
        wall = self._clock.wall()
        is_open, changes = self.hours.at(wall)
        at = now + (changes - wall)
        if is_open:
            self._open_until = min(at, now + LOOK)
        else:
            self.closed_until = at
        return is_open

    def forget(self) -> None:
        """The wall clock was set, or the machine slept: what was known of it is not true any more."""
        if self.hours is not None:
            self._open_until = self.closed_until = 0.0
