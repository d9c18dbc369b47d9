"""The head of an answer: where it ends, what it says, and what is done for one that the parser refuses.

The parser (llhttp) is strict. A head it refuses is cleaned once and read again: one bad line need not cost a page.
A head is given to it only when it is complete, so that a line in a thousand pieces costs no more than one in one.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from scraper.net.wire.errors import BadAnswer, HeadersTooLarge, WireError, invalid

__all__ = ["MAX_HEAD", "Answer", "end_of_head", "is_http", "read_head", "too_large"]

#: Bytes of one header field, number of fields, bytes of all heads of one answer. Real sites exceed 8 KiB and 100
#: fields; the last is what browsers take.
MAX_FIELD: Final = 65_536
MAX_FIELDS: Final = 1_000
MAX_HEAD: Final = 262_144
#: A body longer than this is not announced in earnest (it would not even fit a file offset).
MAX_LENGTH: Final = 1 << 63

#: How every answer starts.
START: Final = b"HTTP/"
#: Where a head ends: an empty line. Some servers end their lines by LF alone, some by CR CR LF.
END: Final = re.compile(rb"\n\r{0,2}\n")
#: A status line as the parser refuses it and browsers and curl read it: in lower case, without a minor version, with
#: blanks too many or none before the reason.
STATUS: Final = re.compile(rb"HTTP/([12])(?:\.([01]))?[ \t]+([0-9]{3})(?![0-9])", re.IGNORECASE)
#: A header field (RFC 9110 section 5): a token, a colon, and no control character but TAB. Blanks before the colon are
#: none of its grammar.
FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]*):([\t\x20-\x7e\x80-\xff]*)")
#: What a line is about that may be no field.
ABOUT: Final = re.compile(rb"[ \t]*([A-Za-z-]+)[ \t]*:")
LENGTH: Final = b"content-length"
CODING: Final = b"transfer-encoding"
CHUNKED: Final = b"chunked"
FRAMING: Final = frozenset({LENGTH, CODING})
NO_CODING: Final = frozenset({b"identity", b""})
#: Fields without which a page is another one, or none: they are read although blanks stand before the colon (RFC 9112
#: section 5.1).
NEEDED: Final = frozenset({
    LENGTH, CODING, b"content-encoding", b"content-type", b"location", b"refresh", b"retry-after", b"set-cookie",
})  # fmt: skip
SECONDS: Final = re.compile(rb"timeout\s*=\s*([0-9]{1,6})", re.IGNORECASE)


class Answer:
    """One answer as the parser reports it.

    `fields` are (name, name in lower case, value). `length` is its Content-Length, -1 without one; `coded` says that it
    has a Transfer-Encoding: then `parser` undoes the chunks, and `chunked` says that there must be a last one.
    `dropped` counts the lines of its head that were left out, `trailer` the bytes of fields behind the body. `keep` says
    that the connection may serve another request.
    """

    __slots__ = (
        "_in_head", "chunked", "coded", "dropped", "fields", "idle_seconds", "keep", "length", "parser", "pieces",
        "status", "surplus", "trailer", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes, bytes]] = []
        self.length = -1
        self.coded = False
        self.chunked = False
        self.keep = False
        self.idle_seconds = -1
        self.dropped = 0
        self.trailer = 0
        self.pieces: list[bytes] = []
        self.whole = False
        self.surplus = False
        self.parser: HttpResponseParser | None = None
        self._in_head = True

    def on_message_begin(self) -> None:
        """The first byte of a message; behind the end of this one it is a byte too many."""
        if self.whole:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head. What comes behind the body is dropped."""
        if not self._in_head:
            if not self.whole:
                self.trailer += len(name) + len(value)
            return
        lower = name.lower()
        value = value.rstrip(b" \t")
        self.fields.append((name, lower, value))
        if lower == LENGTH:
            self.length = int(value)
        elif lower == CODING:
            self.coded = True
            self.chunked = value.rpartition(b",")[2].strip().lower() == CHUNKED
        elif lower == b"keep-alive" and (found := SECONDS.search(value)):
            self.idle_seconds = int(found[1])

    def on_headers_complete(self) -> None:
        """The end of the head; another one, behind the end of this message, is not its."""
        if not self._in_head:
            return
        parser = self.parser
        if parser is not None:
            self.status = parser.get_status_code()
            self.keep = parser.should_keep_alive()
        self._in_head = False

    def on_body(self, piece: bytes) -> None:
        """A piece of the body; what follows the message is not of it."""
        if not self.whole:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end of the message."""
        self.whole = True

    def is_headed(self) -> bool:
        """Whether its head is complete."""
        return not self._in_head


def end_of_head(data: bytes | bytearray, start: int) -> int:
    """The index behind the empty line that ends a head, searched from `start`; -1 where there is none yet."""
    found = END.search(data, start)
    return -1 if found is None else found.end()


def is_http(beginning: bytes | bytearray) -> bool:
    """Whether these first bytes of an answer may be those of HTTP."""
    if beginning.startswith(START):
        return True
    first = bytes(beginning[: len(START)]).upper()  # browsers and curl read it in lower case as well
    return START.startswith(first)


def read_head(head: bytes, where: str) -> Answer:
    """The answer a complete head begins; cleaned first if it is refused as it stands.

    Raises BadAnswer, or HeadersTooLarge; `where` (`host:port`) stands in the messages.
    """
    try:
        answer = _parsed(head, where)
    except WireError:
        cleaned, dropped, must_close = _cleaned(head, where)
        answer = _parsed(cleaned, where)
        answer.dropped = dropped
        answer.keep = answer.keep and not must_close
    if len(answer.fields) > MAX_FIELDS:
        raise too_large(where)
    if len(head) > MAX_FIELD and any(len(name) + len(value) > MAX_FIELD for name, _, value in answer.fields):
        raise too_large(where)
    if answer.length >= MAX_LENGTH:
        raise invalid(where, f"Content-Length is {answer.length}")
    return answer


def too_large(where: str) -> HeadersTooLarge:
    """More header than the limits allow."""
    return HeadersTooLarge(f"the headers of {where} are too large")


def _parsed(head: bytes, where: str) -> Answer:
    answer = Answer()
    answer.parser = parser = HttpResponseParser(answer)
    try:
        if b"\0" in head:
            raise invalid(where, "NUL in the headers")
        parser.feed_data(head)
    except HttpParserUpgrade as exc:
        raise BadAnswer("status 101 was not asked for") from exc
    except HttpParserError as exc:
        answer.parser = None  # the parser holds the answer as well
        raise invalid(where, str(exc)[:100].lower()) from exc
    if not answer.coded:
        answer.parser = None
    else:
        # Old servers fill up the size of a chunk with blanks.
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
    if not answer.is_headed():
        raise invalid(where, "the status line is not one")
    if answer.coded and not answer.chunked and CHUNKED in _codings(answer.fields):
        raise invalid(where, "chunked is not its last transfer coding")
    return answer


def _codings(fields: list[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """The transfer codings, in lower case, without parameters, quotes and those that say nothing."""
    listed = b",".join(value for _, name, value in fields if name == CODING).lower().split(b",")
    names = (part.partition(b";")[0].strip(b" \t\"'") for part in listed)
    return [name for name in names if name not in NO_CODING]


def _cleaned(head: bytes, where: str) -> tuple[bytes, int, bool]:
    """A head without what made it unreadable, how many lines were left out, and whether to close afterwards.

    Raises BadAnswer for what must not be guessed: a NUL, lengths that differ.
    """
    if b"\0" in head:
        raise invalid(where, "NUL in the headers")
    start, *lines = head.split(b"\n")
    fields, dropped = _fields(lines, where)
    lengths = {part.strip() for _, name, value in fields if name == LENGTH for part in value.split(b",")}
    if len(lengths) > 1:
        raise invalid(where, "two Content-Length that differ")
    codings = _codings(fields)
    kept = [_status_line(start)]
    for written, name, value in fields:
        if name == LENGTH:
            if codings:
                dropped += 1
            elif lengths:
                kept.append(written + b": " + lengths.pop())
        elif name != CODING:
            kept.append(written + b": " + value)
    if codings:
        kept.append(b"Transfer-Encoding: " + b", ".join(codings))
    return b"\r\n".join([*kept, b"", b""]), dropped, bool(codings and lengths)


def _status_line(line: bytes) -> bytes:
    """The status line without what the parser does not read."""
    line = line.rstrip(b"\r").replace(b"\r", b" ")
    if (found := STATUS.match(line)) is None:
        return line
    version = found[1] + b"." + (found[2] or (b"1" if found[1] == b"1" else b"0"))
    return b"HTTP/%b %b %b" % (version, found[3], line[found.end() :].strip())


def _fields(lines: list[bytes], where: str) -> tuple[list[tuple[bytes, bytes, bytes]], int]:
    """The lines that are header fields (name, name in lower case, value), and how many are none.

    Raises BadAnswer for one that would say how long the body is, if only it were a field.
    """
    unfolded: list[list[bytes]] = []
    for line in lines:
        line = line.rstrip(b"\r")
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1].append(line.strip(b" \t"))
        elif line:
            unfolded.append([line])
    fields, dropped = [], 0
    for parts in unfolded:
        line = b" ".join(parts)
        found = FIELD.fullmatch(line)
        if found is not None and (not found[2] or found[1].lower() in NEEDED):
            fields.append((found[1], found[1].lower(), found[3].strip(b" \t")))
            continue
        about = ABOUT.match(line)
        if about is not None and about[1].lower() in FRAMING:
            raise invalid(where, f"a control character in {about[1].decode()}")
        dropped += len(parts)
    return fields, dropped
