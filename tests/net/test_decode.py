from __future__ import annotations

import contextlib
import gzip
import struct
import sys
import time
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]  # ships no annotations
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.charsets import decode_text
from scraper.errors import FetchError
from scraper.net.decode import Decoder, size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
    "zstd": zstd.compress,
}


def decode(coding: str, *chunks: bytes, limit: int = 64 * MIB) -> bytes:
    decoder = Decoder(coding, limit)
    body = b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))
    decoder.finish()
    return body


def kind_of(coding: str, *chunks: bytes, limit: int = 64 * MIB) -> str:
    with pytest.raises(FetchError) as caught:
        decode(coding, *chunks, limit=limit)
    return caught.value.kind


def sliced(data: bytes, step: int) -> list[bytes]:
    return [data[i : i + step] for i in range(0, len(data), step)]


@pytest.mark.parametrize("coding", CODINGS)
@given(body=st.binary(max_size=3_000), step=st.integers(1, 500))
def test_every_coding_gives_back_what_went_in_however_it_is_cut(coding: str, body: bytes, step: int) -> None:
    """The chunks a body arrives in make no difference to what is decoded."""
    assert decode(coding, *sliced(CODINGS[coding](body), step)) == body


@given(body=st.binary(max_size=500), coding=st.sampled_from([*CODINGS, "gzip, br", "foo", "identity"]))
def test_arbitrary_bytes_decode_or_raise_fetch_error(body: bytes, coding: str) -> None:
    """No byte string makes the decoder raise anything but FetchError."""
    with contextlib.suppress(FetchError):
        assert isinstance(decode(coding, body), bytes)


def test_raw_deflate_is_read_like_zlib() -> None:
    """Servers that send RFC 1951 under the name deflate are understood."""
    assert decode("deflate", raw_deflate(b"text" * 99)) == b"text" * 99


@pytest.mark.parametrize(
    ("coding", "keep"),
    [("gzip", 1), ("gzip", 12), ("gzip", -9), ("deflate", 1), ("deflate", 12), ("deflate", -5), ("br", 1), ("br", 12),
     ("br", -1), ("zstd", 1), ("zstd", 12), ("zstd", -1)],
)  # fmt: skip
def test_host_18_truncated_body_is_incomplete(coding: str, keep: int) -> None:
    """A compressed body that is cut off is never a shorter page."""
    packed = CODINGS[coding](bytes(range(256)) * 40)
    assert kind_of(coding, packed[:keep]) == "incomplete"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(body=st.binary(min_size=1, max_size=3_000), step=st.integers(1, 500), kept=st.integers(0, 8))
def test_a_stream_that_lacks_its_trailer_is_whole(coding: str, body: bytes, step: int, kept: int) -> None:
    """W14: a gzip or zlib body whose last block has arrived is read, however much of its trailer is missing."""
    packed = CODINGS[coding](body)
    missing = {"gzip": 8, "deflate": 4}[coding] - kept
    assert decode(coding, *sliced(packed[: len(packed) - max(missing, 0)], step)) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(body=st.binary(min_size=300, max_size=3_000), cut=st.integers(1, 200), level=st.integers(0, 9))
def test_a_stream_that_lacks_data_is_never_whole(coding: str, body: bytes, cut: int, level: int) -> None:
    """W14: what is missing of the blocks themselves is missing of the page, stored, fixed or dynamic."""
    packed = gzip.compress(body, level) if coding == "gzip" else zlib.compress(body, level)
    trailer = 8 if coding == "gzip" else 4
    assert kind_of(coding, packed[: len(packed) - trailer - cut]) == "incomplete"


def test_members_are_read_up_to_one_without_its_trailer() -> None:
    """W14: of several members the last may lack its trailer, and one that has only begun is missing."""
    first, second = gzip.compress(b"one "), gzip.compress(b"two")
    assert decode("gzip", first + second[:-8]) == b"one two"
    assert kind_of("gzip", first + second[:12]) == "incomplete"


