"""One page at a time: try, get, shell, and pages saved as tests."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import httpx
import pytest

from scraper import Page
from scraper.cli import main
from scraper.cli.commands.shell import Session
from scraper.cli.curl import request_of
from scraper.core.models import Options
from scraper.errors import FetchError, UsageError
from scraper.testing.saved_case import difference

pytest_plugins = ["pytester"]

PAGES = {
    "/": "<title>Shop</title><a class=p href=/p/1>One</a><a class=p href=/p/2>Two</a><a href=https://b.test/>x</a>",
    "/p/1": "<h1>One</h1><b>£1.50</b>",
    "/p/2": "<h1>Two</h1><b>£2.50</b>",
    "/go": "<meta http-equiv=refresh content='0; url=/d/x'>",
    "/d/x": "<a href=y>y</a>",
}

SPIDER = """
from scraper import Page, Spider

class Shop(Spider):
    start_urls = ["URL/"]
    robots = False
    rate = None
    retries = 0

    def parse(self, page: Page):
        yield page.follow_all("a", self.product, shelf="top")

    def product(self, page: Page, shelf: str):
        yield {"name": page.text("h1"), "price": %s, "shelf": shelf}
"""
BROKEN, WHOLE = SPIDER % 'float(page.text("b"))', SPIDER % 'page.decimal("b")'


class Shop(BaseHTTPRequestHandler):
    """Serves PAGES, and notes what it was asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]  # set by the fixture
        body = PAGES.get(self.path.partition("?")[0])
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@dataclass
class Ran:
    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A project with one spider, and someone who types."""

    folder: Path
    url: str
    asked: list[str]

    def write(self, text: str) -> None:
        (self.folder / "spiders").mkdir(exist_ok=True)
        (self.folder / "scraper.toml").touch()
        (self.folder / "spiders" / "shop.py").write_text(text.replace("URL", self.url))
        for name in [name for name in sys.modules if name.startswith("_spider_shop")]:
            del sys.modules[name]

    def types(self, *words: str) -> Ran:
        out, err, argv = StringIO(), StringIO(), sys.argv
        sys.argv = ["scraper", *words]
        try:
            with (
                chdir(self.folder), redirect_stdout(out), redirect_stderr(err),
                pytest.raises(SystemExit) as left,
            ):  # fmt: skip
                main()
        finally:
            sys.argv = argv
        return Ran(int(str(left.value.code)), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.asked = []  # type: ignore[attr-defined]  # read by the handler
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def desk(tmp_path: Path, server: ThreadingHTTPServer) -> Desk:
    desk = Desk(tmp_path, f"http://127.0.0.1:{server.server_address[1]}", server.asked)  # type: ignore[attr-defined]  # see above
    desk.write(BROKEN)
    return desk


def test_try_without_a_url_runs_the_first_start(desk: Desk) -> None:
    """Links, what was left out, and the selectors with their matches; exit 0, and nothing is stored."""
    ran = desk.types("try", "shop")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"✓ {desk.url}/   HTTP 200, fetched, for parse()"
    assert lines[1:6] == [
        "items 0", "links 2", f"  product  {desk.url}/p/1", f"  product  {desk.url}/p/2",
        "  left out: 1 out-of-scope",
    ]  # fmt: skip
    assert lines[-1].split() == ["spiders/shop.py:11", 'page.follow_all("a")', "3"]
    assert not (desk.folder / "data").exists() or not list((desk.folder / "data").glob("*.db"))


def test_try_replays_the_page_a_crawl_failed_on(desk: Desk) -> None:
    """Callback, data and page come from the database: no request, and after the correction the item is shown."""
    assert desk.types("crawl", "shop").code == 1
    asked = len(desk.asked)
    ran = desk.types("try", "shop", f"{desk.url}/p/1")
    assert (ran.code, len(desk.asked)) == (1, asked)
    assert 'kept page of run 1, for product({"shelf":"top"})' in ran.out
    assert 'hint: page.decimal("b") reads prices' in ran.out
    desk.write(WHOLE)
    again = desk.types("try", "shop", f"{desk.url}/p/1")
    assert (again.code, len(desk.asked)) == (0, asked)
    assert [line.split() for line in again.out.splitlines()[3:6]] == [
        ["name", "One"],
        ["price", "1.5"],
        ["shelf", "top"],
    ]
    assert desk.types("try", "shop", f"{desk.url}/p/1", "--fetch").code == 0
    assert len(desk.asked) > asked
    with closing(sqlite3.connect(desk.folder / "data" / "shop.db")) as conn:
        assert conn.execute("SELECT count(*) FROM _runs").fetchone() == (1,)


def test_try_has_the_exit_codes_of_crawl(desk: Desk) -> None:
    """4 for no page, 3 for nothing in it, 2 for a callback that is not there."""
    assert desk.types("try", "shop", f"{desk.url}/none").code == 4
    assert desk.types("try", "shop", f"{desk.url}/p/1").code == 3
    ran = desk.types("try", "shop", f"{desk.url}/p/1", "--callback", "prodct")
    assert (ran.code, ran.err) == (2, '✗ shop has no callback "prodct". Did you mean "product"?\n')


def test_a_saved_page_is_replayed_by_pytest(desk: Desk, pytester: pytest.Pytester) -> None:
    """Collected without any code; a change is a failure with a diff, and is accepted with a flag."""
    desk.write(WHOLE)
    assert desk.types("crawl", "shop").code == 0
    saved = desk.types("try", "shop", f"{desk.url}/p/1", "--save")
    assert saved.code == 0
    (case,) = desk.folder.rglob("*.case.json")
    assert json.loads(case.read_text())["result"]["items"] == [
        {"shop": {"name": "One", "price": 1.5, "shelf": "top"}}
    ]
    arguments = (
        "-p",
        "scraper.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        str(case.parent),
    )
    pytester.runpytest_inprocess(*arguments).assert_outcomes(passed=1)
    desk.write(WHOLE.replace('page.text("h1")', 'page.text("h1").upper()'))
    assert '-   "name": "One",' in difference(case).replace("    ", "  ").replace(
        "   ", "   "
    ) or "One" in difference(case)
    failed = pytester.runpytest_inprocess(*arguments)
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["-*One*", "+*ONE*", "accept it with: pytest --accept-cases"])
    pytester.runpytest_inprocess(*arguments, "--accept-cases").assert_outcomes(passed=1)
    pytester.runpytest_inprocess(*arguments).assert_outcomes(passed=1)


def test_a_page_saved_outside_of_a_project_is_replayed(desk: Desk) -> None:
    """A spider in a file of its own, with no project around it: the case is found beside it."""
    desk.write(WHOLE)
    (desk.folder / "spiders" / "shop.py").rename(desk.folder / "alone.py")
    (desk.folder / "spiders").rmdir()
    (desk.folder / "scraper.toml").unlink()
    assert "run it with" in desk.types("try", "alone.py", f"{desk.url}/p/1", "--save").err
    (case,) = desk.folder.rglob("*.case.json")
    assert json.loads(case.read_text())["result"]["outcome"]
    assert difference(case) == ""


def test_a_saved_page_knows_its_way(desk: Desk) -> None:
    """W17: a page behind redirects is saved under its own URL, and replayed with the way that led there."""
    told = 'yield {"page": page.url, "asked": page.requested_url, "first": page.links("a")[0], "n": len(page.redirects)}'
    desk.write(WHOLE.replace('yield page.follow_all("a", self.product, shelf="top")', told))
    assert desk.types("try", "shop", f"{desk.url}/go", "--save").code == 0
    (file,) = desk.folder.rglob("*.case.json")
    case = json.loads(file.read_text())
    assert (case["url"], case["redirects"]) == (f"{desk.url}/d/x", [[f"{desk.url}/go", 200]])
    (item,) = case["result"]["items"]
    row = {"page": f"{desk.url}/d/x", "asked": f"{desk.url}/go", "first": f"{desk.url}/d/y", "n": 1}
    assert item == {"shop": row}
    del case["redirects"]  # as versions without them have saved it
    file.write_text(json.dumps(case))
    assert "asked" in difference(file)


def test_sec_58_a_saved_page_holds_no_secret_argument(desk: Desk) -> None:
    """The value of a Secret argument is not in the files of a saved page, which replays all the same."""
    text = WHOLE.replace("import Page, Spider", "import Page, Secret, Spider").replace(
        "    retries = 0", "    retries = 0\n    token: Secret"
    )
    desk.write(text)
    url = f"{desk.url}/"
    assert desk.types("try", "shop", url, "-a", "token=hunter2hunter2", "--save").code == 0
    (case,) = desk.folder.rglob("*.case.json")
    assert "hunter2" not in case.read_text()
    assert difference(case) == ""


def test_sec_24_try_stores_no_download(desk: Desk) -> None:
    """A callback that downloads leaves nothing in the project when it is only tried."""
    desk.write(
        WHOLE.replace("    def parse(self", "    async def parse(self").replace(
            "yield page.follow_all",
            'yield {"file": str((await page.download("/p/1")).path)}\n        yield page.follow_all',
        )
    )
    before = sorted(desk.folder.rglob("*"))
    ran = desk.types("try", "shop")
    assert "items 1" in ran.out, ran
    assert [
        path
        for path in sorted(desk.folder.rglob("*"))
        if path not in before and "__pycache__" not in str(path)
    ] == []


def test_the_plugin_imports_nothing_before_there_is_a_case(pytester: pytest.Pytester) -> None:
    """A project without saved pages pays for one small module."""
    pytester.makepyfile(
        "import sys\ndef test_light():\n    assert not [m for m in sys.modules if m.split('.')[0] in ('httpx', 'httptools', 'selectolax')]\n"
    )
    ran = pytester.runpytest_subprocess(
        "-p", "scraper.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:respx"
    )
    ran.assert_outcomes(passed=1)


def test_get_writes_what_is_asked(desk: Desk) -> None:
    """Texts, attributes, links, headers, JSON and Markdown of one page; a miss is exit 3, no page exit 4."""
    url = f"{desk.url}/"
    assert desk.types("get", "--no-robots", url, "-s", "a.p").out == "One\nTwo\n"
    assert desk.types("get", "--no-robots", url, "-s", "a.p::attr(href)").out == "/p/1\n/p/2\n"
    assert desk.types("get", "--no-robots", url, "--links").out.splitlines()[-1] == "https://b.test/"
    assert desk.types("get", "--no-robots", url, "--headers").out.splitlines()[0] == "HTTP 200"
    assert json.loads(desk.types("get", "--no-robots", url, "--json").out)["title"] == "Shop"
    assert desk.types("get", "--no-robots", f"{url}p/1", "--md").out == "# One\n\n**£1.50**\n"
    missed = desk.types("get", "--no-robots", url, "-s", "a.q")
    assert (missed.code, missed.out) == (3, "")
    gone = desk.types("get", "--no-robots", f"{url}none")
    assert (gone.code, gone.err) == (4, f"✗ {url}none  HTTP 404\n")


def test_a_shell_fetches_relative_urls_and_pasted_curl(desk: Desk) -> None:
    """`fetch` needs no await, joins the page's URL and sets `page`; what fails is a FetchError."""
    with chdir(desk.folder):
        session = Session(str(desk.folder), {"rate": None, "robots": False})
        session.fetch(f"{desk.url}/")
        assert [node.text() for node in session.css("a.p")] == ["One", "Two"]
        assert session.fetch("/p/2").text("h1") == "Two"
        assert session.curl(f"curl '{desk.url}/p/1' -H 'Accept: text/html' --compressed").text("h1") == "One"
        assert session.names["page"].url.endswith("/p/1")
        with pytest.raises(FetchError, match="HTTP 404"):
            session.fetch("/none")


