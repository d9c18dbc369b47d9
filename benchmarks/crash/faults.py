"""CR-05, CR-06, CR-08, CR-09, CR-11 and workers: full disks, locks, signals, cancellations, freezes."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path

from benchmarks.crash.site import Graph, InProcess, check, folder, report, served
from scraper.api.job import CrawlJob
from scraper.testing import VirtualLoop

__all__ = ["cancel", "disk", "frozen", "gaps", "locked", "signals", "workers"]

SPIDER = """
from benchmarks.crash.site import Graph as Base
class Graph(Base):
    name = "graph"
    start_urls = ["{start}"]
    rate = {rate!r}
    concurrency = 16
"""


class Person:
    """Somebody in a folder with a spider, at the command line."""

    def __init__(self, place: Path, start: str, rate: str | None = None) -> None:
        self.place = place
        place.mkdir()
        (place / "scraper.toml").touch()
        (place / "graph.py").write_text(SPIDER.format(start=start, rate=rate))
        self.path = place / "graph.db"
        self._environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def begins(self, *words: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "scraper", *words]
        return subprocess.Popen(
            command,
            cwd=self.place,
            env=self._environment,
            text=True,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )

    def crawl(self, *flags: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        return self.begins("crawl", "graph.py", "--db", "graph.db", "--resume", *flags, limit=limit)


def ended(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, list[str]]:
    error = process.communicate(timeout=seconds)[1]
    assert "Traceback" not in error, error
    return process.returncode, error.splitlines()


# ------------------------------------------------------------------------------------------- the disk


def disk(pages: int) -> None:
    """CR-05: a limit on file size, and a file system of 8 MB where it may be mounted; then room, and resumed."""
    with folder() as place, served(pages) as (start, _):
        person = Person(place / "limit", start)
        size = 300 * 1024
        process = person.crawl(limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        _one_error("RLIMIT_FSIZE of 300 KiB", *ended(process), person, pages)
        mount = place / "small"
        mount.mkdir()
        if (
            os.geteuid()
            or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], check=False
            ).returncode
        ):
            print("  no file system of 8 MB: mounting is not allowed here")
            return
        try:
            person = Person(mount / "full", start)
            ballast = mount / "ballast"
            ballast.write_bytes(bytes(7_700_000))
            code, lines = ended(person.crawl())
            ballast.unlink()
            _one_error("tmpfs of 8 MB, full", code, lines, person, pages)
        finally:
            subprocess.run(["umount", mount], check=True)


def _one_error(what: str, code: int, lines: list[str], person: Person, pages: int) -> None:
    errors = [line for line in lines if line.startswith("✗")]
    assert (code, len(errors)) == (6, 1), (code, lines)
    before = check(person.path, pages).done
    code, lines = ended(person.crawl())
    assert (code, check(person.path, pages).done) == (0, pages), (code, lines)
    report(
        "CR-05", fault=what, exit_code=6, pages_before=before, pages_after_resume=pages, said=repr(errors[0])
    )


HOLD = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
conn.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
conn.execute("COMMIT")
"""


def locked(pages: int, times: list[float]) -> None:
    """CR-06: another program holds the database for so many seconds, and a third one reads it all the while."""
    for seconds in times:
        with folder() as place, served(pages) as (start, _):
            person = Person(place / "locked", start, "200/s")
            process = person.crawl()
            _until(lambda path=person.path: path.exists() and check(path, pages).done > 20)
            with closing(sqlite3.connect(person.path)) as reader:
                reader.execute("SELECT count(*) FROM node").fetchone()
                holder = subprocess.Popen(
                    [sys.executable, "-c", HOLD, str(person.path), str(seconds)], stdout=subprocess.PIPE
                )
                began, biggest = time.monotonic(), 0
                while process.poll() is None:
                    reader.execute("SELECT count(*) FROM node").fetchone()
                    biggest = max(biggest, Path(f"{person.path}-wal").stat().st_size)
                    time.sleep(0.05)
                code, lines = ended(process)
                took = time.monotonic() - began
            holder.wait()
            first = (code, [line for line in lines if line.startswith("✗")])
            assert code == (0 if seconds < 30 else 6), (code, lines)
            if code:
                code, lines = ended(person.crawl())
            assert (code, check(person.path, pages).done) == (0, pages), lines
            report(
                "CR-06", held_for=f"{seconds:g} s", exit_code=first[0], after=f"{took:.1f} s",
                said=repr(first[1][0]) if first[1] else "nothing", biggest_log=f"{biggest / 2**20:.1f} MB",
                pages_in_the_end=pages,
            )  # fmt: skip


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------- signals


def signals(times: int, pages: int, seed: int) -> None:
    """CR-08: SIGINT once, SIGTERM once, SIGINT twice, each at random times; then resumed."""
    chance = random.Random(seed)
    for name, sent in (("SIGINT", [2]), ("SIGTERM", [15]), ("SIGINT twice", [2, 2])):
        again, codes = 0, set()
        for _ in range(times):
            with folder() as place, served(pages) as (start, asked):
                person = Person(place / "signals", start, "400/s")
                process = person.crawl()
                _until(lambda asked=asked: asked.pages().total() >= 1)
                time.sleep(chance.uniform(0.0, 0.8))
                for number in sent:
                    process.send_signal(number)
                code, lines = ended(process)
                if not check(person.path, pages).complete:
                    codes.add(code)
                    code, lines = ended(person.crawl())
                    assert code == 0, lines
                assert check(person.path, pages).done == pages, lines
                again += asked.pages().total() - pages
        assert codes == {130}, codes
        assert again == 0 or len(sent) == 2, again
        report("CR-08", signal=name, times=times, exit_code=130, fetched_again=again, pages_in_the_end=pages)


