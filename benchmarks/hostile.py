"""The whole hostile web beside twenty good hosts: what the hostile ones cost the good ones.

    python -m benchmarks.hostile [--rate 10/s]

The good hosts are crawled alone, then together with every hostile endpoint (`tests/support/hostile_web.py`), each time in a
process of its own; the servers run in another. Printed are pages, wall time, the time until the last good page,
peak memory, and how late a task that ticks every 5 ms came.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scraper import Crawl, Page, Spider
from scraper.events import Event, PageDone
from scraper.net.guard import Guard
from scraper.net.wire.wire import Wire
from tests.support.hostile_web import ENDPOINTS, MAX_BODY, MAX_DECODED, hostile_web

__all__ = ["Measured", "measure"]

HOSTS, PAGES = 20, 50
DEADLINE = 2.0
TICK = 0.005


@dataclass(frozen=True)
class Measured:
    """One crawl: pages of good hosts, seconds in all and to the last good page, MiB, ticks (ms), sends."""

    good: int
    wall: float
    good_wall: float
    peak_mb: float
    late_p99_ms: float
    late_max_ms: float
    slowest_send: float
    kinds: dict[str, int]
    stderr: str = ""


class Everything(Spider):
    """Keeps the text of every page and follows every link."""

    def parse(self, page: Page):
        yield {"url": page.url, "text": page.text("p", "")[:1_000]}
        yield page.follow_all("a")


def measure(rate: str, hostile: bool) -> Measured:
    """One crawl in a process of its own, against servers in another. Raises CalledProcessError."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        starts = json.loads(server.stdout.readline())
        command = [sys.executable, "-m", "benchmarks.hostile", "crawl", "--rate", rate]
        chosen = json.dumps({"good": starts["good"], "hostile": starts["hostile"] if hostile else []})
        done = subprocess.run(command, input=chosen, capture_output=True, text=True, check=True, timeout=300)
        return Measured(**json.loads(done.stdout), stderr=done.stderr)
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


async def serve() -> None:
    """Serve until standard input ends; the first line printed says where."""
    async with hostile_web(ENDPOINTS, HOSTS, PAGES) as (hostile, good):
        print(json.dumps({"hostile": list(hostile.urls), "good": good.starts}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def crawl(starts: dict[str, list[str]], rate: str, db: Path) -> Measured:
    """The crawl itself."""
    every = [*starts["good"], *starts["hostile"]]
    transport = Wire(guard=Guard(frozenset(url.split("/")[2] for url in every)), connect_timeout=DEADLINE)
    settings: dict[str, Any] = {
        "rate": rate, "concurrency": 4, "in_flight": 128, "deadline": DEADLINE, "retries": 0, "max_body": MAX_BODY,
        "max_decoded": MAX_DECODED, "retry_after_max": 1.0, "max_pages_per_domain": PAGES,
    }  # fmt: skip
    good, last, late = 0, 0.0, list[float]()

    def observe(event: Event) -> None:
        nonlocal good, last
        if isinstance(event, PageDone) and "//127.0.11." in event.done.result.url:
            good, last = good + 1, time.perf_counter()

    ticking = asyncio.create_task(_tick(late))
    begun = time.perf_counter()
    try:
        await Crawl(
            Everything, db=db, start=every, settings=settings, transport=transport, observers=[observe]
        ).run()
    finally:
        ticking.cancel()
        await transport.aclose()
    wall = time.perf_counter() - begun
    late.sort()
    slowest, kinds = _stored(db)
    peak = _peak_mb()
    p99 = late[int(len(late) * 0.99)] * 1e3
    return Measured(good, wall, last - begun, peak, p99, late[-1] * 1e3, slowest, kinds)


async def _tick(late: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - begun - TICK)


def _peak_mb() -> float:
    """The most memory this process had; `ru_maxrss` would begin with the peak of the one that started it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def _stored(db: Path) -> tuple[float, dict[str, int]]:
    with closing(sqlite3.connect(db)) as conn:
        slowest: float = conn.execute("SELECT max(ended - sent) FROM _sends").fetchone()[0]
        counted = "SELECT coalesce(kind, state), count(*) FROM requests GROUP BY 1 ORDER BY 1"
        return slowest, dict(conn.execute(counted).fetchall())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile")
    parser.add_argument("what", nargs="?", choices=["serve", "crawl", "compare"], default="compare")
    parser.add_argument("--rate", default="10/s")
    chosen = parser.parse_args(arguments)
    if chosen.what == "serve":
        asyncio.run(serve())
    elif chosen.what == "crawl":
        starts = json.load(sys.stdin)
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            print(
                json.dumps(_without_stderr(asyncio.run(crawl(starts, chosen.rate, Path(folder, "all.db")))))
            )
    else:
        _compare(chosen.rate)


def _without_stderr(measured: Measured) -> dict[str, Any]:
    return {name: value for name, value in asdict(measured).items() if name != "stderr"}


def _compare(rate: str) -> None:
    alone, beside = measure(rate, hostile=False), measure(rate, hostile=True)
    for name, one in (("alone", alone), ("beside", beside)):
        print(
            f"{name:6} {one.good} good pages  {one.wall:6.2f} s  last good {one.good_wall:6.2f} s  {one.peak_mb:5.0f} MB"
            f"  ticks late: p99 {one.late_p99_ms:.1f} ms, most {one.late_max_ms:.1f} ms"
            f"  slowest send {one.slowest_send:.2f} s"
        )
    print(
        f"ratio  wall {beside.wall / alone.wall:.2f}, last good page {beside.good_wall / alone.good_wall:.2f}"
    )
    print(", ".join(f"{kind} {count}" for kind, count in beside.kinds.items()))
    print(beside.stderr or "nothing on stderr")


if __name__ == "__main__":
    main()
