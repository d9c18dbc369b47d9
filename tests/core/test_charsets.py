"""Charsets as the WHATWG Encoding, HTML and URL standards have them (W9, W10, W11 of the faults met on the wire)."""

from __future__ import annotations

import hashlib
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from w3lib.url import safe_url_string

from scraper.core.charsets import BodyText, TextFault, decode_text, encoding_named, with_encoded_query

#: The start of the SHA-256 of what the standard's indexes give: of the octets 0x80 to 0xFF; of each pair of octets whose
#: first is 0x80 or more, one a line, by the standard's algorithms. Made from the indexes, by another implementation.
OCTETS = {
    "ibm866": "2e3f89d51df1d1b9", "iso-8859-2": "da4d3b2f8f06435d", "iso-8859-3": "c1d9ce25d3762a52",
    "iso-8859-4": "54140e6e75ba62ce", "iso-8859-5": "5372981566958051", "iso-8859-6": "2b716bc800e7bfe3",
    "iso-8859-7": "8d94b0308cf418c9", "iso-8859-8": "ade2c0790e86ddc8", "iso-8859-8-i": "ade2c0790e86ddc8",
    "iso-8859-10": "129e084c5bc4da60", "iso-8859-13": "20a9bcd406361c31", "iso-8859-14": "80050213abdb4257",
    "iso-8859-15": "b9a4a2394ee58552", "iso-8859-16": "c2bb18a77fe0cd90", "koi8-r": "25a9da95cf2db39e",
    "koi8-u": "79b0a6e96024f61a", "macintosh": "94dcdcc19412eb48", "windows-1250": "52665a0c49e77322",
    "windows-1251": "153baf169d84e269", "windows-1252": "9ba654722668eee9", "latin1": "9ba654722668eee9",
    "windows-1253": "fa630499b7db169e", "windows-1254": "612d01246f4b5106", "iso-8859-9": "612d01246f4b5106",
    "windows-1255": "16925d6a9d5cff62", "windows-1256": "ae636a90722c9d75", "windows-1257": "abd51531663d43f8",
    "windows-1258": "ded84db6d51e3143", "windows-874": "4bb5efdc1a2832ec", "iso-8859-11": "4bb5efdc1a2832ec",
    "x-mac-cyrillic": "ab39a8a69bbbd008",
}  # fmt: skip
PAIRS = {
    "gbk": "ee552985d349aaa6", "gb18030": "ee552985d349aaa6", "big5": "708b047dd842085a",
    "euc-jp": "284328afc1c27205", "shift_jis": "dc41c920ca79b540",
    "euc-kr": "a70cb0db6c6f738b",
}  # fmt: skip
#: The same of every character from U+0080 to U+FFFF, written into a query.
QUERIES = {
    "gbk": "3ee1e2f3d857922a", "gb18030": "63ac0bc24ad4814b", "big5": "6b61df984ea0d7c7",
    "euc-jp": "a1cf73cbfd23cb11", "shift_jis": "851fc1cb6e9dc748", "euc-kr": "ffee26377b033559",
    "iso-2022-jp": "eb88648e164650f3",
}  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(body: bytes, label: str) -> str:
    return decode_text(body, f"text/html; charset={label}")


def asked(query: str, encoding: str) -> str:
    """The query a browser sends for a link to `/?query`."""
    return with_encoded_query(f"/?{query}", encoding).removeprefix("/?")


# ------------------------------------------------------------------------------------------- to text (W10)


@pytest.mark.parametrize("label", OCTETS)
def test_every_octet_is_the_standard_s(label: str) -> None:
    """Encodings of one octet have the characters of the standard's indexes, C1 controls where it has them (W10)."""
    assert digest(read(bytes(range(0x80, 0x100)), label)) == OCTETS[label]


