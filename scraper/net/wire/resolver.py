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

from scraper.core.machine_limits import allowed_files, has_free_files, is_limit
from scraper.net.wire.errors import MachineLimit, NameTimeout, NoSuchHost

__all__ = ["Lookups", "Resolver"]

#: The signature of `socket.getaddrinfo`, for tests that bring their own name server.
GetAddrInfo: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]

#: "The name server failed, try again": SERVFAIL and time-outs inside the C library, and faults of the system.
TEMPORARY: Final = frozenset({socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)})
#: Seconds that a failure is held back beyond its time in the cache, so that the next try is a lookup of its own.
MARGIN: Final = 0.05


class Lookups(Protocol):
    """Who finds the addresses of a host (`Resolver`)."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses, the preferred one first. Raises NoSuchHost, NameTimeout or MachineLimit."""
        ...

    async def close(self) -> None: ...


class _Answer(NamedTuple):
    """What a lookup gave: addresses, or `kind` says why none. Good until `until` (loop time)."""

    addresses: tuple[str, ...]
    kind: str
    until: float


class Resolver:
    """`getaddrinfo` in daemon threads started on demand.

    `deadline`, `ttl` and `negative_ttl` are seconds; `size` bounds the names remembered. What the system says of a
    name is remembered, and that a lookup met the deadline; a failure that may pass ("try again", a fault of the
    system) serves those who waited for it and no one else. Invariants: one flight per name; a thread stuck in
    `getaddrinfo` holds no waiter beyond the deadline; what is remembered is there before a waiter wakes.
    """

    def __init__(
        self,
        *,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
        threads: int = 64,
        deadline: float = 10.0,
        ttl: float = 60.0,
        negative_ttl: float = 2.0,
        size: int = 10_000,
    ) -> None:
        self._pool = _Threads(getaddrinfo, threads)
        self._deadline = deadline
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._size = size
        self._cache: OrderedDict[str, _Answer] = OrderedDict()
        self._flights: dict[str, asyncio.Future[_Answer]] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of `host`, in the order the system prefers.

        Raises NoSuchHost, NameTimeout, or MachineLimit where this machine has no descriptor or thread for a lookup.
        `retry_in` of the first two says how long the answer would be the same.
        """
        name = host.rstrip(".").lower()
        answer = self._cached(name)
        if answer is None:
            flight = self._flights.get(name)
            if flight is None or flight.get_loop() is not asyncio.get_running_loop():
                flight = self._start(name)
            # Shielded: a visit that is cancelled does not take the lookup from the others.
            answer = await asyncio.shield(flight)
        if answer.kind:
            raise _error(answer, host)
        return answer.addresses

    async def close(self) -> None:
        """End the threads (those inside a lookup end after it) and every wait for one."""
        self._pool.close()
        for name in list(self._flights):
            self._land(name, (), "dns-timeout", 0.0)

    def _cached(self, name: str) -> _Answer | None:
        answer = self._cache.get(name)
        if answer is None or answer.until <= asyncio.get_running_loop().time():
            return None
        self._cache.move_to_end(name)
        return answer

    def _start(self, name: str) -> asyncio.Future[_Answer]:
        loop = asyncio.get_running_loop()
        flight: asyncio.Future[_Answer] = loop.create_future()
        self._flights[name] = flight
        timer = loop.call_later(self._deadline, self._land, name, (), "dns-timeout", self._negative_ttl)
        flight.add_done_callback(lambda _: timer.cancel())
        ttl = {"": self._ttl, "dns": self._negative_ttl}

        def found(addresses: tuple[str, ...], kind: str) -> None:
            loop.call_soon_threadsafe(self._land, name, addresses, kind, ttl.get(kind, 0.0))

        if not self._pool.put(name, found):
            self._land(name, (), "machine", 0.0)
        return flight

    def _land(self, name: str, addresses: tuple[str, ...], kind: str, ttl: float) -> None:
        """Remember an answer for `ttl` seconds, and wake who waits. One after the deadline still serves the next one."""
        answer = _Answer(addresses, kind, asyncio.get_running_loop().time() + ttl)
        if ttl:
            self._cache[name] = answer
            self._cache.move_to_end(name)
            if len(self._cache) > self._size:
                self._cache.popitem(last=False)
        flight = self._flights.pop(name, None)
        if flight is not None and not flight.done():
            flight.set_result(answer)


Found: TypeAlias = Callable[[tuple[str, ...], str], None]


class _Threads:
    """Daemon threads that look names up.

    Invariant: `started` ≥ min(`outstanding`, `limit`), so no job waits behind a stuck one while a thread
    could be started. Daemon, because `getaddrinfo` cannot be interrupted: a dead name must not hold the exit.
    """

    def __init__(self, getaddrinfo: GetAddrInfo, limit: int) -> None:
        self._getaddrinfo = getaddrinfo
        self._limit = limit
        self._jobs: SimpleQueue[tuple[str, Found] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._outstanding = 0

    def put(self, host: str, found: Found) -> bool:
        """Have a name looked up. False when not even one thread can be started for it."""
        with self._lock:
            self._outstanding += 1
            if self._started < min(self._outstanding, self._limit) and not self._add_thread():
                self._outstanding -= 1
                return False
        self._jobs.put((host, found))
        return True

    def _add_thread(self) -> bool:
        """Start one more. False when there is none at all: a job that others will get to can wait."""
        try:
            threading.Thread(target=self._run, name="resolver", daemon=True).start()
        except RuntimeError as error:
            if not is_limit(error):
                raise
        else:
            self._started += 1
        return self._started > 0

    def close(self) -> None:
        with self._lock:
            started, self._started = self._started, 0
        for _ in range(started):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            host, found = job
            addresses, kind = self._look_up(host)
            with self._lock:
                self._outstanding -= 1
            try:
                found(addresses, kind)
            except RuntimeError:
                continue  # the loop was closed meanwhile: no one waits for this, but another loop may ask for more

    def _look_up(self, host: str) -> tuple[tuple[str, ...], str]:
        """The addresses, or why none: an exception is an answer too, a thread that died a place lost."""
        try:
            infos = self._getaddrinfo(host, None, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except UnicodeError:  # a label too long for IDNA
            return (), "dns"
        except (OSError, ValueError) as error:
            return (), _failure(error)
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        return addresses, "" if addresses else "dns"


def _failure(error: Exception) -> str:
    """The kind of a failed lookup.

    Where no file can be opened, the C library finds neither its configuration nor the name server, and may say
    that the name does not exist.
    """
    if is_limit(error) or not has_free_files():
        return "machine"
    if isinstance(error, socket.gaierror):
        return "dns-timeout" if error.errno in TEMPORARY else "dns"
    return "dns-timeout" if isinstance(error, OSError) else "dns"


def _error(answer: _Answer, host: str) -> NoSuchHost | NameTimeout | MachineLimit:
    error: NoSuchHost | NameTimeout | MachineLimit
    if answer.kind == "machine":
        return MachineLimit(
            f"no file descriptor or thread was left to look up {host} (ulimit -n is {allowed_files()})"
        )
    if answer.kind == "dns":
        error = NoSuchHost(f"no such host: {host}")
    else:
        error = NameTimeout(f"no answer from the name server for {host}")
    left = answer.until - asyncio.get_running_loop().time()
    error.retry_in = left + MARGIN if left > 0 else None
    return error
