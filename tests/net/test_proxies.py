"""Proxies: who sees what, which one is taken, and what becomes of those that fail."""

from __future__ import annotations

import base64
import contextlib
import socket
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import FetchError, Limit, Page, Retry, Spider
from scraper.api import Crawl
from scraper.core.models import Proxy
from scraper.errors import SettingsError
from scraper.net.guard import Guard
from scraper.net.proxies import FAILURES, FIRST_REST, LONGEST_REST, Proxies
from scraper.net.wire.errors import PrivateAddress, ProxyFailed, TlsHostname
from scraper.net.wire.wire import Wire
from scraper.testing import Site, simulate
from tests.support.certificates import tls, trusting
from tests.support.hosts import Names, Plain, crawling, everything, header_of, page, pages, path_of, redirect
from tests.support.proxy_server import http_proxy, socks_proxy
from tests.support.raw_server import RawServer, serve
from tests.support.wire_client import kind, wire

SECRET = "pl4nted-s3cret"


def proxy_url(server: RawServer, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{server.port}"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# ------------------------------------------------------------------ what is written


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("http://u:p@h.test:3128", Proxy("http", "h.test", 3128, "u", "p")),
        ("h.test", Proxy("http", "h.test", 80)),
        ("https://h.test", Proxy("https", "h.test", 443)),
        ("SOCKS5://u%40x:p%3A@h.test", Proxy("socks5", "h.test", 1080, "u@x", "p:")),
        ("socks5h://[::1]:9050", Proxy("socks5h", "::1", 9050)),
        ("http://u:p@ss@h.test:80", Proxy("http", "h.test", 80, "u", "p@ss")),
    ],
)
def test_proxies_are_read_as_people_write_them(text: str, parsed: Proxy) -> None:
    """Scheme, port and user may be left out; a user is unquoted."""
    assert Proxy.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["ftp://h.test", f"http://u:{SECRET}@", f"http://u:{SECRET}@h.test/path", f"http://u:{SECRET}@h:x"],
)
def test_sec_58_a_wrong_proxy_is_refused_without_its_password(text: str) -> None:
    """The error names the setting and what is expected, not the secret; neither does a repr."""
    with pytest.raises(SettingsError, match="proxy") as caught:
        Crawl(Plain, db=":memory:", start=["https://a.test/"], settings={"proxy": text})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(Proxy.parse(f"http://u:{SECRET}@h")) + str(Proxy.parse(f"http://u:{SECRET}@h"))


# ------------------------------------------------------------------ which one is taken


def test_proxies_take_turns_and_rest_when_they_fail() -> None:
    """Three failures in a row and one rests, twice as long each time; a success ends the count."""
    two, proxies = (Proxy("http", "one", 1), Proxy("http", "two", 2)), Proxies()
    assert [proxies.pick(two, 0, 0).host for _ in range(4)] == ["one", "two", "one", "two"]
    for _ in range(FAILURES):
        proxies.failed(two[0], 0.0)
    assert {proxies.pick(two, FIRST_REST - 1, 0).host for _ in range(5)} == {"two"}
    assert {proxies.pick(two, FIRST_REST, 0).host for _ in range(5)} == {"one", "two"}
    proxies.failed(two[0], FIRST_REST)
    assert {proxies.pick(two, FIRST_REST * 3 - 1, 0).host for _ in range(5)} == {"two"}
    proxies.worked(two[0])
    proxies.failed(two[0], 100.0)
    assert {proxies.pick(two, 100.0, 0).host for _ in range(5)} == {"one", "two"}
    for _ in range(5_000):
        proxies.failed(two[0], 100.0)
        proxies.failed(two[1], 100.0)
    with pytest.raises(FetchError, match="all 2 proxies failed") as caught:
        proxies.pick(two, 100.0, 1_000.0)
    assert (caught.value.kind, caught.value.retry_at) == ("proxy", 1_000.0 + LONGEST_REST)


