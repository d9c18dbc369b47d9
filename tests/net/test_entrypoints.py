"""The address guard and the rules of schemes lie below every way in: no page, redirect or file gets around them."""

from __future__ import annotations

import ast
import contextlib
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from conftest import Source

from scraper import FetchError, Page, Request, Spider
from tests.support.certificates import PAST, tls, trusting
from tests.support.hosts import HTML, Names, crawling, pages, path_of, redirect
from tests.support.raw_server import Client, ok, serve

#: How a page, or the server behind it, can make a crawl ask for a URL.
WAYS = [
    "link", "canonical", "meta refresh", "redirect", "redirect of a link", "robots redirect", "fetch", "fetch redirect",
    "download", "download redirect", "retry",
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd",
    "ftp://a.test/",
    "data:text/html,x",
    "javascript:alert(1)",
    "blob:x",
    "gopher://a.test/",
    "s3://b/k",
]


class Obeys(Spider[Any]):
    """Does with `target` what its page asks for, in one way."""

    way: str
    target: str

    async def parse(self, page: Page) -> Any:
        yield {"url": page.url}
        if page.url.partition("?")[0].count("/") > 3 and page.url.rpartition("/")[2]:
            return
        yield page.follow_all("a")
        yield page.follow_all("link[rel=canonical]")
        for refresh in page.attrs("meta[http-equiv=refresh]", "content"):
            yield page.request(refresh.partition("url=")[2])
        for link in (self.target, "/go"):
            if self.way.startswith(("fetch", "download")) and ("redirect" in self.way) == (link == "/go"):
                ask = page.fetch if self.way.startswith("fetch") else page.download
                await ask(Request(link))
        if self.way == "retry":
            # Twice, as an address that was refused might be asked for again.
            for _ in range(2):
                try:
                    await page.fetch(self.target)
                except FetchError as error:
                    yield {"url": error.kind}

    def failed(self, error: FetchError) -> Any:
        yield {"url": error.kind}


def site(way: str, target: str) -> dict[str, bytes]:
    """The answers of a server that wants `target` fetched in this way."""
    to = redirect(target)
    start = {
        "link": f'<a href="{target}">x</a>',
        "canonical": f'<link rel=canonical href="{target}">',
        "meta refresh": f'<meta http-equiv=refresh content="0; url={target}">',
        "redirect of a link": "<a href=/go>x</a>",
    }.get(way, "")
    answers = {"/": ok(start.encode(), HTML), "/go": to}
    if way == "redirect":
        answers["/"] = to
    if way == "robots redirect":
        answers["/robots.txt"] = to
    return answers


async def ask(folder: Path, way: str, target: str, names: Names | None = None) -> list[bytes]:
    """Crawl a site that wants `target` in this way; the requests that its own server saw."""
    async with serve(pages(site(way, target))) as a, crawling(folder, names=names) as crawl:
        settings = {"scope": "any", "robots": way == "robots redirect"}
        await crawl(
            Obeys, start=[a.url(host="a.test")], arguments={"way": way, "target": target}, settings=settings
        )
        return a.requests


@pytest.mark.parametrize("way", WAYS)
async def test_sec_21_sec_22_no_way_leads_to_a_private_address(tmp_path: Path, way: str) -> None:
    """However it is asked for, a private server that nobody named gets no TCP connection: by literal and by name."""
    async with serve(pages()) as inside:
        names = Names(nip_test=["127.0.0.1"], rebind_test=["93.184.216.34", "127.0.0.1"])
        hosts = ("127.0.0.1", "nip.test", "rebind.test", "[::ffff:7f00:1]", "localhost")
        for number, host in enumerate(hosts):
            (tmp_path / str(number)).mkdir()
            seen = await ask(tmp_path / str(number), way, inside.url("/in", host=host), names)
            assert seen, "the crawl did not even start"
            if "redirect" in way or way == "redirect":
                assert any(path_of(request) in ("/go", "/", "/robots.txt") for request in seen)
        assert inside.opened == 0