@pytest.mark.parametrize("label", PAIRS)
def test_every_pair_is_the_standard_s(label: str) -> None:
    """All 32,768 pairs give the standard's character, or its faults with as many octets as it takes (W10)."""
    pairs = [bytes([lead, trail]) for lead in range(0x80, 0x100) for trail in range(0x100)]
    assert digest("\n".join([read(b" " + pair, label)[1:] for pair in pairs])) == PAIRS[label]


def test_every_other_sequence_is_the_standard_s() -> None:
    """The 8,836 triples of JIS X 0212, and the 39,420 first sequences of four octets of GB 18030 (W10)."""
    triples = [bytes([0x8F, row, cell]) for row in range(0xA1, 0xFF) for cell in range(0xA1, 0xFF)]
    assert digest("\n".join([read(triple, "euc-jp") for triple in triples])) == "816cdd19b564072a"
    fours = [
        bytes(
            [
                0x81 + number // 12_600,
                0x30 + number // 1_260 % 10,
                0x81 + number // 10 % 126,
                0x30 + number % 10,
            ]
        )
        for number in range(39_420)
    ]
    assert digest("\n".join([read(four, "gb18030") for four in fours])) == "67315b8d1af596cf"


def test_euc_jp_is_shift_jis_by_arithmetic() -> None:
    """All 8,836 pairs of EUC-JP are those of Windows' Shift_JIS, one by one and as one text (W10)."""
    for row in range(94):
        for cell in range(94):
            lead = row // 2 + (0x81 if row < 62 else 0xC1)
            trail = cell + (0x9F if row % 2 else 0x40 if cell < 63 else 0x41)
            expected = bytes([lead, trail]).decode("cp932", "replace")
            assert read(bytes([0xA1 + row, 0xA1 + cell]), "euc-jp") == expected[:1]
            if expected.isprintable() and len(expected) == 1:
                found = read(b"\x1b$B" + bytes([0x21 + row, 0x21 + cell]) + b"\x1b(B", "iso-2022-jp")
                assert found == expected


