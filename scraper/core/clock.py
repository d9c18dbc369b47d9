"""One clock for everything that waits or is due.

There are three times, all in seconds:

- `mono` is the event loop's: timers, gaps and deadlines within this process;
- `unix` is machine time, counted from 1970: whatever is stored and compared later (leases, due times, holds, sends). It is
  the machine's counter plus an offset that the frontier gives, so that all processes of a crawl, and the next boot,
  go on with the same time. No one can set it;
- `wall` is what people read: when rows were stored and runs began, hours of the day, dates in headers, cookies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from scraper.core.machine_time import Machine, this_machine

__all__ = ["Clock", "Jump", "StoredTime", "iso", "local_time"]

#: Seconds by which two of the times may drift apart before that means something: the machine slept, or the wall clock
#: was set. Below it a stored time is shown as it is.
DRIFT = 1.0


class Jump(NamedTuple):
    """What happened to the clocks. `slept` is how long the loop's time stood still while the machine was suspended."""

    slept: float


class StoredTime(NamedTuple):
    """A moment on both sides: `now` by the time that is stored, `wall` by the clock on the wall."""

    now: float
    wall: float

    def shown(self, stored: float) -> float:
        """A stored time as people read it: on the wall clock, if that differs by more than a second."""
        ahead = self.wall - self.now
        return stored + ahead if abs(ahead) > DRIFT else stored


class Clock:
    """The times of one process.

    Invariant: `unix` only grows, and by real seconds, whatever is done to the wall clock and however long the machine
    is suspended. A loop that has a `wall` of its own (virtual time) is a machine of its own: no real time is read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        wall: Callable[[], float] | None = None,
        machine: Machine | None = None,
    ) -> None:
        loop = loop or asyncio.get_running_loop()
        self.mono: Callable[[], float] = loop.time
        own: Callable[[], float] | None = getattr(loop, "wall", None)
        #: Seconds since 1970 as the wall clock has them now: for people, and for what the world dates.
        self.wall: Callable[[], float] = wall or own or time.time
        #: CPU seconds of the calling thread; under virtual time nothing takes any.
        self.cpu: Callable[[], float] = time.thread_time if own is None else lambda: 0.0
        of_loop: Machine = getattr(loop, "machine", None) or (
            Machine(loop.time, None) if own else this_machine()
        )
        self.machine = machine or of_loop
        self._seconds = self.machine.seconds
        self._offset = self.wall() - self._seconds()
        self._asleep = self._seconds() - self.mono()
        self._set = self.wall() - self._seconds()

    def anchor(self, offset: float) -> None:
        """From now on `unix` is the machine's seconds plus `offset`: the frontier's time."""
        self._offset = offset

    def unix(self) -> float:
        """Seconds since 1970 by the machine's clock: for everything that is stored and compared."""
        return self._seconds() + self._offset

    def to_unix(self, mono: float) -> float:
        """The machine time of a loop time, if the machine is not suspended in between."""
        ahead = mono - self.mono()
        return self.unix() + ahead

    def to_mono(self, unix: float) -> float:
        """The loop time of a machine time, if the machine is not suspended in between."""
        left = unix - self.unix()
        return self.mono() + left

    def now(self) -> StoredTime:
        """This moment by the time that is stored, and by the clock on the wall."""
        return StoredTime(self.unix(), self.wall())

    def shown(self, mono: float) -> float:
        """A loop time as people read it."""
        return self.now().shown(self.to_unix(mono))

    def jump(self) -> Jump | None:
        """Whether the machine was suspended or the wall clock was set since the last call; None for neither."""
        asleep, wall = self._seconds() - self.mono(), self.wall() - self._seconds()
        slept = asleep - self._asleep
        if slept <= DRIFT and abs(wall - self._set) <= DRIFT:
            return None
        self._asleep, self._set = asleep, wall
        return Jump(slept if slept > DRIFT else 0.0)


def iso(unix: float) -> str:
    """A unix time as people read it: ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_time(unix: float, now: float) -> str:
    """A unix time as the clock on the wall shows it, with the date when it is not within half a day of `now`."""
    shape = "%H:%M:%S" if abs(unix - now) < 43_200 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(unix).strftime(shape)