@pytest.mark.parametrize("way", WAYS)
async def test_sec_20_sec_21_no_way_opens_another_scheme(tmp_path: Path, way: str) -> None:
    """file:, ftp:, data:, javascript:, blob:, gopher: and s3: end as refused: no file is opened, nothing is sent."""
    opened: list[str] = []
    watching = [True]

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and "passwd" in str(arguments[0]):
            opened.append(str(arguments[0]))

    sys.addaudithook(audit)
    for number, target in enumerate(SCHEMES):
        (tmp_path / str(number)).mkdir()
        for request in await ask(tmp_path / str(number), way, target):
            assert path_of(request) in ("/", "/go", "/robots.txt"), request
    watching.clear()
    assert opened == []


@pytest.mark.parametrize(
    ("location", "ends_at"),
    [
        (b"/\xc3\xa4?\xff", "/%C3%A4?%FF"),
        (b"/a b", "/a%20b"),
        (b"\\x", "/x"),
        (b"  /trim  ", "/trim"),
        (b"?q", "/?q"),
        (b"#f", None),
        (b"http://[", None),
        (b"http://exa mple/", None),
        (b"http:///", None),
        (b"//", None),
        (b"http://xn--\x80/", None),
        (b"http://" + b"a" * 300 + b"/", None),
        (b"http://1.2.3.4.5.6/", None),
        (b"https://user:pw@a.test/", None),
    ],
)
async def test_host_26_host_29_odd_locations(tmp_path: Path, location: bytes, ends_at: str | None) -> None:
    """A Location is read as browsers read it; what they would not follow ends as an error of its kind."""
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    async with serve(pages({"/": answer})) as a, crawling(tmp_path) as crawl:
        summary = await crawl(Obeys, start=[a.url(host="a.test")], arguments={"way": "", "target": ""})
    paths = [path_of(request) for request in a.requests]
    assert paths == (["/"] if ends_at is None else ["/", ends_at])
    if ends_at is None:
        kinds = {name for name in summary.counters if name.startswith("failed.")}
        assert kinds <= {
            "failed.bad-redirect",
            "failed.bad-url",
            "failed.unsupported-scheme",
            "failed.too-many-redirects",
            "failed.dns",
            "failed.private-address",
            "failed.connect",
        }
        assert len(kinds) == 1 or summary.counters.get("skipped")


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTP://A.TEST:{port}/p",
        "http://a.test.:{port}/p",
        "http://a.test:{port}/x/../p",
        "http://a.test:{port}/p#f",
        "http://A。test:{port}/p",
    ],
)
async def test_host_49_one_page_has_one_key(tmp_path: Path, spelling: str) -> None:
    """Upper case, dots and fragments do not make another page, nor another domain."""
    async with serve(pages()) as a, crawling(tmp_path) as crawl:
        start = [a.url("/p", host="a.test"), spelling.format(port=a.port)]
        summary = await crawl(Obeys, start=start, arguments={"way": "", "target": ""})
    assert [path_of(request) for request in a.requests][:1] == ["/p"]
    if "test." not in spelling:  # a final dot is another name to some servers: the same domain, another URL
        assert len(a.requests) == 1
    assert summary.exit_code == 0


async def test_host_27_the_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    """200 MB behind a Location are not taken from the server, whichever way it was reached."""

    async def handler(client: Client) -> None:
        while request := await client.request():
            if path_of(request) != "/go":
                await client.send(ok(b"<a href=/go>x</a>" if path_of(request) == "/" else b"", HTML))
                continue
            await client.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 200000000\r\n\r\n")
            while await client.send(b"x" * 65_536):
                continue

    for way in ("redirect of a link", "fetch redirect", "download redirect"):
        (tmp_path / way).mkdir()
        async with serve(handler) as a, crawling(tmp_path / way) as crawl:
            await crawl(Obeys, start=[a.url(host="a.test")], arguments={"way": way, "target": ""})
            assert "/end" in [path_of(request) for request in a.requests]
            assert a.sent < 20_000_000


