"""The chunks of a body, counted and compared with what its headers announced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import httpx

from scraper.errors import FetchError
from scraper.net.wire.errors import kind_of

__all__ = ["Chunks", "PartialChunks"]

#: Kinds of failure that mean: the peer ended the body too soon.
CUT_SHORT: Final = frozenset({"incomplete", "connection"})


class Chunks:
    """The chunks of a stream, counted and compared with what was announced.

    A shortfall is `incomplete` for all transports; one that notices it itself says "protocol error".
    """

    __slots__ = ("_announced", "_chunks", "count", "is_cut")
    partial = False

    def __init__(self, stream: httpx.AsyncByteStream, announced: int) -> None:
        self._chunks = stream.__aiter__()
        self._announced = announced
        self.is_cut = False
        self.count = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._check_whole()
            raise
        except httpx.RemoteProtocolError:
            self._check_whole()
            raise
        self.count += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Finish a generator that was left early, rather than leave it to the garbage collector."""
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()

    def _check_whole(self) -> None:
        if self.count < self._announced:
            raise FetchError("incomplete", f"the body ends after {self.count} of {self._announced} bytes")


class PartialChunks(Chunks):
    """Chunks that end where the peer ended them, too soon or not."""

    __slots__ = ()
    partial = True

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except Exception as exc:
            kind = exc.kind if isinstance(exc, FetchError) else kind_of(exc)
            if isinstance(exc, StopAsyncIteration) or kind not in CUT_SHORT:
                raise
            self.is_cut = True
            raise StopAsyncIteration from exc
