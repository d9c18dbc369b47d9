"""Encodings of one octet per character: Python's tables, put right where the standard's differ.

Undefined octets of the windows code pages between 0x80 and 0x9F are C1 controls in browsers; the rest is three
characters of KOI8-U and windows-1255.
"""

from __future__ import annotations

from codecs import charmap_decode
from functools import cache
from typing import Final

__all__ = ["decode_single_byte", "is_single_byte", "octets_of"]

_CODECS: Final = {
    "ibm866": "cp866",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "macintosh": "mac_roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-user-defined": "ascii",
    **{f"iso-8859-{number}": f"iso8859_{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{number}": f"cp{number}" for number in range(1250, 1259)},
}
#: Where the standard knows another character than Python, or one where Python knows none.
_OTHER: Final = {
    "koi8-u": {0xAE: "\u045e", 0xBE: "\u040e"},
    "windows-1255": {0xCA: "\u05ba"},
    "x-user-defined": {octet: chr(0xF700 + octet) for octet in range(0x80, 0x100)},
}
_UNDEFINED: Final = "\ufffd"


def is_single_byte(encoding: str) -> bool:
    """Whether an encoding, by its name in the standard, has one octet for each character."""
    return encoding in _CODECS


def decode_single_byte(body: bytes, encoding: str) -> str:
    """The text; U+FFFD for each octet that is not defined."""
    return charmap_decode(body, "strict", _table(encoding))[0]


@cache
def octets_of(encoding: str) -> dict[str, bytes]:
    """The octet of each character that an encoding can write."""
    table = _table(encoding)
    return {char: bytes([octet]) for octet, char in enumerate(table) if char != _UNDEFINED}


@cache
def _table(encoding: str) -> str:
    """The character of each octet."""
    table = [bytes([octet]).decode(_CODECS[encoding], "replace") for octet in range(0x100)]
    if encoding.startswith("windows-"):
        for octet in range(0x80, 0xA0):
            if table[octet] == _UNDEFINED:
                table[octet] = chr(octet)
    for octet, char in _OTHER.get(encoding, {}).items():
        table[octet] = char
    return "".join(table)
