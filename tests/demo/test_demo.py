"""The demo: its shop is the same everywhere, and a crawl of it shows every rule being kept."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT

from scraper import Summary, UsageError
from scraper.demo import DemoCrawl, DemoServer
from scraper.demo.shop import SITES, Pages
from scraper.events import Event, PageDone

#: Home, listings and products; a page for every fifth product; listings, products, one behind a redirect.
SHOP, REVIEWS, PARTNER = 1 + 6 * 3 + 6 * 30, 180 // 5, 3 + 24 + 1
FAST = {"rate": "1000/s", "concurrency": 16}


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as conn:
        return conn.execute(sql).fetchall()


def items(db: Path) -> list[list[tuple[Any, ...]]]:
    return [
        rows(db, "SELECT sku, name, category, price, stock, seller FROM product ORDER BY sku"),
        rows(db, "SELECT sku, author, stars, text FROM review ORDER BY sku, author"),
    ]


async def crawled(db: Path) -> tuple[Summary, DemoServer]:
    server = DemoServer(slow=0.02)
    crawl = DemoCrawl(server, db=db, settings=FAST, seed=0)
    return await asyncio.wait_for(crawl.run(), 60), server


@dataclass(frozen=True)
class Crawled:
    """One crawl of the demo: its database, its summary, and the server with its log."""

    db: Path
    summary: Summary
    server: DemoServer


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    """A crawl that several tests look at."""
    db = tmp_path_factory.mktemp("demo") / "demo.db"
    return Crawled(db, *asyncio.run(crawled(db)))


# ------------------------------------------------------------------------------------------- the crawl


def test_the_selectors_of_the_shop_are_named_with_their_lines(once: Crawled) -> None:
    """A selector stands in the demo's own spider, not in what calls it."""
    found = rows(once.db, "SELECT place, call FROM _selectors WHERE selector = 'a.reviews'")
    assert found
    for place, call in found:
        assert Path(place.rpartition(":")[0]).parts[-2:] == ("demo", "spider.py")
        assert call == "follow"


def test_a_crawl_of_the_shop_gets_exactly_what_is_there(once: Crawled) -> None:
    """Every page is parsed, every item stored, and what is missing is counted."""
    assert (once.summary.exit_code, once.summary.pages) == (0, SHOP + REVIEWS + PARTNER)
    assert once.summary.items == {"product": {"new": 205}, "review": {"new": 127}}
    assert rows(
        once.db, "SELECT seller, count(*), sum(stock) FROM product GROUP BY seller ORDER BY seller"
    ) == [
        ("Lantern & Fern", 180, 3527),
        ("Second Chance", 25, 25),
    ]
    assert rows(once.db, "SELECT printf('%.2f', sum(price)) FROM product") == [("11284.85",)]
    assert rows(once.db, "SELECT sum(stars) FROM review") == [(405,)]
    assert [(p.kind, p.status, p.count) for p in once.summary.problems] == [("http", 404, 3)]


def test_each_page_is_requested_once(once: Crawled) -> None:
    """The server is asked for each page once, but for the one that said 429, and counts what we count."""
    asked = Counter((hit.site, hit.path) for hit in once.server.hits)
    assert {what: times for what, times in asked.items() if times > 1} == {("partner", "/"): 2}
    missing, redirect, busy, robots = 3, 1, 1, 3
    sends = once.summary.pages + missing + redirect + busy + robots
    assert len(once.server.hits) == once.summary.sends == sends


def test_what_robots_txt_forbids_is_not_requested(once: Crawled) -> None:
    """The six links below /private/ are found, skipped, and never sent."""
    assert not [hit for hit in once.server.hits if hit.path.startswith("/private/")]
    skipped = rows(once.db, "SELECT kind, count(*) FROM requests WHERE state = 'skipped' GROUP BY kind")
    assert skipped == [("robots", 6)]


def test_the_redirect_is_followed(once: Crawled) -> None:
    """The item behind a redirect is stored, with the URL it was found at."""
    assert [hit.status for hit in once.server.hits if hit.path == "/offer"] == [302]
    ((url,),) = rows(once.db, "SELECT _url FROM product WHERE sku = '2ND-LAM-05'")
    assert url == f"http://{once.server.netlocs[2]}/product/2nd-lam-05"


