from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.models import Cookie
from scraper.core.urls import is_public_suffix, split
from scraper.net.cookies import MAX_HEADER, Jar, parse_set_cookie

NOW = 1_767_225_600.0


def sent(jar: Jar, url: str, now: float = NOW) -> str:
    return jar.header(split(url), now)


def after(url: str, *lines: str, jar: Jar | None = None) -> Jar:
    jar = jar or Jar()
    jar.learn(split(url), lines, NOW)
    return jar


# ------------------------------------------------------------------ which requests take a cookie along


def test_a_cookie_without_domain_is_for_its_host_alone() -> None:
    """Host-only cookies go to that host: not to one below it, beside it or above it."""
    jar = after("https://www.shop.com/", "a=1")
    assert sent(jar, "https://www.shop.com/x") == "a=1"
    assert not sent(jar, "https://shop.com/")
    assert not sent(jar, "https://a.www.shop.com/")
    assert not sent(jar, "https://www.shop.com.evil.net/")


def test_a_cookie_with_domain_goes_to_what_is_below_it() -> None:
    """Domain=shop.com, with or without a dot, is for shop.com and all hosts below."""
    for domain in ("shop.com", ".shop.com", "SHOP.com"):
        jar = after("https://www.shop.com/", f"a=1; Domain={domain}")
        assert sent(jar, "https://shop.com/") == sent(jar, "https://api.shop.com/") == "a=1"
        assert not sent(jar, "https://notshop.com/")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.victim.co.uk", ".co.uk"),
        ("www.victim.co.uk", "co.uk"),
        ("me.github.io", ".github.io"),
        ("shop.com", ".com"),
        ("shop.com", "com"),
        ("shop.com", "other.com"),
        ("shop.com", "www.shop.com"),
        ("127.0.0.1", "0.0.1"),
        ("a.b", "b"),
    ],
)
def test_sec_04_a_cookie_for_others_is_refused(host: str, domain: str) -> None:
    """A Domain that is a public suffix, or not above the host that sets it, sets nothing."""
    assert len(after(f"https://{host}/", f"a=1; Domain={domain}")) == 0


def test_sec_04_a_public_suffix_may_keep_its_own_cookie() -> None:
    """A host that is a suffix itself gets its cookie back, and nobody below it does."""
    jar = after("https://github.io/", "a=1; Domain=github.io")
    assert sent(jar, "https://github.io/") == "a=1"
    assert not sent(jar, "https://me.github.io/")


def test_paths_hold_what_is_below_them() -> None:
    """A path matches itself and folders below; without one it is the folder of the URL."""
    jar = after("https://a.test/shop/list?q", "d=1", "e=2; Path=/shop", "f=3; Path=x")
    assert sent(jar, "https://a.test/shop/") == "d=1; e=2; f=3"
    assert sent(jar, "https://a.test/shop") == "d=1; e=2; f=3"
    assert not sent(jar, "https://a.test/shopping")


def test_secure_cookies_never_leave_in_clear_text() -> None:
    """Secure is for https, may be set by https alone, and is not overwritten from http."""
    jar = after("https://a.test/", "a=1; Secure")
    assert sent(jar, "https://a.test/") == "a=1"
    assert not sent(jar, "http://a.test/")
    after("http://a.test/", "a=evil", "b=2; Secure", jar=jar)
    assert sent(jar, "https://a.test/") == "a=1"


@pytest.mark.parametrize(
    "line",
    [
        "__Secure-a=1",
        "__Host-a=1; Secure",
        "__Host-a=1; Secure; Path=/x",
        "__Host-a=1; Secure; Path=/; Domain=a.test",
        "__host-a=1; Path=/",
        "=__Host-a=1; Secure; Path=/",
        "__Secure-a; Secure",
    ],
)
def test_prefixes_that_are_not_kept_are_refused(line: str) -> None:
    """__Secure- needs Secure; __Host- also Path=/ and no Domain; a nameless cookie cannot forge them."""
    assert len(after("https://a.test/", line)) == 0
    assert len(after("https://a.test/", "__Host-a=1; Secure; Path=/", "__Secure-b=1; Secure")) == 2


@pytest.mark.parametrize(
    ("attributes", "lasts"),
    [
        ("Max-Age=60", 60),
        ("Max-Age=0", 0),
        ("Max-Age=-5", 0),
        ("Max-Age=1_0; Expires=Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Expires=Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Expires=Thu, 01-Jan-26 00:01:00 GMT; Max-Age=30", 30),
        ("Expires=Wed, 31 Dec 2025 23:59:59 GMT", -1),
        ("Expires=garbage", None),
        ("Expires=Thu, 32 Jan 2026 00:00:00 GMT", None),
        ("Max-Age=99999999999999999999999", 400 * 86_400),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", 400 * 86_400),
        ("", None),
    ],
)
def test_cookies_end_when_they_say(attributes: str, lasts: float | None) -> None:
    """Max-Age counts before Expires, nothing lasts longer than 400 days, what is no time is none."""
    cookie = parse_set_cookie(f"a=1; {attributes}", split("https://a.test/"), NOW)
    assert cookie is not None
    if lasts is None:
        assert cookie.expires is None
    elif lasts <= 0:
        assert cookie.expires is not None
        assert cookie.expires <= NOW
    else:
        assert cookie.expires == NOW + lasts
        jar = after("https://a.test/", f"a=1; {attributes}")
        assert sent(jar, "https://a.test/", NOW + lasts - 1) == "a=1"
        assert not sent(jar, "https://a.test/", NOW + lasts)


