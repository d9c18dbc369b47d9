"""Content and transfer codings undone piece by piece, with bounded output, so that a small body cannot become a large
one unnoticed.

RFC 9110 section 8.4.1, RFC 9112 section 7; gzip RFC 1952, zlib RFC 1950, deflate RFC 1951, br RFC 7932, zstd RFC 8878.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Final, Protocol, TypeAlias

import brotli  # type: ignore[import-untyped]  # ships no annotations

from scraper.errors import FetchError
from scraper.net.deflate import GZIP, PIECE, ZLIB, Checked, Inflate, not_valid

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["MAX_LAYERS", "Decoder", "size", "transfer_codings"]

#: Codings one body may have; more is an attack (each layer multiplies).
MAX_LAYERS: Final = 5
#: Bytes looked at after a gzip member or zstd frame ended, doubling. What follows a member in the same view
#: is copied once per member: with a small view 100,000 empty members stay linear.
WINDOW: Final = 4_096
#: RFC 9659: a zstd window in HTTP is at most 8 MiB (2 ** 23).
ZSTD_OPTIONS: Final = {int(DecompressionParameter.window_log_max): 23}
#: Frames of one zstd body. An empty one costs 28 µs and has 9 bytes: without a limit a chunk full of them
#: would hold the loop for 0.2 s. Real bodies have one, or one per MiB.
MAX_FRAMES: Final = 1_000
#: How a gzip member and a zstd frame, skippable or not, start (RFC 1952 section 2.3.1, RFC 8878 section 3.1).
GZIP_MAGIC: Final = re.compile(rb"\x1f\x8b")
GZIP_BEGUN: Final = re.compile(rb"\x1f")
ZSTD_MAGIC: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
ZSTD_BEGUN: Final = re.compile(rb"\x28(?:\xb5\x2f?)?|[\x50-\x5f](?:\x2a\x4d?)?")
#: Names that servers put into Content-Encoding although nothing was done to the body.
UNCODED: Final = frozenset(
    {"identity", "none", "null", "binary", "8bit", "7bit", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1",
     "aws-chunked"}
)  # fmt: skip

Pattern: TypeAlias = re.Pattern[bytes]


class _Stage(Protocol):
    """One coding undone. After `feed` is exhausted all of its input is consumed."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def whole(self) -> bool:
        """Whether the input ended where it may."""
        ...