async def test_sec_02_sec_05_each_proxy_sees_its_own_credentials_only(tmp_path: Path) -> None:
    """Two proxies in turn, over redirects and a retry: neither sees the other's password, and no site sees any."""
    answers = {"/": redirect("/two"), "/two": page('<a href="/three">x</a>')}
    again: list[str] = []

    class Again(Plain):
        def check(self, page: Page) -> None:
            if page.url.endswith("/three") and not again:
                again.append(page.url)
                raise Retry("once more", after=0)

    async with (
        serve(http_proxy(basic("one:first-pw"))) as one,
        serve(http_proxy(basic("two:second-pw"))) as two,
    ):
        proxies = [proxy_url(one, "one:first-pw@"), proxy_url(two, "two:second-pw@")]
        async with serve(pages(answers)) as a, crawling(tmp_path, private=[f"a.test:{a.port}"]) as crawl:
            settings = {"proxy": proxies, "retries": 1, "robots": True}
            await crawl(Again, start=[a.url(host="a.test")], settings=settings)
    assert len(one.requests) >= 2
    assert len(two.requests) >= 2
    assert {header_of(r, "proxy-authorization") for r in one.requests} == {basic("one:first-pw")}
    assert {header_of(r, "proxy-authorization") for r in two.requests} == {basic("two:second-pw")}
    assert all(header_of(request, "proxy-authorization") for request in one.requests)
    shown = everything(tmp_path)
    assert b"first-pw" not in shown
    assert b"second-pw" not in shown
    assert all(b"Host: a.test:%d" % a.port in request for request in one.requests + two.requests)


async def test_sec_07_the_proxy_is_chosen_again_at_every_hop(tmp_path: Path) -> None:
    """A redirect from a host with one proxy to a host with none, or with another, goes the way of its own."""
    async with contextlib.AsyncExitStack() as servers:
        one, two = [await servers.enter_async_context(serve(http_proxy())) for _ in range(2)]
        c = await servers.enter_async_context(serve(pages()))
        b = await servers.enter_async_context(serve(pages({"/": redirect(c.url("/end", host="c.test"))})))
        a = await servers.enter_async_context(serve(pages({"/": redirect(b.url(host="b.test"))})))
        hosts = [f"{name}:{s.port}" for name, s in (("a.test", a), ("b.test", b), ("c.test", c))]
        limits = {
            "a.test": Limit(rate="none", proxy=proxy_url(one)),
            "b.test": Limit(rate="none", proxy="none"),
            "c.test": Limit(rate="none"),
        }
        crawl = await servers.enter_async_context(crawling(tmp_path, private=hosts))
        settings = {"proxy": proxy_url(two), "limits": limits, "scope": "any"}
        summary = await crawl(Plain, start=[a.url(host="a.test")], settings=settings)
    assert summary.exit_code == 0
    assert [path_of(request) for request in one.requests] == [f"http://a.test:{a.port}/"]
    assert [path_of(request) for request in two.requests] == [f"http://c.test:{c.port}/end"]


async def test_https_goes_through_a_tunnel(tmp_path: Path) -> None:
    """CONNECT carries the proxy's credentials, the request inside only its own; the certificate is the site's."""
    async with serve(http_proxy(basic("me:pw-of-proxy"))) as proxy, serve(pages(), tls("a.test")) as a:
        both = crawling(tmp_path, private=[f"a.test:{a.port}"], verify=trusting())
        async with both as crawl:
            settings = {"proxy": proxy_url(proxy, "me:pw-of-proxy@")}
            summary = await crawl(
                Plain, start=[a.url(host="a.test"), a.url("/2", host="a.test")], settings=settings
            )
    assert summary.exit_code == 0
    assert {request.split(b"\r\n")[0] for request in proxy.requests} == {
        b"CONNECT a.test:%d HTTP/1.1" % a.port
    }
    assert len(a.requests) == 2
    assert all(header_of(request, "proxy-authorization") is None for request in a.requests)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_proxy_spoken_to_over_tls(tmp_path: Path, secure: bool) -> None:
    """An https proxy gets its credentials inside TLS to itself, for sites with and without TLS of their own."""
    over_tls = serve(http_proxy(basic("me:pw-of-proxy")), tls("127.0.0.1"))
    site, both = serve(pages(), tls("a.test") if secure else None), crawling(tmp_path, verify=trusting())
    async with over_tls as proxy, site as a, both as crawl:
        way = f"https://me:pw-of-proxy@127.0.0.1:{proxy.port}"
        summary = await crawl(Plain, start=[a.url(host="a.test")], settings={"proxy": way})
    assert summary.exit_code == 0
    assert len(proxy.requests) == len(a.requests) == 1
    assert proxy.requests[0].startswith(b"CONNECT " if secure else b"GET http://a.test")
    assert header_of(a.requests[0], "proxy-authorization") == (None if secure else basic("me:pw-of-proxy"))


