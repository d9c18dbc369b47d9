"""Deflate streams, raw or between a header and a trailer: gzip (RFC 1952), zlib (RFC 1950), deflate (RFC 1951)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from scraper.errors import FetchError

__all__ = ["GZIP", "PIECE", "ZLIB", "Checked", "Inflate", "not_valid"]

#: Bytes asked of a decompressor at once. brotli overshoots up to twofold: pieces stay below 1 MiB.
PIECE: Final = 262_144
#: Octets of the header of a gzip member; it may hold 64 KiB of extra data, a name and a comment.
MAX_HEADER: Final = 131_072


def not_valid(coding: str) -> FetchError:
    """The error for a body that is not what its Content-Encoding says."""
    return FetchError("decode", f"the body says it is {coding}, but it is not valid {coding}")


class Inflate:
    """One raw deflate stream; `unused` is what followed its end."""

    def __init__(self, coding: str) -> None:
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self._coding = coding

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def complete(self) -> bool:
        return self._zlib.eof

    @property
    def unused(self) -> bytes:
        return self._zlib.unused_data

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        inflate = self._zlib
        while True:
            try:
                out = inflate.decompress(data, PIECE)
            except zlib.error as exc:
                raise not_valid(self._coding) from exc
            if out:
                yield out
            data = inflate.unconsumed_tail
            # A full piece may leave output inside zlib although all input is consumed.
            if inflate.eof or (not data and len(out) < PIECE):
                return


class _Wrapper(NamedTuple):
    """What stands around a deflate stream. `header` gives where the stream starts, -1 while that has not arrived."""

    coding: str
    header: Callable[[bytearray], int]
    checksum: Callable[..., int]
    expected: Callable[[int, int], bytes]
    trailer: int


class Checked:
    """A deflate stream between a header and a trailer that holds its checksum: a gzip member or a zlib stream.

    The two are read here and not by zlib, which does not tell a stream that lacks its trailer from one that lacks data:
    the first is `complete` as soon as its final block was seen, as browsers have it, and `eof` once the trailer was.
    """

    def __init__(self, wrapper: _Wrapper) -> None:
        self._wrapper = wrapper
        self._inflate = Inflate(wrapper.coding)
        self._head = bytearray()
        self._begun = False
        self._sum, self._length = wrapper.checksum(b""), 0
        self._trailer = b""
        self.unused = b""

    @property
    def eof(self) -> bool:
        return len(self._trailer) == self._wrapper.trailer

    @property
    def complete(self) -> bool:
        return self._inflate.eof

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        if not self._begun:
            known = len(self._head)
            self._head += data[: MAX_HEADER - known]
            start = self._wrapper.header(self._head)
            if start < 0:
                if len(self._head) >= MAX_HEADER:
                    raise not_valid(self._wrapper.coding)
                return
            data = memoryview(data)[start - known :]
            self._begun, self._head = True, bytearray()
        if not self._inflate.eof:
            yield from self._inflated(data)
            data = self._inflate.unused
        if self.complete:
            self._end(bytes(data))

    def _inflated(self, data: bytes | memoryview) -> Iterator[bytes]:
        checksum = self._wrapper.checksum
        for out in self._inflate.feed(data):
            self._sum, self._length = checksum(out, self._sum), self._length + len(out)
            yield out

    def _end(self, data: bytes) -> None:
        """What follows the last block: the trailer, and perhaps more."""
        missing = self._wrapper.trailer - len(self._trailer)
        self._trailer, self.unused = self._trailer + data[:missing], data[missing:]
        expected = self._wrapper.expected(self._sum, self._length)
        # Each of its fields of four octets counts as soon as it is there; a part of one says nothing.
        fields = len(self._trailer) // 4 * 4
        if self._trailer[:fields] != expected[:fields]:
            raise not_valid(self._wrapper.coding)


def _gzip_header(head: bytearray) -> int:
    """RFC 1952 section 2.3. Raises FetchError `decode` for what is not one."""
    if not b"\x1f\x8b\x08".startswith(head[:3]):
        raise not_valid("gzip")
    if len(head) < 10:
        return -1
    flags, end = head[3], 10
    if flags & 0xE0:
        raise not_valid("gzip")
    if flags & 4:  # extra data
        end += 2 + int.from_bytes(head[10:12], "little")
    for flag in (8, 16):  # a name, a comment
        if flags & flag:
            zero = head.find(0, end)
            if zero < 0:
                return -1
            end = zero + 1
    if flags & 2:  # a checksum of the header
        end += 2
    if len(head) < end:
        return -1
    if flags & 2 and zlib.crc32(head[: end - 2]) & 0xFFFF != int.from_bytes(head[end - 2 : end], "little"):
        raise not_valid("gzip")
    return end


def _zlib_header(head: bytearray) -> int:
    """RFC 1950 section 2.2; `_Deflate` has looked at the first two octets."""
    if head[1] & 0x20:  # a preset dictionary, which we do not have
        raise not_valid("deflate")
    return 2


GZIP: Final = _Wrapper(
    "gzip", _gzip_header, zlib.crc32,
    lambda crc, length: struct.pack("<II", crc, length & 0xFFFFFFFF), 8,
)  # fmt: skip
ZLIB: Final = _Wrapper("deflate", _zlib_header, zlib.adler32, lambda adler, _: struct.pack(">I", adler), 4)