class Decoder:
    """Undoes the Content-Encoding of one body, incrementally and bounded.

    `content_encoding` is the header's value, with transfer codings behind it; codings are undone from the last to the
    first. Parameters, case, empty members and names that mean no coding are ignored. Raises
    FetchError `decode` for more than `MAX_LAYERS` layers. `unknown` names a coding that is not known, where
    undoing stopped: what comes out is still in it. Invariant: no layer has put out more than `max_output`
    bytes plus one piece, not even where a further layer shrinks it again.
    """

    def __init__(self, content_encoding: str, max_output: int) -> None:
        tokens = [token for token in _names(content_encoding) if token not in UNCODED]
        if len(tokens) > MAX_LAYERS:
            raise FetchError("decode", f"body in more than {MAX_LAYERS} layers of compression")
        self.unknown = ""
        self._max_output = max_output
        self._stages: list[_Stage] = []
        for token in reversed(tokens):
            stage = _STAGES.get(token)
            if stage is None:
                self.unknown = token
                break
            self._stages.append(stage())
        self._output = [0] * len(self._stages)

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """The pieces (each below 1 MiB) that `chunk` of the raw body gives; lazily, exhaust it.

        Iterating raises FetchError `decode` for bad data, `body-too-large` beyond the limit.
        """
        pieces: Iterable[bytes] = (chunk,)
        for index, stage in enumerate(self._stages):
            pieces = self._through(stage, index, pieces)
        return pieces

    def finish(self) -> None:
        """To be called at the body's end. Raises FetchError `incomplete` when a layer is cut off."""
        if not all(stage.whole() for stage in self._stages):
            raise FetchError("incomplete", "the compressed body is cut off")

    def _through(self, stage: _Stage, index: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
        output = self._output
        for piece in pieces:
            for out in stage.feed(piece):
                output[index] += len(out)
                if output[index] > self._max_output:
                    raise FetchError("body-too-large", f"body larger than {size(self._max_output)} decoded")
                yield out


def size(octets: int) -> str:
    """16 MiB, 100 KiB, 17 bytes."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if octets >= unit and octets % unit == 0:
            return f"{octets // unit} {name}"
    return f"{octets} bytes"


def transfer_codings(header: str) -> str:
    """The codings of a Transfer-Encoding header that are left once a transport has undone `chunked`.

    Raises FetchError `decode` for one that is not known: without it there is no body.
    """
    left = [name for name in _names(header) if name not in UNCODED and name != "chunked"]
    for name in left:
        if name not in _STAGES:
            raise FetchError("decode", f"the body was sent in an unknown transfer coding ({name})")
    return ",".join(left)


def _names(header: str) -> Iterator[str]:
    """The codings a header lists, in order, without parameters."""
    for part in header.lower().split(","):
        if name := part.partition(";")[0].strip(" \t\"'"):
            yield name


class _Frame:
    """One zstd frame, skippable ones included."""

    def __init__(self) -> None:
        self._zstd = ZstdDecompressor(options=ZSTD_OPTIONS)

    @property
    def eof(self) -> bool:
        return self._zstd.eof

    @property
    def complete(self) -> bool:
        return self._zstd.eof

    @property
    def unused(self) -> bytes:
        return self._zstd.unused_data

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        frame = self._zstd
        while True:
            try:
                out = frame.decompress(data, PIECE)
            except ZstdError as exc:
                raise not_valid("zstd") from exc
            if out:
                yield out
            if frame.eof or frame.needs_input:
                return
            data = b""


class _Members:
    """A series of gzip members or zstd frames, and perhaps junk behind them, which is ignored.

    `magic` matches the start of a member, `begun` as much of it as may have arrived. Invariant: `_carry`
    holds fewer bytes than a magic number, and only between two members.
    """

    def __init__(
        self, make: Callable[[], Checked | _Frame], magic: Pattern, begun: Pattern, most: float
    ) -> None:
        self._make, self._magic, self._begun, self._most = make, magic, begun, most
        self._member: Checked | _Frame | None = None
        self._count = 0
        self._junk = False
        self._carry = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._carry:
            data, self._carry = self._carry + data, b""
        view, start, window = memoryview(data), 0, len(data)
        while start < len(data) and not self._junk:
            member = self._member or self._begin(data[start : start + 4])
            if member is None:
                return
            block = view[start : start + window]
            yield from member.feed(block)
            start += len(block)
            window *= 2
            if member.eof:
                start -= len(member.unused)
                self._member, window = None, WINDOW

    def whole(self) -> bool:
        return self._member is None or self._member.complete

    def _begin(self, head: bytes) -> Checked | _Frame | None:
        """Start a member at `head`, unless what follows the last one is junk or too short to tell."""
        if self._count and not self._magic.match(head):
            self._junk = not self._begun.fullmatch(head)
            self._carry = b"" if self._junk else head
            return None
        self._count += 1
        if self._count > self._most:
            raise FetchError("decode", f"compressed body of more than {self._most} parts")
        self._member = self._make()
        return self._member


def _gzip() -> _Members:
    return _Members(lambda: Checked(GZIP), GZIP_MAGIC, GZIP_BEGUN, inf)


def _zstd() -> _Members:
    return _Members(_Frame, ZSTD_MAGIC, ZSTD_BEGUN, MAX_FRAMES)


class _Deflate:
    """`deflate` means zlib (RFC 1950), yet half of those who send it send raw deflate (RFC 1951)."""

    def __init__(self) -> None:
        self._head = b""
        self._stream: Inflate | Checked | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return iter(())
            wrapped = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = Checked(ZLIB) if wrapped else Inflate("deflate")
        return iter(()) if self._stream.eof else self._stream.feed(data)

    def whole(self) -> bool:
        return not self._head if self._stream is None else self._stream.complete


class _Brotli:
    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        process = self._brotli.process
        try:
            out: bytes = process(data, output_buffer_limit=PIECE)
            while out:
                yield out
                out = process(b"", output_buffer_limit=PIECE)
        except brotli.error as exc:
            raise not_valid("br") from exc

    def whole(self) -> bool:
        return not self._begun or bool(self._brotli.is_finished())


_STAGES: Final[dict[str, Callable[[], _Stage]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _zstd,
}
