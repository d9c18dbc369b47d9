"""Idle connections, few enough that this machine has descriptors left for its work."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from scraper.net.wire.protocol import Connection

__all__ = ["Pool"]

#: Seconds an idle connection is kept where its server does not say; many close theirs after 15 or less...
KEEP_SECONDS: Final = 15.0
#: Seconds before the server's own limit at which we stop using a connection: the next request is on its way then.
MARGIN_SECONDS: Final = 1.0
#: Seconds between two looks for connections that are over.
SWEEP_SECONDS: Final = 5.0
#: Idle connections, and those of one host.
MOST_IDLE: Final = 4_096
MOST_IDLE_OF_HOST: Final = 256


class Pool:
    """The connections of one transport.

    Invariants: `_idle` holds, oldest first, the idle connections of every key in `_of`, at most `per_host` of one key; one
    that is lost leaves at once. `_open` holds those in use as well: together with those that are being made they stay
    within `limit`, as far as closing idle ones achieves it.
    """

    def __init__(self, limit: int, per_host: int = MOST_IDLE_OF_HOST) -> None:
        self._limit = limit
        self._per_host = per_host
        self._open: set[Connection] = set()
        self._coming = 0
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._of: dict[Hashable, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._idle)

    @property
    def opened(self) -> int:
        """How many there are, in use or idle."""
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """A new connection, in use."""
        self._open.add(connection)

    def take(self, key: Hashable) -> Connection | None:
        """The idle connection used last, of those that may still be used."""
        of_key = self._of.get(key)
        while of_key:
            connection = of_key[-1]
            self._forget(connection)
            if connection.is_usable() and connection.expires > asyncio.get_running_loop().time():
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        """Keep a connection for the next request, or close it if it is not fit for one."""
        if not connection.is_reusable() or connection not in self._open:
            connection.abort()
            return
        seconds = connection.rest()
        keep = KEEP_SECONDS if seconds < 0 else seconds - MARGIN_SECONDS
        if keep <= 0:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.expires = loop.time() + keep
        of_key = self._of.setdefault(connection.key, [])
        of_key.append(connection)
        self._idle[connection] = None
        if len(of_key) > self._per_host:
            self._close(of_key[0])
        if len(self._idle) > MOST_IDLE or self._is_over():
            self._close(next(iter(self._idle)))
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)

    def gone(self, connection: Connection) -> None:
        """A connection was lost."""
        self._open.discard(connection)
        if connection in self._idle:
            self._forget(connection)

    @contextmanager
    def coming(self) -> Iterator[bool]:
        """A connection is being made inside: it counts as open. Says whether idle ones were closed for it."""
        self._coming += 1
        closed = False
        try:
            while self._idle and self._is_over():
                self._close(next(iter(self._idle)))
                closed = True
            yield closed
        finally:
            self._coming -= 1

    def shrink(self, number: int) -> bool:
        """Close the `number` oldest idle connections. Returns whether there was one."""
        oldest = [connection for connection, _ in zip(self._idle, range(number), strict=False)]
        for connection in oldest:
            self._close(connection)
        return bool(oldest)

    def close(self) -> None:
        """Close every connection, in use or idle."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._open):
            connection.abort()
        self._open.clear()
        self._idle.clear()
        self._of.clear()

    def _is_over(self) -> bool:
        return len(self._open) + self._coming > self._limit

    def _close(self, connection: Connection) -> None:
        self._forget(connection)
        self._open.discard(connection)  # its loss is told later: until then it would make room a second time
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        """It is idle no more."""
        del self._idle[connection]
        of_key = self._of[connection.key]
        if of_key[-1] is connection:
            of_key.pop()
        else:
            of_key.remove(connection)
        if not of_key:
            del self._of[connection.key]

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in [c for c in self._idle if c.expires <= now]:
            self._close(connection)
        self._sweeper = None
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
