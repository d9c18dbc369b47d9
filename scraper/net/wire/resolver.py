"""Name lookups that cannot stall each other.

`getaddrinfo` blocks a thread for as long as the system likes. The loop's default executor has a few threads,
so six dead names would stop every host; here each lookup gets one of up to 64 threads of our own, a deadline,
and one flight for all who ask for the same name.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from scraper.net.wire.errors import NameTimeout, NoSuchHost

__all__ = ["Lookups", "Resolver"]

#: The signature of `socket.getaddrinfo`, for tests that bring their own name server.
GetAddrInfo: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]
Key: TypeAlias = tuple[str, int]

#: "The name server failed, try again": SERVFAIL and time-outs inside the C library.
TEMPORARY: Final = frozenset({socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)})


class Lookups(Protocol):
    """Who finds the addresses of a host (`Resolver`)."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses, the preferred one first. Raises NoSuchHost or NameTimeout."""
        ...

    async def close(self) -> None: ...


class _Answer(NamedTuple):
    """What a lookup gave: addresses, or `kind` says why none. Good until `until` (loop time)."""

    addresses: tuple[str, ...]
    kind: str
    until: float


class Resolver:
    """Names to addresses by `getaddrinfo` in daemon threads started on demand.

    `deadline`, `ttl` and `negative_ttl` are seconds; `size` bounds the names remembered. `resolve` raises
    `NoSuchHost` or `NameTimeout`. Invariants: one flight per name; a thread stuck in `getaddrinfo` holds no
    waiter beyond the deadline; whatever ends a flight is in the cache before a waiter wakes.
    """

    def __init__(
        self,
        *,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
        threads: int = 64,
        deadline: float = 10.0,
        ttl: float = 60.0,
        negative_ttl: float = 10.0,
        size: int = 10_000,
    ) -> None:
        self._pool = _Threads(getaddrinfo, threads)
        self._deadline = deadline
        self._ttl = {"": ttl, "dns": negative_ttl, "dns-timeout": negative_ttl}
        self._size = size
        self._cache: OrderedDict[Key, _Answer] = OrderedDict()
        self._flights: dict[Key, asyncio.Future[None]] = {}

    async def resolve(self, host: str, family: socket.AddressFamily = socket.AF_UNSPEC) -> tuple[str, ...]:
        """The addresses of `host`, in the order the system prefers."""
        key = (host.rstrip(".").lower(), int(family))
        answer = self._cached(key)
        while answer is None:
            # Shielded: a visit that is cancelled does not take the lookup from the others.
            await asyncio.shield(self._flights.get(key) or self._start(key))
            answer = self._cache.get(key)
        if answer.kind:
            raise _error(answer.kind, host)
        return answer.addresses

    async def close(self) -> None:
        """End the threads (those inside a lookup end after it) and whoever still waits."""
        self._pool.close()
        for key in list(self._flights):
            self._land(key, (), "dns-timeout")

    def _cached(self, key: Key) -> _Answer | None:
        answer = self._cache.get(key)
        if answer is None or answer.until <= asyncio.get_running_loop().time():
            return None
        self._cache.move_to_end(key)
        return answer

    def _start(self, key: Key) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        flight: asyncio.Future[None] = loop.create_future()
        self._flights[key] = flight
        timer = loop.call_later(self._deadline, self._land, key, (), "dns-timeout")
        flight.add_done_callback(lambda _: timer.cancel())

        def found(addresses: tuple[str, ...], kind: str) -> None:
            loop.call_soon_threadsafe(self._land, key, addresses, kind)

        self._pool.put(key, found)
        return flight

    def _land(self, key: Key, addresses: tuple[str, ...], kind: str) -> None:
        """Remember an answer, and wake who waits. An answer after the deadline still serves the next one."""
        until = asyncio.get_running_loop().time() + self._ttl[kind]
        self._cache[key] = _Answer(addresses, kind, until)
        self._cache.move_to_end(key)
        if len(self._cache) > self._size:
            self._cache.popitem(last=False)
        flight = self._flights.pop(key, None)
        if flight is not None and not flight.done():
            flight.set_result(None)


Found: TypeAlias = Callable[[tuple[str, ...], str], None]


class _Threads:
    """Daemon threads that look names up.

    Invariant: `started` ≥ min(`outstanding`, `limit`), so no job waits behind a stuck one while a thread
    could be started. Daemon, because `getaddrinfo` cannot be interrupted: a dead name must not hold the exit.
    """

    def __init__(self, getaddrinfo: GetAddrInfo, limit: int) -> None:
        self._getaddrinfo = getaddrinfo
        self._limit = limit
        self._jobs: SimpleQueue[tuple[Key, Found] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._outstanding = 0

    def put(self, key: Key, found: Found) -> None:
        with self._lock:
            self._outstanding += 1
            if self._started < min(self._outstanding, self._limit):
                self._started += 1
                threading.Thread(target=self._run, name="resolver", daemon=True).start()
        self._jobs.put((key, found))

    def close(self) -> None:
        with self._lock:
            started, self._started = self._started, 0
        for _ in range(started):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            (host, family), found = job
            addresses, kind = self._look_up(host, family)
            with self._lock:
                self._outstanding -= 1
            try:
                found(addresses, kind)
            except RuntimeError:
                return  # the loop was closed meanwhile: nobody waits for this, nor for anything after it

    def _look_up(self, host: str, family: int) -> tuple[tuple[str, ...], str]:
        """The addresses, or why none: an exception is an answer too, a thread that died a place lost."""
        try:
            infos = self._getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM)
        except socket.gaierror as exc:
            return (), "dns-timeout" if exc.errno in TEMPORARY else "dns"
        except TimeoutError:
            return (), "dns-timeout"
        except (OSError, ValueError):  # a label too long for IDNA is a UnicodeError
            return (), "dns"
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        return addresses, "" if addresses else "dns"


def _error(kind: str, host: str) -> NoSuchHost | NameTimeout:
    if kind == "dns":
        return NoSuchHost(f"no such host: {host}")
    return NameTimeout(f"no answer from the name server for {host}")