@pytest.mark.parametrize(
    ("label", "body", "text"),
    [
        ("euc-jp", b"\xad\xa1\xad\xea\xad\xe2\xfc\xe2!", "①㈱№髙!"),
        ("euc-jp", b"\xa1\xc1\x8e\xb1\x8f\xb0\xa1", "～ｱ丂"),
        ("iso-2022-jp", b"\x1b$B!A-!\x1b(I1\x5f\x1b(J\\~\x1b(B\\~", "～①ｱﾟ¥‾\\~"),
        ("iso-2022-jp", b"a\x1b$B$\"\n\x1b(B\x1b(Bb\x1b", "aあ\ufffd\ufffdb\ufffd"),
        ("iso-2022-jp", b"\x1b$B$\x1b(Bx\xa4\x0e", "\ufffdx\ufffd\ufffd"),
        ("shift_jis", b"\x80\xa0\xfd\xb1\xf0\x40\x5c\x7e", "\x80\ufffd\ufffdｱ\ue000\\~"),
        ("shift_jis", b"\x81\xad\x81\x20\xfa\x9e", "\ufffd\ufffd 墲"),
        ("gbk", b"\x80\xa2\xe3\xff\x81\x30\x81\x30\xa8\xbc", "€€\ufffd\x80ḿ"),
        ("gb2312", b"\x81\x3a\x81", "\ufffd:\ufffd"),
        ("big5", b"\xa3\xe1\x88\x62\xa2\x41\xa1\xfe\x87\x7a\xa1\x41x\x81\x41", "€Ê̄∕／㡵，x\ufffdA"),
        ("euc-kr", b"\xb0\xa1\x81\x41\xc9\xa1\xff", "가갂\ufffd\ufffd"),
        ("windows-1252", b"\x80\x81\x8d", "€\x81\x8d"),
        ("windows-1251", b"\x98\xcf", "\x98П"),
        ("windows-1253", b"\xaa\x81", "\ufffd\x81"),
        ("windows-1255", b"\xca\xd9", "\u05ba\ufffd"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("x-user-defined", b"a\x80\xff", "a\uf780\uf7ff"),
        ("utf-16le", b"a\0\x3d\xd8\0\xde\x00\xd8", "a😀\ufffd"),
        ("utf-16be", b"\0a\xd8\x3d\xde\x00", "a😀"),
    ],
)  # fmt: skip
def test_text_is_what_browsers_read(label: str, body: bytes, text: str) -> None:
    """Characters that Python's codecs lack or read otherwise, and how far a fault reaches (W10)."""
    assert read(body, label) == text


# ------------------------------------------------------------------------------------------- queries (W9)


@pytest.mark.parametrize(
    ("encoding", "query", "sent"),
    [
        ("windows-1251", "q=привет&x=€☃", "q=%EF%F0%E8%E2%E5%F2&x=%88%26%239731%3B"),
        ("koi8-r", "q=привет", "q=%D0%D2%C9%D7%C5%D4"),
        ("windows-1252", "q=é€ő", "q=%E9%80%26%23337%3B"),
        ("gbk", "q=中文€ḿ😀", "q=%D6%D0%CE%C4%80%A8%BC%26%23128512%3B"),
        ("gb18030", "q=中文€😀", "q=%D6%D0%CE%C4%A2%E3%949%FC6"),
        ("euc-jp", "q=日本①ｱ−", "q=%C6%FC%CB%DC%AD%A1%8E%B1%A1%DD"),
        ("shift_jis", "q=日本①ｱ−表", "q=%93%FA%96{%87@%B1%81|%95\\"),
        ("iso-2022-jp", "q=日本&x=ｱ¥€", "q=%1B$BF|K\\%1B(B&x=%1B$B%%22%1B(J\\%26%238364%3B%1B(B"),
        ("big5", "q=中文十", "q=%A4%A4%A4%E5%A4Q"),
        ("euc-kr", "q=한글", "q=%C7%D1%B1%DB"),
        ("utf-8", "q=é", "q=é"),
        ("utf-16le", "q=é", "q=é"),
    ],
)  # fmt: skip
def test_a_query_is_written_in_the_encoding_of_its_page(encoding: str, query: str, sent: str) -> None:
    """As browsers send it; what the encoding lacks as a character reference; UTF-8 is left to the URL parser (W9)."""
    assert asked(query, encoding) == sent


def test_only_the_query_is_written_in_the_encoding_of_its_page() -> None:
    """The path and the fragment stay for the URL parser, which writes UTF-8; what browsers strip is stripped (W9)."""
    assert with_encoded_query(" /п?q=п\n%41'#п ", "windows-1251") == "/п?q=%EF%41%27#п"
    assert with_encoded_query("/п#?п", "windows-1251") == "/п#?п"


@pytest.mark.parametrize("encoding", QUERIES)
def test_every_character_is_written_as_browsers_do(encoding: str) -> None:
    """All characters up to U+FFFF, also those an encoding has twice or not at all (W9)."""
    chars = [chr(code) for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000]
    assert digest("\n".join([asked(char, encoding) for char in chars])) == QUERIES[encoding]


TRUSTED = {
    "windows-1251": "cp1251", "windows-1252": "cp1252", "iso-8859-2": "iso8859-2", "koi8-r": "koi8-r",
    "windows-1253": "cp1253", "gbk": "gbk", "euc-kr": "cp949", "gb18030": "gb18030",
}  # fmt: skip


@given(encoding=st.sampled_from(sorted(TRUSTED)), data=st.data())
def test_queries_are_those_of_a_trusted_encoder(encoding: str, data: st.DataObject) -> None:
    """What Python's codecs and w3lib (so Scrapy) make of text that is letters of the encoding (W9)."""
    codec = TRUSTED[encoding]
    letters = st.characters(
        codec=codec, categories=["L", "N"], exclude_characters="ḿǹⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹ", max_codepoint=0x9FA5
    )
    text = data.draw(st.text(letters, min_size=1, max_size=20))
    sent = asked(f"q={text}", encoding)
    assert unquote_to_bytes(sent) == b"q=" + text.encode(codec)
    by_w3lib = safe_url_string(f"http://a.test/?q={text}", encoding=codec, quote_path=False)
    assert unquote_to_bytes(by_w3lib.partition("?")[2]) == unquote_to_bytes(sent)


@given(st.text(max_size=30), st.sampled_from([*OCTETS, *PAIRS, "iso-2022-jp", "x-user-defined"]))
def test_any_link_can_be_written(link: str, label: str) -> None:
    """No text and no encoding raise; the query is ASCII afterwards, and stays as it is the second time (W9)."""
    encoding = encoding_named(label)
    assert encoding is not None
    written = with_encoded_query(f"?{link}", encoding)
    assert written.partition("#")[0].isascii()
    assert with_encoded_query(written, encoding) == written or not link.isascii()


# ------------------------------------------------------------------------------------------- declarations (W11)


def encoding(body: bytes, content_type: str | None = "text/html", override: str | None = None) -> str:
    return BodyText(body, content_type, override).encoding()


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"<meta charset=koi8-r>", "koi8-r"),
        (b"<META/CHARSET = ' KOI8-R '>", "koi8-r"),
        (b"<meta name=x charset=koi8-r content='charset=gbk'>", "koi8-r"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">', "koi8-r"),
        (b'<meta content="text/html; charset = \'koi8-r\'" http-equiv=content-type>', "koi8-r"),
        (b'<meta content="charset charset=koi8-r;x" http-equiv=content-type>', "koi8-r"),
        (b'<meta property="og:title" content="charset=koi8-r explained">', "utf-8"),
        (b'<meta name=description content="text/html; charset=koi8-r">', "utf-8"),
        (b'<meta charset=bogus><meta charset="koi8-r">', "koi8-r"),
        (b'<meta http-equiv=refresh content="0; charset=gbk"><meta charset="koi8-r">', "koi8-r"),
        (b"<meta charset=utf-16><meta charset=koi8-r>", "utf-8"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<meta charset=koi8-r charset=gbk>", "koi8-r"),
        (b"<!-- <meta charset=gbk> --><meta charset=koi8-r>", "koi8-r"),
        (b"<!--><meta charset=koi8-r>", "koi8-r"),
        (b"<!---><meta charset=koi8-r>", "koi8-r"),
        (b"<!-- <meta charset=koi8-r>", "utf-8"),
        (b"<p title='<meta charset=gbk>'><meta charset=koi8-r>", "koi8-r"),
        (b"<metadata charset=gbk><meta charset=koi8-r>", "koi8-r"),
        (b"</p <x='><meta charset=gbk>'><meta charset=koi8-r>", "koi8-r"),
        (b"<!doctype html <meta charset=gbk><meta charset=koi8-r>", "koi8-r"),
        (b"<?php <meta charset=gbk> ?><meta charset=koi8-r>", "koi8-r"),
        (b"< meta charset=gbk><meta charset=koi8-r>", "koi8-r"),
        (b"<meta charset='koi8-r", "utf-8"),
        (b"<?xml version='1.0' encoding='koi8-r'?><p>", "koi8-r"),
        (b"<?xml version='1.0' encoding='gbk'?><meta charset=koi8-r>", "koi8-r"),
        (b" " * 1_000 + b"<meta charset=koi8-r>", "koi8-r"),
        (b" " * 1_010 + b"<meta charset=koi8-r>", "utf-8"),
        (b"<title>charset=koi8-r</title>", "utf-8"),
    ],
)  # fmt: skip
def test_html_declares_as_its_standard_says(head: bytes, found: str) -> None:
    """The prescan of 1,024 octets: attributes of meta elements, no text that looks like them (W11)."""
    assert encoding(head + b"<p>\xc3\xa9") == found


