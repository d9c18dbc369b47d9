"""Signals of a person: once means stop well, twice means leave now, also when a callback never returns."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNALS", "heeded", "heeding"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def heeded() -> list[signal.Signals]:
    """The signals that end a crawl. A terminal that vanishes (SIGHUP) is one, but for nohup, which has it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return list(SIGNALS) if ignored else [*SIGNALS, signal.SIGHUP]


@contextmanager
def heeding(
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[], object],
    leave: Callable[[], object],
    say: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Call `stop` in the loop at the first SIGINT, SIGTERM or SIGHUP, `leave` at the second, which a SIGHUP never is:
    of a terminal that vanishes several may come.

    A signal handler of the loop's own would wait for a callback that keeps the loop, maybe for ever. This one runs
    between two of its instructions: it calls `say` at once, and where the loop has not got round to the first signal by
    the second, and at the third in any case, it raises KeyboardInterrupt wherever the code is.
    """
    sent = heard = 0

    def hear(act: Callable[[], object]) -> None:
        nonlocal heard
        heard += 1
        act()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal sent
        if sent and number == signal.SIGHUP:
            return
        sent += 1
        if sent == 1:
            say()
        if sent > 1 and (sent > 2 or not heard):
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(hear, stop if sent == 1 else leave)

    before = {number: signal.signal(number, handle) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
