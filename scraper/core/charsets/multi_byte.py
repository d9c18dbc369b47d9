"""Chinese, Japanese and Korean encodings, character by character as the WHATWG Encoding standard has them.

Python's codecs do the work. What they cannot read comes to an error handler, which takes one step of the standard's
decoder at that place: it knows the characters Python lacks, and how many octets a fault takes along. What they read
otherwise is put right in the text afterwards.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FAULT", "GB18030_2022", "PIECE", "decode_multi_byte", "is_multi_byte"]

FAULT: Final = "\ufffd"
#: One step: the character at `at` and how many octets it takes, where Python's codec found a fault.
Step = Callable[[bytes, int], tuple[str, int]]

#: What is longer is decoded in pieces of about this size, between which other threads run.
PIECE: Final = 16_384
#: Pieces end after an octet that ends a character in every one of these encodings: ASCII, but no digit (GB 18030).
_END: Final = re.compile(rb"[\x00-/:-\x7f]")
#: Faults after which the rest of a text is read as fast as Python can, not as exactly as the standard asks: 16 MiB
#: of noise would take 8 s. Longer pieces, which have no ASCII in them, are not text either.
MOST_FAULTS: Final = 10_000
LONGEST_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Encoding:
    """Python's codec, the name of the error handler, and the characters that are others in the standard."""

    codec: str
    errors: str
    others: Mapping[int, str]
    found: str


def _from_pairs(pairs: str) -> dict[int, str]:
    """Python's character → the standard's, from text in which they alternate."""
    return {ord(old): new for old, new in zip(pairs[::2], pairs[1::2], strict=True)}


#: GB 18030 of 2022 moved these out of the private use area; Python has the version of 2000. The first is a space.
_GB18030: Final = _from_pairs(
    "\ue5e5\u3000\ue78d\ufe10\ue78e\ufe12\ue78f\ufe11\ue790\ufe13\ue791\ufe14\ue792\ufe15\ue793\ufe16\ue794\ufe17"
    "\ue795\ufe18\ue796\ufe19\ue7c7\u1e3f\u1e3f\ue7c7\ue81e\u9fb4\ue826\u9fb5\ue82b\u9fb6\ue82c\u9fb7\ue832\u9fb8"
    "\ue843\u9fb9\ue854\u9fba\ue864\u9fbb"
)
#: Python's character for each of the standard's, for writing; the space has a pair of its own already.
GB18030_2022: Final = {ord(new): chr(old) for old, new in _GB18030.items() if old != 0xE5E5}
_BIG5: Final = _from_pairs(
    "\u2022\u2027\uff64\ufe51\u203e\u00af\u223c\uff5e\u2641\u2295\u2609\u2299\u00a5\uffe5\u00a2\uffe0\u00a3\uffe1"
)
_EUC_JP: Final = _from_pairs("\u301c\uff5e\u2016\u2225\u2212\uff0d\u00a2\uffe0\u00a3\uffe1\u00ac\uffe2")
#: Octets that are faults, which Python's cp932 reads as Windows does.
_SHIFT_JIS: Final = dict.fromkeys(range(0xF8F0, 0xF8F4), FAULT)

