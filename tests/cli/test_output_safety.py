"""SEC-57: what a page, a server or an item says is text on the terminal, never a command to it or a line of ours."""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper import Blocked, Page, Skip, Spider
from scraper.cli import main
from scraper.cli.terminal.report import Reporter
from scraper.events import DomainParked, Warned
from scraper.reports.summary import Summary
from scraper.testing import Answer, Site, simulate

#: A title that clears the screen, rings, forges a line, turns the text around, hides, and does not end.
EVIL = "\x1b[2J\x1b]0;owned\x07\r\nINFO done\u202egnp.exe\x9b31m\u2066\u200b\x00\x7f"
LONG = "x" * 1_000_000
#: C0 but the line feed, DEL, C1, and characters that are not seen or turn the text around.
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass
class Title:
    text: str
    size: int = 0


class Evil(Spider[Title]):
    """Stores, follows, rejects and raises what the page says."""

    start_urls = ["https://evil.test/"]

    def parse(self, page: Page):
        yield Title(EVIL)
        yield Title(LONG)
        yield Title(EVIL, size=EVIL)  # type: ignore[arg-type]  # a bad item is meant
        yield {EVIL.replace("\x00", ""): EVIL}
        yield page.request("/raises", self.raises)
        yield page.request("/skips", self.skips)
        yield page.request("/gone")
        yield page.request(f"/{EVIL}")
        yield page.request("/type")
        yield page.request("/redirect")
        yield page.request("/blocked", self.blocked)

    def raises(self, page: Page):
        raise ValueError(EVIL + LONG)

    def skips(self, page: Page):
        raise Skip(EVIL + LONG)

    def blocked(self, page: Page):
        raise Blocked(EVIL)


def answer(request) -> Answer:
    match request.url.path:
        case "/type":
            return Answer("x", headers={"Content-Type": "image/\x1b[2J"})
        case "/redirect":
            return Answer("", 302, {"Location": "javascript:\x1b[2J"})
        case "/gone":
            return Answer("", 404)
        case _:
            return Answer("x")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    path = tmp_path_factory.mktemp("evil") / "evil.db"
    settings = {"robots": False, "rate": None, "max_failed": 1.0}
    return path, simulate(Evil, Site(answer), settings=settings, db=path).summary


COMMANDS = [
    ["tables", "DB"], ["query", "DB", "title"], ["query", "DB", "evil"], ["query", "DB", "SELECT * FROM title"], ["query", "DB", "SELECT * FROM requests"],
    ["query", "DB", "SELECT * FROM errors"], ["query", "DB", "SELECT * FROM _rejected"], ["query", "DB", f"SELECT '{EVIL[:5]}' AS \"{EVIL[:4]}\""],
    ["query", "DB", f"SELECT * FROM \"{EVIL[:6]}\""], ["runs", "DB"], ["errors", "DB"], ["hosts", "DB"], ["status", "DB"], ["politeness", "DB"],
    ["explain", "DB", "https://evil.test/raises"], ["explain", "DB", f"https://evil.test/{EVIL[1:8]}"], ["explain", "DB", "https://evil.test/skips"], ["info", EVIL[1:6]],
    ["crawl", EVIL[1:6]], ["resume", EVIL[1:6]],
]  # fmt: skip


def said(arguments: list[str]) -> str:
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["scraper", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            main()
    finally:
        sys.argv = before
    return out.getvalue() + err.getvalue()


def check(text: str) -> None:
    assert text
    found = STEERS.search(text)
    assert found is None, repr(text[max(0, found.start() - 40) :][:80])
    assert not re.search(r"^INFO done", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 4_096


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_sec_57_no_command_repeats_what_steers_a_terminal(
    database: tuple[Path, Summary], command: list[str]
) -> None:
    """Whatever was stored, what is printed holds no control character, no forged line, and no endless one."""
    check(said([str(database[0]) if part == "DB" else part for part in command]))


def test_sec_57_the_report_of_a_crawl_cannot_be_steered(database: tuple[Path, Summary]) -> None:
    """Nor does what a crawl says while it runs and at its end."""
    reporter, err = Reporter(verbose=True), io.StringIO()
    with redirect_stderr(err):
        reporter(Warned(EVIL + LONG))
        reporter(DomainParked(EVIL, EVIL + LONG))
        reporter.ended(database[1])
    assert database[1].problems
    check(err.getvalue())
