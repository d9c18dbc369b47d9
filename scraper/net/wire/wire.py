"""The default transport: httpx requests and responses over aiohttp's connections and C parser.

A request's way is `handle_async_request` → `_exchange` on an idle connection, else `_dial` → `_turn` →
`_send` → `_answer` → `_Body`. aiohttp's ClientSession, ClientRequest.send and ClientResponse are left out:
they retry in silence, read interim answers for ever, and cost more than all the rest of a request.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final, TypeAlias, cast

import httpx
from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientTimeout,
    ServerDisconnectedError,
)
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from scraper.core.models import Proxy
from scraper.core.urls import SCHEMES
from scraper.net.guard import Guard
from scraper.net.messages import headers_of
from scraper.net.wire.connection import BUFFER, Connector, Dial, Origin, WireProtocol, dialing
from scraper.net.wire.errors import (
    BadAnswer,
    BadTarget,
    Broken,
    NoSuchHost,
    PrivateAddress,
    ProxyFailed,
    WrongScheme,
    translating,
)
from scraper.net.wire.proxy_tunnel import ProxyConnector, absolute_head, refused
from scraper.net.wire.resolver import Resolver

__all__ = ["Wire"]

#: Interim (1xx) answers before the final one (RFC 9110 section 15.2 sets no limit: some send for ever).
MAX_INTERIM: Final = 8
#: Methods that may be sent again when an idle connection turned out dead (RFC 9112 section 9.3.1).
REPEATABLE: Final = frozenset({"GET", "HEAD"})
#: Origins remembered; beyond it they are made anew (connections are not lost).
MAX_ORIGINS: Final = 4_096
#: RFC 9110 section 5.6.2.
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

BeforeSend: TypeAlias = Callable[[], Awaitable[None]]
AfterSend: TypeAlias = Callable[[], None]


class _Stale(Exception):
    """A connection died before it answered; the request may be sent on a fresh one."""


class Wire(httpx.AsyncBaseTransport):
    """HTTP/1.1 over aiohttp's connections, as an httpx transport.

    Sends exactly the headers of the request. `request.extensions["before_send"]`, an async callable, is
    awaited when the connection stands and before the first byte; a second time when the request goes to a
    fresh connection because the idle one it had was dead (a GET or HEAD without one byte of an answer, or any
    request that still waited); `"after_send"`, a plain callable, when the request has been handed to the socket.
    The response's stream yields the raw body. There is no limit on connections
    and no read timeout: both belong to the caller. `request.extensions["named"]` true says that a person named
    this `host:port`: the guard then lets it be private. `request.extensions["proxy"]`, a `Proxy`, is the way
    to take; the guard then sees literals and our own lookup of the name, not what the proxy connects to.

    `connect_timeout` is seconds for TCP and TLS (a name lookup has the resolver's own deadline); `guard` sees
    every address before it is connected to, None connects anywhere; `verify` is as in httpx. Raises
    `errors.WireError`, httpx's transport exceptions with a `kind`.
    """

    #: What a caller need not do itself.
    guarantees: frozenset[str] = frozenset(
        {"before_send", "address-guard", "header-caps", "1xx-cap", "proxy", "stale-retry"}
    )

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        guard: Guard | None = None,
        resolver: AbstractResolver | None = None,
        verify: bool | ssl.SSLContext = True,
        insecure: Collection[str] = (),
    ) -> None:
        # One call races all addresses, several calls follow when they fail: both within the same limit.
        self._limits = ClientTimeout(
            connect=connect_timeout, sock_connect=connect_timeout, ceil_threshold=connect_timeout + 1
        )
        self._guard = guard
        self._verify = verify
        self._insecure = frozenset(insecure)
        if guard is None:
            self.guarantees = self.guarantees - {"address-guard"}
        self._owns_resolver = resolver is None
        self._resolver = resolver or Resolver()
        self._connector: Connector | None = None
        self._proxied: dict[Proxy, Connector] = {}
        self._origins: dict[tuple[str, bytes], Origin] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        origin = self._origins.get((url.scheme, url.netloc)) or self._origin(url)
        with translating(origin.netloc):
            proxy: Proxy | None = request.extensions.get("proxy")
            octets = _head(request, await request.aread(), proxy)
            try:
                return await self._exchange(request, octets, origin, fresh=False)
            except _Stale:
                return await self._exchange(request, octets, origin, fresh=True)

    async def aclose(self) -> None:
        """Close every connection, in use or idle. The transport may be used again afterwards."""
        connectors = [*self._proxied.values(), *([self._connector] if self._connector else [])]
        self._connector = None
        self._proxied.clear()
        self._origins.clear()
        for connector in connectors:
            await connector.close()
        if self._owns_resolver:
            await self._resolver.close()

    def _origin(self, url: httpx.URL) -> Origin:
        if url.scheme not in SCHEMES:
            raise WrongScheme(f"neither http nor https: {url.scheme or 'no scheme'}")
        if not url.host:
            raise BadTarget("a URL without a host")
        if len(self._origins) >= MAX_ORIGINS:
            self._origins.clear()
        try:
            origin = Origin(url, asyncio.get_running_loop(), self._insecure)
        except ValueError as exc:  # what httpx takes for a host and aiohttp does not
            raise BadTarget(f"not a host that can be connected to: {url.host}") from exc
        self._origins[url.scheme, url.netloc] = origin
        return origin

    def _open(self, proxy: Proxy | None) -> Connector:
        """The pool of one way out. It belongs to the loop it was made in, so it is made by the first request."""
        options = {
            "resolver": self._resolver,
            "ssl": self._verify,
            "socket_factory": None if self._guard is None else self._socket,
        }
        loop = asyncio.get_running_loop()
        if proxy is None:
            self._connector = Connector(loop, **options)
            return self._connector
        found = self._proxied.get(proxy)
        if found is None:
            found = self._proxied[proxy] = ProxyConnector(loop, proxy, **options)
        return found

    async def _exchange(
        self, request: httpx.Request, octets: bytes, origin: Origin, *, fresh: bool
    ) -> httpx.Response:
        """Send on one connection and wait for the head of the answer. Raises _Stale, never when `fresh`."""
        proxy: Proxy | None = request.extensions.get("proxy")
        connector = (self._connector if proxy is None else None) or self._open(proxy)
        connection = None if fresh else await connector.idle(origin.key)
        if connection is None:
            named = bool(request.extensions.get("named"))
            fresh = True
            if (before_connect := request.extensions.get("before_connect")) is not None:
                await before_connect()
            if proxy is None:
                connection = await self._dial(connector, origin, named)
            else:
                connection = await self._dial_through(proxy, connector, origin, named)
        protocol = cast(WireProtocol, connection.protocol)
        try:
            await _turn(request, protocol, fresh)
            after_send: AfterSend | None = request.extensions.get("after_send")
            message, payload = await _send(request.method, octets, protocol, fresh, after_send)
        except BaseException:
            _discard(connection, protocol)
            raise
        if proxy is not None and message.code == 407:
            _discard(connection, protocol)
            raise refused(proxy, 407, origin.netloc)
        body = _Body(connection, protocol, message, payload, origin.netloc)
        return httpx.Response(message.code, headers=headers_of(message.raw_headers), stream=body)

    async def _dial(self, connector: Connector, origin: Origin, named: bool) -> Connection:
        if not origin.literal:
            # By itself, because it has a limit of its own; `connect` then finds the answer in the cache.
            await self._resolver.resolve(origin.name, origin.port or 0)
        dial = Dial(origin.netloc, named)
        token = dialing.set(dial)
        try:
            return await connector.connect(origin, [], self._limits)
        except OSError as exc:
            if dial.refused:
                addresses = ", ".join(sorted(set(dial.refused)))
                raise PrivateAddress(f"{origin.netloc} is in a private network: {addresses}") from exc
            raise
        finally:
            dialing.reset(token)

    async def _dial_through(
        self, proxy: Proxy, connector: Connector, origin: Origin, named: bool
    ) -> Connection:
        """A connection the proxy makes for us; it was named by a person, what it connects to was not."""
        dial = Dial(str(proxy), named=True, address=await self._known_address(proxy, origin, named))
        token = dialing.set(dial)
        try:
            return await connector.connect(origin, [], self._limits)
        except TimeoutError as exc:
            if dial.reached:
                raise
            raise ProxyFailed(f"no connection to the proxy {proxy} in time", at_fault=True) from exc
        finally:
            dialing.reset(token)

    async def _known_address(self, proxy: Proxy, origin: Origin, named: bool) -> str:
        """What we know of where a proxy will connect to. Raises PrivateAddress when it looks private to us.

        The answer is an address for those proxies that want one, "" for those that look names up themselves.
        """
        wants_address = proxy.scheme in {"socks4", "socks5"}
        guard = None if named else self._guard
        if origin.literal or (guard is None and not wants_address):
            addresses = [origin.name] if origin.literal else []
        else:
            try:
                found = await self._resolver.resolve(origin.name, origin.port or 0)
                addresses = [answer["host"] for answer in found]
            except NoSuchHost:
                if wants_address:
                    raise
                addresses = []  # perhaps the proxy knows it
        refused = [a for a in addresses if guard is not None and not guard.allows(origin.netloc, a)]
        if refused:
            raise PrivateAddress(f"{origin.netloc} is in a private network: {', '.join(sorted(refused))}")
        return addresses[0] if wants_address and addresses else ""

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """aiohttp's socket factory, called for every single address that will be connected to."""
        family, kind, proto, _, address = info
        dial = dialing.get()
        guard = None if dial.named else self._guard
        if guard is not None and not guard.allows(dial.netloc, str(address[0])):
            dial.refused.append(str(address[0]))
            raise PermissionError(errno.EACCES, "private address")
        return socket.socket(family=family, type=kind, proto=proto)


def _head(request: httpx.Request, body: bytes, proxy: Proxy | None = None) -> bytes:
    """Request line and headers, exactly those of the request, and the body; for a proxy what it needs to know.

    Raises httpx.LocalProtocolError for what would smuggle a second line into the head (RFC 9112 section 5).
    """
    target, headers = request.url.raw_path, request.headers.raw
    if proxy is not None and request.url.scheme == "http" and not proxy.is_socks:
        target, extra = absolute_head(request, proxy)
        headers = [*headers, *extra]
    lines = [b"%b %b HTTP/1.1" % (_method(request.method), target)]
    for name, value in headers:
        if not _is_token(name):
            raise httpx.LocalProtocolError(f"not a header name: {name!r}")
        lines.append(name + b": " + value)
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    breaks = len(lines) + 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or b" " in target:
        raise httpx.LocalProtocolError("a line break, NUL or space in the URL or a header of the request")
    if body and "transfer-encoding" in request.headers:
        return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)
    return head + body


