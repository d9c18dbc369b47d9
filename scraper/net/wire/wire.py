"""The default transport: httpx requests and responses over connections of our own.

A request's way is `handle_async_request` → `_exchange`, on an idle connection or one that the dialer makes →
`_turn` → `Connection.send` → `Connection.head` → `_Body`.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from math import inf
from typing import Final, TypeAlias

import httpx

from scraper.core.machine_limits import connection_budget
from scraper.core.models import Proxy, Tls
from scraper.core.urls import SCHEMES
from scraper.net.guard import Guard
from scraper.net.messages import answer_of
from scraper.net.wire.dialing import Dialer
from scraper.net.wire.errors import BadTarget, Broken, WrongScheme, broken
from scraper.net.wire.head import Answer
from scraper.net.wire.origin import Key, Origin
from scraper.net.wire.pool import Pool
from scraper.net.wire.protocol import Connection
from scraper.net.wire.proxy_tunnel import absolute_head, refused
from scraper.net.wire.resolver import Lookups, Resolver
from scraper.net.wire.tls import Contexts

__all__ = ["Wire"]

#: Methods that may be sent again when an idle connection turned out dead (RFC 9112 section 9.3.1).
REPEATABLE: Final = frozenset({"GET", "HEAD"})
#: Seconds a connection may have been idle for any other request: a server may close it just when the request is on its
#: way, and no one can tell then whether the request was acted on.
MOST_IDLE_SECONDS: Final = 0.1
#: Connections tried for one request that were closed before its first byte.
MAX_UNSENT: Final = 4
#: Origins remembered; beyond it they are made anew (connections are not lost).
MAX_ORIGINS: Final = 4_096
#: RFC 9110 section 5.6.2.
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Awaited: TypeAlias = Callable[[], Awaitable[None]]
Called: TypeAlias = Callable[[], None]


class Wire(httpx.AsyncBaseTransport):
    """HTTP/1.1 as an httpx transport.

    Sends exactly the headers of the request. Of `request.extensions` it heeds

    - `before_connect`, an async callable: awaited before each attempt to connect, when the address is known;
    - `before_send`, an async callable: awaited when a connection stands, right before the first byte. Again when the request
      goes to another connection: because the first was closed before a byte was written (then `unsent` is called
      first), or because an idle one died without a byte of an answer to a GET or HEAD (which is sent once more);
    - `unsent`, a plain callable: nothing was written after `before_send`;
    - `after_send`, a plain callable: the request has been handed to the socket;
    - `named`, true when a person named this `host:port`: the guard then lets it be private;
    - `proxy`, a `Proxy`: the way to take. The guard then sees literals and our own lookup, not what the proxy connects to;
    - `repeatable`, present when a second time changes nothing on the server, whatever the method;
    - `session`, text: requests of different sessions share no connection.

    The response's stream yields the raw body, and its extension `dropped_header_lines` counts the lines of the head
    that were left out because they are not header fields. There is no limit on connections in use and no read
    timeout: both belong to the caller.

    `connect_timeout` is seconds for TCP and TLS (a name lookup has the resolver's own deadline); `guard` sees
    every address before it is connected to, None connects anywhere; `verify` is as in httpx; certificates of the
    `host:port` in `insecure` are not verified; `tls` has what is special about the TLS of a host (SettingsError for a
    file that cannot be used). Idle connections are closed while more than `max_open` are open; None is what this process
    may have (`connection_budget`). Raises `errors.WireError`, httpx's transport exceptions with a `kind`.
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
        resolver: Lookups | None = None,
        verify: bool | ssl.SSLContext = True,
        insecure: Collection[str] = (),
        tls: Mapping[str, Tls] | None = None,
        max_open: int | None = None,
    ) -> None:
        if guard is None:
            self.guarantees = self.guarantees - {"address-guard"}
        self._owns_resolver = resolver is None
        self._resolver: Lookups = resolver or Resolver()
        self._pool = Pool(connection_budget() if max_open is None else max_open)
        self._contexts = Contexts(verify, insecure, tls)
        self._dialer = Dialer(self._resolver, guard, self._contexts, self._pool, connect_timeout)
        self._origins: dict[tuple[str, bytes], Origin] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        origin = self._origins.get((url.scheme, url.netloc)) or self._origin(url)
        extensions = request.extensions
        proxy: Proxy | None = extensions.get("proxy")
        key = origin.key
        if proxy is not None or "session" in extensions:
            key = key._replace(proxy=proxy, session=extensions.get("session", ""))
        body = await request.aread()
        head, body = _head(request, body, proxy)
        return await self._exchange(request, head, body, origin, key)

    async def aclose(self) -> None:
        """Close every connection, in use or idle. The transport may be used again afterwards."""
        self._pool.close()
        self._origins.clear()
        if self._owns_resolver:
            await self._resolver.close()

    def _origin(self, url: httpx.URL) -> Origin:
        if url.scheme not in SCHEMES:
            raise WrongScheme(f"neither http nor https: {url.scheme or 'no scheme'}")
        if not url.raw_host:
            raise BadTarget("a URL without a host")
        if url.port is not None and not 0 < url.port < 65_536:
            raise BadTarget(f"not a port: {url.port}")
        if len(self._origins) >= MAX_ORIGINS:
            self._origins.clear()
        origin = Origin(url, self._contexts)
        self._origins[url.scheme, url.netloc] = origin
        return origin

    async def _exchange(
        self, request: httpx.Request, head: bytes, body: bytes, origin: Origin, key: Key
    ) -> httpx.Response:
        """Send over the first connection that stands when its turn has come, and wait for the head of the answer."""
        unsent, is_repeat = 0, False
        may_repeat = _may_repeat(request)
        while True:
            connection = None if is_repeat else self._pool.take(key, inf if may_repeat else MOST_IDLE_SECONDS)
            is_new = connection is None
            if connection is None:
                connection = await self._connect(request, origin, key)
            if not await _turn(request, connection, is_new):
                unsent += 1
                if unsent >= MAX_UNSENT:
                    raise broken(origin.where)
                continue
            try:
                answer = await _converse(request, connection, head, body)
            except Broken:
                if is_new or connection.has_answered or not may_repeat:
                    raise
                is_repeat = True
                continue
            if key.proxy is not None and answer.status == 407:
                connection.abort()
                raise refused(key.proxy, 407, origin.where)
            return answer_of(
                answer.status,
                answer.fields,
                _Body(connection, self._pool),
                {"dropped_header_lines": answer.dropped},
            )

    async def _connect(self, request: httpx.Request, origin: Origin, key: Key) -> Connection:
        extensions = request.extensions
        named, closings = bool(extensions.get("named")), self._pool.closings
        connection = await self._dialer.connect(origin, key, named, extensions.get("before_connect"))
        if closings != self._pool.closings:  # the transport was closed meanwhile
            connection.abort()
            raise broken(origin.where)
        return connection