@pytest.mark.parametrize("at", [-8, -5, -4, -1])
@pytest.mark.parametrize("end", [None, -1, -3])
def test_a_trailer_that_is_there_must_be_right(at: int, end: int | None) -> None:
    """W14: each of checksum and length counts as soon as all four octets of it have arrived."""
    packed = bytearray(gzip.compress(b"hello"))
    packed[at] ^= 1
    whole = at < -4 or end is None
    data = bytes(packed[:end])
    assert (kind_of("gzip", data) == "decode") if whole else (decode("gzip", data) == b"hello")


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_gzip_headers_with_everything_are_read(step: int) -> None:
    """Extra data, a name, a comment and a checksum of the header may stand before the data (RFC 1952 section 2.3)."""
    plain = gzip.compress(b"hello")
    head = plain[:3] + b"\x1f" + plain[4:10] + struct.pack("<H", 5) + b"extra" + b"name\0" + b"comment\0"
    packed = head + struct.pack("<H", zlib.crc32(head) & 0xFFFF) + plain[10:]
    assert decode("gzip", *sliced(packed, step)) == b"hello"
    assert kind_of("gzip", head + b"\0\0" + plain[10:]) == "decode"
    assert kind_of("gzip", plain[:3] + b"\x08" + plain[4:10] + b"n" * 200_000) == "decode"


@pytest.mark.parametrize(
    "header",
    [
        "gzip;q=1.0", "GZip", " gzip ,", ",gzip", "identity, gzip", "gzip, identity", "gzip, none", "utf-8, gzip",
        '"gzip"', "gzip; foo=bar, binary", "UTF-8,gzip", "aws-chunked,gzip", "x-gzip;",
    ],
)  # fmt: skip
def test_codings_as_servers_write_them(header: str) -> None:
    """W12: parameters, odd case, empty members and names that mean no coding do not hide the one that is meant."""
    assert decode(header, gzip.compress(b"hello")) == b"hello"


@pytest.mark.parametrize(
    "header", ["", "identity", "none", "utf-8", "UTF-8;q=1", ",", "binary, 8bit", "null"]
)
def test_names_that_mean_no_coding(header: str) -> None:
    """W12: a body under a name that is not a coding is as it was sent, and nothing is said about it."""
    decoder = Decoder(header, MIB)
    assert (b"".join(decoder.feed(b"raw")), decoder.unknown) == (b"raw", "")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_host_19_body_that_is_not_compressed_is_a_decode_error(coding: str) -> None:
    """Plain text under a coding's name is an error of its own kind."""
    assert kind_of(coding, b"\xff\xfe<html>not compressed at all</html>" * 9) == "decode"


def test_host_19_gzip_with_a_wrong_checksum_is_a_decode_error() -> None:
    """The CRC of a gzip member is checked."""
    packed = bytearray(gzip.compress(b"hello"))
    packed[-6] ^= 1
    assert kind_of("gzip", bytes(packed)) == "decode"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_host_20_all_members_are_read(coding: str, step: int) -> None:
    """Concatenated gzip members and zstd frames are one body."""
    packed = CODINGS[coding](b"one ") + CODINGS[coding](b"") + CODINGS[coding](b"two")
    assert decode(coding, *sliced(packed, step)) == b"one two"


def test_zstd_skippable_frames_are_skipped() -> None:
    """A skippable frame between two frames is not part of the body."""
    skippable = struct.pack("<II", 0x184D2A53, 3) + b"abc"
    packed = zstd.compress(b"one ") + skippable + zstd.compress(b"two")
    assert decode("zstd", *sliced(packed, 5)) == b"one two"


@pytest.mark.parametrize("junk", [b"\0" * 9, b"\x1f", b"\x1fjunk", b"<!-- cached -->"])
@pytest.mark.parametrize("step", [1, 10_000])
def test_host_21_junk_behind_a_member_is_ignored(junk: bytes, step: int) -> None:
    """Bytes behind the last gzip member that start no member do no harm."""
    assert decode("gzip", *sliced(gzip.compress(b"hello") + junk, step)) == b"hello"


