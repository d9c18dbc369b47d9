"""Output that has no place: a full disk, a pipe whose reader left, a closed descriptor, a terminal that vanished. (W24)

Each command is forked from one process that has imported the package, once for each kind of loss.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from scraper.cli.group import COMMANDS
from tests.support.command_line import Person, person, wait_for
from tests.support.shop_server import shop

__all__ = ["person", "shop"]  # fixtures

#: Forks `scraper WORDS` for each way in which a stream may be lost; one JSON line for each with what became of it.
FORKS = """
import json, os, shutil, sys
from importlib import import_module
import scraper.cli.group, scraper.cli.health, scraper.cli.running, scraper.query, scraper.testing.single_page
from scraper.cli.main import main

words, database = json.loads(sys.argv[1]), sys.argv[2]
import_module(scraper.cli.group.COMMANDS[words[0]][0].partition(":")[0])
reports = os.dup(1)
for stream in (1, 2):
    for how in ("good", "full", "pipe", "closed")[stream > 1 :]:
        if os.path.exists("kept.db"):
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(f"kept.db{suffix}"):
                    shutil.copy(f"kept.db{suffix}", f"{database}{suffix}")
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number in (1, 2):
                os.dup2(os.open(f"said-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            if how == "full":
                os.dup2(os.open("/dev/full", os.O_WRONLY), stream)
            elif how == "pipe":
                reader, writer = os.pipe()
                os.dup2(writer, stream)
                os.close(reader)
                os.close(writer)
            elif how == "closed":
                os.close(stream)
                setattr(sys, {1: "stdout", 2: "stderr"}[stream], None)
            sys.argv = ["scraper", *words]
            main()
            os._exit(99)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = [open(f"said-{number}", errors="replace").read() for number in (1, 2)]
        os.write(reports, (json.dumps([stream, how, code, *said]) + "\\n").encode())
"""


class Ended(NamedTuple):
    """How a command ended whose `stream` was lost in the way `how`, and what the other streams hold."""

    stream: int
    how: str
    code: int
    out: str
    err: str


def ends(person: Person, *words: str, database: str = "data/shop.db") -> list[Ended]:
    command = [sys.executable, "-c", FORKS, json.dumps(words), database]
    ran = subprocess.run(
        command, cwd=person.folder, env=person.environment, capture_output=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [Ended(*json.loads(line)) for line in ran.stdout.splitlines()]


def states(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return [state for (state,) in conn.execute("SELECT state FROM _runs ORDER BY id")]


#: What is typed for each command that writes a report, or works on one page.
REPORTS = {
    "new": "new {url}/ -o made.py --force",
    "stop": "stop shop",
    "try": "try shop.py {url}/",
    "get": "get {url}/ --links",
    "shell": "shell {url}/",
    "list": "list",
    "info": "info shop.py",
    "tables": "tables shop",
    "query": "query shop product",
    "export": "export shop product out.csv --force",
    "browse": "browse nothing.db",
    "diff": "diff shop",
    "undo": "undo shop 1 --dry-run",
    "runs": "runs shop",
    "status": "status shop",
    "errors": "errors shop",
    "hosts": "hosts shop",
    "politeness": "politeness shop",
    "explain": "explain shop {url}/",
    "doctor": "doctor",
    "prune": "prune shop",
    "backup": "backup shop data/shop.db",  # refused: it exists
    "migrate": "migrate shop.py",
}
#: Those of the ordinary run: one for each way to write.
SHORT = {"query", "export", "status", "get"}
#: What is typed for each command that crawls.
CRAWLS = {
    "crawl": "crawl shop.py",
    "resume": "resume shop --failed",
    "demo": "demo --db demo.db",
    "bench": "bench --seconds 1 --json",
}


def test_every_command_is_among_those_that_are_tried() -> None:
    """The tables of this module name all commands there are."""
    assert sorted([*REPORTS, *CRAWLS]) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.soak) for name in REPORTS]
)
def test_a_report_that_has_no_place_ends_in_order(person: Person, name: str) -> None:
    """A full disk: a sentence and a non-zero exit code. A pipe without a reader: no word. A closed stream: as otherwise."""
    assert person.types("crawl", "shop.py", "-q").code == 0
    told = ends(person, *REPORTS[name].format(url=person.url).split())
    good = told[0]
    for end in told:
        wrote = good.out if end.stream == 1 else good.err
        assert "fault of scraper" not in end.err, end
        assert "Traceback" not in end.err, end
        assert "Exception ignored" not in end.err, end
        if end.how in {"good", "closed"} or not wrote:
            assert end.code == good.code, end
        elif end.how == "full":
            assert end.code == (good.code or 6) or end.code == 6, end
            if end.stream == 1 and end.code == 6:
                assert end.err.splitlines()[-1].startswith("✗ stdout cannot be written any more: no space"), (
                    end
                )
        else:
            assert end.code in {1, good.code}, end
            assert "cannot be written" not in end.err, end


@pytest.mark.parametrize("how", ["full", "pipe"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_crawl_whose_output_is_lost_stops_as_by_ctrl_c(
    person: Person, how: str, stream: str, workers: tuple[str, ...]
) -> None:
    """Its run is stopped, not left running; nothing is lost, and `scraper resume` ends it. (W24)"""
    words = ["crawl", "shop.py", "--json", "--db", "lost.db", *workers]
    number = {"stdout": 1, "stderr": 2}[stream]
    reader, writer = os.pipe()
    os.close(reader)
    lost = os.open("/dev/full", os.O_WRONLY) if how == "full" else writer
    given = {1: subprocess.PIPE, 2: subprocess.PIPE, number: lost}
    process = subprocess.Popen(
        [sys.executable, "-m", "scraper", *words], cwd=person.folder, env=person.environment,
        stdout=given[1], stderr=given[2], text=True,
    )  # fmt: skip
    os.close(writer)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert states(person.folder / "lost.db") == ["stopped"]
    if stream == "stdout":
        assert "! stdout cannot be written any more: " in err
        assert "scraper resume lost" in err
    else:
        assert json.loads(out.splitlines()[-1])["state"] == "stopped"
    assert person.runs("resume", "lost.db").code == 0
    assert states(person.folder / "lost.db") == ["complete"]


def test_a_resume_whose_output_is_lost_leaves_no_run_running(person: Person) -> None:
    """A resume that is over before the loss is seen is complete, any other is stopped."""
    person.types("crawl", "shop.py", "-q", "--db", "kept.db")
    with closing(sqlite3.connect(person.folder / "kept.db")) as conn, conn:
        conn.execute("UPDATE _runs SET state = 'stopped'")
    told = ends(person, "resume", "half.db", database="half.db")
    assert {end.code for end in told if end.how in {"good", "closed"}} == {0}
    assert {end.code for end in told if end.how in {"full", "pipe"}} <= {0, 130}
    assert "running" not in states(person.folder / "half.db")


def test_the_demo_stops_when_its_output_is_lost(person: Person) -> None:
    """The demo is a crawl as any other: it stops, and can be resumed."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "scraper", "demo", "--db", "demo.db"]
        ran = subprocess.run(
            command, cwd=person.folder, env=person.environment, stderr=full, timeout=60, check=False
        )
    assert (ran.returncode, states(person.folder / "demo.db")) == (130, ["stopped"])


def test_what_a_spider_prints_stops_the_crawl_and_fails_no_page(person: Person) -> None:
    """A print that has no place is not the callback's mistake: the page counts, and the crawl stops."""
    person.write(
        "loud.py",
        "import time\nfrom scraper import Page, Spider\nclass Loud(Spider):\n    rate = '5/s'\n"
        f"    start_urls = ['{person.url}/']\n"
        "    def parse(self, page: Page):\n        print('x' * 10_000)\n"
        "        yield page.follow_all('a')\n        yield {'url': page.url}\n",
    )
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "scraper", "crawl", "loud.py", "--db", "loud.db"], cwd=person.folder,
            env=person.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (ran.returncode, states(person.folder / "loud.db")) == (130, ["stopped"])
    assert "failed" not in ran.stderr
    with closing(sqlite3.connect(person.folder / "loud.db")) as conn:
        assert conn.execute("SELECT count(*) FROM _requests WHERE state = 2").fetchone() == (0,)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_an_export_to_a_full_disk_leaves_nothing(person: Person, suffix: str) -> None:
    """A file that cannot be written to its end is named with the reason in one line, and removed."""
    person.types("crawl", "shop.py", "-q")
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i FROM n"
    # 64 blocks of at most 1,024 bytes: more than SQLite's own file beside the database, less than the answer.
    limited = f"ulimit -f 64; exec {sys.executable} -m scraper export shop '{count}' big.{suffix}"
    ran = subprocess.run(
        ["sh", "-c", limited], cwd=person.folder, env=person.environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, len(ran.stderr.splitlines())) == (6, 1), ran.stderr
    assert f"big.{suffix} cannot be written: File too large" in ran.stderr
    assert not list(person.folder.glob("*big*"))


def test_a_case_that_cannot_be_saved_is_one_sentence(person: Person) -> None:
    """`try --save` on a full disk names the file and the reason, and leaves no half of a case."""
    words = ("try", "shop.py", f"{person.url}/", "--save")
    assert person.types(*words).code == 0
    saved = [file for file in (person.folder / "tests").rglob("*") if file.is_file()]
    for file in saved:
        file.unlink()
        file.symlink_to("/dev/full")
    ran = person.types(*words)
    assert ran.code == 6
    assert ran.err.splitlines()[-1].endswith("cannot be saved: No space left on device")
    assert not any(file.exists() for file in saved)


def test_no_place_for_temporary_files_is_one_sentence(person: Person) -> None:
    """A command that needs a temporary file names what it looked for."""
    limited = f"ulimit -f 0; exec {sys.executable} -m scraper get {person.url}/"
    ran = subprocess.run(
        ["sh", "-c", limited], cwd=person.folder, env=person.environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, len(ran.stderr.splitlines())) == (6, 1), ran.stderr


# ------------------------------------------------------------------------------------------- terminals and Ctrl-C

BLOCKED = """
import time
from scraper import Page, Spider

class Blocked(Spider):
    start_urls = ["{url}/"]
    rate = None

    def parse(self, page: Page):
        open("entered", "w").close()
        time.sleep(600)
        yield {{"url": page.url}}
"""


class Screen:
    """A crawl on a pseudo-terminal: what it wrote there so far."""

    def __init__(self, person: Person, *words: str) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(person.folder)
            os.execve(
                sys.executable,
                [sys.executable, "-m", "scraper", *words],
                {**person.environment, "TERM": "xterm"},
            )
        os.set_blocking(self.file, False)
        self._said = b""

    @property
    def said(self) -> str:
        with suppress(OSError):
            while new := os.read(self.file, 65_536):
                self._said += new
        return self._said.decode(errors="replace")

    def code(self) -> int:
        ended: list[int] = []

        def over() -> bool:
            _ = self.said  # a terminal that is not read stops its writer
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            ended.extend([status] * (pid != 0))
            return bool(ended)

        wait_for(over, 30.0)
        return os.waitstatus_to_exitcode(ended[0])


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    made: list[Screen] = []
    yield made
    for screen in made:
        with suppress(OSError):
            os.close(screen.file)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(screen.pid, signal.SIGKILL)
            os.waitpid(screen.pid, 0)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_the_first_ctrl_c_is_answered_at_once(
    person: Person, screens: list[Screen], workers: tuple[str, ...]
) -> None:
    """A callback keeps the loop: the first Ctrl-C says that it stops all the same, once, and the second leaves. (W24)"""
    person.write("blocked.py", BLOCKED.format(url=person.url))
    screens.append(screen := Screen(person, "crawl", "blocked.py", "--db", "b.db", *workers))
    wait_for((person.folder / "entered").exists)
    os.write(screen.file, b"\x03")
    wait_for(lambda: "stopping: no new requests" in screen.said)
    os.write(screen.file, b"\x03")
    assert screen.code() == 130
    assert screen.said.count("stopping: no new requests") == 1
    assert "stopped at once; nothing stored is lost" in screen.said


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param((), id="one process"),
        pytest.param(("--workers", "2"), id="workers", marks=pytest.mark.soak),
    ],
)
def test_a_terminal_that_vanishes_stops_the_crawl(
    person: Person, screens: list[Screen], workers: tuple[str, ...]
) -> None:
    """Its window was closed (SIGHUP, then EIO): the run is stopped in order, and can be resumed. (W24)"""
    person.write("slow.py", (person.folder / "shop.py").read_text().replace("rate = None", "rate = '5/s'"))
    screens.append(screen := Screen(person, "crawl", "slow.py", "--db", "slow.db", *workers))
    wait_for(lambda: "in flight" in screen.said or " pages" in screen.said)
    os.close(screen.file)
    wait_for(lambda: os.waitpid(screen.pid, os.WNOHANG)[0] != 0)
    assert states(person.folder / "slow.db") == ["stopped"]
    assert person.runs("resume", "slow.db").code == 0


def test_nohup_keeps_a_crawl_going(person: Person) -> None:
    """Where SIGHUP is ignored it stays so."""
    command = f"trap '' HUP; exec {sys.executable} -m scraper crawl shop.py --rate 20/s"
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=person.folder, env=person.environment, stderr=subprocess.PIPE, text=True
    )
    wait_for((person.folder / "data" / "shop.db").exists)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
