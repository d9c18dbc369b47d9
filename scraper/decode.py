"""From the bytes on the wire to text: content codings undone piece by piece, then the charset.

Codings (RFC 9110 section 8.4.1; gzip RFC 1952, zlib RFC 1950, deflate RFC 1951, br RFC 7932, zstd RFC 8878)
are undone with bounded output, so that a small body cannot become a large one before anybody looks. Charsets
follow the WHATWG Encoding standard: only its labels are ever looked up, because Python knows codecs (`hex`,
`idna`, `zlib`) that are no charsets and raise.
"""

from __future__ import annotations

import re
import sys
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import inf
from typing import Final, Protocol, TypeAlias

import brotli  # type: ignore[import-untyped]  # ships no annotations
from w3lib.encoding import html_body_declared_encoding, to_unicode

from scraper.errors import FetchError

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["MAX_LAYERS", "Decoder", "decode_text", "size"]

#: Codings one body may have; more is an attack (each layer multiplies).
MAX_LAYERS: Final = 5
#: Bytes asked of a decompressor at once. brotli overshoots up to twofold: pieces stay below 1 MiB.
PIECE: Final = 262_144
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

Pattern: TypeAlias = re.Pattern[bytes]


class _Stage(Protocol):
    """One coding undone. After `feed` is exhausted all of its input is consumed."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def whole(self) -> bool:
        """Whether the input ended where it may."""
        ...


class Decoder:
    """Undoes the Content-Encoding of one body, incrementally and bounded.

    `content_encoding` is the header's value; codings are undone from the last to the first. Raises
    FetchError `decode` for more than `MAX_LAYERS` layers. `unknown` names the coding nobody knows, where
    undoing stopped: what comes out is still in it. Invariant: no layer has put out more than `max_output`
    bytes plus one piece, not even where a further layer shrinks it again.
    """

    def __init__(self, content_encoding: str, max_output: int) -> None:
        tokens = [t for t in (part.strip() for part in content_encoding.lower().split(",")) if t]
        if len(tokens) > MAX_LAYERS:
            raise FetchError("decode", f"body in more than {MAX_LAYERS} layers of compression")
        self.unknown = ""
        self._max_output = max_output
        self._stages: list[_Stage] = []
        for token in reversed(tokens):
            stage = _STAGES.get(token)
            if stage is None and token != "identity":
                self.unknown = token
                break
            if stage is not None:
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


def _bad(coding: str) -> FetchError:
    return FetchError("decode", f"the body says it is {coding}, but it is not valid {coding}")


class _Inflate:
    """One zlib stream; `unused` is what followed its end."""

    def __init__(self, wbits: int, coding: str) -> None:
        self._zlib = zlib.decompressobj(wbits)
        self._coding = coding

    @property
    def eof(self) -> bool:
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
                raise _bad(self._coding) from exc
            if out:
                yield out
            data = inflate.unconsumed_tail
            # A full piece may leave output inside zlib although all input is consumed.
            if inflate.eof or (not data and len(out) < PIECE):
                return


class _Frame:
    """One zstd frame, skippable ones included."""

    def __init__(self) -> None:
        self._zstd = ZstdDecompressor(options=ZSTD_OPTIONS)

    @property
    def eof(self) -> bool:
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
                raise _bad("zstd") from exc
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
        self, make: Callable[[], _Inflate | _Frame], magic: Pattern, begun: Pattern, most: float
    ) -> None:
        self._make, self._magic, self._begun, self._most = make, magic, begun, most
        self._member: _Inflate | _Frame | None = None
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
        return self._member is None

    def _begin(self, head: bytes) -> _Inflate | _Frame | None:
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
    return _Members(lambda: _Inflate(31, "gzip"), GZIP_MAGIC, GZIP_BEGUN, inf)


def _zstd() -> _Members:
    return _Members(_Frame, ZSTD_MAGIC, ZSTD_BEGUN, MAX_FRAMES)


class _Deflate:
    """`deflate` means zlib (RFC 1950), yet half of those who send it send raw deflate (RFC 1951)."""

    def __init__(self) -> None:
        self._head = b""
        self._stream: _Inflate | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return iter(())
            zlib_header = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = _Inflate(15 if zlib_header else -15, "deflate")
        return iter(()) if self._stream.eof else self._stream.feed(data)

    def whole(self) -> bool:
        return not self._head if self._stream is None else self._stream.eof


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
            raise _bad("br") from exc

    def whole(self) -> bool:
        return not self._begun or bool(self._brotli.is_finished())


_STAGES: Final[dict[str, Callable[[], _Stage]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _zstd,
}

#: Python codec → its labels in the WHATWG Encoding standard, section 4.2. Left out: `x-user-defined` (has no
#: codec) and the labels of `replacement` (hz-gb-2312, iso-2022-kr …), which browsers refuse to read.
_CODECS: Final = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5"
    " iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
    " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597"
    " iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598"
    " iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591"
    " iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5"
    " latin5 windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022_jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601"
    " windows-949",
    "utf-16-be": "unicodefffe utf-16be",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
}
_LABELS: Final = {label: codec for codec, labels in _CODECS.items() for label in labels.split()}
#: w3lib answers with Python's codec names; those that are no charset of the web are left out.
_RESOLVED: Final = {codec: codec for codec in _CODECS} | {"utf-16": "utf-16"}
_META: Final = re.compile(rb"""<meta\s[^>]{0,512}?charset\s*=\s*["']?\s*([\w:.-]+)""", re.IGNORECASE)
#: What is longer is decoded in pieces of this size; and the handler of errors that w3lib has for a codec.
LONG: Final = 16_384
_ERRORS: Final = {"gb18030": "w3lib_gb18030_replace"}
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))
_CHARSET: Final = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)


