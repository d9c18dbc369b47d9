"""What a person sees when something is wrong: the exact output, piped and on a terminal, for each of many faults.

The expected output of a fault lies in tests/faults/NAME.txt. After a change that is meant, write them anew with
`FAULTS=write python -m pytest tests/cli/test_faults.py` and read the difference.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT

from scraper.cli import main
from tests.support.shop_server import Server
from tests.support.terminal import Terminal

EXPECTED = ROOT / "tests" / "faults"
#: Books on the first page of the listing (two on each of the others), and pages of it.
ON_A_PAGE, PAGES = 20, 5


class Books(BaseHTTPRequestHandler):
    """A listing of five pages; and addresses at which something is the matter."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for the first's ACK

    def do_GET(self) -> None:
        status, headers, body = self._answer()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> tuple[int, dict[str, str], bytes]:
        kind, _, number = self.path.strip("/").partition("-")
        match kind:
            case "" | "page":
                return 200, {}, listing(int(number or 1))
            case "book":
                price = "" if self.server.sold_out and int(number) > 8 else f"£{number}.50"  # type: ignore[attr-defined]  # set by a test
                text = f"<h1>Book {number}</h1><p class=price_color>{price}</p><p class=stock>In stock (22 available)</p>"
                return 200, {}, text.encode()
            case "robots.txt":
                return 200, {"Content-Type": "text/plain"}, b"User-agent: *\nDisallow: /private"
            case "empty":
                return 200, {}, b""
            case "image":
                return 200, {"Content-Type": "image/png"}, b"\x89PNG"
            case "forbidden":
                return 403, {}, b"no"
            case "broken":
                return 500, {}, b"oops"
            case "busy":
                return 429, {"Retry-After": "86400"}, b"later"
            case "json":
                return 200, {"Content-Type": "application/json"}, b'{"books": []}'
        return 404, {}, b"not here"

    def log_message(self, format: str, *args: object) -> None:
        return


def listing(page: int) -> bytes:
    first, count = (1, ON_A_PAGE) if page == 1 else (ON_A_PAGE + 2 * page, 2)
    books = "".join(
        f'<article class="product_pod"><h3><a href="/book-{n}">Book {n}</a></h3><p class=price_color>£{n}.50</p></article>'
        for n in range(first, first + count)
    )
    following = f'<li class="next"><a href="/page-{page + 1}">next</a></li>' if page < PAGES else ""
    return f"<html><body><h1>All books</h1>{books}<ul class=pager>{following}</ul></body></html>".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Books)
    server.sold_out = False  # type: ignore[attr-defined]  # read by the handler
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


HEAD = """\
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from scraper import Key, Page, Spider

@dataclass
class Book:
    title: Annotated[str, Key]
    price: Decimal | None

class Books(Spider[Book]):
"""
GOOD = """\
    start_urls = ["{url}/"]
    rate = None
    concurrency = 1

    def parse(self, page: Page):
        yield page.follow_all("article.product_pod h3 a", self.parse_book)
        yield page.follow("li.next a")

    def parse_book(self, page: Page):
        yield Book(page.text("h1"), page.decimal("p.price_color", default=None))
"""
START = '    start_urls = ["{url}/"]\n    rate = None\n    concurrency = 1\n\n'