def test_retry_after_is_obeyed(once: Crawled) -> None:
    """After a 429 with Retry-After: 1 the site hears nothing for a second, while the others are crawled."""
    refused, again = [hit for hit in once.server.hits if (hit.site, hit.path) == ("partner", "/")]
    assert (refused.status, again.status) == (429, 200)
    assert again.at - refused.at >= 1 - 0.005
    between = {hit.site for hit in once.server.hits if refused.at < hit.at < again.at}
    hosts = {netloc.partition(":")[0] for netloc in once.server.netlocs}
    assert between == ({"shop", "reviews"} if len(hosts) == len(SITES) else set())


def test_a_second_crawl_finds_the_same(once: Crawled) -> None:
    """Crawled again into the same database, at other ports, nothing is new and nothing has changed."""
    before = items(once.db)
    summary, _ = asyncio.run(crawled(once.db))
    assert summary.items == {"product": {"same": 205}, "review": {"same": 127}}
    assert items(once.db) == before


def test_a_stopped_crawl_goes_on_with_the_command_it_names(once: Crawled, tmp_path: Path) -> None:
    """`scraper resume` opens the shop again where the run knows it, and ends with the same items."""
    pages = 0

    def stopping(event: Event) -> None:
        nonlocal pages
        pages += isinstance(event, PageDone)
        if pages == 50:
            crawl.stop()

    crawl = DemoCrawl(DemoServer(slow=0.02), db=tmp_path / "demo.db", settings=FAST, observers=[stopping])
    summary = asyncio.run(asyncio.wait_for(crawl.run(), 60))
    assert (summary.exit_code, summary.state) == (130, "stopped")
    done = scraper("resume", "demo.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert items(tmp_path / "demo.db") == items(once.db)


# ------------------------------------------------------------------------------------------- the sites


def test_the_pages_depend_on_nothing_but_their_address() -> None:
    """Asked twice, and of another object, a page is the same; an unknown one is a 404."""
    bases = {site: f"http://{site}.example" for site in SITES}
    one, other = Pages(bases), Pages(bases)
    for path in ("/", "/lamps", "/lamps?page=3", "/product/lam-01", "/robots.txt"):
        assert one.answer("shop", path) == other.answer("shop", path)
        assert one.answer("shop", path).status == 200
    assert one.answer("shop", "/lamps?page=4").status == one.answer("reviews", "/robots.txt").status == 404


async def test_the_server_keeps_connections_and_the_rules_of_http() -> None:
    """Answers on one connection stay apart: HEAD has no body, other methods are refused, noise ends it."""
    async with DemoServer() as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(server.start)
            head = await client.head(server.start)
            assert head.headers["content-length"] == str(len(page.content))
            assert (head.content, (await client.delete(server.start)).status_code) == (b"", 405)
        host, _, port = server.netlocs[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"what?\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_closing_gives_the_ports_back_and_a_new_server_can_have_them() -> None:
    """A server opens where another one was, once it is closed; before, the address is taken."""
    async with DemoServer() as first:
        with pytest.raises(UsageError, match="cannot be served"):
            DemoServer(first.netlocs)
    second = DemoServer(first.netlocs)
    second.close()
    assert second.netlocs == first.netlocs


# ------------------------------------------------------------------------------------------- the command


def scraper(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "scraper", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_ends_with_a_table(tmp_path: Path) -> None:
    """`scraper demo` exits 0; stdout is the answer to the query it shows, and asking again gives the same."""
    done = scraper("demo", "--db", "shop.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    assert len(told) <= 8
    header, line, *answer = done.stdout.splitlines()
    assert header.split() == ["name", "price", "stars", "reviews"]
    assert (set(line), len(answer)) == (set("─ "), 8)
    ((question,),) = [part.split('"')[1:2] for part in told if part.startswith("$ scraper query shop.db ")]
    assert scraper("query", "shop.db", question, cwd=tmp_path).stdout == done.stdout


def test_the_command_leaves_other_databases_alone(tmp_path: Path) -> None:
    """A database with another spider's crawls is refused before anything is served or stored."""
    db = tmp_path / "demo.db"
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("CREATE TABLE _runs (target TEXT)")
        conn.execute("INSERT INTO _runs VALUES ('spiders/demo.py')")
    done = scraper("demo", "--db", "demo.db", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "✗ demo.db holds crawls of spiders/demo.py; choose another file: scraper demo --db FILE\n"
    )