async def test_sec_13_the_certificate_of_a_proxy_counts(tmp_path: Path) -> None:
    """A proxy that cannot show who it is gets neither credentials nor requests."""
    over_tls = serve(http_proxy(), tls("other.test"))
    async with over_tls as proxy, wire(verify=trusting(), resolver=Names()) as transport:
        way = {"proxy": Proxy.parse(f"https://me:pw@127.0.0.1:{proxy.port}")}
        with pytest.raises(ProxyFailed) as caught:
            await transport.handle_async_request(request("http://a.test:1/", way))
    assert caught.value.at_fault
    assert proxy.requests == []


async def test_sec_13_certificates_count_inside_a_tunnel(tmp_path: Path) -> None:
    """A certificate for another host is refused through a proxy as well; nobody rests for it."""
    inside = wire(verify=trusting(), resolver=Names())
    async with serve(http_proxy()) as proxy, serve(pages(), tls("other.test")) as a, inside as transport:
        way = {"proxy": Proxy.parse(proxy_url(proxy))}
        with pytest.raises(TlsHostname, match="mismatch"):
            await transport.handle_async_request(request(a.url(host="a.test"), way))
    assert a.requests == []


def request(url: str, extensions: dict[str, Any]) -> httpx.Request:
    return httpx.Request("GET", url, extensions=extensions)


@pytest.mark.parametrize(("scheme", "named"), [("socks5", "127.0.0.1"), ("socks5h", "a.test")])
async def test_socks_proxies_by_address_and_by_name(tmp_path: Path, scheme: str, named: str) -> None:
    """socks5 is given the address we found, socks5h the name; both their credentials and TLS inside."""
    asked: list[tuple[str, int]] = []
    both = crawling(tmp_path, verify=trusting())  # a start URL is named: the guard lets it be on loopback
    async with serve(socks_proxy(asked)) as proxy, serve(pages(), tls("a.test")) as a, both as crawl:
        settings = {"proxy": f"{scheme}://me:pw@127.0.0.1:{proxy.port}"}
        summary = await crawl(Plain, start=[a.url(host="a.test")], settings=settings)
    assert summary.exit_code == 0
    assert asked == [("me:pw", 0), (named, a.port)]


# ------------------------------------------------------------------ when they fail


def test_a_dead_proxy_is_left_out_of_turn() -> None:
    """With one dead and one alive every page arrives, by retries; nothing is sent around the proxies."""
    tried: list[str] = []

    class Half(Site):
        guarantees = frozenset({"before_send", "proxy"})

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            tried.append(request.extensions["proxy"].host)
            if tried[-1] == "dead":
                raise ProxyFailed("no connection to the proxy", at_fault=True)
            return await super().handle_async_request(request)

    start = [f"https://a.test/{n}" for n in range(40)]
    settings = {"robots": False, "rate": "20/s", "proxy": ["dead:1", "alive:1"], "concurrency": 1}
    done = simulate(Plain, Half(dict.fromkeys(start, "x")), start=start, settings=settings)
    assert done.summary.exit_code == 0
    assert tried.count("alive") == 40
    assert FAILURES <= tried.count("dead") <= FAILURES + 3


@pytest.mark.parametrize("way", ["dead", "407", "502"])
@pytest.mark.parametrize("secure", [False, True])
async def test_what_a_proxy_gets_wrong_is_of_kind_proxy(way: str, secure: bool) -> None:
    """Unreachable or without our credentials it is at fault; when it cannot reach the site it is not."""
    refuse = 0 if way == "dead" else int(way)
    async with (
        serve(http_proxy(refuse=refuse)) as server,
        wire(verify=trusting(), resolver=Names()) as transport,
    ):
        port = free_port() if way == "dead" else server.port
        scheme = "https" if secure else "http"
        asked = request(f"{scheme}://a.test:1/", {"proxy": Proxy("http", "127.0.0.1", port)})
        if way == "502" and not secure:
            response = await transport.handle_async_request(asked)
            await response.aclose()
            assert response.status_code == 502
            return
        with pytest.raises(ProxyFailed) as caught:
            await transport.handle_async_request(asked)
        assert caught.value.kind == "proxy"
        assert caught.value.at_fault == (way != "502")


