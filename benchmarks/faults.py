"""The same mistakes in two crawlers: how each one ends, how much it prints, and whether it names the line.

python -m benchmarks.faults [--show FAULT]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from benchmarks.contenders import Scrapy
from benchmarks.serving import PROJECT, WORK

PAGES = 5


class Books(BaseHTTPRequestHandler):
    """Five pages of listings with four books each."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        kind, _, number = self.path.strip("/").partition("-")
        status, body = 200, b""
        if kind in {"", "page"}:
            body = _listing(int(number or 1))
        elif kind == "book":
            body = f"<h1>Book {number}</h1><p class=price_color>£{number}.50</p>".encode()
        elif kind == "robots.txt":
            body = b"User-agent: *\nDisallow: /private"
        elif kind != "empty":
            status = 404
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if kind == "robots.txt" else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


def _listing(page: int) -> bytes:
    books = "".join(
        f'<article class="product_pod"><h3><a href="/book-{n}">Book {n}</a></h3></article>'
        for n in range(4 * page, 4 * page + 4)
    )
    following = f'<li class="next"><a href="/page-{page + 1}">next</a></li>' if page < PAGES else ""
    return f"<html><body>{books}{following}</body></html>".encode()


OURS = """\
from scraper import Page, Spider

class Books(Spider):
    start_urls = ["@URL@"]
    rate = None

    def parse(self, page: Page):
        yield page.follow_all("@LINKS@", self.parse_book)
        yield page.follow("li.next a")

    def parse_book(self, page: Page):
        yield {"title": page.text("h1"), "price": @PRICE@}
"""
THEIRS = """\
import scrapy

class Books(scrapy.Spider):
    name = "books"
    start_urls = ["@URL@"]
    custom_settings = {"ROBOTSTXT_OBEY": True, "DOWNLOAD_DELAY": 0}

    def parse(self, response):
        yield from response.follow_all(css="@LINKS@", callback=self.parse_book)
        yield from response.follow_all(css="li.next a", callback=self.parse)

    def parse_book(self, response):
        yield {"title": response.css("h1::text").get(), "price": @PRICE@}
"""


@dataclass(frozen=True)
class Fault:
    """One mistake, put into both spiders: their start, the selector of their links, the expression of the price."""

    about: str
    url: str = "/"
    links: str = "article.product_pod h3 a"
    ours: str = 'page.text("p.price_color")'
    theirs: str = 'response.css("p.price_color::text").get()'
    misspelt_setting: bool = False


FAULTS = {
    "misspelt-selector": Fault("a class misspelt in a selector", links="artcle.product_pod h3 a"),
    "invalid-selector": Fault("a selector that is no CSS", links="article..product_pod a"),
    "callback-raises": Fault(
        "float() of a price",
        ours='float(page.text("p.price_color"))',
        theirs='float(response.css("p.price_color::text").get())',
    ),
    "none-has-no-attribute": Fault(
        "an element that is not there",
        ours='page.first("h7").text()',
        theirs='response.css("h7::text").get().strip()',
    ),
    "misspelt-setting": Fault("a setting misspelt", misspelt_setting=True),
    "no-such-host": Fault("a host that does not exist", url="http://books.exmple.invalid/"),
    "port-closed": Fault("nobody listens", url="http://127.0.0.1:1/"),
    "start-not-found": Fault("the start is a 404", url="/nowhere"),
    "start-disallowed": Fault("robots.txt forbids the start", url="/private"),
    "start-is-empty": Fault("the start is an empty page", url="/empty"),
}


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, what it printed, whether that names a line of the spider."""

    code: int
    text: str

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def names_place(self) -> bool:
        return any(f"books.py:{n}" in self.text or f'books.py", line {n}' in self.text for n in range(1, 20))


def _written(fault: Fault, template: str, price: str, base: str) -> str:
    url = fault.url if ":" in fault.url else base + fault.url
    text = template.replace("@URL@", url).replace("@LINKS@", fault.links).replace("@PRICE@", price)
    if fault.misspelt_setting:
        text = text.replace("rate = None", "concurency = 4").replace('"DOWNLOAD_DELAY"', '"DOWNLOAD_DELY"')
    return text


def _ran(command: list[str], folder: Path) -> Outcome:
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return Outcome(done.returncode, done.stdout + done.stderr)


def _both(fault: Fault, base: str, scrapy: str) -> tuple[Outcome, Outcome]:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        Path(one, "scraper.toml").touch()
        Path(one, "books.py").write_text(_written(fault, OURS, fault.ours, base))
        Path(two, "books.py").write_text(_written(fault, THEIRS, fault.theirs, base))
        ours = _ran([sys.executable, "-m", "scraper", "crawl", "books.py"], Path(one))
        theirs = _ran([scrapy, "-m", "scrapy", "runspider", "books.py", "-O", "books.jsonl"], Path(two))
    return ours, theirs


@contextmanager
def _serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Books)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Print the table, or all that both print for one fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", choices=FAULTS, metavar="FAULT", help=", ".join(FAULTS))
    shown = parser.parse_args().show
    contender = Scrapy()
    scrapy = str(WORK / "scrapy" / "bin" / "python")
    with _serving() as base:
        if shown:
            for outcome in _both(FAULTS[shown], base, scrapy):
                print(f"exit {outcome.code}, {outcome.lines} lines\n{outcome.text}\n")
            return
        print(f"Scrapy {contender.versions()['scrapy']}, its log as it comes (DEBUG)\n")
        print(
            "| mistake | scraper: exit, lines, line named | Scrapy: exit, lines, line named |\n|---|---|---|"
        )
        for fault in FAULTS.values():
            cells = [
                f"{o.code}, {o.lines}, {'yes' if o.names_place() else 'no'}"
                for o in _both(fault, base, scrapy)
            ]
            print(f"| {fault.about} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
