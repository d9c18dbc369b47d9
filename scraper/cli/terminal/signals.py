"""Signals of a person: once means stop well, twice means leave now, also when a callback never returns."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNALS", "heeding"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heeding(
    loop: asyncio.AbstractEventLoop, stop: Callable[[], object], leave: Callable[[], object]
) -> Iterator[None]:
    """Call `stop` in the loop at the first SIGINT or SIGTERM, `leave` at the second.

    A signal handler of the loop's own would wait for a callback that keeps the loop, maybe for ever. This one runs
    between two of its instructions: where the loop has not got round to the first signal by the second, and at the
    third in any case, KeyboardInterrupt is raised wherever the code is.
    """
    sent = heard = 0

    def hear(act: Callable[[], object]) -> None:
        nonlocal heard
        heard += 1
        act()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal sent
        sent += 1
        if sent > 1 and (sent > 2 or not heard):
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(hear, stop if sent == 1 else leave)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
