"""The command line as a person uses it: what is printed, and the exit code.

What is about processes (signals, kills, locks) runs as one; the rest calls the same `main` in this process.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.support.command_line import SPIDER, Person, person, wait_for
from tests.support.shop_server import PAGES, shop

__all__ = ["person", "shop"]  # fixtures


def test_a_good_crawl_is_short_and_can_be_queried(person: Person) -> None:
    """A good crawl prints at most six lines, nothing on stdout, makes data/<spider>.db, and is queried by name."""
    ran = person.runs("crawl", "shop.py")
    assert (ran.code, ran.out) == (0, "")
    lines = ran.err.splitlines()
    assert len(lines) <= 6
    assert lines[0].startswith("shop → data/shop.db   run 1")
    assert f"✓ shop: {PAGES + 1} pages, {PAGES} products ({PAGES} new)" in lines[1]
    asked = person.types("query", "shop", "select count(*) as n, sum(price) as total from product")
    assert asked.out.split() == ["n", "total", "──", "──────", "60", "1800.0"]
    assert person.types("tables", "shop").out.startswith("product  60 rows\n  name   text     key   100 %\n")


@pytest.mark.parametrize(
    ("flag", "read"),
    [
        ("--json", lambda text: json.loads(text)[0]["name"]),
        ("--jsonl", lambda text: json.loads(text.splitlines()[0])["name"]),
        ("--csv", lambda text: text.splitlines()[1].split(",")[0]),
    ],
)
def test_query_formats(person: Person, flag: str, read) -> None:
    """A table is data on stdout in every format, and `--limit` cuts it."""
    person.types("crawl", "shop.py")
    ran = person.types("query", "shop", "product", flag, "--limit", "1")
    assert ran.code == 0
    assert read(ran.out).startswith("Product ")


def test_query_mistakes_are_explained(person: Person) -> None:
    """A misspelt table, a wrong column, a write, and bad SQL: one line each, exit 2, suggestions where close."""
    person.types("crawl", "shop.py")
    assert 'Did you mean "product"?' in person.types("query", "shop", "select * from prodct").err
    assert "Tables: product (60)" in person.types("query", "shop", "select * from prodct").err
    assert 'Did you mean "price"?' in person.types("query", "shop", "select prices from product").err
    for words in (("shop", "delete from product"), ("shop", "selec"), ("nope", "x"), ("shop.py", "x")):
        ran = person.types("query", *words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_kill_and_resume_end_with_the_same_rows(person: Person, shop: tuple[str, list[str]]) -> None:
    """CR-01 short: killed with -9 several times and resumed, the crawl has every row once, and refetches little."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    kills = 0
    for _ in range(3):
        wait_for(lambda least=12 * (kills + 1): len(asked) >= least)
        process.kill()
        process.communicate()
        kills += 1
        process = person.start("resume", "shop")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    with sqlite3.connect(person.folder / "data/shop.db") as conn:
        assert conn.execute("select count(*), count(distinct name), sum(price) from product").fetchone() == (
            60,
            60,
            1800,
        )
        assert conn.execute("pragma integrity_check").fetchone() == ("ok",)
    conn.close()
    assert len(asked) <= PAGES + 2 + kills * 2 * 64
    assert len(set(asked)) == PAGES + 2


def test_cr_08_ctrl_c_once_ends_well_and_a_resume_refetches_nothing(
    person: Person, shop: tuple[str, list[str]]
) -> None:
    """One SIGINT: no new requests, what is under way is stored, exit 130, the next command is named."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    wait_for(lambda: len(asked) >= 15)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "continue with: scraper resume shop" in err
    ran = person.types("resume", "shop")
    assert ran.code == 0
    assert len(asked) == len(set(asked)) == PAGES + 2
    assert person.types("resume", "shop").code == 2


def test_cr_08_ctrl_c_twice_leaves_at_once(person: Person, shop: tuple[str, list[str]]) -> None:
    """Two SIGINTs leave now; nothing stored is lost and a resume completes."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    wait_for(lambda: len(asked) >= 15)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert person.types("resume", "shop").code == 0