def test_a_late_meta_counts_where_the_page_is_not_utf_8() -> None:
    """Browsers meet it while parsing, and begin again; within 4,096 octets we do so (W11)."""
    assert encoding(b" " * 2_000 + b"<meta charset=koi8-r>\xc1") == "koi8-r"
    assert encoding(b" " * 5_000 + b"<meta charset=koi8-r>\xc1") == "windows-1252"


META = b'<meta charset="windows-1251">'


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("application/rss+xml", b"<rss><![CDATA[%s]]>\xc3\xa9</rss>" % META, "utf-8"),
        ("text/xml", b"<?xml version='1.0' encoding=\"koi8-r\"?><a>%s\xc1</a>" % META, "koi8-r"),
        ("text/xml; charset=gbk", b"<?xml version='1.0' encoding=\"koi8-r\"?><a>\xc1</a>", "gbk"),
        ("application/xhtml+xml", b"<html>%s\xc1" % META, "utf-8"),
        ("application/xml", b"<\0?\0x\0m\0l\0", "utf-16le"),
        (None, b"\n<?xml version='1.0'?>%s\xc3\xa9" % META, "utf-8"),
        ("application/json", b'{"a": "%s\xc3\xa9"}' % META, "utf-8"),
        ("application/json; charset=windows-1251", b'"\xc3\xa9"', "utf-8"),
        ("application/json; charset=windows-1251", b'"\xef"', "windows-1251"),
        ("application/ld+json", b'"\xef%s"' % META, "utf-8"),
        ("text/javascript", b"x = '%s\xc3\xa9'" % META, "utf-8"),
        ("text/csv", b"%s;\xc3\xa9" % META, "utf-8"),
        ("text/csv", b"%s;\xe9" % META, "windows-1252"),
        ("text/csv; charset=koi8-r", b"%s;\xe9" % META, "koi8-r"),
        ("text/plain", b"%s\xc3\xa9" % META, "utf-8"),
        (None, b'{"html": "%s\xc3\xa9"}' % META, "utf-8"),
        (None, b"<html>%s\xc3\xa9" % META, "windows-1251"),
        ("text/html", b"%s\xc3\xa9" % META, "windows-1251"),
    ],
)  # fmt: skip
def test_who_may_declare_a_charset(content_type: str | None, body: bytes, found: str) -> None:
    """Meta elements count in HTML alone; XML has its declaration, JSON is UTF-8, text has its header (W11)."""
    assert encoding(body, content_type) == found


