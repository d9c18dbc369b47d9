"""The query of a URL in the encoding of the page it was found on, as browsers send it (WHATWG URL standard, 1.3).

The tables for writing are those for reading turned round, made when the first query needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from scraper.core.charsets.iso_2022_jp import HALF_WIDTH
from scraper.core.charsets.multi_byte import FAULT, GB18030_2022, decode_multi_byte
from scraper.core.charsets.single_byte import is_single_byte, octets_of

__all__ = ["with_encoded_query"]

#: Octets of a query that stand as they are (the special-query percent-encode set, turned round).
_AS_IT_IS: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"\"#'<>")
#: What browsers strip from the ends of a link, and from its middle.
_AROUND: Final = "".join(map(chr, range(0x21)))
_WITHIN: Final = dict.fromkeys(map(ord, "\t\n\r"))
#: Big5 has these twice, and browsers write the second.
_LATER: Final = frozenset("═╞╡╪十卅")
#: Written in place of what Japanese encodings do not have.
_YEN_AND_OVERLINE: Final = {"¥": b"\\", "‾": b"~"}
_MINUS: Final = ("−", "－")

#: The octets of a character in an encoding; None where it has none.
_Writer = Callable[[str], bytes | None]


def with_encoded_query(link: str, encoding: str) -> str:
    """A link found on a page, its query written in `encoding` (a name of the standard) and percent-encoded.

    Links of ASCII, and pages in a Unicode encoding, need no change. What the encoding cannot write becomes a
    character reference: `&#8364;`, percent-encoded.
    """
    if link.isascii() or encoding in ("utf-8", "utf-16le", "utf-16be"):
        return link
    whole, mark, fragment = link.strip(_AROUND).translate(_WITHIN).partition("#")
    path, question, query = whole.partition("?")
    return f"{path}{question}{_quoted(query, encoding)}{mark}{fragment}" if not query.isascii() else link


def _quoted(query: str, encoding: str) -> str:
    if encoding == "iso-2022-jp":
        return "".join(_iso_2022_jp(query))
    write = _writer(encoding)
    return "".join(
        [_reference(char) if (octets := write(char)) is None else _percent(octets) for char in query]
    )


def _percent(octets: bytes) -> str:
    return "".join([chr(octet) if octet in _AS_IT_IS else f"%{octet:02X}" for octet in octets])


def _reference(char: str) -> str:
    """What stands for a character that cannot be written; half of one is U+FFFD."""
    number = 0xFFFD if "\ud800" <= char <= "\udfff" else ord(char)
    return f"%26%23{number}%3B"


@cache
def _writer(encoding: str) -> _Writer:
    """How an encoding writes one character."""
    if is_single_byte(encoding):
        return octets_of(encoding).get
    if encoding == "euc-kr":
        return lambda char: _by_codec(char, "cp949")
    if encoding in ("gbk", "gb18030"):
        return _gbk if encoding == "gbk" else _gb18030
    table = {"big5": _big5, "euc-jp": _euc_jp, "shift_jis": _shift_jis}[encoding]()
    return lambda char: char.encode() if char.isascii() else table.get(char)


def _by_codec(char: str, codec: str) -> bytes | None:
    try:
        return char.encode(codec)
    except UnicodeEncodeError:
        return None


def _gb18030(char: str) -> bytes | None:
    return None if char == "\ue5e5" else _by_codec(char.translate(GB18030_2022), "gb18030")


def _gbk(char: str) -> bytes | None:
    if char == "€":
        return b"\x80"
    octets = _gb18030(char)
    return None if octets is None or len(octets) == 4 else octets


def _big5() -> dict[str, bytes]:
    trails = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    table: dict[str, bytes] = {}
    for char, pair in _read("big5", range(0xA1, 0xFF), trails):
        if char not in table or char in _LATER:
            table[char] = pair
    return table


def _euc_jp() -> dict[str, bytes]:
    table = {chr(0xFEC0 + trail): bytes((0x8E, trail)) for trail in range(0xA1, 0xE0)}
    for char, pair in _read("euc-jp", range(0xA1, 0xFF), range(0xA1, 0xFF)):
        table.setdefault(char, pair)
    return {**table, **_YEN_AND_OVERLINE, _MINUS[0]: table[_MINUS[1]]}


def _shift_jis() -> dict[str, bytes]:
    """Windows has the characters of IBM twice, and browsers write those of the later rows, from 0xFA on."""
    leads = (*range(0x81, 0xA0), *range(0xE0, 0xED), *range(0xF0, 0xFD))
    table = {chr(0xFEC0 + octet): bytes([octet]) for octet in range(0xA1, 0xE0)} | {"\x80": b"\x80"}
    for char, pair in _read("shift_jis", leads, (*range(0x40, 0x7F), *range(0x80, 0xFD))):
        if not "\ue000" <= char <= "\uf8ff":
            table.setdefault(char, pair)
    return {**table, **_YEN_AND_OVERLINE, _MINUS[0]: table[_MINUS[1]]}


def _read(encoding: str, leads: Iterable[int], trails: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """The pairs of an encoding that are one character, in order."""
    for lead in leads:
        for trail in trails:
            pair = bytes((lead, trail))
            char = decode_multi_byte(pair, encoding)
            if len(char) == 1 and char != FAULT:
                yield char, pair


def _iso_2022_jp(query: str) -> Iterator[str]:
    """The query with its escape sequences; it begins and ends in ASCII, and no character reference stands among pairs."""
    ascii_, double = b"\x1b(B", b"\x1b$B"
    table, state = _writer("euc-jp"), ascii_
    for char in query:
        if "\uff61" <= char <= "\uff9f":
            char = HALF_WIDTH[ord(char) - 0xFF61]
        needed, octets = state, None
        if char in _YEN_AND_OVERLINE:
            needed, octets = b"\x1b(J", _YEN_AND_OVERLINE[char]
        elif char.isascii():
            is_same = state == b"\x1b(J" and char not in "\\~"
            needed, octets = state if is_same else ascii_, char.encode()
        elif (pair := table(char)) is not None:
            needed, octets = double, bytes(octet & 0x7F for octet in pair)
        elif state == double:
            needed = ascii_
        if needed != state:
            state = needed
            yield _percent(state)
        yield _reference(char) if octets is None else _percent(octets)
    if state != ascii_:
        yield _percent(ascii_)