async def test_sec_09_an_https_site_is_never_asked_in_clear_text(tmp_path: Path) -> None:
    """Relative, scheme-relative and rooted links, redirects, robots.txt, fetches and retries keep https by themselves."""

    class Every(Spider[Any]):
        async def parse(self, page: Page) -> Any:
            yield {"url": page.url}
            yield page.follow_all("a")
            if page.url.endswith("/"):
                await page.fetch("/fetched")
                await page.download("file")

        def failed(self, error: FetchError) -> Any:
            yield {"url": error.kind}

    async with serve(pages(), tls("a.test")) as a, crawling(tmp_path, verify=trusting()) as crawl:
        links = f'<a href="//a.test:{a.port}/2">x</a><a href=/3>x</a><a href=4>x</a><a href=/go>x</a><a href=?5>x</a>'
        a._handler = pages({"/": ok(links.encode(), HTML), "/go": redirect(f"//a.test:{a.port}/6")})
        await crawl(Every, start=[a.url(host="a.test")], settings={"robots": True, "retries": 1})
    paths = ["/", "/2", "/3", "/4", "/6", "/?5", "/fetched", "/file", "/go", "/robots.txt"]
    assert sorted(path_of(request) for request in a.requests) == paths
    with contextlib.closing(sqlite3.connect(tmp_path / "crawl.db")) as conn:
        sent = [
            url
            for (url,) in conn.execute(
                "SELECT url FROM _requests UNION ALL SELECT url FROM _sends WHERE url <> ''"
            )
        ]
    assert len(sent) >= 7
    assert {url.partition(":")[0] for url in sent} == {"https"}


async def test_sec_09_sec_13_host_48_bad_tls_ends_at_once_with_its_kind(tmp_path: Path) -> None:
    """Expired, self-signed, another's, and no TLS at all: each has its kind, is tried once, and never in clear text."""
    over = {"not_before": PAST, "not_after": PAST + timedelta(days=1)}
    heard: list[bytes] = []

    async def in_clear(client: Client) -> None:
        heard.append(await client._reader.read(65_536))
        await client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with contextlib.AsyncExitStack() as servers:
        contexts = [tls("a.test", **over), tls("a.test", authority=trustme.CA()), tls("other.test")]
        bad = [await servers.enter_async_context(serve(pages(), context)) for context in contexts]
        none = await servers.enter_async_context(serve(in_clear))
        starts = [server.url(host="a.test", scheme="https") for server in (*bad, none)]
        crawl = await servers.enter_async_context(crawling(tmp_path, verify=trusting()))
        await crawl(Obeys, start=starts, arguments={"way": "", "target": ""}, settings={"retries": 3})
    with contextlib.closing(sqlite3.connect(tmp_path / "crawl.db")) as conn:
        ended = dict(conn.execute("SELECT url, kind || ' ' || attempts FROM _requests"))
    kinds = ["tls-expired", "tls-untrusted", "tls-hostname", "tls"]
    assert [ended[url] for url in starts] == [f"{kind} 0" for kind in kinds]
    assert [server.requests for server in bad] == [[], [], []]
    assert len(heard) == 1
    assert heard[0].startswith(b"\x16\x03")


def test_sec_21_everything_that_is_sent_passes_one_place(package: list[Source]) -> None:
    """A transport is called by the downloader alone, the downloader by the traveller alone: there is no other way."""
    callers: dict[str, set[str]] = {"handle_async_request": set(), "fetch": set()}
    for source in package:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, owner = node.func.attr, ast.unparse(node.func.value)
            if name == "handle_async_request" and owner != "super()":
                callers[name].add(source.name)
            if name == "fetch" and "downloader" in owner:
                callers[name].add(source.name)
    # a saved page is replayed by a transport that puts itself before another one
    transports = {"scraper.net.downloader", "scraper.testing.replay"}
    assert callers == {"handle_async_request": transports, "fetch": {"scraper.engine.sending"}}
