"""Connections through a proxy: http (RFC 9110 section 9.3.6, CONNECT), https, and socks with the extra.

A pool's key names the proxy, so no connection made through one is ever taken for another, or for none.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from importlib import import_module
from typing import Final

import httpx

from scraper.core.extras import require
from scraper.core.machine_limits import limit_errno, limit_sentence
from scraper.core.models import Proxy
from scraper.net.wire.errors import MachineLimit, ProxyFailed
from scraper.net.wire.head import end_of_head
from scraper.net.wire.protocol import Connection

__all__ = ["Tunnel", "absolute_head", "refused", "socks_socket"]

#: Interim answers to a CONNECT before the final one, and bytes of all its heads.
MAX_INTERIM: Final = 8
MAX_HEAD: Final = 65_536
STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?:[ \r\n])")


def absolute_head(request: httpx.Request, proxy: Proxy) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Target and extra headers of a plain http request that goes to a proxy (RFC 9112 section 3.2.2)."""
    url = request.url
    target = b"%b://%b%b" % (url.raw_scheme, url.netloc, url.raw_path)
    return target, _authorization(proxy)


def _authorization(proxy: Proxy) -> list[tuple[bytes, bytes]]:
    return [(b"Proxy-Authorization", proxy.authorization)] if proxy.authorization else []


class Tunnel(asyncio.Protocol):
    """A connection to a proxy until it has become one to `where`, by CONNECT.

    Its answer is read here, not by the parser of the pages: behind its head comes the site's first byte, which is not
    there before we have spoken. A byte too many is therefore refused; it would be taken for the site's.
    """

    def __init__(self, proxy: Proxy, where: str) -> None:
        self._proxy = proxy
        self._where = where
        self._transport: asyncio.Transport | None = None
        self._kept = bytearray()
        self._interim = 0
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ask(self, until: float) -> None:
        """Ask for the connection, and wait for the answer until loop time `until`. Raises ProxyFailed."""
        transport = self._transport
        assert transport is not None
        target = self._where.encode()
        lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: " + target]
        lines += [name + b": " + value for name, value in _authorization(self._proxy)]
        transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        try:
            async with asyncio.timeout_at(until):
                status = await self._status
            if not 200 <= status < 300:
                raise refused(self._proxy, status, self._where)
            if self._kept:
                raise ProxyFailed(f"the proxy {self._proxy} spoke before its tunnel was used", at_fault=True)
        except TimeoutError as exc:
            transport.abort()
            raise ProxyFailed(
                f"the proxy {self._proxy} did not connect to {self._where} in time", at_fault=True
            ) from exc
        except BaseException:
            transport.abort()
            raise

    async def hand_over(self, connection: Connection, context: ssl.SSLContext, name: str) -> None:
        """Speak TLS to the site through the proxy; what it says is `connection`'s."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        try:
            inside = await loop.start_tls(self._transport, connection, context, server_hostname=name)
        except BaseException:
            self._transport.abort()
            raise
        assert inside is not None
        connection.connection_made(inside)  # start_tls does not call it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._kept += data
        while not self._status.done():
            end = end_of_head(self._kept, 0)
            if len(self._kept) > MAX_HEAD:
                self._fail()
            if end < 0:
                return
            self._read(bytes(self._kept[:end]))
            del self._kept[:end]

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail()

    def _read(self, head: bytes) -> None:
        """One answer's head: an interim one is followed by another."""
        found = STATUS.match(head)
        self._interim += 1
        if found is None or self._interim > MAX_INTERIM + 1:
            self._fail()
        elif (status := int(found[1])) >= 200:
            self._status.set_result(status)

    def _fail(self) -> None:
        if not self._status.done():
            self._status.set_exception(ProxyFailed(f"the proxy {self._proxy} gave no answer", at_fault=True))


async def socks_socket(
    proxy: Proxy, at: str, target: tuple[str, int], where: str, seconds: float
) -> socket.socket:
    """A socket the socks proxy (at address `at`) has connected to `target` (host, port), within `seconds`.

    It looks a name up itself only for socks5h. Raises ProxyFailed, MachineLimit, and UsageError without the extra.
    """
    module = require("socks", f"the proxy {proxy}")
    kind = getattr(module.ProxyType, "SOCKS4" if proxy.scheme == "socks4" else "SOCKS5")
    made_by = import_module("python_socks.async_.asyncio").Proxy
    way = made_by(kind, at, proxy.port, proxy.user or None, proxy.password or None, True)
    try:
        sock: socket.socket = await way.connect(*target, timeout=seconds)
    except (module.ProxyConnectionError, module.ProxyTimeoutError) as exc:
        if (limit := limit_errno(exc)) is not None:
            raise MachineLimit(limit_sentence(limit)) from exc
        raise ProxyFailed(f"no connection to the proxy {proxy}", at_fault=True) from exc
    except (module.ProxyError, OSError) as exc:
        raise ProxyFailed(f"the proxy {proxy} does not connect to {where}: {exc}") from exc
    return sock


def refused(proxy: Proxy, status: int, where: str) -> ProxyFailed:
    """What a proxy's own status says: 407 is about us, everything else about the host it should connect to."""
    if status == 407:
        return ProxyFailed(f"the proxy {proxy} refuses our credentials (HTTP 407)", at_fault=True)
    return ProxyFailed(f"the proxy {proxy} does not connect to {where}: HTTP {status}")
