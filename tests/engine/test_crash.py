"""Crash safety. First the short form of `python -m benchmarks.crash`: the same commands with small numbers.

Each is a process of its own, as it forks. They end with one line of figures, or with the assertion that failed.
Then full disks, locks and clocks that jump.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from scraper import Crawl, Page, Spider
from scraper.testing import Site, VirtualLoop
from tests.support.command_line import SPIDER, Person, person, wait_for
from tests.support.shop_server import shop

__all__ = ["person", "shop"]  # fixtures

linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark is about Linux")


def shown(*words: str) -> str:
    """What a benchmark prints."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks.crash", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@linux
def test_cr_01_killed_at_random_times() -> None:
    """kill -9 again and again: nothing missing, nothing doubled, and little fetched again."""
    assert "missing 0, doubled 0" in shown("kills", "--crawls", "1", "--kills", "4", "--pages", "150")


@linux
def test_cr_02_killed_at_every_named_point() -> None:
    """kill -9 before and after claim, send, parse, each statement, commit and checkpoint; a dozen of them."""
    assert "violations 0" in shown("points", "--times", "1", "--pages", "6", "--sample", "12")


@linux
def test_cr_03_torn_logs() -> None:
    """A log that was cut, or has a wrong byte: a prefix of the pages is there, each as a whole."""
    assert "violations 0" in shown("torn", "--states", "60", "--pages", "60")


@linux
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_cr_04_power_cuts() -> None:
    """Whatever part of the writes reached the disk: consistent; with synchronous=FULL nothing acknowledged is lost."""
    told = shown("power", "--states", "25", "--pages", "15")
    assert told.count("violations 0") == 3
    assert "most acknowledged pages lost 0" in told.splitlines()[-1]


@linux
def test_cr_09_cancelled_at_random_moments() -> None:
    """No task, no transaction is left behind, and the next crawl goes on."""
    assert "tasks left 0" in shown("cancel", "--times", "40", "--pages", "10")


@linux
@pytest.mark.soak
@pytest.mark.parametrize(
    "words",
    [
        "disk",
        "locked --seconds 1",
        "signals --times 3",
        "frozen --seconds 5 --pages 100",
        "workers --kills 6",
    ],
)
def test_crash_benchmarks_that_take_long(words: str) -> None:
    """Full disks, locks, signals, freezes and workers, each for some seconds."""
    assert shown(*words.split()).strip()


# ------------------------------------------------------------------------------------------- full, locked, wrong


def rows_of(person: Person) -> tuple[Any, ...]:
    with closing(sqlite3.connect(person.folder / "data/shop.db")) as conn:
        assert conn.execute("pragma integrity_check").fetchone() == ("ok",)
        return conn.execute("select count(*), count(distinct name), sum(price) from product").fetchone()


def limited(person: Person, script: str) -> tuple[int, list[str]]:
    """A crawl in a process that runs `script` first."""
    person.write("limited.py", f"{script}\nfrom scraper.cli import main\nmain()\n")
    command = [sys.executable, "-W", "error", "limited.py", "crawl", "shop.py"]
    done = subprocess.run(
        command,
        cwd=person.folder,
        env=person.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("✗")]


@linux
def test_cr_05_a_disk_that_is_full(person: Person) -> None:
    """Where the file may not grow: one sentence, exit 6, a sound database; with room again the resume completes."""
    assert person.types("crawl", "shop.py", "--max-pages", "1").code in {0, 3}
    size = (person.folder / "data/shop.db").stat().st_size + 8192
    limits = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    code, errors = limited(person, limits)
    assert (code, len(errors)) == (6, 1)
    assert "the disk is full, failing, or a limit was hit; then resume" in errors[0]
    assert person.types("resume", "shop").code == 0
    assert rows_of(person) == (60, 60, 1800)


@linux
@pytest.mark.parametrize(("patience", "code"), [(30.0, 0), (0.2, 6)])
def test_cr_06_a_database_that_another_program_holds(
    person: Person, shop: tuple[str, list[str]], patience: float, code: int
) -> None:
    """It is waited for; beyond the patience there is one sentence, exit 6, and a resume completes."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'60/s'"))
    person.write(
        "limited.py",
        f"import scraper.store.file.writer as w\nw.BUSY = {patience}\nfrom scraper.cli import main\nmain()\n",
    )
    asked.clear()
    process = subprocess.Popen(
        [sys.executable, "limited.py", "crawl", "shop.py"],
        cwd=person.folder, env=person.environment, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: len(asked) >= 12)
    with closing(sqlite3.connect(person.folder / "data/shop.db", isolation_level=None, timeout=30)) as conn:
        conn.execute("BEGIN EXCLUSIVE")
        if code:
            _, err = process.communicate(timeout=30)
        else:
            seen = len(asked)
            wait_for(lambda: len(asked) >= seen + 2)
        conn.execute("ROLLBACK")
    if not code:
        _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    if code:
        assert [line for line in err.splitlines() if line.startswith("✗")] == [
            "✗ data/shop.db is locked by another program; close it, then resume"
        ]
        assert person.types("resume", "shop").code == 0
    assert rows_of(person) == (60, 60, 1800)


class Jumping(VirtualLoop):
    """A loop beside a wall clock that somebody sets."""

    shift = 0.0

    def wall(self) -> float:
        return super().wall() + self.shift


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_cr_11_a_clock_that_jumps_makes_no_burst(tmp_path: Path, jump: float) -> None:
    """The wall clock set an hour forth or back in the middle: every page once, never two closer than the gap."""
    listing = "".join(f'<a href="/{n}">x</a>' for n in range(40))
    site = Site(lambda request: listing if request.url.path == "/" else "x", latency=0.05)

    class Paced(Spider):
        start_urls = ["https://a.example/", "https://b.example/"]
        rate, robots = "4/s", False

        def parse(self, page: Page) -> Any:
            yield page.follow_all("a")
            yield {"url": page.url}

    loop = Jumping()
    try:
        loop.call_later(3.0, setattr, loop, "shift", jump)
        crawl = Crawl(Paced, db=tmp_path / "a.db", transport=site, inline=True, seed=0)
        summary = loop.run_until_complete(crawl.run())
    finally:
        loop.close()
    assert (summary.pages, len(site.hits)) == (82, 82)
    for host in ("a.example", "b.example"):
        at = sorted(hit.at for hit in site.hits if hit.host == host)
        assert min(after - before for before, after in pairwise(at)) >= 0.25 - 1e-6
