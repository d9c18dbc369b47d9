"""One connection: bytes in, answers out.

`Connection` serves one request after the other. Its states are in this order, and only `begin` leads back:

    IDLE     no request: a byte that arrives closes it
    HEAD     the request is on its way, no final answer yet
    LENGTH, CODED, CLOSE     its body arrives: by length, in a transfer coding, until the connection ends
    DONE     the answer is complete
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade

from scraper.net.wire.errors import BadAnswer, Incomplete, WireError, broken, invalid
from scraper.net.wire.head import MAX_HEAD, Answer, end_of_head, is_http, read_head, too_large

__all__ = ["BUFFER", "Connection"]

#: Bytes read from the socket at once, and of a body kept before its sender is held back.
BUFFER: Final = 65_536
#: Interim (1xx) answers before the final one (RFC 9110 section 15.2 sets no limit: some send for ever).
MAX_INTERIM: Final = 8
#: Bytes of the fields behind a body; and bytes in a row that are none of a body: chunk extensions, a field without end.
MAX_TRAILER: Final = 16_384
MAX_UNUSED: Final = 65_536

#: Statuses that never have a body (RFC 9110 section 6.4.1).
BODILESS: Final = frozenset({204, 304})
LINE_ENDS: Final = b"\r\n"

IDLE, HEAD, LENGTH, CODED, CLOSE, DONE = range(6)


class Connection(asyncio.Protocol):
    """One connection to `where` (`host:port`, for messages), one answer at a time.

    `gone` is called once it is lost. Invariants: an answer is made of bytes that arrived between its `begin` and its
    end; after `_fail` the connection serves no further request; at most `BUFFER` plus one read of a body is held.
    """

    def __init__(self, where: str, key: object, gone: Callable[[Connection], None]) -> None:
        self.where = where
        #: Whom it may serve: the pool's key.
        self.key = key
        #: Loop times: since when it has been idle, and from when it is not used any more.
        self.idle_since = self.expires = 0.0
        self.transport: asyncio.Transport | None = None
        self.sock: socket.socket | None = None
        #: Whether a byte of an answer to the present request arrived.
        self.has_answered = False
        self._loop = asyncio.get_running_loop()
        self._gone = gone
        self._mode = IDLE
        self._is_open = False
        self._is_spoilt = False
        self._waiter: asyncio.Future[None] | None = None
        self._is_full = False
        self._failure: WireError | None = None
        self._is_reading = True
        self._unsent: memoryview | bytes = b""
        self._is_head_only = False
        self._kept = bytearray()
        self._heads = 0
        self._interim = 0
        self._answer: Answer | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._left = 0
        self._unused = 0

    def is_usable(self) -> bool:
        """Whether a request may be written to it now."""
        return self._is_open and not self._transport().is_closing()

    def is_over(self, is_new: bool) -> bool:
        """Whether the socket already has what the loop has not seen yet: an end, or bytes that were not asked for.

        A new TLS connection may have bytes (session tickets).
        """
        if self.sock is None:
            return False
        try:
            seen = self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return not (seen and is_new)

    def begin(self, head_only: bool) -> None:
        """Expect one answer."""
        self._mode = HEAD
        self._is_head_only = head_only
        self.has_answered = False
        self._heads = self._interim = self._unused = 0

    async def send(self, head: bytes, body: bytes) -> None:
        """Write a request. Returns when it is written, or once the answer has begun.

        A peer that answers while it reads may read no further until its answer is: what is left of the body then goes
        out beside it, unless the answer refuses it.
        """
        transport = self._transport()
        if len(body) <= BUFFER:
            transport.write(head + body if body else head)
            return
        self._unsent = memoryview(body)
        transport.write(head)
        self._write_on()
        while self._unsent and self._mode == HEAD and self._wants_more():
            await self._wait()

    async def head(self) -> Answer:
        """The final answer, its head complete. Raises WireError."""
        while self._mode == HEAD and self._failure is None:
            await self._wait()
        if self._failure is not None:
            raise self._failed()
        assert self._answer is not None
        return self._answer

    async def read(self) -> bytes:
        """What has arrived of the body, up to 64 KiB; b"" at its end. Raises WireError."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failed()
            if self._mode == DONE:
                return b""
            await self._wait()
        return self._take()

    def is_reusable(self) -> bool:
        """Whether it may serve another request now."""
        answer = self._answer
        return (
            self._mode == DONE
            and answer is not None
            and answer.keep
            and not answer.surplus
            and not self._unsent
            and self.is_usable()
        )

    def rest(self) -> int:
        """Wait for the next request. Returns the seconds the server said it keeps an idle connection, -1 for none."""
        answer, self._answer = self._answer, None
        self._mode = IDLE
        self._pieces.clear()
        self._size = 0
        self._resume()
        return -1 if answer is None else answer.idle_seconds

    def abort(self) -> None:
        """Close at once. Not `close`: that would first flush what is unsent, and wait for a TLS peer's goodbye."""
        self._is_open = False
        if self.transport is None:
            self._is_spoilt = True
        elif not self._loop.is_closed():
            self.transport.abort()
        elif self.sock is not None:
            self.sock.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Also called by hand after `start_tls`, which does not call it; what arrives in between was not asked for."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._is_open = not self._is_spoilt
        if self._is_spoilt:
            transport.abort()
        if hasattr(transport, "max_size"):
            # asyncio reads up to 256 KiB at once: too much of a body that is not wanted, and of one-byte chunks.
            transport.max_size = BUFFER

    def data_received(self, data: bytes) -> None:
        mode = self._mode
        if mode == LENGTH:
            self._feed_length(data)
        elif mode == HEAD:
            self.has_answered = True
            self._feed_head(data)
        elif mode == CODED:
            self._feed_coded(data)
        elif mode == CLOSE:
            self._add(data)
        else:  # nothing was asked for: whatever it is, it must not be taken for the next answer
            self.abort()
        self._wake()

    def eof_received(self) -> None:
        """The peer sends no more; asyncio then closes the connection."""
        self._is_open = False
        answer = self._answer
        if self._mode == CLOSE or (self._mode == CODED and answer is not None and not answer.chunked):
            self._end()
        elif self._mode in (LENGTH, CODED):
            self._fail(Incomplete(f"the answer of {self.where} is shorter than announced"))
        elif self._mode == HEAD:
            self._fail(broken(self.where))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        if self._mode not in (IDLE, DONE) and self._failure is None:
            failure = broken(self.where, exc)
            failure.__cause__ = None if exc is None else exc.with_traceback(None)
            self._fail(failure)
        self._wake()
        self._gone(self)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._write_on()
        self._wake()

    # --- inside

    def _transport(self) -> asyncio.Transport:
        assert self.transport is not None
        return self.transport

    def _write_on(self) -> None:
        """Write what the transport takes of the rest of the request."""
        while self._unsent and not self._is_full and self._wants_more():
            piece, self._unsent = self._unsent[:BUFFER], self._unsent[BUFFER:]
            self._transport().write(piece)

    def _wants_more(self) -> bool:
        """Whether the peer may still want the body of the request: it has not refused it, and is there."""
        answer = self._answer
        refused = self._mode == DONE or (answer is not None and answer.status >= 300)
        return self._failure is None and self._is_open and not refused

    async def _wait(self) -> None:
        """Until something happens."""
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _failed(self) -> WireError:
        """The failure, to be raised: a new one each time, for by its traceback it holds this connection."""
        failure = self._failure
        assert failure is not None
        raised = type(failure)(*failure.args)
        raised.__cause__ = failure.__cause__
        return raised

    def _fail(self, failure: WireError) -> None:
        self._failure = failure.with_traceback(None)
        failure.__context__ = None
        self._release_parser()
        self.abort()

    def _end(self) -> None:
        self._mode = DONE
        self._release_parser()

    def _release_parser(self) -> None:
        """The parser and the answer hold each other."""
        if self._answer is not None:
            self._answer.parser = None

    def _feed_head(self, data: bytes) -> None:
        try:
            while data and self._mode == HEAD:
                head, data = self._cut(data)
                if not head:
                    return
                answer = read_head(head, self.where)
                if answer.status >= 200:
                    self._begin_body(answer, data)
                    return
                self._count_interim(answer.status)
        except WireError as exc:
            self._fail(exc)

    def _cut(self, data: bytes) -> tuple[bytes, bytes]:
        """The head that is complete now, and what follows it; b"" twice while there is none."""
        kept, start = self._kept, 0
        joined: bytes | bytearray
        if kept:
            start = max(0, len(kept) - 3)
            kept += data
            joined = kept
        else:
            joined = data.lstrip(b"\r\n") if data[0] in LINE_ENDS else data
            self._heads += len(data) - len(joined)
        if not is_http(joined):
            raise invalid(self.where, "it does not start with HTTP/")
        end = end_of_head(joined, start)
        if self._heads + (end if end >= 0 else len(joined)) > MAX_HEAD:
            raise too_large(self.where)
        if end < 0:
            if not kept:
                kept += joined
            return b"", b""
        self._heads += end
        head, rest = bytes(joined[:end]), bytes(joined[end:])
        kept.clear()
        return head, rest

    def _count_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101 or status < 100:
            raise BadAnswer(f"status {status} was not asked for")
        if self._interim > MAX_INTERIM:
            raise BadAnswer(f"more than {MAX_INTERIM} interim answers")

    def _begin_body(self, answer: Answer, rest: bytes) -> None:
        self._answer = answer
        self._pieces = answer.pieces
        if self._is_head_only or answer.status in BODILESS:
            answer.surplus = bool(rest)
            self._end()
        elif answer.coded:
            self._mode = CODED
            if rest:
                self._feed_coded(rest)
        elif answer.length >= 0:
            self._mode, self._left = LENGTH, answer.length
            self._feed_length(rest)
        else:
            self._mode = CLOSE
            self._add(rest)

    def _feed_length(self, data: bytes) -> None:
        self._left = left = self._left - len(data)
        if left <= 0:
            if left < 0 and self._answer is not None:
                self._answer.surplus = True
                data = data[:left]
            self._end()
        self._add(data)

    def _feed_coded(self, data: bytes) -> None:
        answer, before = self._answer, len(self._pieces)
        assert answer is not None
        assert answer.parser is not None
        try:
            answer.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            if not answer.whole:
                self._fail(invalid(self.where, str(exc)[:100].lower()))
                return
            answer.surplus = True
        added = sum(map(len, self._pieces[before:]))
        self._unused = 0 if added else self._unused + len(data)
        self._size += added
        if answer.whole:  # however much may come behind it
            self._end()
        elif answer.trailer > MAX_TRAILER or self._unused > MAX_UNUSED:
            self._fail(too_large(self.where))
        else:
            self._hold_back()

    def _add(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self._size += len(data)
            self._hold_back()

    def _hold_back(self) -> None:
        """Let the sender wait while its reader has enough to do."""
        if self._size >= BUFFER and self._is_reading and self._mode != DONE:
            self._is_reading = False
            self._transport().pause_reading()

    def _resume(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._transport().resume_reading()

    def _take(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if len(taken) > BUFFER:
            pieces.append(taken[BUFFER:])
            taken = taken[:BUFFER]
        self._size -= len(taken)
        if self._size < BUFFER:
            self._resume()
        return taken
