"""Host and path as browsers read them (WHATWG URL standard): vectors made from its rules, section by section."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.urls import (
    IDENTITY_VERSION,
    canonical,
    domain_of,
    fingerprint,
    fingerprint_of_version,
    is_rooted,
    join,
    normalize,
    split,
)
from scraper.errors import FetchError
from scraper.spider.scope import check_url

BASE = "https://shop.example/a/b?c#d"

#: What a link on BASE means: host and path (and query) as section 4.4 of the standard parses it.
JOINED = [
    # --- relative, scheme-relative, absolute
    ("", "shop.example", "/a/b?c"),
    ("x", "shop.example", "/a/x"),
    ("/x", "shop.example", "/x"),
    ("?x", "shop.example", "/a/b?x"),
    ("#x", "shop.example", "/a/b?c"),
    ("//other.example/x", "other.example", "/x"),
    ("///other.example/x", "other.example", "/x"),
    ("/\\other.example/x", "other.example", "/x"),
    ("\\\\other.example\\x", "other.example", "/x"),
    ("\\x", "shop.example", "/x"),
    ("https:x", "shop.example", "/a/x"),
    ("https:/x", "shop.example", "/x"),
    ("http:other.example", "other.example", "/"),
    ("HTTP://Other.Example/X", "other.example", "/X"),
    ("http:\\\\other.example\\x", "other.example", "/x"),
    ("http:////other.example/x", "other.example", "/x"),
    # --- what surrounds a link, and what is dropped from inside it
    (" \t\n x \r\n ", "shop.example", "/a/x"),
    ("x\ny", "shop.example", "/a/xy"),
    ("ht\ntps://other.example/", "other.example", "/"),
    ("\x00x", "shop.example", "/a/x"),
    # --- dot segments
    (".", "shop.example", "/a/"),
    ("..", "shop.example", "/"),
    ("../../../x", "shop.example", "/x"),
    ("./x/./y/../z", "shop.example", "/a/x/z"),
    ("%2e%2E/x", "shop.example", "/x"),
    (".%2e/x", "shop.example", "/x"),
    ("%2e/x", "shop.example", "/a/x"),
    ("x/..", "shop.example", "/a/"),
    ("x//y", "shop.example", "/a/x//y"),
    ("..\\x", "shop.example", "/x"),
    # --- percent-encoding: of what is not ASCII and of few others; never twice, never undone
    ("/é", "shop.example", "/%C3%A9"),
    ("/x y", "shop.example", "/x%20y"),
    ("/%zz%", "shop.example", "/%zz%"),
    ("/%41", "shop.example", "/%41"),
    ("/%2F", "shop.example", "/%2F"),
    ("/<>\"`{}", "shop.example", "/%3C%3E%22%60%7B%7D"),
    ("/|^[]", "shop.example", "/|%5E[]"),
    ("/?a b\"<>'", "shop.example", "/?a%20b%22%3C%3E%27"),
    ("/?é=ü", "shop.example", "/?%C3%A9=%C3%BC"),
    ("/x;y=1,2", "shop.example", "/x;y=1,2"),
    # --- hosts: IDNA, case, dots, percent
    ("http://BÜCHER.example/", "xn--bcher-kva.example", "/"),
    ("http://bu\u0308cher.example/", "xn--bcher-kva.example", "/"),
    ("http://straße.example/", "xn--strae-oqa.example", "/"),
    ("http://ex\u00adample.com/", "example.com", "/"),
    ("http://example\u3002com/", "example.com", "/"),
    ("http://\uff47\uff4f.example/", "go.example", "/"),
    ("http://ex%61mple.com/", "example.com", "/"),
    ("http://example.com./", "example.com", "/"),
    ("http://a_b.example/", "a_b.example", "/"),
    # --- hosts: IPv4 in every way of writing, IPv6
    ("http://127.1/", "127.0.0.1", "/"),
    ("http://2130706433/", "127.0.0.1", "/"),
    ("http://0x7f.1/", "127.0.0.1", "/"),
    ("http://0177.0.0.1/", "127.0.0.1", "/"),
    ("http://0x7F000001/", "127.0.0.1", "/"),
    ("http://127.0.0.1./", "127.0.0.1", "/"),
    ("http://\uff11\uff12\uff17.0.0.1/", "127.0.0.1", "/"),
    ("http://1.2.3/", "1.2.0.3", "/"),
    ("http://[::1]/", "::1", "/"),
    ("http://[0:0:0:0:0:0:0:1]/", "::1", "/"),
    ("http://[::ffff:127.0.0.1]/", "::ffff:7f00:1", "/"),
    ("http://[2001:DB8::A]/", "2001:db8::a", "/"),
    # --- credentials and ports are no part of the host
    ("http://user:pw@other.example/", "other.example", "/"),
    ("http://shop.example@other.example/", "other.example", "/"),
    ("http://a@b@other.example/", "other.example", "/"),
    ("http://other.example:80/", "other.example", "/"),
    ("http://other.example:/", "other.example", "/"),
    ("http://other.example:00080/", "other.example", "/"),
]  # fmt: skip

REFUSED = [
    "http://", "http:///", "http://[", "http://[::1", "http://a b/", "http://a<b/", "http://a^b/", "http://a|b/", "http://%/",
    "http://%00/", "http://a%2Fb/", "http://a:b/", "http://a:65536/", "http://256.0.0.1/", "http://1.2.3.4.5/", "http://0x100000000/",
    "http://[::g]/", "http://[1:2]/", "http://a:80:80/", "http://\u00ad/",
]  # fmt: skip


@pytest.mark.parametrize(("link", "host", "rest"), JOINED)
def test_host_29_host_49_links_mean_what_browsers_take_them_for(link: str, host: str, rest: str) -> None:
    """Host, path and query of a link are those of the WHATWG URL standard."""
    parts = split(join(BASE, link))
    assert (parts.host, parts.path + (f"?{parts.query}" if parts.query else "")) == (host, rest)


def test_host_29_the_short_way_to_join_is_the_long_one() -> None:
    """What is only put behind the origin is what a browser makes of it: every pair of octets, every run of odd ones."""
    octets = [chr(number) for number in range(256)]
    tails = [*map("".join, product(octets, repeat=2)), *map("".join, product("/.?%2e\\#:", repeat=4))]
    rooted = [tail for tail in (f"/{tail}" for tail in tails) if is_rooted(tail)]
    assert len(rooted) > 5_000
    for link in (*rooted, "/a/b.html?c=d&e=%20f/.."):
        assert join.__wrapped__(BASE, link) == "https://shop.example" + link


@pytest.mark.parametrize("url", REFUSED)
def test_host_49_what_browsers_refuse_is_refused(url: str) -> None:
    """What the standard calls a failure is no URL here either."""
    with pytest.raises(FetchError) as caught:
        check_url(url, 2_083)
    assert caught.value.kind == "bad-url"


#: Ways to write one page: one key for the queue, one for politeness.
SAME = [
    "http://shop.example/p", "HTTP://SHOP.EXAMPLE/p", "http://shop.example:80/p", "http://shop.example/./p", "http://shop.example/x/../p",
    "http://shop.example/p#fragment", " http://shop.example/p\n", "http:\\\\shop.example\\p", "http://sh%6fp.example/p",
]  # fmt: skip


@pytest.mark.parametrize("url", SAME)
def test_host_49_one_page_has_one_key(url: str) -> None:
    """Case, default port, dots and fragments make neither another page nor another host."""
    normal, parts = check_url(url, 2_083)
    assert fingerprint(normal) == fingerprint("http://shop.example/p")
    assert domain_of(parts.host) == "shop.example"


@pytest.mark.parametrize(
    "host",
    [
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "bücher.example.",
        "bu\u0308cher.EXAMPLE",
        "www.bücher.example",
    ],
)
def test_host_49_one_domain_has_one_key(host: str) -> None:
    """However a host is written, it waits for the same turn."""
    assert domain_of(split(normalize(f"http://{host}/")).host) == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "url", ["http://user@a.test/", "http://user:pw@a.test/", "http://:pw@a.test/", "http://a.test@b.test/"]
)
def test_host_49_credentials_in_a_url_are_refused(url: str) -> None:
    """A URL with user or password is not fetched, and its password not repeated in the error."""
    with pytest.raises(FetchError, match="credentials") as caught:
        check_url(url, 2_083)
    assert "pw" not in str(caught.value)


LONG = [
    "http://" + "@" * 65_536 + "/", "http://" + "%" * 65_536 + "/", "http://" + "ß" * 65_536 + ".example/", "http://" + "a." * 32_768 + "example/",
    "http://a.example/" + "%" * 65_536, "http://a.example/" + "../" * 20_000, "http://a.example/?" + "&" * 65_536, "http://[" + ":" * 65_536,
    "http://" + "xn--" * 16_384 + ".example/", "http://a.example:" + "0" * 65_536 + "/",
]  # fmt: skip


@pytest.mark.parametrize("url", LONG, ids=range(len(LONG)))
def test_sec_38_long_urls_are_refused_at_once(url: str) -> None:
    """64 KB of anything are refused, or cut to nothing, in no more time than a hundred thousand sums take."""
    begun = time.process_time()
    for _ in range(100_000):
        sum((1, 2, 3))
    reference = time.process_time() - begun
    begun = time.process_time()
    with pytest.raises(FetchError) as caught:
        check_url(url, 2_083)
    assert time.process_time() - begun < 10 * reference
    assert caught.value.kind == "bad-url"
    assert len(str(caught.value)) < 1_000


def test_sec_38_a_long_host_is_refused_before_it_is_looked_up() -> None:
    """A host of more than 253 characters is no URL, short as the whole may be."""
    with pytest.raises(FetchError, match="a host longer than 253 characters"):
        check_url("http://" + "a." * 126 + "example/", 2_083)


# ------------------------------------------------------------------------------------------- identity (W8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/%7Ea", "/~a"),
        ("/%7ea?%7eb=%41", "/~a?~b=A"),
        ("/a%2fb", "/a%2Fb"),
        ("/%c3%a9", "/%C3%A9"),
        ("/?q=%d0%bf&a", "/?a&q=%D0%BF"),
        ("/%2D%2E%5F%7E%30%39%41%5A%61%7A", "/-._~09AZaz"),
        ("/?%73id=1", "/?sid=1"),
    ],
)
def test_spellings_of_a_percent_encoding_are_one_url(one: str, other: str) -> None:
    """Unreserved characters decoded, hex digits upper-cased, in path and query (W8; RFC 3986 section 6.2.2)."""
    host = "https://a.test"
    assert fingerprint(host + one) == fingerprint(host + other)
    assert canonical(canonical(host + one)) == canonical(host + one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/%2F", "/"),
        ("/a%2Fb", "/a/b"),
        ("/?a%26b", "/?a&b"),
        ("/%25%37%45", "/%7E"),
        ("/%257E", "/~"),
        ("/%7C", "/|"),
        ("/%%61b", "/%ab"),
        ("/%a%62", "/%ab"),
        ("/a+b", "/a%20b"),
    ],
)
def test_what_a_percent_encoding_keeps_apart_stays_apart(one: str, other: str) -> None:
    """Reserved characters are not decoded, and nothing is decoded twice (W8)."""
    assert fingerprint(f"https://a.test{one}") != fingerprint(f"https://a.test{other}")


@given(st.text("%2357EFefaAbz/?&=~", max_size=12))
def test_the_canonical_form_is_its_own(text: str) -> None:
    """However percent signs and hex digits meet (W8)."""
    url = canonical(normalize(f"https://a.test/{text}"))
    assert canonical(url) == url


def test_the_first_identity_is_kept_for_runs_that_have_it() -> None:
    """Version 1 took every spelling for a URL of its own; both agree on URLs that have none (W8)."""
    first, now = fingerprint_of_version(1), fingerprint_of_version(IDENTITY_VERSION)
    assert first("https://a.test/%7Ea") != first("https://a.test/~a")
    assert first("https://a.test/~a?b&a") == now("https://a.test/%7Ea?a&b")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "'http://' is not a URL: it names no host"),
        ("https:///", "'https:///' is not a URL: it names no host"),
        ("http://[", "'http://[' is not a URL: its host or port is not valid"),
        ("http://a.test:99999/", "'http://a.test:99999/' is not a URL: its host or port is not valid"),
        ("mailto:x@a.test", "'mailto:x@a.test' is not a URL of a web page: it begins with neither http:// nor https://"),
        ("a.test/x", "'a.test/x' is not a URL; write it with its scheme, like https://a.test/x"),
        ("localhost:8000", "'localhost:8000' is not a URL; write it with its scheme, like https://localhost:8000"),
        ("//a.test", "'//a.test' is not a URL; write it with its scheme, like https://a.test"),
        ("/x", "'/x' is not a URL, only a path; write it with its host, like https://example.com/x"),
        ("", "'' is not a URL; write it in full, like https://example.com/"),
    ],
)  # fmt: skip
def test_what_is_not_a_url_is_told_with_advice_that_helps(url: str, said: str) -> None:
    """The advice is never a scheme before a scheme (W16)."""
    with pytest.raises(FetchError) as caught:
        check_url(url, 2083)
    assert (caught.value.kind, str(caught.value)) == ("bad-url", said)


def test_a_url_with_three_slashes_is_what_browsers_make_of_it() -> None:
    """`http:///x` names the host x (W16; WHATWG URL standard, 4.4)."""
    assert check_url("http:///x", 2083)[0] == "http://x/"
