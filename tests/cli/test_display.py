"""What a person sees of a crawl: the live region on a terminal, lines in a pipe, JSON events."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT

from scraper.cli.terminal.display import Display, waiting_line
from scraper.cli.terminal.ending import shares
from scraper.cli.terminal.region import Region, fitted, screen, width
from scraper.core.clock import local_time
from scraper.core.models import CrawlStatus, DomainStatus
from scraper.politeness import OUTAGE
from scraper.reports.progress import Progress
from scraper.reports.status import WaitingDomain
from tests.support.shop_server import Server, Shop
from tests.support.terminal import Terminal

# ------------------------------------------------------------------------------------------- the region


def region_on(terminal: Terminal) -> Region:
    return Region(terminal, lambda: terminal.screen.columns)  # type: ignore[arg-type]  # all that a region needs


def test_a_region_is_drawn_in_place() -> None:
    """The lines are replaced, whatever their number, and what was printed before stays."""
    terminal = Terminal()
    terminal.write("before\n")
    region = region_on(terminal)
    region.draw(["one", "two", "three"])
    region.draw(["four"])
    assert terminal.text == ["before", "four"]
    region.clear()
    assert terminal.text == ["before"]


def test_text_scrolls_by_above_the_region() -> None:
    """What is printed meanwhile stands above the lines, which stay at the bottom."""
    terminal = Terminal()
    region = region_on(terminal)
    region.draw(["counting"])
    region.above("a warning\n")
    region.above("another\n")
    assert terminal.text == ["a warning", "another", "counting"]


def test_a_signal_handler_interjects_a_line() -> None:
    """It stands above the region at once, also when the region is being drawn at that moment."""
    reader, writer = os.pipe()
    with open(writer, "w") as stream, open(reader, "rb", buffering=0) as said:
        region = Region(stream, lambda: 40)
        region.draw(["one", "two"])
        assert region.interject("stopping\n")
        assert said.read(100) == b"one\ntwo\n\r\x1b[2A\x1b[Jstopping\none\ntwo\n"

        class Interrupted:
            def write(self, text: str) -> None:
                region.interject("again\n")
                stream.write(text)

            def flush(self) -> None:
                stream.flush()

            def fileno(self) -> int:
                return stream.fileno()

            encoding = "utf-8"

        region._stream = Interrupted()  # type: ignore[assignment]  # all that a region needs
        region.draw(["three"])
        assert said.read(100) == b"\r\x1b[2A\x1b[Jthree\n\r\x1b[1A\x1b[Jagain\nthree\n"


def test_lines_are_cut_to_the_terminal() -> None:
    """A line never wraps: it ends with an ellipsis, and wide characters count twice."""
    terminal = Terminal(columns=10)
    region_on(terminal).draw(["x" * 30, "書籍書籍書籍書籍"])
    assert terminal.screen.display[0].rstrip() == "xxxxxxxx…"
    assert fitted("書籍書籍書籍", 9) == "書籍書籍…"
    assert width(fitted("e\u0301" * 20, 9)) == 9


def test_a_narrower_terminal_is_wiped_as_far_as_the_lines_have_wrapped() -> None:
    """After the window was made narrower, the rows that the old lines take then are erased, no more and no fewer."""
    written: list[str] = []

    class Recorder(Terminal):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    terminal = Recorder(columns=40)
    region = region_on(terminal)
    region.draw(["x" * 39, "y" * 12])
    terminal.screen.columns = 10
    region.draw(["z"])
    assert written[-1].startswith("\r\x1b[6A\x1b[J")  # four rows of x, two of y


def test_what_a_spider_prints_goes_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """print() and log lines on the same terminal scroll by above the region; half a line waits for its end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with screen() as region:
        region.draw(["counting"])
        print("hello")
        sys.stderr.write("half")
        assert terminal.text == ["hello", "counting"]
        sys.stderr.write(" a line\n")
        region.draw(["counting"])
        assert terminal.text == ["hello", "half a line", "counting"]
        print("no end", end="")
        region.clear()
    assert terminal.text == ["hello", "half a line", "no end"]
    assert sys.stdout is terminal


# ------------------------------------------------------------------------------------------- its lines


def progress(ended: int = 0, queued: int = 0, **items: int) -> Progress:
    return Progress(1, "books", "running", None, 0.0, None, ended, 0, ended, queued, 0, items)


