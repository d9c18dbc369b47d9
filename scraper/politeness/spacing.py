"""The least time from one send to the next, enforced by aiolimiter at the moment of the send."""

from __future__ import annotations

import asyncio

from aiolimiter import AsyncLimiter

from scraper.core.clock import Clock

__all__ = ["Spacing"]

#: A send that leaves this much later than it was let through counts from when it left. Timers and the way to the
#: socket take less; the promise allows five times as much.
LATE_SECONDS = 0.001


class Spacing:
    """`gap` seconds (0 for none) from one send to the next. Times are the loop's.

    Invariants: an `AsyncLimiter(1, gap)` lets requests through, one per gap (with a capacity of n it would let 2n - 1
    through). It knows only what it let through itself, so nothing may be sent before `clear_at`: the end of the gap
    after a send from before this limiter existed (by another process, at another rate) or after one that left late.
    `has_grant` says that the limiter let a request through that was not sent yet: the next one takes its place.
    """

    __slots__ = ("_clock", "_limiter", "_waiting", "clear_at", "gap", "granted_at", "has_grant", "last_send")

    def __init__(self, clock: Clock, gap: float = 0.0) -> None:
        self._clock = clock
        self._waiting: asyncio.Timeout | None = None
        self.last_send: float | None = None
        self.granted_at = 0.0
        self.set_gap(gap)

    def set_gap(self, gap: float) -> None:
        """Use another gap from now on, counted from the last send. A request that waits is held to it as well."""
        self.gap = gap
        self._limiter = AsyncLimiter(1, gap) if gap else None
        self.has_grant = False
        self._count_from_last_send()
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._clock.mono())

    @property
    def next_at(self) -> float:
        """When the gap after the last send ends."""
        return 0.0 if self.last_send is None else self.last_send + self.gap

    async def acquire(self) -> None:
        """Wait until the limiter lets one request through: then `has_grant` is True, unless the gap was changed.

        Only one task at a time may wait here.
        """
        limiter = self._limiter
        if limiter is None:
            return
        if limiter.has_capacity():
            await limiter.acquire()
        else:
            try:
                async with asyncio.timeout(None) as self._waiting:
                    await limiter.acquire()
            except TimeoutError:
                return  # the gap was changed: another limiter is to be asked
            finally:
                self._waiting = None
        if limiter is self._limiter:
            self.has_grant, self.granted_at = True, self._clock.mono()

    def use_grant(self) -> None:
        """The request that was let through is sent now."""
        self.has_grant = False
        self.last_send = now = self._clock.mono()
        if self.gap and now - self.granted_at > LATE_SECONDS:
            self.clear_at = now + self.gap

    def mark_sent(self, granted_at: float) -> None:
        """A request left just now that was let through at `granted_at`."""
        self.last_send = now = self._clock.mono()
        if self.gap and now - granted_at > LATE_SECONDS:
            self.clear_at = now + self.gap

    def sent_before(self, at: float) -> None:
        """Another process may have sent as late as `at`."""
        self.last_send = at
        self._count_from_last_send()

    def sleep(self, seconds: float) -> None:
        """The machine slept for so long, which the loop's time does not show: the last send is that much longer ago."""
        self.clear_at -= seconds
        if self.last_send is not None:
            self.last_send -= seconds

    def _count_from_last_send(self) -> None:
        self.clear_at = self.next_at