def test_cr_07_a_second_crawl_on_the_database_is_refused(person: Person, shop: tuple[str, list[str]]) -> None:
    """Exit 7, one line that names who is crawling."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'10/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    wait_for(lambda: len(asked) >= 3)
    ran = person.types("crawl", "shop.py")
    process.kill()
    process.communicate()
    assert ran.code == 7
    assert f"process {process.pid}" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_unfinished_run_is_mentioned_and_can_be_continued(
    person: Person, shop: tuple[str, list[str]]
) -> None:
    """`crawl` begins anew and says that an older run is unfinished; `crawl --resume` goes on with it."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    wait_for(lambda: len(asked) >= 10)
    process.kill()
    process.communicate()
    again = person.types("crawl", "shop.py", "--resume")
    assert again.code == 0
    assert "run 1 goes on" in again.err
    assert person.types("crawl", "shop.py", "--resume").err.count("run 2") == 1


def test_resume_with_another_value_is_an_error(person: Person, shop: tuple[str, list[str]]) -> None:
    """A flag that differs from what the run was begun with is named, exit 2."""
    asked = shop[1]
    asked.clear()
    process = person.start("crawl", "shop.py", "--rate", "20/s")
    wait_for(lambda: len(asked) >= 5)
    process.kill()
    process.communicate()
    ran = person.types("crawl", "shop.py", "--rate", "30/s", "--resume")
    assert ran.code == 2
    assert "rate = '20/s', not '30/s'" in ran.err