def test_an_encoding_that_is_set_counts_more_than_what_a_page_says() -> None:
    """More than header and meta element, less than a byte order mark; JSON too (W11)."""
    assert encoding(META + b"\xc1", "text/html; charset=gbk", "koi8-r") == "koi8-r"
    assert decode_text(b'"\xc1"', "application/json", "koi8-r") == '"а"'
    assert decode_text(b"\xef\xbb\xbf\xd0\xb0", "text/html", "koi8-r") == "а"


@pytest.mark.parametrize(
    ("content_type", "body", "noted"),
    [
        ("text/html; charset=utf-8", META + "привет".encode("cp1251"), TextFault("utf-8", 6, "windows-1251")),
        ("text/html; charset=utf-8", b"<p>" + "привет".encode("cp1251"), TextFault("utf-8", 6)),
        ("text/html; charset=utf-8", b"<p>caf\xe9", None),
        ("text/html; charset=utf-8", b"<p>\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", None),
        ("text/html; charset=utf-8", META + b"\xe9", TextFault("utf-8", 1, "windows-1251")),
        ("text/html; charset=euc-jp", b"\xff" * 4, TextFault("euc-jp", 4)),
        ("application/xml", b"<a>\xe9\xe9\xe9\xe9 </a>", TextFault("utf-8", 4)),
        ("text/html", b"\xe9\xe9\xe9\xe9", None),
    ],
)  # fmt: skip
def test_text_that_cannot_be_read_is_noted(content_type: str, body: bytes, noted: TextFault | None) -> None:
    """More than a few characters that are not the page's own, or a header beside a declaration that is right (W11)."""
    found: list[TextFault] = []
    BodyText(body, content_type, note=found.append).text()
    assert found == ([] if noted is None else [noted])
