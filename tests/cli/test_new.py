"""`scraper new`: what is guessed of a page, and a spider that runs as it is written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import httpx
import pytest

from scraper.cli import main
from scraper.cli.commands.draft import _path_for, _spider
from scraper.cli.guess import guess_block, guess_next
from scraper.core.models import Options
from scraper.page import Page
from scraper.project.loader import load_spider
from scraper.testing import Site, simulate

URL = "https://www.shop.example.com/list"
MENU = (
    "<ul class=menu>"
    + "".join(f"<li><a href=/c/{i}>Category number {i}</a></li>" for i in range(50))
    + "</ul>"
)


def product(i: int) -> str:
    return (
        f'<li class="col col-{i}"><article class="product card"><img src={i}.jpg>'
        f'<h3><a href=/p/{i} title="The whole title number {i}">The whole ti…</a></h3>'
        f'<p class=price_color>£{i}.50</p><p class="stock available"><i class=icon></i>{i} in stock</p>'
        "<form><button class=add>Add to basket</button></form></article></li>"
    )


def quote(i: int) -> str:
    tags = "".join(f"<a class=tag href=/tag/{t}>tag {t}</a>" for t in range(i % 3 + 2))
    return (
        f"<div class=quote><span class=text>A long enough saying about the number {i}.</span><span>by "
        f"<small class=author>Author {i}</small> <a href=/author/{i}>(about)</a></span><div class=tags>Tags: {tags}</div></div>"
    )


PAGES = {
    "shop": MENU + "<ol>" + "".join(map(product, range(1, 21))) + "</ol><li class=next><a href=/list/2>next</a></li>",
    "quotes": "<div class=row>" + "".join(map(quote, range(10))) + "</div><ul><li class=next><a href=/page/2/>Next</a></ul>",
    "manual": "<div class=toc><dl>" + "".join(f"<dt><a href={i}.html>{i}. Chapter <b>number</b> {i}</a></dt>" for i in range(9)) + "</dl></div>"
    "<table><tr><td><a accesskey=p href=0.html>Prev</a><td><a accesskey=n href=1.html>Next</a></table>",
    "cards": "<main>" + "".join(f"<a class='card x:y' href=/c/{i}><h2>Card {i}</h2><time class=day>{i} May</time></a>" for i in range(4)) + "</main>",
    "rows": "<table class=stocks>" + "".join(f"<tr class='{'odd' if i % 2 else 'even'}'><td><a href=/{i}>Stock {i}</a></td><td class=rate>{i}</td></tr>" for i in range(8)) + "</table>",
}  # fmt: skip

GUESSED = {
    "shop": ("article.product", "li.next a", {"title": "The whole title number 1", "price": 1.5, "stock": "1 in stock", "url": "https://www.shop.example.com/p/1"}),
    "quotes": ("div.quote", "li.next a", {"text": "A long enough saying about the number 0.", "author": "Author 0", "tags": '["tag 0", "tag 1"]', "url": "https://www.shop.example.com/author/0"}),
    "manual": ("div.toc dt", 'a[accesskey="n"]', {"title": "0. Chapter number 0", "url": "https://www.shop.example.com/0.html"}),
    "cards": ("a.card", None, {"title": "Card 0", "day": "0 May", "url": "/c/0"}),
    "rows": ("table.stocks tr", None, {"title": "Stock 0", "rate": "0", "url": "https://www.shop.example.com/0"}),
}  # fmt: skip


def page_of(html: str) -> Page:
    headers = httpx.Headers({"Content-Type": "text/html"})
    return Page(
        url=URL, status=200, headers=headers, body=html.encode(), source=lambda: html, options=Options()
    )


@pytest.mark.parametrize("name", list(PAGES))
def test_the_written_spider_gives_the_items(name: str, tmp_path: Path) -> None:
    """A shop, quotes, a table of contents, cards that are links, rows: the block, its fields, the next page; it runs."""
    page = page_of(PAGES[name])
    block, following = guess_block(page), guess_next(page)
    selector, expected_next, item = GUESSED[name]
    assert block is not None
    assert (block.selector, following) == (selector, expected_next)
    path = tmp_path / f"{name}.py"
    path.write_text(_spider(path, URL, block, following))
    after = dict.fromkeys(page.links(following) if following else [], "<p>the end</p>")
    done = simulate(load_spider(str(path)), Site({URL: PAGES[name], **after}))
    assert done.summary.problems == []
    rows = done.tables[name]
    assert len(rows) == block.count
    assert {key: rows[0][key] for key in item} == item


@pytest.mark.parametrize(
    "html",
    ["", "<p>Nothing here</p>", "<a href=/x>one</a><a href=/y>two</a>", "<ul>" + "<li>no link</li>" * 9],
)
def test_a_page_without_a_listing_still_gives_a_spider(html: str, tmp_path: Path) -> None:
    """Where nothing repeats that has text and a link, the spider yields the page's title and address."""
    block = guess_block(page_of(html))
    assert block is None
    path = tmp_path / "plain.py"
    path.write_text(_spider(path, URL, block, None))
    (row,) = simulate(load_spider(str(path)), Site({URL: f"<title>T</title>{html}"})).tables["plain"]
    assert (row["title"], row["url"]) == ("T", URL)