@dataclass(frozen=True)
class Fault:
    """A project with something wrong in it: files beside books.py, the commands, the exit code of the last one."""

    code: int
    spider: str = HEAD + GOOD
    words: tuple[str, ...] = ("crawl", "books.py")
    before: tuple[tuple[str, ...], ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    sold_out: bool = False


def changed(old: str, new: str) -> str:
    """The good spider with one mistake."""
    assert old in GOOD
    return HEAD + GOOD.replace(old, new)


def body(text: str) -> str:
    """A spider with another body."""
    return HEAD + START + text


FAULTS = {
    # ------------------------------------------------------------------ selectors
    "misspelt-selector": Fault(3, changed("article.product_pod", "artcle.product_pod")),
    "invalid-selector": Fault(5, changed("article.product_pod h3", "article..product_pod")),
    "no-match": Fault(1, changed("h1", "h2.title")),
    "field-emptied": Fault(0, before=(("crawl", "books.py"),), sold_out=True),
    # ------------------------------------------------------------------ code
    "callback-raises": Fault(1, changed('page.decimal("p.price_color", default=None)', 'float(page.text("p.price_color"))')),
    "number-of-text": Fault(1, changed('page.decimal("p.price_color", default=None)', 'int(page.text("p.stock"))')),
    "none-has-no-attribute": Fault(1, changed('page.text("h1")', 'page.first("h7").text()')),
    "not-json": Fault(1, changed('page.text("h1")', 'page.json()["title"]')),
    "wrong-yield": Fault(1, changed("yield Book(page", "yield (page")),
    "lambda-callback": Fault(1, changed("self.parse_book)", "lambda page: None)")),
    "nan-item": Fault(3, changed('page.decimal("p.price_color", default=None)', 'Decimal("NaN")')),
    "misspelt-callback": Fault(1, changed("self.parse_book)", "self.parse_bok)")),
    "syntax-error": Fault(2, changed("def parse(self, page: Page):", "def parse(self, page: Page)")),
    "import-error": Fault(2, "import beautifulsoap\n" + HEAD + GOOD),
    "misspelt-setting": Fault(2, changed("rate = None", "concurency = 4")),
    "start-urls-is-text": Fault(2, changed('["{url}/"]', '"{url}/"')),
    "no-parse": Fault(2, HEAD + START),
    "no-spider": Fault(2, "def books():\n    return 1\n"),
    # ------------------------------------------------------------------ the start
    "no-such-host": Fault(4, changed("{url}", "http://books.exmple.invalid") + "    retries = 1\n"),
    "port-closed": Fault(4, changed("{url}", "http://127.0.0.1:1") + "    retries = 0\n"),
    "start-without-scheme": Fault(2, changed("{url}", "127.0.0.1")),
    "start-not-found": Fault(4, changed("{url}/", "{url}/nowhere")),
    "start-disallowed": Fault(4, changed("{url}/", "{url}/private")),
    "start-is-an-image": Fault(4, changed("{url}/", "{url}/image")),
    "start-is-empty": Fault(3, changed("{url}/", "{url}/empty")),
    "start-is-busy": Fault(5, changed("{url}/", "{url}/busy")),
    "server-errors": Fault(1, changed('"article.product_pod h3 a", self.parse_book', '"h1"').replace(
        'yield page.follow("li.next a")', 'yield [page.request(f"/broken-{{n}}", self.parse_book) for n in range(3)]\n        yield Book("x", None)'
    ) + "    retries = 0\n"),
    "forbidden": Fault(5, body(
        '    def parse(self, page: Page):\n        yield Book("x", None)\n'
        '        yield [page.request(f"/forbidden-{{n}}") for n in range(30)]\n'
    )),
    # ------------------------------------------------------------------ words
    "unknown-spider": Fault(2, words=("crawl", "boks"), files={"spiders/books.py": HEAD + GOOD, "spiders/quotes.py": "from scraper import Spider\nclass Quotes(Spider):\n    start_urls = ['http://127.0.0.1/']\n    def parse(self, page): ...\n"}),
    "unknown-file": Fault(2, words=("crawl", "boks.py")),
    "unknown-command": Fault(2, words=("crwal", "books.py")),
    "unknown-flag": Fault(2, words=("crawl", "books.py", "--max-page", "3")),
    "bad-value": Fault(2, words=("crawl", "books.py", "--rate", "fast")),
    "unknown-argument": Fault(2, words=("crawl", "books.py", "-a", "categry=travel")),
    "misspelt-table": Fault(2, words=("query", "books", "select * from bok"), before=(("crawl", "books.py"),)),
    "misspelt-column": Fault(2, words=("query", "books", "select titel from book"), before=(("crawl", "books.py"),)),
    "unknown-database": Fault(2, words=("query", "boks", "book"), before=(("crawl", "books.py"),)),
    "nothing-to-resume": Fault(2, words=("resume", "books"), before=(("crawl", "books.py"),)),
    # ------------------------------------------------------------------ files
    "unknown-key-in-configuration": Fault(2, files={"scraper.toml": 'contact = "me@example.com"\n\n[spider.books]\nrat = "1/s"\n'}),
    "no-database": Fault(6, words=("crawl", "books.py", "--db", "notes.txt"), files={"notes.txt": "These are notes, and no database.\n" * 40}),
    "database-is-a-folder": Fault(6, words=("crawl", "books.py", "--db", "data"), files={"data/x": ""}),
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


def typed(
    folder: Path, words: tuple[str, ...], out: object, err: object, monkeypatch: pytest.MonkeyPatch
) -> int:
    """A command, in this process."""
    monkeypatch.setattr(sys, "argv", ["scraper", *words])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with chdir(folder), pytest.raises(SystemExit) as left:
        main()
    monkeypatch.undo()
    return int(left.value.code or 0)


def project(folder: Path, fault: Fault, url: str) -> Path:
    folder.mkdir()
    for name, text in {
        "scraper.toml": "",
        "books.py": fault.spider.replace("{url}", url),
        **fault.files,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.replace("{{", "{").replace("}}", "}").replace("{url}", url))
    return folder


def piped(folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Shown:
    out, err = StringIO(), StringIO()
    code = typed(folder, words, out, err, monkeypatch)
    return Shown(code, out.getvalue(), err.getvalue())


def on_a_terminal(folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands on a terminal when the command has ended; so wide that no path wraps a line."""
    terminal = Terminal(500, 40)
    monkeypatch.setenv("TERM", "xterm")
    typed(folder, words, terminal, terminal, monkeypatch)
    return "\n".join(terminal.text)


def normal(text: str, folder: Path, url: str) -> str:
    """The same on every machine and at every time."""
    text = text.replace(url, "http://books.test").replace(url.removeprefix("http://"), "books.test")
    text = text.replace(f"{folder}/", "").replace(str(folder), ".").replace(str(ROOT), "")
    text = re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)
    text = re.sub(r"\buntil (\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d)?", "until T", text)
    text = re.sub(r"^  time .*$", "  time      …", text, flags=re.MULTILINE)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip("\n")


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_is_answered(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right exit code; at most six lines, which name the place and the next step; the same on a terminal."""
    fault, url = FAULTS[name], f"http://127.0.0.1:{server.server_address[1]}"

    def shown(text: str, folder: Path) -> str:
        return normal(text, folder, url)

    folders = [project(tmp_path / kind, fault, url) for kind in ("piped", "terminal")]
    for folder in folders:
        server.sold_out = False  # type: ignore[attr-defined]  # read by the handler
        for words in fault.before:
            piped(folder, words, monkeypatch)
    server.sold_out = fault.sold_out  # type: ignore[attr-defined]  # read by the handler
    ran = piped(folders[0], fault.words, monkeypatch)
    screen = on_a_terminal(folders[1], fault.words, monkeypatch)
    text = (
        f"exit {ran.code}\n\n--- piped\n{shown(ran.out + ran.err, folders[0])}"
        f"\n\n--- on a terminal\n{shown(screen, folders[1])}\n"
    )
    file = EXPECTED / f"{name}.txt"
    if os.environ.get("FAULTS") == "write":
        file.write_text(text)
    assert ran.code == fault.code, text
    assert len(ran.err.splitlines()) <= 6 + (not fault.code), text
    assert "Traceback" not in text
    assert text == file.read_text()


def test_every_expected_output_belongs_to_a_fault() -> None:
    """No file is left of a fault that is gone."""
    assert {path.stem for path in EXPECTED.glob("*.txt")} == set(FAULTS)
