"""One hop: a request goes out under its permit; a bounded, decoded answer comes back in time, or FetchError.

Works with any `httpx.AsyncBaseTransport`; what a transport guarantees itself (`guarantees`) is left to it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Final, NamedTuple, Protocol, TypeAlias

import httpx

from scraper.core.timing import timed
from scraper.errors import FetchError
from scraper.net.chunks import Chunks, PartialChunks
from scraper.net.decode import Decoder, size, transfer_codings
from scraper.net.wire.errors import WireError, kind_of

__all__ = ["Downloader", "Limits", "Reply", "Sink", "Wanted", "always"]

#: Octets of a body put into the sink before other tasks get a turn: decoding runs at 300 MB/s and more.
BREATH: Final = 4 << 20
#: Statuses that never have a body (RFC 9110 section 6.4.1).
BODILESS: Final = frozenset({204, 304})
DIGITS: Final = re.compile(r"[0-9]{1,18}")

Permit: TypeAlias = Callable[[], Awaitable[None]]
Wanted: TypeAlias = Callable[[int, httpx.Headers], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one hop: `deadline` in seconds, the bodies in octets, before and after decoding.

    `truncate`: a body over the bounds is cut there instead of being an error. `partial`: so is one that ends too soon.
    `stall`: seconds a body that goes into a sink may go without a byte; the deadline then ends with its headers.
    """

    deadline: float = 60.0
    max_body: int = 16 << 20
    max_decoded: int = 64 << 20
    truncate: bool = False
    partial: bool = False
    stall: float = 30.0


class Sink(Protocol):
    """Where a body goes that is never held as a whole."""

    async def write(self, piece: bytes) -> None:
        """Take the next piece, 1 MiB at most."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `body` is decoded, and b"" when it was not wanted; then, and where it was cut, `complete` is False.

    `wire_bytes` counts the body as it was sent; `sent` (the permit) and `ended` are loop times in seconds.
    `unknown_coding` names a Content-Encoding that is not known: `body` is then still in it.
    """

    url: str
    status: int
    headers: httpx.Headers
    body: bytes
    wire_bytes: int
    sent: float
    ended: float
    complete: bool
    unknown_coding: str = ""


DEFAULT: Final = Limits()


def always(status: int, headers: httpx.Headers) -> bool:
    """Every body is wanted."""
    return True


class Downloader:
    """Sends single requests over named transports. It keeps nothing between two of them.

    `transports` maps the names that `via` may have to transports; "" is the default one.
    """

    def __init__(self, transports: Mapping[str, httpx.AsyncBaseTransport]) -> None:
        self._transports = {
            name: (transport, frozenset(getattr(transport, "guarantees", ())))
            for name, transport in transports.items()
        }

    @timed("requests and bodies")
    async def fetch(
        self,
        request: httpx.Request,
        *,
        permit: Permit,
        limits: Limits = DEFAULT,
        wanted: Wanted = always,
        via: str = "",
        into: Sink | None = None,
    ) -> Reply:
        """Send `request` under its `permit` and read the answer if `wanted(status, headers)` says so.

        The body of a 2xx goes `into` a sink where there is one, and is not in the reply.

        `permit` is awaited exactly once per send, by the transport between connection and first byte where it
        can. Of the request's extensions, `before_connect` is awaited before each attempt to open a connection, by
        transports that know it; `answered` is set when the head of an answer is there.

        The deadline covers connecting and one send up to its body's end, not the wait for the permit.
        Raises FetchError for everything that goes wrong; else only what `permit` raised, and CancelledError.
        """
        if via not in self._transports:
            raise FetchError("transport", f"no transport is named {via!r}")
        if "proxy" in request.extensions and "proxy" not in self._transports[via][1]:
            raise FetchError("transport", "this transport takes no proxy: give it its own, or set none")
        hop = _Hop(permit, limits)
        try:
            async with hop.scope:
                response = await self._send(request, hop, via)
                return await _receive(request, response, hop, wanted, into)
        except FetchError:
            raise
        except Exception as exc:
            if hop.refusal is not None:
                raise hop.refusal from None
            raise hop.failure(exc) from exc

    async def _send(self, request: httpx.Request, hop: _Hop, via: str) -> httpx.Response:
        transport, guarantees = self._transports[via]
        extensions = request.extensions
        if "before_send" in guarantees:
            extensions["before_send"] = partial(hop.wait, hop.permit)
            if (connect := extensions.get("before_connect")) is not None:
                extensions["before_connect"] = partial(hop.wait, connect)
        else:
            await hop.wait(hop.permit)
        response = await transport.handle_async_request(request)
        extensions["answered"] = True
        return response