# ------------------------------------------------------------------------------------------- cancellation


def cancel(times: int, pages: int, seed: int) -> None:
    """CR-09: a whole crawl cancelled at random moments, in one process; nothing of it stays."""
    chance, began, finished = random.Random(seed), time.monotonic(), 0
    with folder() as place:
        numbers = count()
        path = place / "0.db"
        for _ in range(times):
            loop = VirtualLoop()
            try:
                ended_well = loop.run_until_complete(_cancelled(path, pages, chance.randrange(1, 400)))
                left = [task for task in asyncio.all_tasks(loop) if not task.done()]
                assert not left, left
            finally:
                loop.close()
            if ended_well or check(path, pages).complete:
                assert check(path, pages).done == pages
                finished += 1
                path.unlink()
                path = place / f"{next(numbers)}.db"
    report(
        "CR-09",
        cancellations=times,
        crawls_finished=finished,
        tasks_left=0,
        seconds=round(time.monotonic() - began),
    )


async def _cancelled(path: Path, pages: int, turns: int) -> bool:
    crawl = CrawlJob(
        Graph,
        db=path,
        start=["https://graph.example/p/0"],
        resume="continue",
        transport=InProcess(pages),
        inline=True,
    )
    task = asyncio.create_task(crawl.run())
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        with closing(sqlite3.connect(path, timeout=0)) as conn:
            conn.execute("BEGIN IMMEDIATE")  # nobody holds a transaction
            conn.rollback()
        engine = crawl._engine
        assert engine is None or not engine._tasks
        return False
    return True


# ------------------------------------------------------------------------------------------- freezes, workers


def _worst(log: list[tuple[str, float]], rate: float) -> tuple[float, float]:
    """Over all windows of each host: the most requests above rate × time + 1, and the smallest gap in s."""
    hosts: defaultdict[str, list[float]] = defaultdict(list)
    for host, at in log:
        hosts[host].append(at)
    over, gap = 0.0, float("inf")
    for times in hosts.values():
        times.sort()
        least = float("inf")
        for i, at in enumerate(times):
            least = min(least, i - rate * at)
            over = max(over, (i - rate * at) - least)
        gap = min([gap, *(b - a for a, b in pairwise(times))])
    return over, gap


def frozen(seconds: float, pages: int) -> None:
    """CR-11: SIGSTOP for so many seconds in the middle of a crawl at 20 requests a second; no burst on waking."""
    with folder() as place, served(pages) as (start, asked):
        person = Person(place / "frozen", start, "20/s")
        process = person.crawl()
        _until(lambda: asked.pages().total() >= 40)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        code, lines = ended(process)
        assert (code, check(person.path, pages).done) == (0, pages), lines
        over, gap = _worst([("graph", at) for at in asked.times()], 20)
        report(
            "CR-11", stopped_for=f"{seconds:g} s", rate="20/s", smallest_gap=f"{gap * 1000:.1f} ms",
            most_above_the_rate=f"{over:.3f} requests", fetched_again=asked.pages().total() - pages, exit_code=code,
        )  # fmt: skip


def gaps(kills: int, pages: int, seed: int) -> None:
    """PO-06: killed with -9 and resumed again and again at ten requests a second; the server's log as a whole."""
    chance, killed = random.Random(seed), 0
    with folder() as place, served(pages) as (start, asked):
        person = Person(place / "gaps", start, "10/s")
        while True:
            process = person.crawl()
            before = asked.pages().total()
            if killed < kills:
                _until(lambda before=before: asked.pages().total() > before + 1)
                time.sleep(chance.uniform(0.0, 0.5))
                process.kill()
                killed += 1
            code, lines = ended(process)
            if code == 0:
                break
            assert code == -9, (code, lines)
        assert check(person.path, pages).done == pages
        over, gap = _worst([("graph", at) for at in asked.times()], 10)
        report(
            "PO-06", kills=killed, requests=asked.pages().total(), rate="10/s",
            smallest_gap=f"{gap * 1000:.1f} ms", most_above_the_rate=f"{over:.3f} requests",
        )  # fmt: skip


def workers(number: int, kills: int, pages: int, seed: int) -> None:
    """Workers killed with -9 at random; every page once in the end, the rate kept in the joined log."""
    chance, began = random.Random(seed), time.monotonic()
    killed = crawls = again = 0
    worst, smallest = 0.0, float("inf")
    while killed < kills:
        with folder() as place, served(pages) as (start, asked):
            person = Person(place / "workers", start, "100/s")
            process = person.crawl("--workers", str(number))
            while process.poll() is None and killed < kills:
                time.sleep(chance.uniform(0.3, 1.2))
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
                pids = children.read_text().split() if children.exists() else []
                if pids:
                    os.kill(int(chance.choice(pids)), signal.SIGKILL)
                    killed += 1
            code, lines = ended(process)
            while code == 5:  # five deaths in a minute
                code, lines = ended(person.begins("resume", "graph.db", "--workers", str(number)))
            assert (code, check(person.path, pages).done) == (0, pages), lines
            over, gap = _worst([("graph", at) for at in asked.times()], 100)
            worst, smallest = max(worst, over), min(smallest, gap)
            again += asked.pages().total() - pages
            crawls += 1
    report(
        "CR-01 workers", workers=number, crawls=crawls, kills=killed, missing=0, doubled=0, fetched_again=again,
        smallest_gap_at_100_a_second=f"{smallest * 1000:.1f} ms", most_above_the_rate=f"{worst:.2f} requests",
        seconds=round(time.monotonic() - began),
    )  # fmt: skip
