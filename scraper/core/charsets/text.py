"""From the octets of a body to text, as browsers read them (WHATWG Encoding and HTML standards)."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from scraper.core.charsets.declared import (
    Kind,
    declared_in_html,
    declared_in_xml,
    encoding_of_header,
    kind_of,
)
from scraper.core.charsets.iso_2022_jp import decode_iso_2022_jp
from scraper.core.charsets.multi_byte import FAULT, PIECE, decode_multi_byte, is_multi_byte
from scraper.core.charsets.single_byte import decode_single_byte

__all__ = ["LONG", "BodyText", "TextFault", "decode_text"]

#: What is longer is decoded in pieces of this size: other threads run in between.
LONG: Final = PIECE
#: Characters of a page that may be unreadable before it is worth a word: one is a text that was cut off.
FEW: Final = 3
#: Octets within which browsers look for `<meta charset>` before they parse a page, and within which one counts that
#: they meet while parsing, where the page is not UTF-8 either.
PRESCANNED, LATE = 1_024, 4_096
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_FIRST: Final = frozenset(mark[:1] for mark, _ in _BOMS)
_UNICODE: Final = {"utf-8": "utf-8", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}


class TextFault(NamedTuple):
    """A body that could not be read as it should be.

    `unreadable` characters of it are U+FFFD in `encoding`. `declares` is what the document itself says where the
    header is wrong: in that one, everything can be read.
    """

    encoding: str
    unreadable: int
    declares: str | None = None


class _Read(NamedTuple):
    """A text, and how many U+FFFD stand in it for what could not be read."""

    text: str
    faults: int


class BodyText:
    """The text of one body and its encoding, each worked out when it is asked for.

    `encoding` overrides what the page says, but for a byte order mark. `note` is told when the text has more than a
    few characters that cannot be read, or when the Content-Type is wrong; it may be called in any thread.
    """

    __slots__ = ("_body", "_content_type", "_note", "_override", "_settled")

    def __init__(
        self,
        body: bytes,
        content_type: str | None,
        encoding: str | None = None,
        note: Callable[[TextFault], None] | None = None,
    ) -> None:
        self._body = body
        self._content_type = content_type
        self._override = encoding
        self._note = note
        self._settled: str | None = None

    def encoding(self) -> str:
        """The encoding of the document, by its name in the standard, lower case."""
        if self._settled is None:
            self._settled = self._by_mark() or self._override or _told(self._content_type) or self._found()
        return self._settled

    def query_encoding(self) -> str:
        """What the queries of links on the page are written in: the document's encoding; UTF-8 in XML and JSON."""
        kind = kind_of(self._content_type, self._body)
        is_page = kind is Kind.HTML or kind is Kind.TEXT or "html" in (self._content_type or "").lower()
        return self.encoding() if is_page else "utf-8"

    def text(self) -> str:
        """The text; never raises, what cannot be read is U+FFFD."""
        body = self._body
        if body[:1] in _FIRST and (marked := self._by_mark()) is not None:
            return self._noted(marked, body[2 if marked != "utf-8" else 3 :])
        told = self._override or _told(self._content_type)
        if told == "utf-8" and len(body) <= LONG:
            try:
                return body.decode()
            except UnicodeDecodeError:
                return self._noted(told, body)
        if told is None and body.isascii() and b"\x1b" not in body and b"\0" not in body:
            return body.decode("ascii")  # whatever it declares; only ISO-2022-JP and UTF-16 would differ
        return self._noted(told or self.encoding(), body)

    def _by_mark(self) -> str | None:
        if self._body[:1] not in _FIRST:
            return None
        return next((encoding for mark, encoding in _BOMS if self._body.startswith(mark)), None)

    def _found(self) -> str:
        """What the document says, or looks like."""
        body = self._body
        kind = kind_of(self._content_type, body)
        if kind is Kind.XML:
            return declared_in_xml(body) or "utf-8"
        if kind is Kind.HTML and (declared := declared_in_html(body[:PRESCANNED])) is not None:
            return declared
        if _is_utf_8(body):
            return "utf-8"
        if kind is Kind.JSON:
            return (self._content_type and encoding_of_header(self._content_type)) or "utf-8"
        return (kind is Kind.HTML and declared_in_html(body[:LATE])) or "windows-1252"

    def _noted(self, encoding: str, body: bytes) -> str:
        read = _decode(body, encoding)
        if read.faults and self._note is not None:
            declares = self._better(encoding)
            if read.faults > FEW or declares is not None:
                self._note(TextFault(encoding, read.faults, declares))
        return read.text

    def _better(self, encoding: str) -> str | None:
        """What the document declares, where that is another encoding than the header's and reads without a fault."""
        body, kind = self._body, kind_of(self._content_type, self._body)
        if self._override or self._by_mark() or _told(self._content_type) is None:
            return None
        if kind is Kind.HTML:
            declared = declared_in_html(body[:PRESCANNED])
        else:
            declared = declared_in_xml(body) if kind is Kind.XML else None
        is_other = declared is not None and declared != encoding
        return declared if is_other and not _decode(body, declared or "").faults else None


def decode_text(body: bytes, content_type: str | None, encoding: str | None = None) -> str:
    """The text of a decoded body, as browsers read it; never raises, unreadable octets become U+FFFD.

    A byte order mark decides, then `encoding`, then the Content-Type header. Else HTML is read as its `meta` element
    declares within 1,024 octets; XML as its declaration, or UTF-8; JSON as UTF-8, before the header; anything
    else, and HTML that declares nothing, as UTF-8 if it is valid, or windows-1252.
    """
    return BodyText(body, content_type, encoding).text()


@lru_cache(maxsize=1_024)
def _told(content_type: str | None) -> str | None:
    """What the header says, None for nothing. JSON is UTF-8 whatever it says."""
    named = encoding_of_header(content_type) if content_type else None
    return None if named is not None and kind_of(content_type, b"") is Kind.JSON else named


def _is_utf_8(body: bytes) -> bool:
    try:
        _in_pieces(body, "utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


def _decode(body: bytes, encoding: str) -> _Read:
    if (codec := _UNICODE.get(encoding)) is not None:
        try:
            return _Read(_in_pieces(body, codec, "strict"), 0)
        except UnicodeDecodeError:
            text = _in_pieces(body, codec, "replace")
            return _Read(text, max(1, text.count(FAULT) - body.count(FAULT.encode(codec))))
    if encoding == "iso-2022-jp":
        text = decode_iso_2022_jp(body)
    elif is_multi_byte(encoding):
        text = decode_multi_byte(body, encoding)
    else:
        pieces = range(0, len(body), LONG)
        text = "".join([decode_single_byte(body[at : at + LONG], encoding) for at in pieces])
    return _Read(text, text.count(FAULT) if FAULT in text else 0)


def _in_pieces(body: bytes, codec: str, errors: str) -> str:
    """In calls of a millisecond, between which other threads run: 16 MiB that cannot be read take 0.8 s."""
    if len(body) <= LONG:
        return body.decode(codec, errors)
    decoder = getincrementaldecoder(codec)(errors)
    last = (len(body) - 1) // LONG * LONG
    return "".join([decoder.decode(body[at : at + LONG], at == last) for at in range(0, len(body), LONG)])