def test_the_lines_are_those_of_the_documentation() -> None:
    """One line of numbers with the clock at its end, one for the domain with its past and what it waits for."""
    display = Display()
    for second in range(9):
        for _ in range(second):
            display.page("books.toscrape.com")
        status = CrawlStatus(
            [DomainStatus("books.toscrape.com", 4, 9, "rate limit", 0.0)],
            1,
            {"rate limit": 0.81 * second, "network": 0.19 * second},
        )
        display.update(float(second), progress(88 + 5 * second, 79 - 5 * second, book=1200 + second), status)
    assert display.lines(64.0, 0.0, 100) == [
        " ⠙ 128 pages · 1 208 books · 39 queued · 5.0/s · about 8 s left                            00:01:04",
        "   books.toscrape.com  4 in flight  ▁▂▃▄▅▆▇█   waits: rate limit 81 %",
    ]


def test_several_domains_have_a_lane_each() -> None:
    """The busiest five by name, each with what it waits for now; the others are counted."""
    display = Display()
    domains = [DomainStatus(f"{name}.example", 1, 0, "network") for name in "fedcba"]
    domains[1] = DomainStatus("e.example", 0, 3, "Retry-After", 1000.0, "auto 2/s")
    display.update(0.0, progress(1, 5), CrawlStatus(domains, 6))
    head, *lanes = display.lines(1.0, 0.0, 80)
    assert [lane.split()[0] for lane in lanes] == [
        "b.example",
        "c.example",
        "d.example",
        "e.example",
        "f.example",
        "…",
    ]
    assert re.search(r"0 in flight +auto 2/s   waits: Retry-After until \d\d:\d\d:\d\d$", lanes[3])
    assert lanes[-1] == "   … and 1 more domain"
    assert "left" not in head


def test_what_is_waited_for_is_told_without_a_terminal() -> None:
    """The domain that waits, why and until when; one that is down, since when and when it is tried again."""
    display, at = Display(), local_time(1e9 + 60, 1e9)
    progress = Progress(1, "a", "running", None, 0.0, None, 1, 0, 1, 3, 0, {})
    busy = DomainStatus("a.test", 1, 0)
    for waits, said in (
        (DomainStatus("b.test", 0, 3, "Retry-After", 1e9 + 60), f"b.test waits: Retry-After until {at}"),
        (
            DomainStatus("b.test", 0, 3, OUTAGE, 1e9 + 60, "down since 00:00:00: refused"),
            f"b.test down since 00:00:00: refused; tried again at {at}",
        ),
    ):
        display.update(0.0, progress, CrawlStatus([busy, waits], 2))
        assert display.waits(1e9) == said
    display.update(0.0, progress, CrawlStatus([busy], 1))
    assert display.waits(1e9) == ""
    due = WaitingDomain("b.test", 1e9 + 60, "Retry-After")
    assert waiting_line(due, 1e9) == f"waits: Retry-After until {at}"


def test_how_long_it_takes_is_said_only_when_it_can_be_known() -> None:
    """While the queue grows nobody knows; with a number of pages to fetch it is known."""
    for most, told in ((None, False), (100, True)):
        display = Display(most)
        for second in range(12):
            display.update(float(second), progress(second, 10 * second), CrawlStatus())
        assert ("about 90 s left" in display.lines(12.0, 0.0, 100)[0]) is told


def test_shares_of_time() -> None:
    """The largest four, in percent, those below half a percent left out."""
    counters = {
        "pages": 5,
        "time.rate limit": 8100,
        "time.network": 1500,
        "time.parsing": 380,
        "time.database": 20,
    }
    assert shares(counters) == "rate limit 81 % · network 15 % · parsing 4 %"
    assert shares({"pages": 5}) == ""


# ------------------------------------------------------------------------------------------- as a process