@pytest.mark.parametrize("coding", CODINGS)
def test_host_21_empty_body_with_a_coding_is_empty(coding: str) -> None:
    """A body of no bytes needs no header of its coding."""
    assert decode(coding) == b""


def test_host_22_unknown_coding_is_kept_raw_and_named() -> None:
    """What nobody can decode is kept as it is, and said."""
    decoder = Decoder("gzip, foo", MIB)
    assert list(decoder.feed(b"raw")) == [b"raw"]
    assert decoder.unknown == "foo"


def test_host_22_codings_above_an_unknown_one_are_undone() -> None:
    """Codings are undone from the last one until the first unknown one."""
    decoder = Decoder("foo, gzip", MIB)
    assert b"".join(decoder.feed(gzip.compress(b"raw"))) == b"raw"
    assert decoder.unknown == "foo"


def test_sec_31_host_23_five_layers_are_read_six_refused() -> None:
    """The number of codings on one body is bounded."""
    body = b"x" * 100
    for _ in range(5):
        body = gzip.compress(body)
    assert decode(", ".join(["gzip"] * 5), body) == b"x" * 100
    assert kind_of(", ".join(["gzip"] * 6), body) == "decode"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_sec_30_sec_32_host_24_bomb_stops_at_the_limit(coding: str) -> None:
    """A bomb is inflated to the limit plus one piece, in pieces of at most 1 MiB."""
    bomb, seen = CODINGS[coding](bytes(100 * MIB)), [0]
    decoder = Decoder(coding, 16 * MIB)
    with pytest.raises(FetchError, match="larger than 16 MiB") as caught:
        seen.extend(len(piece) for piece in decoder.feed(bomb))
    assert caught.value.kind == "body-too-large"
    assert max(seen) <= MIB
    assert 15 * MIB <= sum(seen) <= 16 * MIB