def test_nothing_of_a_page_can_become_code(tmp_path: Path) -> None:
    """Classes, attributes and URLs of a stranger stand in the file as text, or not at all."""
    evil = '"); import os #'
    html = "".join(f"<a class='{evil}' href=/{i}><b class='x\"] + y'>Text {i}</b></a>" for i in range(5))
    html += f"<a accesskey='n\"{evil}' href=/n>Next</a>"
    page = page_of(f"<body>{html}</body>")
    path = tmp_path / "site.py"
    text = _spider(path, f'https://x.example/{evil}"""', guess_block(page), guess_next(page))
    path.write_text(text)
    assert "import os #" not in text.replace('\\"); import os #', "")
    assert load_spider(str(path)).start_urls == [f'https://x.example/{evil}"""']


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.shop.example.com/x", "shop.py"),
        ("https://books-online.example/", "books_online.py"),
        ("http://127.0.0.1:80/", "site.py"),
        ("http://[::1]/", "site.py"),
        ("http://4chan.example/", "site.py"),
        ("nothing", "site.py"),
    ],
)
def test_a_file_is_named_after_the_host(tmp_path: Path, url: str, name: str) -> None:
    """In the spiders/ folder of the project where it has one, else here."""
    with chdir(tmp_path):
        assert str(_path_for(url)) == name
        (tmp_path / "spiders").mkdir()
        assert str(_path_for(url)) == f"spiders/{name}"


# ------------------------------------------------------------------------------------------- as a command


class Shop(BaseHTTPRequestHandler):
    """The shop's listing; robots.txt forbids /private."""

    def do_GET(self) -> None:
        page = f"<title>A shop</title><body>{PAGES['shop']}</body>"
        known = {"/robots.txt": ("text/plain", "User-agent: *\nDisallow: /private"), "/": ("text/html", page)}
        kind, text = known.get(self.path, ("text/html", ""))
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def typed(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    err = StringIO()
    monkeypatch.setattr(sys, "argv", ["scraper", *words])
    with chdir(folder), redirect_stdout(StringIO()), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0), err.getvalue()


def test_new_fetches_the_page_and_tells_what_it_found(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Title, number of links, block, next page, file, next command; the spider has the URL and a budget."""
    (tmp_path / "spiders").mkdir()
    code, err = typed(tmp_path, monkeypatch, "new", f"{site}/")
    assert code == 0
    assert err.splitlines() == [
        "A shop   71 links",
        '  20 blocks like "article.product", with title, price, stock, url',
        '  the next page is at "li.next a"',
        "  wrote spiders/site.py; run it: scraper crawl site",
    ]
    text = (tmp_path / "spiders" / "site.py").read_text()
    assert f'start_urls = ["{site}/"]' in text
    assert "max_pages = 100" in text
    code, err = typed(tmp_path, monkeypatch, "crawl", "site", "--rate", "none")
    assert "20 site" in err


def test_a_file_is_never_replaced_unless_told_to(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is there stays as it is, exit 2, before anything is fetched; `--force` replaces it."""
    mine = tmp_path / "mine.py"
    mine.write_text("# mine")
    code, err = typed(tmp_path, monkeypatch, "new", f"{site}/", "-o", "mine.py")
    assert (code, err) == (
        2,
        "✗ mine.py exists; name another file with -o FILE, or replace it with --force\n",
    )
    assert mine.read_text() == "# mine"
    assert typed(tmp_path, monkeypatch, "new", f"{site}/", "-o", "mine.py", "--force")[0] == 0
    assert "class Mine(Spider)" in mine.read_text()


@pytest.mark.parametrize(
    ("address", "file", "code", "told"),
    [
        ("{site}/private", "s.py", 4, "robots.txt"),
        ("{site}/gone", "s.py", 4, "HTTP 404"),
        ("http://127.0.0.1:1/", "s.py", 4, "refused"),
        ("127.0.0.1/x", "s.py", 2, "https://127.0.0.1/x"),
        ("{site}/", "s.txt", 2, "ends in .py"),
        ("{site}/", "file.py/s.py", 2, "cannot be written"),
    ],
)
def test_what_cannot_be_had_or_written_is_said(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch, address: str, file: str, code: int, told: str
) -> None:
    """A page that is forbidden, gone or unreachable: exit 4; a wrong URL or file: exit 2; nothing is written."""
    (tmp_path / "file.py").write_text("")
    found, err = typed(
        tmp_path,
        monkeypatch,
        "new",
        address.format(site=site),
        "-o",
        file,
    )
    assert (found, len(err.splitlines())) == (code, 1)
    assert told in err
    assert not (tmp_path / "s.py").exists()