def decode_text(body: bytes, content_type: str | None) -> str:
    """The text of a decoded body, as browsers read it; never raises, unreadable bytes become U+FFFD.

    Byte order mark, then the Content-Type header, then a `<meta charset>` or XML declaration in the first
    4,096 bytes, then UTF-8 if it is valid, then windows-1252 (WHATWG HTML section 13.2.3.2).
    """
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return _decode(body[len(mark) :], codec)
    named = _header_codec(content_type) if content_type else None
    if named is not None:
        return _decode(body, named)
    if body.isascii() and b"\x1b" not in body:
        return body.decode("ascii")  # whatever the meta element says; only iso-2022-jp would differ
    named = _meta_codec(body)
    return _decode(body, named) if named is not None else _sniffed(body)


def _decode(body: bytes, codec: str) -> str:
    if len(body) > LONG:
        return _in_pieces(body, codec)
    return body.decode("utf-8", "replace") if codec == "utf-8" else to_unicode(body, codec)


def _in_pieces(body: bytes, codec: str) -> str:
    """As `to_unicode`, in calls of a millisecond, between which other threads run: 16 MiB that cannot be read
    take 0.8 s.
    """
    decoder = getincrementaldecoder(codec)(_ERRORS.get(codec, "replace"))
    last = (len(body) - 1) // LONG * LONG
    try:
        return "".join([decoder.decode(body[at : at + LONG], at == last) for at in range(0, len(body), LONG)])
    except UnicodeError:  # ISO-2022-JP remembers no more than a few octets of an escape that never ends
        return to_unicode(body, codec)


def _sniffed(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return _decode(body, "cp1252")


@lru_cache(maxsize=1_024)
def _header_codec(content_type: str) -> str | None:
    """The codec a Content-Type header names; None for none or an unknown one."""
    found = _CHARSET.search(content_type)
    return _LABELS.get(found[1].lower()) if found else None


def _meta_codec(body: bytes) -> str | None:
    """The codec the document declares itself; None for none or one that is no charset of the web.

    A declaration that can be read is no UTF-16, so that one means UTF-8 (WHATWG HTML section 13.2.3.2).
    """
    head = body[:4_096]
    declared = html_body_declared_encoding(head)
    codec = _RESOLVED.get(declared) if declared else _unresolved(head)
    return "utf-8" if codec in ("utf-16-be", "utf-16-le", "utf-16") else codec


def _unresolved(head: bytes) -> str | None:
    """For labels of the standard that Python does not know (`x-gbk`, `iso-8859-8-i`): w3lib drops them."""
    found = _META.search(head)
    return _LABELS.get(found[1].decode("ascii", "replace").lower()) if found else None
