"""From the octets of a body to text, as the WHATWG Encoding standard has it.

Only its labels are ever looked up, because Python knows codecs (`hex`, `idna`, `zlib`) that are no charsets and raise.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from functools import lru_cache
from typing import Final

from w3lib.encoding import html_body_declared_encoding, to_unicode

__all__ = ["LONG", "decode_text"]

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