#: Runs of characters that Python's Big5-HKSCS lacks, by their first pair: what HKSCS of 2008 added, Big5's own pairs
#: for characters that HKSCS has elsewhere, and the pictures of control codes of ETEN.
_BIG5_RUNS: Final = (
    (0x877A, "㡵𡵓𣚞𦀡㻬𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦珄𥶹瓆鿇垳䤯呌䄱𣚎堘穲𧭥讏䚮𦺈"
     "䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋"),
    (0x8E69, "箸"), (0x8E6F, "簆"), (0x8E7E, "糎"), (0x8EAB, "緒"), (0x8EB4, "縝"), (0x8ECD, "者"), (0x8ED0, "耨"),
    (0x8F57, "菁"), (0x8F69, "蒨"), (0x8F6E, "萏"), (0x8FCB, "覦覩"), (0x8FFE, "起"), (0x906D, "都"), (0x907A, "銹"),
    (0x90DC, "靜"), (0x90F1, "響"), (0x91BF, "鼖"), (0x9244, "蔃"), (0x92AF, "兙兛兝兞"), (0x92C8, "鍮"), (0x92D1, "瑹"),
    (0x9447, "浧"), (0x94CA, "禛"), (0x95D9, "邗"), (0x9644, "靝"), (0x96ED, "瀞"), (0x96FC, "嬨"), (0x9B76, "爁"),
    (0x9B78, "矗"), (0x9B7B, "纇"), (0x9BC6, "駖"), (0x9BDE, "釔"), (0x9BEC, "惞"), (0x9BF6, "澶"), (0x9C42, "輶"),
    (0x9C53, "侻"), (0x9C62, "營"), (0x9C68, "鄄"), (0x9C6B, "鷰"), (0x9C77, "菏"), (0x9CBC, "尐秣"), (0x9CD0, "婧"),
    (0x9D57, "輋"), (0x9D5A, "筑"), (0x9DC4, "拐"), (0x9EA9, "恢"), (0x9EEF, "痹"), (0x9EFD, "汊"), (0x9F60, "鬮"),
    (0x9F66, "鼗"), (0x9FCB, "僭"), (0x9FD8, "弌"), (0xA063, "蠏"), (0xA077, "拎"), (0xA0D5, "瑨"), (0xA0DF, "煢"),
    (0xA0E4, "牐"), (0xA3C0, "␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡€"), (0xC6CF, "廴"), (0xC6D3, "无"), (0xC6D5, "癶"),
    (0xC6D7, "隶"), (0xC6DE, "〃仝"), (0xFA5F, "倩"), (0xFA66, "偽"), (0xFABD, "包"), (0xFAC5, "卄"), (0xFAD5, "卿"),
    (0xFB48, "嘅"), (0xFBB8, "婷"), (0xFBF3, "幵"), (0xFBF9, "廐"), (0xFC4F, "彘"), (0xFC6C, "悤"), (0xFCB9, "撐"),
    (0xFCE2, "晴"), (0xFCF1, "杞"), (0xFDB7, "沜渝"), (0xFDBB, "港"), (0xFDF1, "煮"), (0xFE52, "猪"), (0xFE6F, "瑜"),
    (0xFEAA, "瓩"), (0xFEDD, "砉"),
)  # fmt: skip

#: Slashes of Big5 that Python reads as the full-width ones, and what stands before one, cut into characters.
_SLASHES: Final = {b"\xa2A": "\u2215", b"\xa2B": "\ufe68", b"": ""}
_SLASH: Final = re.compile(
    rb"((?:[\x00-\x80\xff]|(?!\xa2[AB])[\x81-\xfe](?:[\x40-\x7e\x80-\xff])?+)*+)(\xa2[AB])?"
)


def _big5_also() -> dict[bytes, str]:
    """The characters of `_BIG5_RUNS` by their pairs."""
    found: dict[bytes, str] = {}
    for first, run in _BIG5_RUNS:
        lead, trail = divmod(first, 0x100)
        for char in run:
            found[bytes((lead, trail))] = char
            lead, trail = (lead + 1, 0x40) if trail == 0xFE else (lead, 0xA1 if trail == 0x7E else trail + 1)
    return found


_BIG5_ALSO: Final = _big5_also()


def is_multi_byte(encoding: str) -> bool:
    """Whether an encoding, by its name in the standard, is one of those read here."""
    return encoding in _ENCODINGS


def decode_multi_byte(body: bytes, encoding: str) -> str:
    """The text; U+FFFD for what the standard does not define."""
    how = _ENCODINGS[encoding]
    if encoding == "big5" and (b"\xa2A" in body or b"\xa2B" in body):
        return "".join([_decode(text, how) + _SLASHES[slash] for text, slash in _SLASH.findall(body)])
    if encoding == "euc-jp" and b"\x8f\xa2\xb7" in body:
        # A tilde of JIS X 0212, which Python reads as that of ASCII.
        body = body.replace(b"\x8f\xa2\xb7", b"\xa1\xc1")
    return _decode(body, how)


def _decode(body: bytes, how: _Encoding) -> str:
    text = body.decode(how.codec, how.errors) if len(body) <= PIECE else _in_pieces(body, how)
    return text.translate(how.others) if any(char in text for char in how.found) else text


def _in_pieces(body: bytes, how: _Encoding) -> str:
    found, start, faults = [], 0, 0
    while start < len(body):
        match = _END.search(body, start + PIECE)
        end = match.end() if match else len(body)
        exact = faults < MOST_FAULTS and end - start < LONGEST_PIECE
        text = body[start:end].decode(how.codec, how.errors if exact else "replace")
        faults += text.count(FAULT) if exact and FAULT in text else 0
        found.append(text)
        start = end
    return "".join(found)