def test_bomb_between_two_layers_counts_too() -> None:
    """A layer that inflates beyond the limit is refused even if the next one makes little of it."""
    many_empty = gzip.compress(b"") * (MIB // 10)
    assert kind_of("gzip, gzip", gzip.compress(many_empty), limit=MIB) == "body-too-large"


def test_sec_34_empty_members_cost_linear_time() -> None:
    """100,000 empty members in one chunk are read in far less CPU time than their square would take."""
    body = gzip.compress(b"") * 100_000
    before = time.process_time()
    assert decode("gzip", body) == b""
    assert time.process_time() - before < 1.0


def test_sec_34_zstd_frames_are_counted() -> None:
    """A thousand frames are read; more, each costing a decompressor, are refused."""
    assert decode("zstd", zstd.compress(b"x") * 1_000) == b"x" * 1_000
    assert kind_of("zstd", zstd.compress(b"") * 1_001) == "decode"


def test_zstd_window_above_8_mib_is_refused() -> None:
    """A frame that would need more than RFC 9659's window is no zstd for HTTP."""
    options = {int(zstd.CompressionParameter.window_log): 27}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(b"x" * 100) + packer.flush()
    assert kind_of("zstd", packed) == "decode"


@pytest.mark.parametrize(
    ("octets", "words"), [(16 * MIB, "16 MiB"), (4096, "4 KiB"), (1_000_000, "1000000 bytes")]
)
def test_sizes_are_written_for_people(octets: int, words: str) -> None:
    """Sizes read as a person would write them."""
    assert size(octets) == words


@given(body=st.binary(max_size=300), content_type=st.text(max_size=60) | st.none())
def test_text_of_anything_is_text(body: bytes, content_type: str | None) -> None:
    """No body and no Content-Type make decoding to text raise."""
    decode_text(body, content_type).encode("utf-8", "surrogatepass")


HOSTILE = [
    "hex",
    "zlib",
    "rot13",
    "rot_13",
    "idna",
    "punycode",
    "utf-7",
    "unicode_escape",
    "raw_unicode_escape",
    "base64",
    "bz2",
    "uu",
    "mbcs",
    "undefined",
    "utf-32",
    "utf-16",
    "cp037",
    "nonsense",
    "iso-2022-kr",
    "hz-gb-2312",
]


@pytest.mark.parametrize("label", HOSTILE)
@pytest.mark.parametrize("body", [b"caf\xc3\xa9", b"caf\xe9 \xff", b"+ADw-", b"\\x41"])
def test_host_36_hostile_charset_labels_never_raise(label: str, body: bytes) -> None:
    """Python codecs that are no charsets are never used, wherever they are named."""
    meta = f'<meta charset="{label}">'
    named = decode_text(body, f"text/html; charset={label}")
    declared = decode_text(meta.encode() + body, "text/html")
    if body.isascii() and label != "utf-16":  # the one of them that is a charset of the web
        assert named == body.decode()
        assert declared == meta + body.decode()


@pytest.mark.parametrize("label", ["hex", "utf-7", "unicode_escape", "idna", "nonsense"])
def test_host_36_unknown_labels_are_as_if_absent(label: str) -> None:
    """A label outside the WHATWG table leaves the bytes to sniffing."""
    assert decode_text(b"+ADw- caf\xc3\xa9", f"text/html; charset={label}") == "+ADw- café"
    assert decode_text(b"caf\xe9", f"text/html; charset={label}") == "café"


@pytest.mark.parametrize("header", ['charset="shift_jis"', "charset='Shift_JIS'", "charset = sjis ; x=y"])
def test_host_36_header_labels_may_be_quoted(header: str) -> None:
    """Quotes, case and spaces around a label do not matter."""
    assert decode_text("日本".encode("cp932"), f"text/html; {header}") == "日本"


def test_host_36_utf_16_label_means_little_endian() -> None:
    """`utf-16` without a byte order mark is little-endian on the web."""
    assert decode_text("hé".encode("utf-16-le"), "text/html; charset=utf-16") == "hé"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"\xef\xbb\xbf\xc3\xa9", "text/html; charset=iso-8859-1", "é"),
        (b"\xff\xfe\xe9\x00", "text/html; charset=utf-8", "é"),
        (b"\xfe\xff\x00\xe9", None, "é"),
        (b'<meta charset="utf-8">\xe9', "text/html; charset=latin1", '<meta charset="utf-8">é'),
        (b'<meta charset="koi8-r">\xc1', "text/html", '<meta charset="koi8-r">а'),
        (b'<meta charset="x-gbk">\xb0\xa1', None, '<meta charset="x-gbk">啊'),
        (b'<meta charset="iso-8859-8-i">\xe0', None, '<meta charset="iso-8859-8-i">א'),
        (b'<meta charset="utf-16le">\xc3\xa9', None, '<meta charset="utf-16le">é'),
        (b'<?xml version="1.0" encoding="windows-1251"?>\xc0', None, None),
        (b"\xc3\xa9", None, "é"),
        (b"\xe9\x80", None, "é€"),
        (b"a\xffb", "text/html; charset=utf-8", "a\ufffdb"),
        (b"plain", None, "plain"),
        (b"", None, ""),
    ],
)
def test_host_37_mark_beats_header_beats_meta(
    body: bytes, content_type: str | None, text: str | None
) -> None:
    """Byte order mark, header, meta, UTF-8, windows-1252: in this order, as browsers decide."""
    expected = text if text is not None else body[:-1].decode() + "А"
    assert decode_text(body, content_type) == expected


def test_a_charset_inside_a_comment_is_no_declaration() -> None:
    """A commented meta element declares nothing."""
    body = b'<!-- <meta charset="koi8-r"> --><meta charset="utf-8">\xc3\xa9'
    assert decode_text(body, None).endswith("é")