def test_a_curl_command_becomes_a_request() -> None:
    """Method, headers, data, cookies and user are read; what is not understood is named, and no file is read."""
    made = request_of(
        "curl 'https://a.test/api' \\\n -X PUT -H 'X-A: 1' --data-raw 'a=1' -d b=2 -b 's=7' -u me:pw -A bot --compressed"
    )
    headers = dict(made.options.headers)
    assert (made.url, made.options.method, made.options.body) == ("https://a.test/api", "PUT", b"a=1&b=2")
    assert (headers["X-A"], headers["Cookie"], headers["User-Agent"]) == ("1", "s=7", "bot")
    assert headers["Authorization"] == "Basic bWU6cHc="
    assert request_of("curl https://a.test/ -d x=1").options.method == "POST"
    assert request_of("curl -G https://a.test/?q=1 -d x=1").url == "https://a.test/?q=1&x=1"
    for wrong in (
        "curl",
        "curl https://a.test/ --proxy-insecure",
        "curl 'https://a.test/",
        "curl https://a.test/ -d @/etc/passwd",
    ):
        with pytest.raises(UsageError):
            request_of(wrong)


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h2>A <b>b</b></h2><p>c<br>d</p>", "## A **b**\n\nc  \nd"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol><li>a<li><a href=/x>b</a></ol>", "1. a\n1. [b](https://a.test/x)"),
        ("<pre>x\n  y</pre><i></i><a href='javascript:1'>z</a>", "```\nx\n  y\n```\n\nz"),
        ("<table><tr><th>a<th>b<tr><td>1<td>x|y</table>", "| a | b |\n| --- | --- |\n| 1 | x\\|y |"),
        ("<blockquote><p>a</p></blockquote><script>no</script><hr>", "> a\n\n---"),
        ("<div>" * 5_000 + "deep", "deep"),
    ],
)  # fmt: skip
def test_a_page_as_markdown(html: str, markdown: str) -> None:
    """Headings, lists, links, tables, code and quotes; however deep the page is."""
    page = Page(
        url="https://a.test/", status=200, headers=httpx.Headers(), body=html.encode(), source=lambda: html, options=Options()
    )  # fmt: skip
    assert page.markdown() == markdown


def test_sec_57_what_a_page_says_cannot_steer_the_terminal(desk: Desk) -> None:
    """Control characters of a page do not reach the output of get and try."""
    PAGES["/evil"] = "<h1>a\x1b[31mb\u202e</h1>"
    try:
        assert "\x1b" not in desk.types("get", "--no-robots", f"{desk.url}/evil", "-s", "h1").out
        assert "\x1b" not in desk.types("get", "--no-robots", f"{desk.url}/evil", "--md").out
    finally:
        del PAGES["/evil"]
