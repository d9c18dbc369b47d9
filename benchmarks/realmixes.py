"""The mixes of `benchmarks/mixes.py` at the log of a real server on loopback, the crawler in a process of its own.

    python -m benchmarks.politeness real [--requests 20000] [--mix NAME]

A crawl that is killed is killed with SIGKILL and resumed, until it ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.logserver import RETRY_AFTER
from benchmarks.mixes import JITTER, excess
from scraper import Crawl, Page, Request, Spider

__all__ = ["REAL", "Line", "Served", "judged", "log_server", "measure_real"]

#: Seconds an answer may take until the crawler has read it, on a busy machine.
KNOWN: Final = 0.05
CONCURRENCY: Final = 4
HOSTS, RATE = 25, 20.0


@dataclass(frozen=True)
class Line:
    """A request as the server saw it; times are CLOCK_MONOTONIC."""

    host: str
    at: float
    ended: float
    path: str
    status: int


@dataclass(frozen=True)
class Served:
    """What the log of the real server comes to; `early` is the worst by which a send was too soon, in seconds."""

    requests: int
    violations: int
    early: float
    most_open: int
    pages: int


@dataclass(frozen=True)
class RealMix:
    """What the path of page `i` begins with, the requests a page of the start makes, and how often it is killed."""

    name: str
    letter: Callable[[int], str]
    each: float
    kills: int = 0


REAL: Final = (
    RealMix("steady", lambda i: "p", 1),
    RealMix("bursty", lambda i: "l", 21),
    RealMix("retry storm", lambda i: "exp"[i % 3], 1.66),
    RealMix("redirect storm", lambda i: "hhhn"[i % 4], 3.5),
    RealMix("kill -9 and resume", lambda i: "pphex"[i % 5], 2, kills=5),
    RealMix("429 mix", lambda i: "b" if i % 200 == 7 else "p", 1),
)


class Mixed(Spider[dict]):
    """Pages of every host as a mix has them, and the links on them."""

    name = "mixed"
    concurrency = CONCURRENCY
    rate = RATE
    scope = "any"
    max_failed = 1.0
    origins: list[str] = []
    mix: str = "steady"
    pages: int = 10

    async def start(self):
        letter = next(mix.letter for mix in REAL if mix.name == self.mix)
        for i in range(self.pages):
            for origin in self.origins:
                yield Request(f"{origin}/{letter(i)}{i}")

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")


@contextmanager
def log_server(hosts: int) -> Iterator[tuple[list[str], list[Line]]]:
    """The origins of a running server; its log is filled when the block ends."""
    addresses = [f"127.0.3.{i + 1}" for i in range(hosts)]
    command = [sys.executable, "-m", "benchmarks.logserver", *addresses]
    log: list[Line] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield [f"http://{address}:{port}" for address in addresses], log
        finally:
            told, _ = process.communicate(timeout=60)
            log += (Line(*json.loads(line)) for line in told.splitlines())


def judged(log: list[Line], rate: float, pages: int, jitter: float = JITTER) -> Served:
    """A server's log held against the promise."""
    of_host: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(log, key=lambda line: line.at):
        of_host[line.host].append(line)
    violations, early, most = 0, 0.0, 0
    for lines in of_host.values():
        times = [line.at for line in lines]
        violations += excess(times, rate, jitter)
        early = max([early, *(1 / rate - (after - before) for before, after in pairwise(times))])
        most = max(most, _most_open(lines))
        for refused in (line for line in lines if line.status == 429):
            until = refused.ended + RETRY_AFTER - jitter
            violations += sum(refused.ended + KNOWN < line.at < until for line in lines)
    violations += most > CONCURRENCY
    return Served(len(log), violations, early, most, pages)


def _most_open(lines: list[Line]) -> int:
    """Requests under way at once, at most."""
    changes = sorted([(line.at, 1) for line in lines] + [(line.ended, -1) for line in lines])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def measure_real(mix: RealMix, requests: int, seed: int = 1, jitter: float = JITTER) -> Served:
    """One crawl, or one that is killed again and again, of at least so many requests."""
    pages = round(1.03 * requests / HOSTS / mix.each) + 2
    expected = pages * mix.each / RATE
    kills = [Random(seed + n).uniform(0.5, 1.5) * expected / (mix.kills + 1) for n in range(mix.kills)]
    with tempfile.TemporaryDirectory() as folder, log_server(HOSTS) as (origins, log):
        told = json.dumps({"origins": origins, "mix": mix.name, "pages": pages})
        command = [sys.executable, "-m", "benchmarks.realmixes", str(Path(folder, "s.db")), told]
        done = 0
        for kill in [*kills, None]:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                try:
                    out, _ = process.communicate(timeout=kill)
                    done = int(out)
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    time.sleep(
                        Random(seed).uniform(0.0, 0.02)
                    )  # less than a gap: the resume has to wait for itself
    return judged(log, RATE, done, jitter)


async def _crawl(db: str, arguments: dict[str, object]) -> int:
    summary = await Crawl(Mixed, db=db, arguments=arguments, resume=True).run()
    return summary.pages


if __name__ == "__main__":
    print(asyncio.run(_crawl(sys.argv[1], json.loads(sys.argv[2]))))
