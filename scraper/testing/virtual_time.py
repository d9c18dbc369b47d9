"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it.

A crawl of hours runs in milliseconds and the same every time. Threads and sockets do not move a virtual clock
(a wait for one would end at once, as if its time-out had passed), so this loop refuses both.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

__all__ = ["Deadlock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")

#: The wall clock at the start of a simulation: 2026-01-01T00:00:00Z.
EPOCH = 1_767_225_600.0
#: The clock advances at least this much (s) with every turn of the loop, as a real one does: where it stood
#: still, a timer that fires a rounding error early would be set again for the same instant, for ever.
TICK = 1e-9


class Deadlock(RuntimeError):
    """Every task waits for something that no timer will bring about."""


class _Jump(selectors.SelectSelector):
    """A selector that advances the loop's clock by what it was asked to wait."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("no timer is set and nothing is ready: every task waits for another")
        self.now += max(timeout, TICK)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop under virtual time; `time()` starts at `begins`, `wall()` so long after 2026-01-01 UTC."""

    def __init__(self, begins: float = 0.0) -> None:
        self._jump = _Jump(begins)
        super().__init__(self._jump)
        self._clock_resolution = TICK

    def time(self) -> float:
        return self._jump.now

    def wall(self) -> float:
        """Unix seconds, moving with `time()`."""
        return EPOCH + self._jump.now

    def run_in_executor(self, *args: Any) -> NoReturn:  # type: ignore[override]  # refuses whatever it is given
        raise RuntimeError("a thread does not move a virtual clock: run it inline in a simulation")

    async def create_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("a real socket does not move a virtual clock: use an in-process transport")

    async def create_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("a real socket does not move a virtual clock: use an in-process transport")

    async def sock_connect(self, *args: Any) -> NoReturn:
        raise RuntimeError("a real socket does not move a virtual clock: use an in-process transport")


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` under virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