def test_while_all_proxies_rest_requests_wait_then_fail() -> None:
    """Requests end as `proxy` after their retries, in bounded time, when no proxy ever works."""

    class Dead(Site):
        guarantees = frozenset({"before_send", "proxy"})

        async def handle_async_request(self, request: Any) -> Any:
            raise ProxyFailed("no connection to the proxy", at_fault=True)

    class Asks(Spider[Any]):
        def parse(self, page: Page) -> Any:
            yield {}

    settings = {"robots": False, "proxy": "127.0.0.1:1"}
    done = simulate(Asks, Dead({}), start=[f"https://a{n}.test/" for n in range(5)], settings=settings)
    assert done.summary.counters["failed.proxy"] == 5
    assert done.seconds < LONGEST_REST


def test_a_transport_that_takes_no_proxy_is_not_used_without_one() -> None:
    """A request that should go through a proxy never leaves by a transport that ignores it."""

    class Asks(Spider[Any]):
        def parse(self, page: Page) -> Any:
            yield {}

    site = Site({"https://a.test/": "x"})
    done = simulate(Asks, site, start=["https://a.test/"], settings={"robots": False, "proxy": "127.0.0.1:1"})
    assert done.summary.counters["failed.transport"] == 1
    assert site.hits == []


# ------------------------------------------------------------------ the guard through a proxy


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "[::1]", "169.254.169.254", "nip.test"])
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_sec_22_private_addresses_are_refused_before_the_proxy(host: str, scheme: str) -> None:
    """Literals, and names that our own lookup finds private, are not even asked of a proxy."""
    names = Names(nip_test=["192.168.0.7"])
    async with serve(http_proxy()) as server, wire(guard=Guard(), resolver=names) as transport:
        asked = request(f"http://{host}/", {"proxy": Proxy(scheme, "127.0.0.1", server.port)})
        with pytest.raises(PrivateAddress, match="private network"):
            await transport.handle_async_request(asked)
        assert server.opened == 0


async def test_a_proxy_password_is_needed_again_on_resume(tmp_path: Path) -> None:
    """What is stored of a proxy with a password is that there was one."""

    class Stops(Plain):
        def parse(self, page: Page) -> Any:
            running.stop("enough")
            yield {"url": page.url}

    async with serve(http_proxy()) as proxy, serve(pages()) as a:
        transport = Wire(resolver=Names())
        start = [a.url(f"/{n}", host="a.test") for n in range(9)]
        settings = {
            "rate": "none",
            "robots": False,
            "concurrency": 1,
            "proxy": proxy_url(proxy, f"me:{SECRET}@"),
        }
        db = tmp_path / "a.db"
        running = Crawl(Stops, db=db, start=start, transport=transport, settings=settings)
        await running.run()
        without = {name: value for name, value in settings.items() if name != "proxy"}
        with pytest.raises(SettingsError, match="proxy, which is secret and not stored"):
            await Crawl(Stops, db=db, resume="must", transport=transport, settings=without).run()
        await transport.aclose()
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert '"secrets":["proxy"]' in conn.execute("SELECT options FROM _runs").fetchone()[0]
    assert SECRET.encode() not in everything(tmp_path)


async def test_insecure_hosts_are_exactly_those() -> None:
    """A host exempt from verification does not lend its connection, nor its exemption, to another."""
    async with serve(pages(), tls("nobody.test")) as a:
        insecure = wire(verify=trusting(), resolver=Names(), insecure=[f"old.test:{a.port}"])
        async with insecure as transport:
            for _ in range(2):
                response = await transport.handle_async_request(request(a.url(host="old.test"), {}))
                await response.aread()
            assert await kind(transport, a.url(host="new.test")) == "tls-hostname"
        assert a.opened == 1  # the other one ended with its handshake
    assert [header_of(r, "host") for r in a.requests] == [f"old.test:{a.port}"] * 2