@functools.lru_cache(maxsize=1_024)
def _is_token(name: bytes) -> bool:
    return TOKEN.fullmatch(name) is not None


@functools.lru_cache(maxsize=64)
def _method(method: str) -> bytes:
    octets = method.encode()
    if not _is_token(octets):
        raise httpx.LocalProtocolError(f"not a method: {method!r}")
    return octets


async def _turn(request: httpx.Request, protocol: WireProtocol, fresh: bool) -> None:
    """Wait for the permit to send, then look whether the connection is still what it was."""
    before_send: BeforeSend | None = request.extensions.get("before_send")
    if before_send is not None:
        await before_send()
    if not fresh and protocol.should_close:
        raise _Stale
    if not protocol.is_connected():
        raise ServerDisconnectedError


async def _send(
    method: str, octets: bytes, protocol: WireProtocol, fresh: bool, after_send: AfterSend | None
) -> tuple[RawResponseMessage, StreamReader]:
    transport = protocol.transport
    protocol.begin(head_only=method == "HEAD")
    try:
        if transport is not None:
            transport.write(octets)
        if after_send is not None:
            after_send()
        return await _answer(protocol)
    except ClientConnectionError as exc:
        if fresh or protocol.received or method not in REPEATABLE:
            raise
        raise _Stale from exc


