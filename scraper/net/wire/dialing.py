"""New connections: a race of addresses, each seen by the guard, then TLS.

RFC 8305 ("happy eyeballs"): the next address is tried when one has failed, or has said nothing for 250 ms.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from errno import EADDRNOTAVAIL, ENETUNREACH
from itertools import zip_longest
from os import strerror
from typing import Final, TypeAlias

from scraper.core.machine_limits import FILE_ERRNOS, is_limit
from scraper.core.models import Proxy
from scraper.core.urls import is_ip
from scraper.net.guard import Guard
from scraper.net.wire.errors import (
    ConnectLimit,
    MachineLimit,
    NoSuchHost,
    PrivateAddress,
    ProxyFailed,
    WireError,
    connecting,
)
from scraper.net.wire.origin import Key, Origin
from scraper.net.wire.pool import Pool
from scraper.net.wire.protocol import Connection
from scraper.net.wire.proxy_tunnel import Tunnel, socks_socket
from scraper.net.wire.resolver import Lookups
from scraper.net.wire.tls import Contexts

__all__ = ["Dialer"]

#: Seconds an address may be silent before the next one is tried beside it (RFC 8305 section 5).
STAGGER_SECONDS: Final = 0.25
#: How many idle connections are closed where no descriptor is left for a new one.
SHRINK: Final = 8

BeforeConnect: TypeAlias = Callable[[], Awaitable[None]]


class Dialer:
    """Makes connections. `connect_timeout` is seconds for TCP, proxy and TLS of one; a name lookup has its own limit.

    Whatever ends an attempt, cancellation included, its sockets are closed when it returns.
    """

    def __init__(
        self, names: Lookups, guard: Guard | None, contexts: Contexts, pool: Pool, connect_timeout: float
    ) -> None:
        self._names = names
        self._guard = guard
        self._contexts = contexts
        self._pool = pool
        self._limit = connect_timeout

    async def connect(
        self, origin: Origin, key: Key, named: bool, before_connect: BeforeConnect | None
    ) -> Connection:
        """A connection for `key`. `before_connect` is awaited when its address is known, right before it is used."""
        proxy = key.proxy
        if proxy is None:
            addresses = await self._addresses(origin, named)
            if before_connect is not None:
                await before_connect()
            context = self._context(origin, key)  # before there is a socket: what it raises leaks none
            with connecting(origin.where):
                async with asyncio.timeout(self._limit):
                    sock = await self._socket(addresses, origin.port)
                    return await self._over(sock, context, origin, key)
        address = await self._known_address(proxy, origin, named)
        at = await self._proxy_addresses(proxy)
        if before_connect is not None:
            await before_connect()
        return await self._through(proxy, at, address, origin, key)

    async def _addresses(self, origin: Origin, named: bool) -> Sequence[str]:
        """Where to connect to. Raises PrivateAddress when the guard lets none of it pass."""
        addresses = [origin.host] if origin.is_literal else await self._names.resolve(origin.name)
        if self._guard is None or named:
            return addresses
        allowed = [address for address in addresses if self._guard.allows(origin.netloc, address)]
        if not allowed:
            raise _private(origin, addresses)
        return allowed

    async def _known_address(self, proxy: Proxy, origin: Origin, named: bool) -> str:
        """What we know of where a proxy will connect to. Raises PrivateAddress when it looks private to us.

        The answer is an address for those proxies that want one, "" for those that look names up themselves.
        """
        wants_address = proxy.scheme in {"socks4", "socks5"}
        guard = None if named else self._guard
        if origin.is_literal:
            addresses: Sequence[str] = [origin.host]
        elif guard is None and not wants_address:
            addresses = []
        else:
            try:
                addresses = await self._names.resolve(origin.name)
            except NoSuchHost:
                if wants_address:
                    raise
                addresses = []  # perhaps the proxy knows it
        refused = [a for a in addresses if guard is not None and not guard.allows(origin.netloc, a)]
        if refused:
            raise _private(origin, refused)
        return addresses[0] if wants_address and addresses else ""

    async def _proxy_addresses(self, proxy: Proxy) -> Sequence[str]:
        if is_ip(proxy.host):
            return [proxy.host]
        try:
            return await self._names.resolve(proxy.host)
        except WireError as exc:
            raise ProxyFailed(f"no connection to the proxy {proxy}: {exc}", at_fault=True) from exc

    async def _through(
        self, proxy: Proxy, at: Sequence[str], address: str, origin: Origin, key: Key
    ) -> Connection:
        """A connection the proxy makes for us; it was named by a person, so it may be private."""
        context = self._context(origin, key)
        until = asyncio.get_running_loop().time() + self._limit
        if proxy.is_socks:
            target = (address or origin.host, origin.port)
            sock = await socks_socket(proxy, at[0], target, origin.where, self._limit)
            with connecting(origin.where):
                async with asyncio.timeout_at(until):
                    return await self._over(sock, context, origin, key)
        connection = Connection(origin.where, key, self._pool.gone)
        if context is None:
            sock = await self._to_proxy(proxy, at, connection, until)
        else:
            tunnel = Tunnel(proxy, origin.where)
            sock = await self._to_proxy(proxy, at, tunnel, until)
            await tunnel.ask(until)
            with connecting(origin.where):
                async with asyncio.timeout_at(until):
                    await tunnel.hand_over(connection, context, origin.host)
        return self._made(connection, sock)

    async def _to_proxy(
        self, proxy: Proxy, at: Sequence[str], protocol: asyncio.Protocol, until: float
    ) -> socket.socket:
        """Connect `protocol` to the proxy. Raises ProxyFailed."""
        context = self._contexts.of("") if proxy.scheme == "https" else None
        try:
            with connecting(str(proxy)):
                async with asyncio.timeout_at(until):
                    sock = await self._socket(at, proxy.port)
                    await _wrap(sock, protocol, context, proxy.host)
                    return sock
        except MachineLimit:
            raise
        except ConnectLimit as exc:
            raise ProxyFailed(f"no connection to the proxy {proxy} in time", at_fault=True) from exc
        except WireError as exc:
            raise ProxyFailed(f"no connection to the proxy {proxy}", at_fault=True) from exc

    async def _over(
        self, sock: socket.socket, context: ssl.SSLContext | None, origin: Origin, key: Key
    ) -> Connection:
        connection = Connection(origin.where, key, self._pool.gone)
        await _wrap(sock, connection, context, origin.host)
        return self._made(connection, sock)

    def _context(self, origin: Origin, key: Key) -> ssl.SSLContext | None:
        return self._contexts.of(key.tls) if origin.is_secure else None

    def _made(self, connection: Connection, sock: socket.socket) -> Connection:
        connection.sock = sock
        self._pool.add(connection)
        return connection

    async def _socket(self, addresses: Sequence[str], port: int) -> socket.socket:
        """A connected socket; with no descriptor left for it, idle connections are closed first."""
        with self._pool.coming() as made_room:
            if made_room:
                await asyncio.sleep(0)  # the descriptors are closed in the loop's next turn
            return await self._first_socket(addresses, port)

    async def _first_socket(self, addresses: Sequence[str], port: int) -> socket.socket:
        try:
            return await _race(addresses, port)
        except OSError as exc:
            if exc.errno not in FILE_ERRNOS or not self._pool.shrink(SHRINK):
                raise
        await asyncio.sleep(0)  # the descriptors are closed in the loop's next turn
        return await _race(addresses, port)


def _private(origin: Origin, addresses: Sequence[str]) -> PrivateAddress:
    return PrivateAddress(f"{origin.where} is in a private network: {', '.join(sorted(set(addresses)))}")


async def _wrap(
    sock: socket.socket, protocol: asyncio.Protocol, context: ssl.SSLContext | None, name: str
) -> None:
    """Give a connected socket to `protocol`, behind TLS to `name` where there is a context."""
    loop = asyncio.get_running_loop()
    try:
        if context is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await loop.create_connection(lambda: protocol, sock=sock, ssl=context, server_hostname=name)
    except BaseException:
        sock.close()
        raise


async def _race(addresses: Sequence[str], port: int) -> socket.socket:
    """The first socket that connects. Raises the OSError of this machine's fault, or of the first address."""
    if len(addresses) == 1:
        return await _attempt(addresses[0], port)
    running: set[asyncio.Task[socket.socket]] = set()
    waiting, errors = deque(_interleaved(addresses)), []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_attempt(waiting.popleft(), port)))
            patience = STAGGER_SECONDS if waiting else None
            done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError) or is_limit(error):
                    raise error
                errors.append(error)
        raise errors[0]
    finally:
        for task in running:
            _drop(task)


def _drop(task: asyncio.Task[socket.socket]) -> None:
    """Leave an attempt of which the outcome no longer counts; a socket that it still makes is closed."""
    if task.cancel():
        task.add_done_callback(_drop)
    elif not task.cancelled() and task.exception() is None:
        task.result().close()


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """The families in turn, the first one first (RFC 8305 section 4)."""
    is_v6 = ":" in addresses[0]
    first = [address for address in addresses if (":" in address) == is_v6]
    second = [address for address in addresses if (":" in address) != is_v6]
    return [address for pair in zip_longest(first, second) for address in pair if address is not None]


async def _attempt(address: str, port: int) -> socket.socket:
    is_v6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException as exc:
        sock.close()
        if is_v6 and isinstance(exc, OSError) and exc.errno == EADDRNOTAVAIL:
            # A machine without IPv6 says this as well: it lacks no port, and another address may do.
            raise OSError(ENETUNREACH, strerror(ENETUNREACH)) from None
        raise
    return sock
