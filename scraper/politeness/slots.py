"""How many requests may be in flight at a domain: a semaphore whose size can be changed while it is in use."""

from __future__ import annotations

import asyncio

__all__ = ["Slots"]


class Slots:
    """`size` slots. Invariant: at most `size` are taken, but for those that were taken when there were more."""

    __slots__ = ("_debt", "_semaphore", "_taken", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._semaphore = asyncio.Semaphore(size)
        #: Slots to give up: there are this many fewer than the semaphore counts.
        self._debt = 0
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def in_use(self) -> bool:
        return self._taken > 0

    async def acquire(self) -> None:
        """Wait for a slot."""
        await self._semaphore.acquire()
        while self._debt:
            # There are fewer slots than there were: this free one is gone.
            self._debt -= 1
            await self._semaphore.acquire()
        self._taken += 1

    def release(self) -> None:
        """Give a slot back."""
        self._taken -= 1
        if self._debt:
            self._debt -= 1
        else:
            self._semaphore.release()

    def resize(self, size: int) -> None:
        """More slots are there at once; fewer, as free ones are met."""
        more = size - self.size
        self.size = size
        forgiven = min(max(more, 0), self._debt)
        self._debt += -more if more < 0 else -forgiven
        for _ in range(more - forgiven):
            self._semaphore.release()
