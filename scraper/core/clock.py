"""One clock for everything that waits or is due.

Two times exist: `mono` (the event loop's time, seconds, never jumps: intervals and deadlines) and `unix`
(seconds since 1970: what is stored and compared across processes).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "iso", "local_time"]

#: Seconds the wall clock may differ from start + elapsed loop time before `unix` follows it (a suspended
#: machine, an administrator's correction). Below it the loop's smooth time wins.
DRIFT = 1.0


class Clock:
    """Loop time and the wall time derived from it.

    Invariant: between two re-anchorings `unix() - mono()` is constant, so stored due times and local
    deadlines agree. Under a virtual loop pass its own `wall`, and no real time is ever read.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, wall: Callable[[], float] | None = None
    ) -> None:
        loop = loop or asyncio.get_running_loop()
        self.mono: Callable[[], float] = loop.time
        virtual: Callable[[], float] = getattr(loop, "wall", time.time)
        self._wall = wall or virtual
        #: CPU seconds of the calling thread; under virtual time nothing takes any.
        self.cpu: Callable[[], float] = time.thread_time if virtual is time.time else lambda: 0.0
        self._offset = self._wall() - self.mono()

    def unix(self) -> float:
        """Seconds since the epoch: the wall at start plus elapsed loop time."""
        now = self.mono() + self._offset
        wall = self._wall()
        if abs(wall - now) > DRIFT:
            self._offset = wall - self.mono()
            return wall
        return now

    def to_unix(self, mono: float) -> float:
        """The unix time of a loop time."""
        return mono + self._offset

    def to_mono(self, unix: float) -> float:
        """The loop time of a unix time."""
        return unix - self._offset


def iso(unix: float) -> str:
    """A unix time as people read it: ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_time(unix: float, now: float) -> str:
    """A unix time as the clock on the wall shows it, with the date when it is not within half a day of `now`."""
    shape = "%H:%M:%S" if abs(unix - now) < 43_200 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(unix).strftime(shape)
