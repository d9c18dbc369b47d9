"""Crawls that may open few files: `ulimit -n` set for their process, soft and hard (W2)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT

from tests.support.raw_server import Client, Handler, ok, serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
os.execv(sys.executable, [sys.executable, "-m", "scraper", *sys.argv[3:]])
"""
SPIDER = """
from scraper import Page, Spider

class Wide(Spider):
    start_urls = {starts!r}
    robots = False
    rate = None
    concurrency = 64

    def parse(self, page: Page):
        yield {{"url": page.url}}
"""


async def scraper(folder: Path, soft: int, hard: int, *words: str) -> tuple[int, str]:
    """What a command prints on both streams, and its exit code, under limits of open files."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIMITED, str(soft), str(hard), *words,
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


def project(folder: Path, starts: Sequence[str]) -> None:
    (folder / "scraper.toml").touch()
    (folder / "wide.py").write_text(SPIDER.format(starts=list(starts)))


async def done(folder: Path) -> tuple[int, int]:
    """How many requests are done in the database, and how many tries they took beyond the first."""
    question = "SELECT count(*), total(attempts) FROM _requests WHERE state = 1"
    _, told = await scraper(folder, 500, 500, "query", "data/wide.db", question, "--csv")
    count, tries = told.splitlines()[-1].split(",")
    return int(count), int(float(tries))


async def keeping(client: Client) -> None:
    """Answer, and keep the connection for as long as the client does."""
    while await client.request():
        if not await client.send(ok(b"x", "Content-Type: text/html")):
            return


def together(least: int, total: int) -> Handler:
    """Answers no request before `least` of them wait, or the last ones of `total` do."""
    waiting: list[asyncio.Event] = []
    asked = 0

    async def handler(client: Client) -> None:
        nonlocal asked
        while await client.request():
            asked += 1
            waiting.append(answered := asyncio.Event())
            if len(waiting) >= least or asked >= total:
                for event in waiting:
                    event.set()
                waiting.clear()
            await answered.wait()
            if not await client.send(ok(b"x", "Content-Type: text/html")):
                return

    return handler


async def test_many_hosts_that_keep_their_connections(tmp_path: Path) -> None:
    """300 hosts with keep-alive under 64 descriptors are all crawled; idle connections make room for new ones."""
    async with serve(keeping, hosts=["0.0.0.0"]) as server:
        project(tmp_path, [server.url(host=f"127.1.{n // 250}.{n % 250 + 1}") for n in range(300)])
        code, told = await scraper(tmp_path, 64, 64, "crawl", "wide.py")
    assert (code, await done(tmp_path)) == (0, (300, 0))
    assert told.count("ulimit -n") == 1


async def test_one_host_with_many_slow_pages(tmp_path: Path) -> None:
    """Pages of which more are wanted at once than descriptors allow are all crawled, with fewer at once."""
    async with serve(together(12, 60)) as server:
        project(tmp_path, [server.url(f"/{n}") for n in range(60)])
        code, told = await scraper(tmp_path, 48, 48, "crawl", "wide.py")
        assert 12 <= server.opened < 48
    assert (code, await done(tmp_path)) == (0, (60, 0))
    assert "instead of 64: ulimit -n is 48" in told


async def test_the_soft_limit_is_no_limit_where_the_hard_one_is_larger(tmp_path: Path) -> None:
    """A crawl takes all the descriptors it may have, so nothing has to be said."""
    async with serve(together(50, 60)) as server:
        project(tmp_path, [server.url(f"/{n}") for n in range(60)])
        code, told = await scraper(tmp_path, 32, 400, "crawl", "wide.py")
    assert (code, await done(tmp_path)) == (0, (60, 0))
    assert "ulimit" not in told


async def test_too_few_to_begin_is_one_sentence_and_resume_works(tmp_path: Path) -> None:
    """Where not even the database can be opened, exit code 6 and ulimit -n; with more of them resume does the rest."""
    async with serve(keeping) as server:
        project(tmp_path, [server.url(f"/{n}") for n in range(20)])
        code, told = await scraper(tmp_path, 200, 200, "crawl", "wide.py", "--max-pages", "5")
        assert code == 0
        (tmp_path / "data" / "wide.db").unlink()
        code, told = await scraper(tmp_path, 9, 9, "crawl", "wide.py")
        assert (code, told.count("ulimit -n is 9"), told.count("\n")) == (6, 1, 1)
        assert "permission" not in told
        code, told = await scraper(tmp_path, 200, 200, "crawl", "wide.py")
        assert (code, await done(tmp_path)) == (0, (20, 0))


async def test_workers_share_what_is_said(tmp_path: Path) -> None:
    """Two workers under few descriptors crawl everything, and one sentence says what the limit is."""
    async with serve(keeping, hosts=["0.0.0.0"]) as server:
        project(tmp_path, [server.url(host=f"127.1.0.{n + 1}") for n in range(100)])
        code, told = await scraper(tmp_path, 64, 64, "crawl", "wide.py", "--workers", "2")
    assert (code, await done(tmp_path)) == (0, (100, 0))
    assert told.count("ulimit -n") == 1


async def test_doctor_says_what_the_limit_allows(tmp_path: Path) -> None:
    """The limit, what a crawl makes of it, the connections it has room for, and what to type where it is low."""
    project(tmp_path, [])
    _, told = await scraper(tmp_path, 100, 1000, "doctor")
    (line,) = [line for line in told.splitlines() if "open files" in line]
    assert line.startswith("  open files        100 (a crawl takes 1000: 8")
    _, told = await scraper(tmp_path, 100, 100, "doctor")
    assert "✗ open files        100 (a crawl takes 100: " in told
    assert "→ ulimit -n 4096" in told


@pytest.mark.parametrize(
    ("limit", "connections", "in_flight"),
    [
        (64, "32 connections", "32 instead of 64: ulimit -n is 64\n"),
        (36, "4 connections", "4 instead of 64: ulimit -n is 36; raise it: ulimit -n 4096\n"),
        (20, "1 connection", "1 instead of 64: ulimit -n is 20; raise it: ulimit -n 4096\n"),
    ],
)
async def test_doctor_and_a_crawl_agree(tmp_path: Path, limit: int, connections: str, in_flight: str) -> None:
    """Doctor names as many connections as the crawl then has; where they are few the crawl says what to type."""
    async with serve(keeping) as server:
        project(tmp_path, [server.url(f"/{n}") for n in range(4)])
        _, told = await scraper(tmp_path, limit, limit, "doctor")
        assert f"(a crawl takes {limit}: {connections} at once)" in told
        code, told = await scraper(tmp_path, limit, limit, "crawl", "wide.py")
    assert (code, f"in_flight is {in_flight}" in told) == (0, True)


async def test_a_worker_that_cannot_be_started_ends_the_crawl_resumable(tmp_path: Path) -> None:
    """Where no process can be started the crawl ends with code 6, says why, and a resume does all of it."""
    async with serve(keeping) as server:
        project(tmp_path, [server.url(f"/{n}") for n in range(20)])
        code = """
import os, sys
from scraper.cli import main
def fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = fork
sys.argv[1:] = ["crawl", "wide.py", "--workers", "2"]
main()
"""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            told = (await process.communicate())[0].decode()
        assert process.returncode == 6, told
        assert "worker 1 cannot be started: no further thread or process" in told
        found, _ = await scraper(tmp_path, 200, 200, "resume", "wide")
        assert (found, await done(tmp_path)) == (0, (20, 0))