def process_of(folder: Path, *words: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of the program in a project's folder."""
    (folder / "scraper.toml").touch()
    command = [sys.executable, "-m", "scraper", *words]
    return command, {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment}


def said(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that ends well, its output piped."""
    command, env = process_of(folder, *words)
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True
    )


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of the shop that the tests of the command line crawl."""
    server = Server(("127.0.0.1", 0), Shop)
    server.asked = []  # type: ignore[attr-defined]  # the handler writes it
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def frames(folder: Path, *words: str, columns: int = 100, **environment: str) -> Iterator[Terminal]:
    """The terminal of a command after each piece of its output."""
    ours, theirs = pty.openpty()
    command, env = process_of(folder, *words, **environment)
    terminal = Terminal(columns, 40)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        while octets := _read(ours):
            terminal._stream.feed(octets.decode())
            yield terminal
    finally:
        os.close(ours)
        assert process.wait(30) == 0


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65_536)
    except OSError:  # Linux: the other end was closed
        return b""


def test_a_terminal_shows_numbers_that_move(tmp_path: Path) -> None:
    """On a terminal the demo shows lanes with their waits while it runs, and in the end only its summary."""
    seen: set[str] = set()
    for terminal in frames(tmp_path, "demo"):
        seen.update(re.sub(r"[\d.]+", "N", line) for line in terminal.text)
    assert any("N in flight" in line and "waits: network" in line for line in seen)
    assert any("queued · N/s" in line for line in seen)
    assert not [line for line in terminal.text if "in flight" in line or "queued" in line]
    (row,) = [row for row, line in enumerate(terminal.text) if line.startswith("✓")]
    assert "✓ demo: 263 pages, 205 products (205 new), 127 reviews (127 new)" in terminal.text[row]
    assert terminal.screen.buffer[row][0].fg == "green"


SPIDER = """
from scraper import Page, Spider
class Counting(Spider):
    start_urls = ["{url}"]
    rate = {rate!r}
    def parse(self, page: Page):
        yield {{"title": page.text("h1", default="none")}}
        yield page.follow_all("a")
"""


def test_colours_are_left_out_when_asked(tmp_path: Path, shop: str) -> None:
    """NO_COLOR: the terminal moves, but without one colour."""
    (tmp_path / "counting.py").write_text(SPIDER.format(url=f"{shop}/p/7", rate=None))
    for terminal in frames(tmp_path, "crawl", "counting.py", NO_COLOR="1"):
        assert {char.fg for row in terminal.screen.buffer.values() for char in row.values()} <= {"default"}
    assert any(line.startswith("✓ counting: 1 page") for line in terminal.text)


def test_a_pipe_gets_lines_without_control_codes(tmp_path: Path, shop: str) -> None:
    """Piped, a good crawl is six lines at most, without one escape sequence, and nothing is on stdout."""
    (tmp_path / "counting.py").write_text(SPIDER.format(url=f"{shop}/p/7", rate=None))
    done = said(tmp_path, "crawl", "counting.py")
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) <= 6
    assert done.stdout == ""


def test_json_events_are_data_on_stdout(tmp_path: Path, shop: str) -> None:
    """With --json stdout has one object a line: started, a page for each request, the whole summary at the end."""
    (tmp_path / "counting.py").write_text(SPIDER.format(url=f"{shop}/p/7", rate=None))
    done = said(tmp_path, "crawl", "counting.py", "--json", "-v")
    started, page, ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert (started["event"], started["spider"], started["run"]) == ("started", "counting", 1)
    assert (page["event"], page["url"], page["outcome"]) == ("page", f"{shop}/p/7", "ok")
    assert page["items"] == {"counting": 1}
    assert (ended["event"], ended["exit_code"], ended["items"]) == ("ended", 0, {"counting": {"new": 1}})
    assert re.search(rf"^  200  {shop}/p/7  1 item, 0 links", done.stderr, re.MULTILINE)


def test_status_of_a_live_a_dead_and_a_finished_crawl(tmp_path: Path, shop: str) -> None:
    """From another terminal: running with its numbers, died with the next command, complete; as text and as JSON."""
    (tmp_path / "counting.py").write_text(SPIDER.format(url=f"{shop}/", rate="15/s"))
    command, env = process_of(tmp_path, "crawl", "counting.py")
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "run 1" in process.stderr.readline()
    assert "counting  run 1  running: counting, scraper" in said(tmp_path, "status", "counting").stdout
    live = json.loads(said(tmp_path, "status", "counting", "--json").stdout)
    assert (live["live"], live["state"]) == (True, "running")
    process.kill()
    process.communicate()
    died = said(tmp_path, "status", "counting").stdout
    assert "died while it ran; continue with: scraper resume counting" in died
    said(tmp_path, "resume", "counting")
    lines = said(tmp_path, "status", "counting", "--watch").stdout.splitlines()
    assert lines[0] == "counting  run 1  complete"
    assert lines[1].startswith("  61 pages · 61 countings · 0 queued")


def test_a_region_ends_with_its_stream() -> None:
    """Text that is no whole line at the end of the stage is still shown."""
    stream = io.StringIO()
    region = Region(stream, lambda: 80)
    region.draw(["a"])
    region.clear()
    assert stream.getvalue() == "a\n\r\x1b[1A\x1b[J"
