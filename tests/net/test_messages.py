"""Requests and headers made the short way are what httpx makes of the same parts."""

from __future__ import annotations

import ada_url
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scraper.core.messages import host_of
from scraper.core.models import Options
from scraper.core.urls import Parts, normalize, split, split_plain
from scraper.errors import FetchError
from scraper.net.messages import Template, answer_of, content_type_of, url_header_of
from scraper.net.request_headers import Outgoing
from scraper.spider.scope import check_url

HEADERS = httpx.Headers({"User-Agent": "scraper", "Accept": "text/html", "X-Key": "geheim"})
PLAIN = httpx.Headers({"User-Agent": "scraper"})
ORIGINS = ("https://a.test", "http://127.0.0.1:8080", "http://[::1]:81", "https://xn--bcher-kva.test:8443")
PIECES = [*"abz09-._~!$&'()*+,;=:@/?%|[]{}^`\"<> \\é", "%20", "%2f", "/.", "//", "/..", "?", "'"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def as_sent(request: httpx.Request) -> tuple[object, ...]:
    url = request.url
    return (
        request.method, url, str(url), url.raw_path, url.path, url.query, url.host, url.port, url.netloc,
        request.headers.raw, request.headers.encoding, request.extensions, request.read(), type(request.stream),
    )  # fmt: skip


@given(st.sampled_from(ORIGINS), TEXT)
@example(ORIGINS[0], "?")
@example(ORIGINS[0], ".well-known/x")
@example(ORIGINS[1], "a/..b?c='d'")
def test_a_request_from_a_template_is_what_httpx_makes(origin: str, target: str) -> None:
    url = normalize(f"{origin}/{target}")
    made = Template("GET", origin, HEADERS).request(url, {"named": True})
    if made is not None:
        assert as_sent(made) == as_sent(
            httpx.Request("GET", url, headers=HEADERS, extensions={"named": True})
        )


@pytest.mark.parametrize(
    "url", ["/", "/a/b.html", "/a.b/c", "/p?id=7&q=a+b", "/d%C3%A9j%C3%A0?v=%2F", "/a;b=1/(c)"]
)
def test_ordinary_urls_take_the_short_way(url: str) -> None:
    assert Template("GET", "https://a.test", HEADERS).request(f"https://a.test{url}", {}) is not None


@pytest.mark.parametrize(
    "url", ["//b.test/x", "/a/../b", "/.hidden", "/a b", "/a?", "/é", "/a#b", "/%zz", ""]
)
def test_what_httpx_would_write_differently_is_left_to_it(url: str) -> None:
    assert Template("GET", "https://a.test", HEADERS).request(f"https://a.test{url}", {}) is None


def test_requests_of_one_template_share_nothing_that_is_changed() -> None:
    template = Template("GET", "https://a.test", HEADERS)
    one, other = template.request("https://a.test/1", {}), template.request("https://a.test/2", {})
    assert one is not None
    assert other is not None
    one.headers["Cookie"] = "a=1"
    one.extensions["proxy"] = "p"
    assert "cookie" not in other.headers
    assert not other.extensions
    third = template.request("https://a.test/1", {})
    assert third is not None
    assert third.headers.raw == other.headers.raw


@pytest.mark.parametrize(
    ("options", "own", "sent"),
    [
        (Options(), True, {"x-key": "geheim"}),
        (Options(), False, {"x-key": None}),
        (Options(method="POST", body=b"abc"), True, {"content-length": "3", "x-key": "geheim"}),
        (Options(method="POST"), True, {"content-length": "0"}),
        (Options(headers=(("X-Key", "other"), ("Accept", "a/b"))), True, {"x-key": "other", "accept": "a/b"}),
    ],
)
def test_headers_go_where_they_belong(options: Options, own: bool, sent: dict[str, str | None]) -> None:
    request = Outgoing(HEADERS, PLAIN).request("https://a.test/x?y=1", options, own=own, named=False)
    assert {name: request.headers.get(name) for name in sent} == sent
    assert request.method == options.method
    assert request.read() == options.body
    assert request.extensions == {"named": False}


def received(raw: list[tuple[bytes, bytes]]) -> httpx.Headers:
    fields = [(name, name.lower(), value) for name, value in raw]
    return answer_of(200, fields, httpx.ByteStream(b""), {}).headers


@given(st.lists(st.tuples(st.sampled_from([b"A", b"b-C", b"Set-Cookie"]), st.binary(max_size=9))))
def test_headers_from_the_wire_are_what_httpx_makes(raw: list[tuple[bytes, bytes]]) -> None:
    made, theirs = received(raw), httpx.Headers(raw)
    assert made == theirs
    assert (made.raw, made.multi_items(), made.encoding) == (
        theirs.raw,
        theirs.multi_items(),
        theirs.encoding,
    )


@given(st.lists(st.tuples(st.sampled_from([b"Content-Type", b"content-type", b"x"]), st.binary(max_size=9))))
def test_the_content_type_is_what_httpx_finds(raw: list[tuple[bytes, bytes]]) -> None:
    headers = received(raw)
    assert content_type_of(headers) == headers.get("content-type", "")


@given(
    st.sampled_from(
        [
            *ORIGINS,
            "http://a.test:80",
            "https://user:pw@b.test",
            "http://A.test",
            "http://a.test.",
            "http://127.1",
        ]
    ),
    TEXT,
)
def test_a_url_is_cut_as_its_parser_cuts_it(origin: str, target: str) -> None:
    url = normalize(f"{origin}/{target}")
    plain = split_plain(f"{origin}/{target}")
    assert plain is None or (plain == split(url) and url == f"{origin}/{target}")
    parsed = ada_url.URL(url)
    assert split(url) == Parts(
        parsed.protocol[:-1],
        parsed.hostname.strip("[]").rstrip("."),
        int(parsed.port or {"http:": 80, "https:": 443}[parsed.protocol]),
        parsed.pathname,
        parsed.search[1:],
    )


@pytest.mark.parametrize(
    "url", ["https://a.test/", "http://127.0.0.1:8080/p/1.html?a=b&c=d", "http://[::1]/x"]
)
def test_ordinary_links_are_cut_without_a_parser(url: str) -> None:
    assert split_plain(url) == split(url)


#: Hosts as they stand in a link, from every corner of the URL standard: IDN, emoji, deviation characters, numbers.
HOSTS = [
    "a.test", "A.Test", "a.test.", "a_b.test", "-a-.test", "a--b.test", "a~b.test", "a!$&'()*+,;=b.test", 'a"b`{}.test',
    "bücher.test", "BÜCHER.test", "xn--bcher-kva.test", "faß.de", "βόλος.com", "نامه‌ای.com", "☃.test", "xn--n3h.test",
    "i❤.test", "👩‍💻.test", "xn--1ug6825plhas9r.test", "😀.😀", "日本語。test", "ａ.test", "ﬁ.test", "xn--a.test", "xn--",
    "xn--zca.test", "xn--a-ecp.test", "a..b", ".test", "%41.test", "%E2%98%83.test", "1.2.3.4", "0x7f.1", "0177.0.0.1",
    "4294967295", "1.2.3.4.", "[::1]", "[::ffff:1.2.3.4]", "256.1.1.1", "1.2.3.4.5", "a b.test", "a<b.test", "a%zz.test",
    "a\u00adb.test", "\u00ad", "a" * 64 + ".test", "٣.test", "א1.test", "1א.test", "a\u200db.test", "ǆ.test",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/x?q=1", "/a/../b c"])
def test_every_host_is_requested_or_refused_in_our_own_words(host: str, path: str) -> None:
    """What browsers take for a host gets a request with that very name; what they do not is a `bad-url` (W16)."""
    link = f"http://{host}:81{path}"
    if not is_url(link):
        with pytest.raises(FetchError, match="is not a URL") as caught:
            check_url(link, 2083)
        assert caught.value.kind == "bad-url"
        return
    url, parts = check_url(link, 2083)
    request = Outgoing(HEADERS, PLAIN).request(url, Options(), own=True, named=False)
    sent = request.url.raw_host.decode("ascii")
    assert sent.rstrip(".") == parts.host
    assert request.url.netloc.decode("ascii") == url.split("/")[2]
    assert request.headers["Host"] == url.split("/")[2]
    assert str(request.url).split("/")[2] == url.split("/")[2]


def is_url(link: str) -> bool:
    """Whether browsers take it for one."""
    try:
        return bool(normalize(link))
    except ValueError:
        return False


def test_a_request_for_an_emoji_is_like_any_other() -> None:
    """With headers, a body and a Host of its own, where httpx has no Unicode for the name (W16)."""
    options = Options(method="POST", body=b"x", headers=(("Host", "other.test"), ("X-A", "1")))
    request = Outgoing(HEADERS, PLAIN).request("http://xn--n3h.test/a", options, own=True, named=False)
    assert (request.headers["Host"], request.headers["X-A"], request.read()) == ("other.test", "1", b"x")
    assert (str(request.url), host_of(request.url)) == ("http://xn--n3h.test/a", "xn--n3h.test")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"0; url=/s?q=\xd0\xbf", "0; url=/s?q=%D0%BF"),
        (b"0; url=/s?q=\xef\xf0", "0; url=/s?q=%EF%F0"),
        (b"/plain%2f?x=1", "/plain%2f?x=1"),
        (b"", ""),
    ],
)
def test_a_header_that_holds_a_url_keeps_its_octets(sent: bytes, read: str) -> None:
    """Octets above ASCII are quoted as they came, in Location and in Refresh alike (W25)."""
    headers = httpx.Headers([(b"X-A", b"1"), (b"Refresh", sent), (b"Refresh", b"/second")])
    assert url_header_of(headers, b"refresh") == read
    assert url_header_of(headers, b"location") == ""
