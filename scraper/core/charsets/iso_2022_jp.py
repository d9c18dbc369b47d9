"""ISO-2022-JP, whose escape sequences switch between four sets of characters (WHATWG Encoding standard, 12.2)."""

from __future__ import annotations

import re
from typing import Final

from scraper.core.charsets.multi_byte import FAULT, decode_multi_byte

__all__ = ["HALF_WIDTH", "decode_iso_2022_jp"]

_ESCAPE: Final = re.compile(rb"\x1b(\([BJI]|\$[@B])")
#: What nearly every text is: ASCII, and whole pairs between escapes. It is read as EUC-JP.
_ORDINARY: Final = re.compile(
    rb"(?:[\x00-\x0d\x10-\x1a\x1c-\x7f]++|\x1b\$[@B][\x21-\x7e]++(?:\x1b\(B(?!\x1b)|\Z))*+"
)
_SWITCH: Final = re.compile(rb"\x1b(?:\$[@B]|\(B)")
_PAIRS: Final = re.compile(rb"(?:[\x21-\x7e]{2})*")
#: From a pair of seven bits to the same one of EUC-JP.
_EIGHT_BITS: Final = bytes(octet | 0x80 for octet in range(0x100))
_ASCII: Final = "".join(
    chr(octet) if octet < 0x80 and octet not in (0x0E, 0x0F, 0x1B) else FAULT for octet in range(0x100)
)
_ROMAN: Final = _ASCII.replace("\\", "¥").replace("~", "‾")
_KATAKANA: Final = "".join(chr(octet + 0xFF40) if 0x21 <= octet <= 0x5F else FAULT for octet in range(0x100))
_SETS: Final = {b"(B": _ASCII, b"(J": _ROMAN, b"(I": _KATAKANA}
#: Half-width katakana, U+FF61 to U+FF9F, as the full-width characters that stand in for them in writing.
HALF_WIDTH: Final = (
    "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタ"
    "チツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜"
)


def decode_iso_2022_jp(body: bytes) -> str:
    """The text; U+FFFD for what the standard does not define, also between two escape sequences without text."""
    if _ORDINARY.fullmatch(body):
        parts = _SWITCH.split(body)  # by turns ASCII and pairs
        if all(not len(part) % 2 for part in parts[1::2]):
            parts[1::2] = [part.translate(_EIGHT_BITS) for part in parts[1::2]]
            return decode_multi_byte(b"".join(parts), "euc-jp")
    parts = _ESCAPE.split(body)
    found = [parts[0].decode("latin-1").translate(_ASCII)]
    for at in range(1, len(parts), 2):
        if at > 1 and not parts[at - 1]:
            found.append(FAULT)
        chars = _SETS.get(parts[at])
        text = parts[at + 1]
        found.append(_double(text) if chars is None else text.decode("latin-1").translate(chars))
    return "".join(found)


def _double(text: bytes) -> str:
    """Text in pairs. A fault takes two octets along, but no escape."""
    if _PAIRS.fullmatch(text):
        return decode_multi_byte(text.translate(_EIGHT_BITS), "euc-jp")
    found, at = [], 0
    while at < len(text):
        lead, trail = text[at], text[at + 1 : at + 2]
        if not 0x21 <= lead <= 0x7E or trail == b"\x1b":
            found.append(FAULT)
            at += 1
        else:
            pair = text[at : at + 2]
            good = len(pair) == 2 and 0x21 <= pair[1] <= 0x7E
            found.append(decode_multi_byte(pair.translate(_EIGHT_BITS), "euc-jp") if good else FAULT)
            at += 2
    return "".join(found)
