"""What a server may make us spend: memory, CPU, lines of log, and requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # ships no annotations
import httpx
import pytest
from conftest import ROOT

from scraper import Page, Request, Spider
from scraper.errors import SettingsError
from scraper.net.robots import LARGE, Robots
from scraper.settings import Settings
from scraper.spider.scope import check_url
from scraper.testing import Answer, Site, simulate
from tests.support.raw_server import answering, ok, serve

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
FREE = {"robots": False, "rate": None, "max_failed": 1.0}


def reference(rounds: int = 3_000_000) -> float:
    """CPU seconds of a plain loop: how fast this machine is."""
    begun = time.process_time()
    for _ in range(rounds):
        pass
    return time.process_time() - begun


# -------------------------------------------------------------------------------- SEC-30: bombs, by number

FETCH = """
import asyncio, json, sys, time
import httpx
from scraper.net.downloader import Downloader, Limits
from scraper.errors import FetchError
from scraper.net.wire.wire import Wire
from tests.support.peak_memory import highest, restart

async def main():
    async def permit(): pass
    wire = Wire()
    fetcher = Downloader({"": wire})
    await fetcher.fetch(httpx.Request("GET", sys.argv[2]), permit=permit)
    before, begun, kind = restart(), time.process_time(), ""
    try:
        await fetcher.fetch(httpx.Request("GET", sys.argv[1]), permit=permit, limits=Limits(60, 16 << 20, 16 << 20))
    except FetchError as error:
        kind = error.kind
    cpu, grown = time.process_time() - begun, highest() - before
    await wire.aclose()
    print(json.dumps([kind, cpu, grown / 1024]))

asyncio.run(main())
"""


def gigabytes(wbits: int, count: int = 9_500) -> bytes:
    """`count` MiB of zeros as deflate blocks that were packed once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    start = {31: b"\x1f\x8b\x08\0\0\0\0\0\0\xff", 15: b"\x78\x9c", -15: b""}[wbits]
    return start + block * count


def brotli_bomb() -> bytes:
    packer = brotli.Compressor(quality=1)
    return b"".join(packer.process(bytes(MIB)) for _ in range(100)) + packer.finish()


BOMBS = {
    "gzip": lambda: gigabytes(31),
    "deflate": lambda: gigabytes(15),
    "zstd": lambda: zstd.compress(bytes(16 * MIB)) * 640,
    "br": brotli_bomb,
}


@pytest.mark.parametrize("coding", BOMBS)
async def test_sec_30_a_bomb_of_gigabytes_costs_its_limit(coding: str) -> None:
    """9 GB behind 10 MB on the wire end at 16 MiB: less than 48 MiB of memory, and little CPU."""
    bomb = BOMBS[coding]()
    assert len(bomb) <= 10 * MIB
    async with serve(answering(ok(b"x"), ok(bomb, f"Content-Encoding: {coding}"))) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            FETCH,
            server.url("/bomb"),
            server.url("/"),
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        kind, cpu, grown = json.loads((await process.communicate())[0])
    assert kind == "body-too-large"
    assert grown < 48
    assert cpu < 20 * reference()


# ------------------------------------------------------------------------------ SEC-33: bodies of redirects


class Endless(httpx.AsyncByteStream):
    """A body without end that counts what is taken of it."""

    taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            Endless.taken += 1
            yield bytes(65_536)


class Redirecting(Site):
    """`/r` redirects to `/t`, with an endless body."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/r":
            await request.extensions["before_send"]()
            return httpx.Response(
                302, headers={"Location": "/t", "Content-Encoding": "gzip"}, stream=Endless()
            )
        return await super().handle_async_request(request)


def test_sec_33_no_byte_of_a_redirect_is_read() -> None:
    """Neither for a page nor for `page.fetch` is anything of a redirect's body taken."""

    async def parse(self, page: Page):
        inner = await page.fetch("/r")
        yield {"url": page.url, "inner": inner.url}

    spider = type("Tested", (Spider,), {"start_urls": ["https://a.test/r"], "name": "t", "parse": parse})
    done = simulate(spider, Redirecting(lambda request: "x"), settings=FREE)
    (row,) = done.tables["t"]
    assert (row["url"], row["inner"]) == ("https://a.test/t", "https://a.test/t")
    assert Endless.taken == 0


# ------------------------------------------------------------------------------------- SEC-35: tiny chunks


@pytest.mark.soak
async def test_sec_35_a_million_chunks_of_one_byte() -> None:
    """A million one-byte chunks arrive whole in 5 s of CPU at most, and of a hundred other tasks 99 come in time."""
    from scraper.net.downloader import Downloader
    from scraper.net.wire.wire import Wire

    async def permit() -> None:
        return None

    async def others() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - due)

    late: list[float] = []
    transport = Wire()
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n"
    )
    async with serve(answering(answer)) as server:
        other, begun = asyncio.create_task(others()), time.process_time()
        reply = await Downloader({"": transport}).fetch(httpx.Request("GET", server.url()), permit=permit)
        other.cancel()
        await transport.aclose()
    assert reply.body == b"x" * 1_000_000
    assert time.process_time() - begun < 5.0
    assert sorted(late)[int(0.99 * len(late))] < 0.1


# --------------------------------------------------------------------------------- SEC-40: rules of robots


