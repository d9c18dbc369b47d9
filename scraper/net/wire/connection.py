"""aiohttp's connections as this package wants them; the only place that knows aiohttp's inside.

`WireProtocol` is one connection, `Connector` the pool, `Origin` where to connect, `Dial` one try to connect.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections import OrderedDict
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any, Final

import httpx
from aiohttp import ClientRequest, ServerDisconnectedError, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from scraper.core.machine_limits import connection_budget
from scraper.core.urls import is_ip
from scraper.net.wire.resolver import Lookups

__all__ = ["BUFFER", "Connector", "Dial", "Origin", "WireProtocol", "dialing"]

#: Octets of one header field and of the status line, number of fields, octets of a whole head. aiohttp's own
#: 8,190 and 128 refuse real sites; the last is what browsers take.
MAX_FIELD: Final = 65_536
MAX_FIELDS: Final = 1_000
MAX_HEAD: Final = 262_144
#: Octets read from the socket at once, and buffered per response before its sender is held back.
BUFFER: Final = 65_536


class WireProtocol(ResponseHandler):
    """aiohttp's client protocol, one answer at a time.

    Invariant: between `begin` and the first byte of an answer `received` is 0. `lost` holds what the system
    said when the connection broke, None while it stands and when it was closed in order.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.lost: BaseException | None = None
        self.received = 0
        self._in_head = True

    def begin(self, head_only: bool) -> None:
        """Expect one answer: a parser of its own, counters at zero."""
        self.received = 0
        self._in_head = True
        self.set_response_params(
            skip_payload=head_only,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=BUFFER,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            # asyncio reads up to 256 KiB at once: too much of a body nobody wants, and of one-byte chunks.
            transport.max_size = BUFFER

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, the head by itself.

        Bytes behind a complete answer (a HEAD with a body, a Content-Length too small) are an error of the
        next message, for which the parser drops all it had in hand. Fed by itself the head is safe from that.
        """
        self.received += len(data)
        while self._in_head and (end := data.find(b"\r\n\r\n") + 4) > 3:
            head, data = data[:end], data[end:]
            super().data_received(head)
            if not data:
                return
        if self._in_head and self.received > MAX_HEAD:
            self._refuse_head()
        else:
            super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """A head is complete; behind an interim one comes another."""
        self._in_head = data[0].code < 200
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Also tell the reader of a body whose framing broke: the parser forgets it, and it would wait on."""
        self._fail_body(exc)
        super().set_exception(exc, *cause)

    def close(self) -> None:
        self._fail_body(ServerDisconnectedError())
        super().close()

    def abort(self) -> None:
        self._fail_body(ServerDisconnectedError())
        super().abort()

    def _fail_body(self, exc: BaseException) -> None:
        payload = self._payload
        if payload is not None and payload is not EMPTY_PAYLOAD and not payload.is_eof():
            payload.set_exception(exc)

    def _refuse_head(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(LineTooLong(b"", MAX_HEAD))


class _Names(AbstractResolver):
    """Our lookups as aiohttp's connector asks for them. What they stand on is closed by its owner."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [_result(host, port, address) for address in await self._lookups.resolve(host)]

    async def close(self) -> None:
        """Nothing is held here."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


class Connector(TCPConnector):
    """aiohttp's pool, one decision made two: `idle` takes a waiting connection, `connect` makes a new one.

    Invariant: what is in use and what waits together stay within `connection_budget`, as far as closing those that
    wait achieves it: the one that has waited longest goes first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, resolver: Lookups, **options: Any) -> None:
        super().__init__(limit=0, use_dns_cache=False, resolver=_Names(resolver), **options)
        # The protocol class is not an option of aiohttp's; a test holds this attribute.
        self._factory = functools.partial(WireProtocol, loop=loop)  # type: ignore[assignment]  # is invariant
        self._most = connection_budget()
        self._coming = 0
        self._waiting: OrderedDict[ResponseHandler, None] = OrderedDict()

    async def idle(self, key: Any) -> Connection | None:
        """A connection that waits for work and has heard nothing since its last answer."""
        while (connection := await super()._get(key, [])) is not None:
            protocol = connection.protocol
            if protocol is not None:
                self._waiting.pop(protocol, None)
            if protocol is not None and not protocol.should_close:
                return connection
            connection.close()
        return None

    async def _get(self, key: Any, traces: Any) -> None:
        """What `connect` asks first: nothing, so that a fresh connection is fresh."""
        if self._shed():
            self._coming += 1
            try:
                await asyncio.sleep(
                    0
                )  # an aborted connection gives its descriptor back in the next turn of the loop
            finally:
                self._coming -= 1

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if protocol.is_connected():
            self._waiting[protocol] = None
            self._shed()

    def _shed(self) -> bool:
        """Close what has waited longest, until one more connection fits. False where there was room."""
        before = len(self._waiting)
        while self._waiting and len(self._waiting) + len(self._acquired) + self._coming >= self._most:
            protocol, _ = self._waiting.popitem(last=False)
            protocol.abort()
        return len(self._waiting) < before


class Origin(ClientRequest):
    """Where to connect: what the connector wants to know of a request, made once per origin.

    The certificate of one whose `host:port` is in `insecure` is not looked at. The pool's key says so: its
    connections serve nobody else.
    """

    def __init__(
        self, url: httpx.URL, loop: asyncio.AbstractEventLoop, insecure: Collection[str] = ()
    ) -> None:
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.raw_host.decode("ascii")
        # Encoded: the host stands as httpx wrote it; nothing is quoted or looked up again.
        at = URL(f"{url.scheme}://{url.netloc.decode('ascii')}/", encoded=True)
        netloc = f"{host.rstrip('.')}:{port}"
        super().__init__("GET", at, loop=loop, ssl=netloc not in insecure)
        self.key = self.connection_key
        self.name = host
        self.netloc = netloc
        self.literal = is_ip(host)
        #: What a CONNECT names: as in a URL, with the port.
        self.connect_to = f"[{host}]:{port}" if ":" in host else self.netloc


class Dial:
    """One try to connect, for the guard: on whose behalf, and which addresses were refused.

    `named` says that a person named this very `host:port`, so that it may be private. Through a proxy,
    `reached` says that it answers, and `address` is where it is to connect to, "" for the name itself.
    """

    __slots__ = ("address", "named", "netloc", "reached", "refused")

    def __init__(self, netloc: str, named: bool = False, address: str = "") -> None:
        self.netloc = netloc
        self.named = named
        self.address = address
        self.reached = False
        self.refused: list[str] = []


#: The tasks that race addresses copy the context, so the socket factory always knows who dials.
dialing: ContextVar[Dial] = ContextVar("dialing")