class _Hop:
    """The clock of one send. Invariant: the scope's deadline stands still while the permit is waited for."""

    __slots__ = ("limits", "now", "permit", "refusal", "scope", "sent", "streaming")

    def __init__(self, permit: Permit, limits: Limits) -> None:
        self.now = asyncio.get_running_loop().time
        self.limits = limits
        self.scope = asyncio.timeout_at(self.now() + limits.deadline)
        self.sent = 0.0
        self.streaming = False
        self.refusal: Exception | None = None
        self.permit = permit

    async def wait(self, permit: Permit) -> None:
        """Wait for a permit, off the clock: to open a connection, to send."""
        scope = self.scope
        if scope.expired():
            await asyncio.sleep(0)  # the cancellation is on its way and arrives here
        left = (scope.when() or 0.0) - self.now()
        scope.reschedule(None)
        try:
            await permit()
        except Exception as exc:
            self.refusal = exc
            raise
        self.sent = self.now()
        scope.reschedule(self.sent + left)

    def progress(self) -> None:
        """Something of a body arrived that may take as long as it likes: only silence ends it."""
        self.streaming = True
        self.scope.reschedule(self.now() + self.limits.stall)

    def failure(self, exc: Exception) -> FetchError:
        """What a person is told about an exception that left the transport."""
        if self.scope.expired():
            if self.streaming:
                return FetchError(
                    "timeout", f"the download stood still for {self.limits.stall:g} s (stall_timeout)"
                )
            return FetchError("timeout", f"no complete answer within {self.limits.deadline:g} s")
        kind = kind_of(exc)
        if isinstance(exc, WireError) or kind == "bad-url":
            return FetchError(kind, str(exc))
        if kind == "transport":
            return FetchError(kind, f"the transport failed: {exc}" if str(exc) else "")
        return FetchError(kind)


async def _receive(
    request: httpx.Request, response: httpx.Response, hop: _Hop, wanted: Wanted, into: Sink | None
) -> Reply:
    """Read what is wanted of the answer, and close it whatever happens."""
    stream, status, headers = response.stream, response.status_code, response.headers
    if not isinstance(stream, httpx.AsyncByteStream):
        raise FetchError("transport", "the transport answered with a body that is not asynchronous")
    try:
        if not wanted(status, headers):
            body = _NOTHING
        elif request.method == "HEAD" or status in BODILESS:
            body = _EMPTY
        elif into is not None and 200 <= status < 300:
            body = await _stream(stream, _Framing.of(response), hop, into)
        else:
            body = await _read(stream, _Framing.of(response), hop.limits)
    finally:
        await stream.aclose()
    octets, wire_bytes, complete, unknown = body
    url, ended = str(request.url), hop.now()
    return Reply(url, status, headers, octets, wire_bytes, hop.sent, ended, complete, unknown)


class _Framing(NamedTuple):
    """Octets announced (-1 for unknown), and the codings the body is in, in order. `of` raises FetchError `decode`."""

    announced: int
    coding: str

    @classmethod
    def of(cls, response: httpx.Response) -> _Framing:
        if "decoded" in response.extensions:
            return cls(-1, "")
        announced, coding, transfer = -1, "", ""
        for raw, value in response.headers.raw:
            name = raw.lower()
            if name == b"content-length":
                announced = _octets(value)
            elif name == b"content-encoding":
                coding = f"{coding},{value.decode('latin-1')}" if coding else value.decode("latin-1")
            elif name == b"transfer-encoding":
                transfer = f"{transfer},{value.decode('latin-1')}" if transfer else value.decode("latin-1")
        if not transfer:
            return cls(announced, coding)
        left = transfer_codings(transfer)  # they were put on last
        framed = transfer.strip().lower() != "identity"
        return cls(-1 if framed else announced, f"{coding},{left}" if left else coding)