async def test_sec_40_a_large_robots_txt_is_parsed_beside_the_loop() -> None:
    """While 500 KiB of rules are parsed other tasks run."""
    text = "User-agent: *\n" + "".join(f"Disallow: /x{i}\n" for i in range(25_000))
    assert len(text) > LARGE
    turns, robots = 0, Robots(time.time)

    async def fetch(url: str) -> tuple[int, str]:
        return 200, text

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    rules = await robots.rules("https://a.test:443", fetch)
    assert not rules.is_parsed
    await robots.prepare(rules, "bot")
    other.cancel()
    assert rules.is_parsed
    assert turns > 3
    assert not rules.allows("https://a.test/x24999", "bot")


@pytest.mark.parametrize(
    "rules",
    [
        "Disallow: /" + "*a" * 200 + "\n",
        "Disallow: /" + "*" * 1_000 + "a\n",
        "Disallow: /*a*a*a*a*a*a*b$\n" * 500,
    ],
    ids=["many stars", "stars in a row", "many rules"],
)
async def test_sec_40_wildcards_do_not_explode(rules: str) -> None:
    """Rules full of wildcards cost no more than some plain loops, for a path that nearly matches them."""

    async def fetch(url: str) -> tuple[int, str]:
        return 200, "User-agent: *\n" + rules

    found = await Robots(time.time).rules("https://a.test:443", fetch)
    begun = time.process_time()
    found.allows("https://a.test/" + "a" * 2_000, "bot")
    assert time.process_time() - begun < 5 * reference()


# ------------------------------------------------------------------------------- SEC-54: a second line

LINES = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\0b"]


@pytest.mark.parametrize("text", LINES)
@pytest.mark.parametrize("setting", ["user_agent", "contact", "headers"])
def test_sec_54_settings_take_no_second_line(setting: str, text: str) -> None:
    """A line break or NUL in a header of the settings is refused before anything is sent."""
    with pytest.raises(SettingsError):
        Settings.of(("class", {setting: {"X-A": text} if setting == "headers" else text}))


@pytest.mark.parametrize("text", LINES)
async def test_sec_54_a_request_with_a_second_line_is_not_sent(text: str, tmp_path: Path) -> None:
    """Such a header on a request, a cookie among them, ends that request; the server sees none of it."""
    from scraper import crawl

    class Smuggles(Spider):
        rate = None
        robots = False

        def parse(self, page: Page):
            yield Request(page.url + "1", headers={"X-A": text})
            yield Request(page.url + "2", headers={"Cookie": f"a={text}"})

    async with serve(answering(ok(b"x"))) as server:
        summary = await crawl(Smuggles, db=tmp_path / "a.db", start=[server.url("/")])
    assert len(server.requests) == 1
    assert not any(b"Evil" in request for request in server.requests)
    assert summary.counters["failed"] == 2


def test_sec_54_line_breaks_in_a_url_are_dropped_as_browsers_do() -> None:
    """Tabs and line breaks vanish from a URL, a NUL and blanks are encoded; none is left to be sent."""
    url, _ = check_url("https://a.test/x\r\ny\tz\0a \n", 2_083)
    assert url == "https://a.test/xyz%00a"


# ------------------------------------------------------------------------------------- SEC-60: entities

LAUGHS = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
)
ENTITIES = {
    "billion laughs": LAUGHS + "]><r><p>&a9;</p></r>",
    "quadratic": '<!DOCTYPE r [<!ENTITY a "' + "x" * 50_000 + '">]><r><p>' + "&a;" * 500 + "</p></r>",
    "sitemap": '<!DOCTYPE urlset [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "'
    + "x" * 50_000
    + '">]><urlset>'
    + "<url><loc>https://a.test/p?&a;&b;</loc></url>" * 500
    + "<url><loc>https://a.test/end</loc></url></urlset>",
    "external": '<!DOCTYPE r [<!ENTITY a SYSTEM "https://b.test/x"><!ENTITY b SYSTEM "file:///etc/passwd">]><r><p>&a;&b;</p></r>',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ENTITIES)
def test_sec_60_entities_are_neither_expanded_nor_fetched(name: str, packed: bool) -> None:
    """An XML page's own entities, a sitemap's as well, stay what they are: nothing grows, no file or host is read."""

    def parse(self, page: Page):
        yield {"text": page.text("p, urlset", "")}
        yield [page.request(url) for url in dict.fromkeys(page.texts("loc"))]

    spider = type("Tested", (Spider,), {"start_urls": ["https://a.test/"], "name": "t", "parse": parse})
    body = gzip.compress(ENTITIES[name].encode()) if packed else ENTITIES[name]
    headers = {"Content-Type": "application/xml", **({"Content-Encoding": "gzip"} if packed else {})}
    pages = {"https://a.test/": Answer(body, headers=headers), "https://a.test/end": "the last"}
    done = simulate(spider, Site(pages), settings=FREE)
    row = done.tables["t"][0]
    assert len(row["text"]) <= len(ENTITIES[name])
    assert "root:" not in row["text"]
    followed = [hit.url for hit in done.hits][1:]
    assert [url.partition("?")[0] for url in followed] == ["https://a.test/p", "https://a.test/end"] * (
        name == "sitemap"
    )
    assert all(len(url) < 100 for url in followed)