async def _answer(protocol: WireProtocol) -> tuple[RawResponseMessage, StreamReader]:
    """The final answer behind at most `MAX_INTERIM` interim ones."""
    for _ in range(MAX_INTERIM + 1):
        message, payload = await protocol.read()
        if message.code >= 200:
            return message, payload
        if message.code == 101 or message.code < 100:
            raise BadAnswer(f"status {message.code} was not asked for")
    raise BadAnswer(f"more than {MAX_INTERIM} interim answers")


def _discard(connection: Connection, protocol: WireProtocol) -> None:
    """Abort, not close: closing would first flush what is unsent, and wait for a TLS peer to say goodbye."""
    protocol.abort()
    connection.close()


class _Body(httpx.AsyncByteStream):
    """The raw body of one answer, in chunks up to 64 KiB.

    Invariant: the connection goes back to the pool exactly once, and only when its body was received whole;
    in every other case it is aborted.
    """

    __slots__ = ("_connection", "_message", "_payload", "_protocol", "_where")

    def __init__(
        self,
        connection: Connection,
        protocol: WireProtocol,
        message: RawResponseMessage,
        payload: StreamReader,
        where: str,
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._message = message
        self._payload = payload
        self._where = where

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        payload = self._payload
        if not payload.at_eof():
            with translating(self._where):
                chunk = await self._read(payload)
            if chunk:
                return chunk
        self._check_end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        connection = self._connection
        if connection.protocol is None:
            return
        if self._payload.is_eof():
            connection.release()
        else:
            _discard(connection, self._protocol)

    async def _read(self, payload: StreamReader) -> bytes:
        try:
            return await payload.read(BUFFER)
        except ClientPayloadError as exc:
            if isinstance(self._protocol.lost, OSError):
                raise self._protocol.lost from exc
            raise
        except RuntimeError as exc:  # what aiohttp says about a connection closed under the reader
            raise ServerDisconnectedError from exc

    def _check_end(self) -> None:
        """A body that ends with its connection is whole only when the connection ended in order."""
        framed = self._message.chunked or "Content-Length" in self._message.headers
        if self._protocol.lost is not None and not framed:
            raise Broken(f"{self._where} broke the connection before the answer was complete")