# ------------------------------------------------------------------------------------------- one step each


def _pair(octets: bytes, at: int, first: int, last: int) -> bytes | None:
    """The pair at `at`, where its lead may begin one and its trail lies between `first` and `last`."""
    pair = octets[at : at + 2]
    is_pair = len(pair) == 2 and 0x81 <= pair[0] <= 0xFE and first <= pair[1] <= last
    return pair if is_pair else None


def _taken(octets: bytes, at: int, length: int = 2) -> int:
    """How many octets a fault takes along: an ASCII octet at its end is read again, as itself."""
    part = octets[at : at + length]
    return len(part) - 1 if len(part) > 1 and part[-1] < 0x80 else len(part)


def _step_of_pairs(octets: bytes, at: int) -> tuple[str, int]:
    """EUC-KR: what Python cannot read cannot be read."""
    return FAULT, _taken(octets, at) if 0x81 <= octets[at] <= 0xFE else 1


def _step_of_big5(octets: bytes, at: int) -> tuple[str, int]:
    char = _BIG5_ALSO.get(octets[at : at + 2])
    return (char, 2) if char is not None else _step_of_pairs(octets, at)


def _step_of_shift_jis(octets: bytes, at: int) -> tuple[str, int]:
    lead = octets[at]
    return FAULT, _taken(octets, at) if 0x81 <= lead <= 0x9F or 0xE0 <= lead <= 0xFC else 1


def _step_of_gb18030(octets: bytes, at: int) -> tuple[str, int]:
    if octets[at] == 0x80:
        return "€", 1
    four = octets[at : at + 4]
    if len(four) < 2 or not 0x30 <= four[1] <= 0x39 or octets[at] == 0xFF:
        return _step_of_pairs(octets, at)
    if (len(four) > 2 and not 0x81 <= four[2] <= 0xFE) or (len(four) > 3 and not 0x30 <= four[3] <= 0x39):
        return FAULT, 1  # the other octets are read again
    return FAULT, len(four)


def _step_of_euc_jp(octets: bytes, at: int) -> tuple[str, int]:
    lead = octets[at]
    pair = _pair(octets, at, 0xA1, 0xFE)
    if lead == 0x8F and pair is not None:
        return FAULT, _taken(octets, at, 3)
    if lead >= 0xA1 and pair is not None:
        return _jis0208(pair[0] - 0xA1, pair[1] - 0xA1), 2
    return FAULT, _taken(octets, at) if lead in (0x8E, 0x8F) or 0xA1 <= lead <= 0xFE else 1


def _jis0208(row: int, cell: int) -> str:
    """The character of a row and cell (0 to 93) of JIS X 0208 with the rows of NEC and IBM; U+FFFD for none.

    Windows' Shift_JIS has all of them, so the pair is turned into one of its pairs.
    """
    lead = row // 2 + (0x81 if row < 62 else 0xC1)
    trail = cell + (0x9F if row % 2 else 0x40 + (cell >= 63))
    try:
        return bytes((lead, trail)).decode("cp932")
    except UnicodeDecodeError:
        return FAULT


def _handler(step: Step) -> Callable[[UnicodeError], tuple[str, int]]:
    def handle(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        char, length = step(error.object, error.start)
        return char, error.start + length

    return handle


def _encoding(name: str, codec: str, step: Step, others: Mapping[int, str]) -> _Encoding:
    errors = f"scraper-{name}"
    codecs.register_error(errors, _handler(step))
    return _Encoding(codec, errors, others, "".join(map(chr, others)))


_ENCODINGS: Final = {
    "gbk": _encoding("gb18030", "gb18030", _step_of_gb18030, _GB18030),
    "gb18030": _encoding("gb18030", "gb18030", _step_of_gb18030, _GB18030),
    "big5": _encoding("big5", "big5hkscs", _step_of_big5, _BIG5),
    "euc-jp": _encoding("euc-jp", "euc_jp", _step_of_euc_jp, _EUC_JP),
    "shift_jis": _encoding("shift_jis", "cp932", _step_of_shift_jis, _SHIFT_JIS),
    "euc-kr": _encoding("euc-kr", "cp949", _step_of_pairs, {}),
}