def _may_repeat(request: httpx.Request) -> bool:
    """Whether to send it once more when an idle connection was dead."""
    return request.method in REPEATABLE or "repeatable" in request.extensions


async def _turn(request: httpx.Request, connection: Connection, is_new: bool) -> bool:
    """Wait for the permit to send, then look whether the connection still stands. If not, say that nothing was sent."""
    extensions = request.extensions
    before_send: Awaited | None = extensions.get("before_send")
    try:
        if before_send is not None:
            await before_send()
        # For one that may be sent again the loop's own view is enough.
        if connection.is_usable() and (_may_repeat(request) or not connection.is_over(is_new)):
            return True
    except BaseException:
        connection.abort()
        raise
    connection.abort()
    unsent: Called | None = extensions.get("unsent")
    if unsent is not None:
        unsent()
    return False


async def _converse(request: httpx.Request, connection: Connection, head: bytes, body: bytes) -> Answer:
    """Send, and wait for the head of the final answer. Whatever goes wrong, the connection is closed."""
    try:
        connection.begin(request.method == "HEAD")
        await connection.send(head, body)
        after_send: Called | None = request.extensions.get("after_send")
        if after_send is not None:
            after_send()
        return await connection.head()
    except BaseException:
        connection.abort()
        raise


def _head(request: httpx.Request, body: bytes, proxy: Proxy | None) -> tuple[bytes, bytes]:
    """Request line and headers, exactly those of the request, for a proxy with what it needs to know; and the body.

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
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head, body


@functools.lru_cache(maxsize=1_024)
def _is_token(name: bytes) -> bool:
    return TOKEN.fullmatch(name) is not None


@functools.lru_cache(maxsize=64)
def _method(method: str) -> bytes:
    octets = method.encode()
    if not _is_token(octets):
        raise httpx.LocalProtocolError(f"not a method: {method!r}")
    return octets


class _Body(httpx.AsyncByteStream):
    """The raw body of one answer, in chunks up to 64 KiB.

    Invariant: the connection goes back to the pool at most once, and only when its answer was received whole;
    in every other case it is aborted.
    """

    __slots__ = ("_connection", "_pool")

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection: Connection | None = connection
        self._pool = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        connection = self._connection
        if connection is not None and (chunk := await connection.read()):
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.put(connection)