def test_databases_that_cannot_be_used(person: Person) -> None:
    """A directory, a file that is no database, a missing folder: exit 6 and one sentence each."""
    (person.folder / "dir.db").mkdir()
    person.write("text.db", "certainly not a database, but long enough to have a header" * 20)
    for name in ("dir.db", "text.db", "no/such/folder.db"):
        ran = person.types("crawl", "shop.py", "--db", name)
        assert (ran.code, len(ran.err.splitlines())) == (6, 1), ran.err


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_is_no_fault(person: Person, closed: str) -> None:
    """A command whose output goes nowhere ends as it would otherwise."""
    person.types("crawl", "shop.py")
    number = {"stdout": 1, "stderr": 2}[closed]
    command = f'exec "$@" {number}>&-'
    words = [sys.executable, "-m", "scraper", "tables", "shop"]
    ran = subprocess.run(
        ["sh", "-c", command, "sh", *words],
        cwd=person.folder,
        env=person.environment,
        capture_output=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_wrong_words_on_the_command_line(person: Person) -> None:
    """Unknown names, commands, flags and values: exit 2, one line, a suggestion where one is close."""
    (person.folder / "folder.py").mkdir()
    for words, told in [
        (("crawl", "shpo.py"), "no file shpo.py"),
        (("crawl", "folder.py"), "is a folder"),
        (("crawl", "shop.py:Shp"), 'Did you mean "Shop"?'),
        (("crwl",), 'Did you mean "crawl"?'),
        (("crawl", "shop.py", "--set", "rat=1"), 'Did you mean "rate"?'),
        (("crawl", "shop.py", "--rate", "fast"), "5/s"),
        (("crawl", "shop.py", "-a", "x=1"), "no argument 'x'"),
        (("crawl", "shop.py", "--start", "127.0.0.1/x"), "https://127.0.0.1/x"),
        (("crawl", "shop.py", "--nope"), "--nope"),
        (("crawl",), "TARGET"),
        (("resume", "nope"), "no database 'nope'"),
    ]:
        ran = person.types(*words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), (words, ran.err)
        assert told in ran.err


def test_help_is_there_for_every_command(person: Person) -> None:
    """`--help` of the program lists commands and exit codes, and each command has its own."""
    alone = person.types()
    assert (alone.code, alone.err.startswith("Usage: scraper")) == (2, True)
    ran = person.types("--help")
    assert ran.code == 0
    assert "Exit codes" in ran.out
    for command in ("crawl", "resume", "query", "tables"):
        assert command in ran.out
        assert person.types(command, "--help").code == 0


def test_looking_at_a_crawl_from_another_terminal(person: Person) -> None:
    """runs, errors, hosts, explain, list and info answer from the database or the class, one screen each."""
    person.write(
        "broken.py",
        'from scraper import Spider\nclass Broken(Spider):\n    """Breaks on products."""\n    rate = None\n    limit: int = 3\n'
        f'    start_urls = ["{person.url}/"]\n'
        '    def parse(self, page):\n        yield page.follow_all("a.product:nth-child(-n+20)", self.product)\n'
        "    def product(self, page):\n        yield {'price': float(page.text('b'))}\n",
    )
    assert person.types("crawl", "broken.py").code == 1
    told = person.types("errors", "broken").out.splitlines()
    assert (
        told[0]
        == "✗ broken.py:10 in product   ValueError: could not convert string to float: '£0.50'     20 pages"
    )
    assert told[2].endswith(f"reproduce: scraper try broken.py {person.url}/p/0")
    assert told[3] == "  hint: page.decimal('b') reads prices"
    assert (
        person.types("errors", "broken", "--full", "--kind", "callback").out.count("float(page.text('b'))")
        == 2
    )
    assert person.types("errors", "broken", "--kind", "dns").err == "nothing failed\n"
    assert person.types("runs", "broken").out.splitlines()[2].split()[:3] == ["1", "broken", "finished"]
    assert person.types("hosts", "broken").out.splitlines()[2].split()[:2] == ["127.0.0.1", "22"]
    told = person.types("explain", "broken", f"{person.url}/p/1").out
    assert "failed: callback: ValueError" in told
    assert f"found on {person.url}/, depth 1, for product" in told
    never = person.types("explain", "broken", f"{person.url}/never")
    assert never.out.startswith(
        f"{person.url}/never  never queued: in scope, but no callback gave it on any of "
    )
    about = person.types("info", "broken.py").out
    assert "-a limit: int = 3" in about
    assert "Breaks on products." in about
    (person.folder / "spiders").mkdir()
    (person.folder / "broken.py").rename(person.folder / "spiders" / "broken.py")
    assert person.types("list").out.startswith("broken  spiders/broken.py:2  Breaks on products.")


def test_stop_ends_a_crawl_from_another_terminal(person: Person, shop: tuple[str, list[str]]) -> None:
    """`scraper stop` ends a live crawl through its database; it is resumable, and nothing is fetched twice."""
    url, asked = shop
    person.write("shop.py", SPIDER.format(url=url, rate="'40/s'"))
    asked.clear()
    process = person.start("crawl", "shop.py")
    wait_for(lambda: len(asked) >= 5)
    stopped = person.types("stop", "shop")
    _, err = process.communicate(timeout=20)
    assert (stopped.code, process.returncode) == (0, 130)
    assert f"process {process.pid}" in stopped.err
    assert "continue with: scraper resume shop" in err
    assert person.types("resume", "shop").code == 0
    assert len(asked) == len(set(asked)) == PAGES + 2
    nobody = person.types("stop", "shop")
    assert (nobody.code, len(nobody.err.splitlines())) == (2, 1)


STUCK = """
from pathlib import Path
from scraper import Page, Spider

class Stuck(Spider):
    start_urls = ["{url}/"]
    rate = None

    def parse(self, page: Page):
        yield {{"url": page.url}}
        Path("begun").touch()
        while True:
            pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cr_10_a_callback_that_never_returns_can_be_left(person: Person, number: int) -> None:
    """A second Ctrl-C ends a crawl whose callback keeps the loop for ever; nothing of the page is stored."""
    person.write("stuck.py", STUCK.format(url=person.url))
    process = person.start("crawl", "stuck.py")
    wait_for((person.folder / "begun").exists)
    process.send_signal(number)
    time.sleep(0.2)  # two signals at once are one
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Continue with: scraper resume stuck" in err
    assert "Traceback" not in err
    ran = person.types("status", "stuck")
    assert "continue with: scraper resume stuck" in ran.out