def test_a_cookie_is_replaced_and_deleted_by_its_name_domain_and_path() -> None:
    """The same cookie again takes the place of the old one, a time in the past deletes it; both are changes."""
    jar, page = Jar(), split("https://a.test/")
    (first,) = jar.learn(page, ["a=1"], NOW)
    assert (first.name, first.value) == ("a", "1")
    assert jar.learn(page, ["a=1"], NOW) == []
    assert [c.value for c in jar.learn(page, ["a=2"], NOW)] == ["2"]
    assert [c.value for c in jar.learn(page, ["a=; Max-Age=0"], NOW)] == [None]
    assert len(jar) == 0


def test_order_is_longer_paths_first_then_older_cookies() -> None:
    """The order of RFC 6265bis section 5.8.3, kept when a cookie is renewed."""
    jar = after("https://a.test/x/y", "b=1; Path=/", "a=2; Path=/", "c=3; Path=/x")
    after("https://a.test/x/y", "b=9; Path=/", jar=jar)
    assert sent(jar, "https://a.test/x/y") == "c=3; b=9; a=2"


@pytest.mark.parametrize("line", ["", "=", ";", "a=b\0c", "a=b\x7f", f"a={'x' * 5_000}"])
def test_lines_that_set_nothing(line: str) -> None:
    """Empty lines, control characters and cookies over 4 KiB are ignored."""
    assert len(after("https://a.test/", line)) == 0


# ------------------------------------------------------------------ limits


def test_sec_11_host_30_a_cookie_bomb_is_bounded() -> None:
    """1,500 cookies leave 50 of the site; the header stays within 8 KiB; what is in use stays."""
    jar = after("https://shop.com/", "session=keep; Domain=shop.com")
    for number in range(1_500):
        sent(jar, "https://shop.com/")
        after("https://evil.shop.com/", f"c{number}={'x' * 3_000}; Domain=shop.com", jar=jar)
    assert len(jar) == 50
    header = sent(jar, "https://shop.com/")
    assert len(header) <= MAX_HEADER
    assert header.startswith("session=keep")


def test_sec_11_all_cookies_are_bounded() -> None:
    """100,000 names on 5,000 sites leave 3,000 cookies; those of sites seen longest ago go, and are reported."""
    jar, deleted, known = Jar(), 0, 0
    for site in range(5_000):
        changes = jar.learn(split(f"https://s{site}.com/"), [f"c{n}=1" for n in range(20)], NOW)
        deleted += sum(change.value is None for change in changes)
        known += sum(change.value is not None for change in changes)
    assert len(jar) == 3_000
    assert known - deleted == 3_000
    assert not sent(jar, "https://s0.com/")
    assert sent(jar, "https://s4999.com/")


def test_one_answer_sets_two_hundred_cookies_at_most() -> None:
    """Lines beyond are not even read."""
    jar = Jar()
    assert len(jar.learn(split("https://a.test/"), (f"c{n % 300}=1" for n in range(100_000)), NOW)) <= 201


# ------------------------------------------------------------------ from settings, and stored


def test_cookies_from_settings_stay_with_their_origin() -> None:
    """A cookie given to an origin goes to that scheme, host and port, on every path."""
    jar = Jar()
    jar.put("https://shop.com", {"a": "b"})
    assert sent(jar, "https://shop.com/deep/x") == "a=b"
    for other in ("http://shop.com/", "https://shop.com:8443/", "https://www.shop.com/", "https://b.com/"):
        assert not sent(jar, other)


def test_sec_10_restored_cookies_are_what_they_were() -> None:
    """Host-only, Secure, path and expiry survive; what the settings gave is older than what was stored."""
    url = "https://www.shop.com/a/b"
    lines = ["h=1", "s=2; Secure; Path=/a", "d=3; Domain=shop.com; Max-Age=50"]
    jar = after(url, *lines)
    again = Jar()
    again.put("https://www.shop.com", {"x": "given"})
    again.restore(list(jar), NOW)
    for other in (
        url,
        "http://www.shop.com/a/b",
        "https://shop.com/",
        "https://www.shop.com/",
        "https://x.www.shop.com/a/",
    ):
        expected = sent(jar, other)
        assert sent(again, other).replace("; x=given", "").replace("x=given", "") == expected, other
    assert not sent(again, "https://shop.com/", NOW + 50)


def test_a_repr_does_not_show_the_value() -> None:
    """A cookie in a log or a traceback is masked."""
    assert "s3cret" not in repr(Cookie("a", "s3cret", "a.test"))


def test_text_goes_back_as_the_octets_that_came() -> None:
    """A value above ASCII is kept octet by octet."""
    assert sent(after("https://a.test/", "a=\xe9\xff"), "https://a.test/") == "a=\xe9\xff"


HOSTS = [
    "a.com",
    "www.a.com",
    "b.com",
    "x.co.uk",
    "y.co.uk",
    "co.uk",
    "me.github.io",
    "127.0.0.1",
    "localhost",
]


@given(
    st.sampled_from(HOSTS),
    st.sampled_from(HOSTS),
    st.text(alphabet='ab=;, .\t"_-/HostSecureDomainPath', max_size=60),
    st.sampled_from(["", "; Domain=co.uk", "; Domain=.a.com", "; Domain=com", "; Secure", "; Path=/x"]),
)
def test_sec_03_no_line_reaches_another_site(one: str, other: str, text: str, attributes: str) -> None:
    """Whatever a host sends, a host of another registrable domain never gets it."""
    jar = after(f"https://{one}/p/q", text + attributes)
    if sent(jar, f"https://{other}/p/q"):
        assert one == other or (
            not is_public_suffix(other)
            and (
                one.endswith(f".{other}")
                or other.endswith(f".{one}")
                or {one, other} == {"a.com", "www.a.com"}
            )
        )