def _octets(value: bytes) -> int:
    text = value.decode("latin-1").strip()
    return int(text) if DIGITS.fullmatch(text) else -1


class _Read(NamedTuple):
    """What was read of a body."""

    octets: bytes
    wire_bytes: int
    complete: bool
    unknown: str = ""


_NOTHING: Final = _Read(b"", 0, False)
_EMPTY: Final = _Read(b"", 0, True)


async def _read(stream: httpx.AsyncByteStream, framing: _Framing, limits: Limits) -> _Read:
    """The body, decoded. Raises FetchError when it is too large, too short or not what it claims."""
    if framing.announced > limits.max_body and not limits.truncate:
        raise _too_large(limits.max_body)
    chunks = (PartialChunks if limits.partial else Chunks)(stream, framing.announced)
    try:
        if limits.truncate:
            return await _beginning(chunks, framing.coding, limits)
        if framing.coding:
            return await _decoded(chunks, Decoder(framing.coding, limits.max_decoded), limits.max_body)
        return await _plain(chunks, min(limits.max_body, limits.max_decoded))
    finally:
        await chunks.aclose()


async def _stream(stream: httpx.AsyncByteStream, framing: _Framing, hop: _Hop, into: Sink) -> _Read:
    """A body passed on piece by piece; no more of it is held than a chunk and what it decodes to."""
    limits = hop.limits
    most = min(limits.max_body, limits.max_decoded)
    if framing.announced > most:
        raise _too_large(most)
    chunks, decoder = Chunks(stream, framing.announced), Decoder(framing.coding, limits.max_decoded)
    hop.progress()
    try:
        async for chunk in chunks:
            hop.progress()
            if chunks.count > limits.max_body:
                raise _too_large(limits.max_body)
            for piece in decoder.feed(chunk):
                await into.write(piece)
        decoder.finish()
    finally:
        await chunks.aclose()
    return _Read(b"", chunks.count, True, decoder.unknown)


async def _plain(chunks: Chunks, limit: int) -> _Read:
    sink = BytesIO()
    async for chunk in chunks:
        if chunks.count > limit:
            raise _too_large(limit)
        sink.write(chunk)
    return _Read(sink.getvalue(), chunks.count, not chunks.is_cut)


async def _beginning(chunks: Chunks, coding: str, limits: Limits) -> _Read:
    """As much of a body as the bounds allow; reading stops there. One that ends before them must be whole."""
    decoder, sink, most = Decoder(coding, limits.max_decoded), BytesIO(), limits.max_decoded
    try:
        async for chunk in chunks:
            for piece in decoder.feed(chunk):
                sink.write(piece)
            if chunks.count > limits.max_body or sink.tell() > most:
                return _Read(sink.getvalue()[:most], chunks.count, False, decoder.unknown)
    except FetchError as error:
        if error.kind != "body-too-large":
            raise
        return _Read(sink.getvalue()[:most], chunks.count, False, decoder.unknown)
    decoder.finish()
    return _Read(sink.getvalue(), chunks.count, True, decoder.unknown)


async def _decoded(chunks: Chunks, decoder: Decoder, limit: int) -> _Read:
    sink, breath = BytesIO(), BREATH
    async for chunk in chunks:
        if chunks.count > limit:
            raise _too_large(limit)
        for piece in decoder.feed(chunk):
            if sink.write(piece) and sink.tell() > breath:
                breath = sink.tell() + BREATH
                await asyncio.sleep(0)
    try:
        decoder.finish()
    except FetchError:
        if not chunks.partial:
            raise
        chunks.is_cut = True
    return _Read(sink.getvalue(), chunks.count, not chunks.is_cut, decoder.unknown)


def _too_large(limit: int) -> FetchError:
    return FetchError("body-too-large", f"body larger than {size(limit)}")
