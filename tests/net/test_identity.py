"""Credentials, cookies and secret headers stay with what they are bound to: over the real wire, by every way in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import FetchError, Page, Request, Spider
from scraper.api import Crawl
from scraper.api.job import CrawlJob
from scraper.core.credentials import Basic, Bearer, Secret
from scraper.errors import SettingsError, SpiderError, UsageError
from scraper.net.wire.wire import Wire
from scraper.page import document_of
from scraper.query import ask, open_readonly
from scraper.testing import Answer, Site, simulate
from tests.support.certificates import tls, trusting
from tests.support.hosts import (
    FAST,
    HTML,
    Names,
    Plain,
    crawling,
    everything,
    header_of,
    page,
    pages,
    path_of,
    redirect,
)
from tests.support.raw_server import Client, RawServer, ok, serve

SECRET = "pl4nted-s3cret"


def seen(server: RawServer, name: str) -> dict[str, str | None]:
    """The value of a header by path."""
    return {path_of(request): header_of(request, name) for request in server.requests}


# ------------------------------------------------------------------ credentials


async def test_sec_01_credentials_go_to_their_origin_only(tmp_path: Path) -> None:
    """On pages, robots.txt and page.fetch: a.test gets Authorization, b.test never."""

    class Both(Plain):
        async def parse(self, page: Page) -> Any:
            await page.fetch(page.attr("a", "href"))
            yield {"url": page.url}

    async with serve(pages()) as b:
        link = page(f'<a href="{b.url("/x", host="b.test")}">b</a>')
        async with serve(pages({"/": link})) as a, crawling(tmp_path, private=[f"b.test:{b.port}"]) as crawl:
            await crawl(
                Both,
                start=[a.url(host="a.test"), b.url("/start", host="b.test")],
                settings={"robots": True, "auth": {a.url(host="a.test"): Bearer(SECRET)}},
            )
    assert seen(a, "authorization") == dict.fromkeys(["/robots.txt", "/"], f"Bearer {SECRET}")
    assert set(seen(b, "authorization")) == {"/robots.txt", "/x", "/start"}
    assert SECRET.encode() not in b"".join(b.requests)


#: A header of a request by how it is given, and who else may have it.
HEADERS = ["Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Mine"]
WAYS = ["page", "fetch", "download", "robots"]


class Matrix(Spider[Any]):
    """Asks for one redirecting URL in one way, with secrets on the request."""

    way: str
    url: str

    async def start(self) -> Any:
        # The first page is at the origin that the secrets are for.
        target = self.url if self.way == "page" else self.url.rpartition("/")[0] + "/quiet"
        yield Request(target, headers=dict.fromkeys(HEADERS, SECRET) if self.way == "page" else None)

    async def parse(self, page: Page) -> Any:
        secrets = Request(self.url, headers=dict.fromkeys(HEADERS, SECRET))
        with contextlib.suppress(FetchError):
            if self.way == "fetch":
                await page.fetch(secrets)
            elif self.way == "download":
                await page.download(secrets)
        yield {"url": page.url}


@pytest.mark.parametrize("way", ["page", "fetch", "download"])
@pytest.mark.parametrize("case", ["other host", "other port", "subdomain", "https to http", "http to https"])
async def test_sec_06_secrets_do_not_cross_origins(tmp_path: Path, case: str, way: str) -> None:
    """No header that was given to one origin, and no credential of it, reaches another over a redirect."""
    plain, secure = (None, tls("a.test"))
    here = secure if case == "https to http" else plain
    there = secure if case == "http to https" else plain
    other = {"other host": "b.test", "subdomain": "www.a.test"}.get(case, "a.test")
    async with serve(pages(), there) as target:
        to = redirect(target.url("/end", host=other))
        async with serve(pages({"/go": to, "/robots.txt": to}), here) as origin:
            hosts = [f"{other}:{target.port}", f"a.test:{target.port}"]
            async with crawling(tmp_path, private=hosts, verify=trusting()) as crawl:
                url = origin.url("/go", host="a.test")
                settings = {
                    "robots": True, "scope": "any", "secret_headers": "X-Mine", "headers": {"X-Mine": SECRET},
                    "auth": {origin.url(host="a.test"): Basic("me", SECRET)},
                    "cookies": {origin.url(host="a.test"): {"start": SECRET}},
                }  # fmt: skip
                await crawl(Matrix, arguments={"way": way, "url": url}, settings=settings)
    assert SECRET in str(seen(origin, "x-mine"))
    assert {"/end"} <= set(seen(target, "host"))
    for request in target.requests:
        assert SECRET.encode() not in request
        assert header_of(request, "authorization") is None


@pytest.mark.parametrize("schemes", [("http", "https"), ("https", "http")])
def test_sec_06_headers_stay_with_the_scheme_of_the_start(schemes: tuple[str, str]) -> None:
    """A link, a redirect or a fetch to another scheme at the same host and port takes no header of the settings along."""
    here, there = (f"{scheme}://a.test:8443" for scheme in schemes)
    seen: dict[str, str | None] = {}

    class Follows(Plain):
        async def parse(self, page: Page) -> Any:
            yield {"url": page.url}
            yield page.follow_all("a")
            if page.url.endswith("/"):
                await page.fetch(f"{there}/fetched")

    def answer(request: httpx.Request) -> Answer:
        seen[str(request.url)] = request.headers.get("x-mine")
        if request.url.path == "/go":
            return Answer("", 302, {"Location": f"{there}/redirected"})
        return Answer(f'<a href="/same">x</a><a href="/go">x</a><a href="{there}/linked">x</a>')

    settings = {"robots": False, "rate": None, "headers": {"X-Mine": SECRET}}
    simulate(Follows, Site(answer), start=[f"{here}/"], settings=settings)
    assert {url for url, value in seen.items() if value} == {f"{here}/", f"{here}/same", f"{here}/go"}
    assert {f"{there}/redirected", f"{there}/fetched", f"{there}/linked"} <= seen.keys()


@pytest.mark.parametrize("way", ["page", "fetch"])
def test_sec_06_a_header_called_secret_crosses_no_redirect(way: str) -> None:
    """Even one that others may have, like User-Agent, stays where it was given to when the author calls it secret."""
    seen: dict[str, str | None] = {}

    class Names(Plain):
        async def start(self) -> Any:
            yield Request("https://a.test/go", headers={"User-Agent": SECRET, "Accept-Language": "de"})

        async def parse(self, page: Page) -> Any:
            yield {"url": page.url}
            if way == "fetch" and page.url.endswith("/end"):
                await page.fetch(Request("https://a.test/again", headers={"User-Agent": SECRET}))

    def answer(request: httpx.Request) -> Answer:
        seen[str(request.url)] = request.headers["user-agent"]
        assert (request.headers.get("accept-language") == "de") == (request.url.path in {"/go", "/end"})
        to = {"/go": "https://b.test/end", "/again": "https://c.test/fetched"}.get(request.url.path)
        return Answer("", 302, {"Location": to}) if to else Answer("x")

    settings = {"robots": False, "rate": None, "scope": "any", "secret_headers": "User-Agent"}
    simulate(Names, Site(answer), start=[], settings=settings)
    assert seen.pop("https://a.test/go") == SECRET
    assert seen.pop("https://a.test/again", SECRET) == SECRET
    assert set(seen) == {"https://b.test/end", "https://c.test/fetched"} - (
        {"https://c.test/fetched"} if way == "page" else set()
    )
    assert not any(SECRET in str(value) for value in seen.values())


async def test_credentials_go_along_on_every_hop_inside_their_origin(tmp_path: Path) -> None:
    """A redirect that comes back to the origin is authorized again; a request's own Authorization counts first."""
    handler = pages({"/": redirect("/two"), "/two": page('<a href="/own">x</a>')})

    class Own(Plain):
        def parse(self, page: Page) -> Any:
            yield {"url": page.url}
            yield page.follow("a").options(headers={"Authorization": "mine"})

    async with serve(handler) as a, crawling(tmp_path) as crawl:
        await crawl(
            Own, start=[a.url(host="a.test")], settings={"auth": {a.url(host="a.test"): Bearer("t0ken")}}
        )
    assert seen(a, "authorization") == {"/": "Bearer t0ken", "/two": "Bearer t0ken", "/own": "mine"}


async def test_any_httpx_auth_works_each_of_its_requests_is_recorded(tmp_path: Path) -> None:
    """A Digest challenge is answered; both requests are sends, under the domain's turn."""
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5'

    async def handler(client: Client) -> None:
        while request := await client.request():
            asked = header_of(request, "authorization")
            await client.send(page() if asked else page("no", challenge, status="401 Unauthorized"))

    async with serve(handler) as a, crawling(tmp_path) as crawl:
        auth = {a.url(host="a.test"): httpx.DigestAuth("me", SECRET)}
        summary = await crawl(Plain, start=[a.url(host="a.test")], settings={"auth": auth})
    assert summary.exit_code == 0
    assert [header_of(r, "authorization") is None for r in a.requests] == [True, False]
    with contextlib.closing(sqlite3.connect(tmp_path / "crawl.db")) as conn:
        assert conn.execute("SELECT status FROM _sends ORDER BY sent").fetchall() == [(401,), (200,)]


def test_a_missing_variable_is_an_error_before_the_crawl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and arguments that come from the environment are looked up when the crawl is made."""
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    auth = {"https://a.test": Bearer(env="NO_SUCH_TOKEN")}
    with pytest.raises(
        SettingsError, match=r"auth for https://a.test:443: the environment variable NO_SUCH_TOKEN is not"
    ):
        Crawl(Plain, db=":memory:", start=["https://a.test/"], settings={"auth": auth})

    class Asks(Plain):
        token: Secret = Secret.env("NO_SUCH_TOKEN")

    with pytest.raises(
        SettingsError, match=r"argument token: the environment variable NO_SUCH_TOKEN .* -a token="
    ):
        Crawl(Asks, db=":memory:", start=["https://a.test/"])
    monkeypatch.setenv("NO_SUCH_TOKEN", SECRET)
    Crawl(Asks, db=":memory:", start=["https://a.test/"])
    Crawl(Plain, db=":memory:", start=["https://a.test/"], settings={"auth": auth})


@pytest.mark.parametrize(
    "origin", ["a.test", "https://a.test/x", "ftp://a.test", "https://u:p@a.test", "*", "https://a.test?x"]
)
def test_credentials_are_bound_to_an_origin_and_nothing_else(origin: str) -> None:
    """A path, a bare host, a user in the URL or a wildcard is refused, without the password."""
    for name, value in (("auth", Bearer(SECRET)), ("cookies", {"a": SECRET})):
        with pytest.raises(UsageError, match="origin") as caught:
            Crawl(Plain, db=":memory:", start=["https://a.test/"], settings={name: {origin: value}})
        assert SECRET not in str(caught.value)
        assert "u:p" not in str(caught.value)


async def test_sec_12_nothing_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc and proxy variables change no request."""
    (tmp_path / ".netrc").write_text(
        f"machine a.test login me password {SECRET}\nmachine 127.0.0.1 login me password {SECRET}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with serve(pages()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
        async with serve(pages()) as a, crawling(tmp_path) as crawl:
            await crawl(Plain, start=[a.url(host="a.test"), a.url("/2")])
    assert proxy.opened == 0
    assert len(a.requests) == 2
    assert SECRET.encode() not in b"".join(a.requests)
    assert all(header_of(request, "authorization") is None for request in a.requests)


# ------------------------------------------------------------------ cookies


async def test_a_session_is_kept_over_pages_redirects_and_fetches(tmp_path: Path) -> None:
    """What a login sets is sent by every later request to that site, whichever way it goes."""

    class Login(Plain):
        async def start(self) -> Any:
            yield Request(self.start_urls[0], form={"user": "me"})

        async def parse(self, page: Page) -> Any:
            await page.fetch("/sub")
            await page.download("/file")
            yield {"url": page.url}

    answers = {
        "/login": redirect("/home", "303 See Other", f"Set-Cookie: sid={SECRET}; Path=/; HttpOnly"),
        "/sub": ok(b"", HTML, "Set-Cookie: more=2"),
    }
    async with serve(pages(answers)) as a, crawling(tmp_path) as crawl:
        Login.start_urls = [a.url("/login", host="a.test")]
        summary = await crawl(Login)
    assert summary.exit_code == 0
    assert seen(a, "cookie") == {
        "/login": None, "/home": f"sid={SECRET}", "/sub": f"sid={SECRET}", "/file": f"sid={SECRET}; more=2",
    }  # fmt: skip


async def test_sec_03_cookies_of_one_host_do_not_reach_another(tmp_path: Path) -> None:
    """Cookies from the settings, a Cookie header and one that was set stay on a.test when it redirects to b.test."""

    class Given(Plain):
        async def start(self) -> Any:
            yield Request(self.start_urls[0], headers={"Cookie": f"own={SECRET}"})
            yield Request(self.start_urls[0] + "?2")

    async with serve(pages()) as b:
        to = redirect(b.url("/end", host="b.test"), "302 Found", f"Set-Cookie: set={SECRET}; Domain=test")
        both = crawling(tmp_path, private=[f"b.test:{b.port}"])
        async with serve(pages({"/": to, "/?2": to})) as a, both as crawl:
            Given.start_urls = [a.url(host="a.test")]
            settings = {"cookies": {a.url(host="a.test"): {"start": SECRET}}, "concurrency": 1}
            await crawl(Given, settings=settings)
    assert seen(a, "cookie") == {"/": f"own={SECRET}", "/?2": f"start={SECRET}"}
    assert b.requests
    assert SECRET.encode() not in b"".join(b.requests)


async def test_cookies_can_be_switched_off(tmp_path: Path) -> None:
    """`cookies = False`: nothing is kept or sent."""
    links = page('<a href="/2">x</a>', "Set-Cookie: a=1; Path=/")
    async with serve(pages({"/": links})) as a, crawling(tmp_path) as crawl:
        await crawl(Plain, start=[a.url(host="a.test")], settings={"cookies": False})
    assert seen(a, "cookie") == {"/": None, "/2": None}


async def test_sec_10_a_resumed_run_is_still_logged_in(tmp_path: Path) -> None:
    """A run that was stopped goes on with its cookies; a complete one has left none in the file."""
    stopped: list[str] = []

    class Stops(Plain):
        def parse(self, page: Page) -> Any:
            yield {"url": page.url}
            yield page.follow_all("a")
            if not stopped and page.url.endswith("/2"):
                stopped.append(page.url)
                running.stop("enough")

    links = page(
        '<a href="/2">x</a>', f"Set-Cookie: sid={SECRET}; Path=/", "Set-Cookie: h=1; Path=/; Max-Age=900"
    )
    more = page("".join(f'<a href="/p{n}">x</a>' for n in range(5)))
    db, names = tmp_path / "crawl.db", Names()
    async with serve(pages({"/": links, "/2": more})) as a:
        for resume in ("new", "must"):
            wire = Wire(resolver=names)
            running = Crawl(
                Stops, db=db, start=[a.url(host="a.test")], resume=resume, transport=wire,
                settings={**FAST, "concurrency": 1},
            )  # fmt: skip
            summary = await running.run()
            await wire.aclose()
            if resume == "new":
                assert summary.state == "stopped"
                with contextlib.closing(open_readonly(str(db))) as conn:
                    stored = list(ask(conn, "select name, value, host_only, secure, path from _cookies").rows)
                    assert stored == [("h", None, 1, 0, "/"), ("sid", None, 1, 0, "/")]
    assert summary.state == "complete"
    cookies = seen(a, "cookie")
    assert cookies.pop("/") is None
    assert set(cookies.values()) == {f"sid={SECRET}; h=1", f"h=1; sid={SECRET}"} & set(cookies.values())
    assert len(cookies) == 6
    assert SECRET.encode() not in everything(tmp_path)


LOGGED_IN = """
from scraper import Spider

class LoggedIn(Spider):
    start_urls = ["{url}"]
    robots, rate, concurrency = False, None, 1

    def parse(self, page):
        yield {{"url": page.url}}
        yield page.follow_all("a")
"""


async def test_sec_10_a_killed_crawl_is_still_logged_in(tmp_path: Path) -> None:
    """kill -9 in the middle, then a resume: host-only, path and expiry are in the database, and cookies are sent on."""
    held = asyncio.Event()
    links = page(
        "".join(f'<a href="/in/{n}">x</a>' for n in range(4)) + "<a href=/out>x</a>",
        f"Set-Cookie: sid={SECRET}; Path=/",
        "Set-Cookie: here=1; Path=/in; Max-Age=900",
    )

    async def handler(client: Client) -> None:
        while request := await client.request():
            if path_of(request) == "/in/2" and not held.is_set():
                held.set()
                await client.gone()
                return
            await client.send(links if path_of(request) == "/" else page())

    async def scraper(*words: str) -> asyncio.subprocess.Process:
        quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
        command = [sys.executable, "-m", "scraper", *words]
        return await asyncio.create_subprocess_exec(*command, cwd=tmp_path, **quiet)

    async with serve(handler) as a, asyncio.timeout(60):
        (tmp_path / "logged_in.py").write_text(LOGGED_IN.format(url=a.url()))
        crawl = await scraper("crawl", "logged_in.py", "--db", "a.db")
        await held.wait()
        crawl.kill()
        await crawl.wait()
        with contextlib.closing(open_readonly(str(tmp_path / "a.db"))) as conn:
            columns = "name, host_only, secure, path, expires IS NULL"
            stored = list(ask(conn, f"SELECT {columns} FROM _cookies ORDER BY name").rows)
        assert stored == [("here", 1, 0, "/in", 0), ("sid", 1, 0, "/", 1)]
        before = len(a.requests)
        assert await (await scraper("resume", "a.db")).wait() == 0
    after = {path_of(request): header_of(request, "cookie") for request in a.requests[before:]}
    assert {"/in/2", "/in/3", "/out"} <= after.keys()
    assert after.pop("/out") == f"sid={SECRET}"
    assert set(after.values()) == {f"here=1; sid={SECRET}"}
    assert SECRET.encode() not in everything(tmp_path)


# ------------------------------------------------------------------ secrets are not shown


async def test_sec_58_a_planted_secret_is_found_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the database file, on stdout or stderr, or in an exception: given in every way there is."""

    class Leaky(Plain):
        token: Secret

        async def start(self) -> Any:
            yield Request(self.start_urls[0])
            yield Request(
                self.start_urls[0] + "?own", headers={"X-Api-Key": f"k-{SECRET}", "X-Mine": f"m-{SECRET}"}
            )

        async def parse(self, page: Page) -> Any:
            with contextlib.suppress(FetchError):
                await page.fetch(f"http://me:{SECRET}@a.test/")
            if page.url.endswith("?own"):
                yield {"url": page.url}
                return
            raise ValueError(f"cannot read http://me:{SECRET}@a.test/ with {self.token}, {self.token!r}")

    answers = {"/": page("", f"Set-Cookie: sid={SECRET}-of-session")}
    async with serve(pages(answers)) as a, crawling(tmp_path) as crawl:
        Leaky.start_urls = [a.url(host="a.test")]
        origin = a.url(host="a.test")
        settings = {
            "auth": {origin: Bearer(SECRET)}, "cookies": {origin: {"start": SECRET}}, "secret_headers": "X-Mine",
            "headers": {"X-Mine": f"m-{SECRET}"},
        }  # fmt: skip
        summary = await crawl(Leaky, arguments={"token": SECRET}, settings=settings)
    assert SECRET.encode() in b"".join(a.requests)
    shown = repr(summary) + "".join(capfd.readouterr())
    assert SECRET not in shown
    with contextlib.closing(sqlite3.connect(tmp_path / "crawl.db")) as conn:
        messages = [row[0] for row in conn.execute("SELECT message FROM _errors")]
    assert messages
    assert all("…" in message for message in messages)
    assert SECRET.encode() not in everything(tmp_path)


async def test_sec_58_a_callback_cannot_store_the_secrets_of_its_request(tmp_path: Path) -> None:
    """Text of an exception that holds a secret header of the request is masked before it is stored."""

    class Tells(Plain):
        async def start(self) -> Any:
            yield Request(self.start_urls[0], headers={"X-Api-Key": SECRET, "X-Mine": f"m-{SECRET}"})

        def parse(self, page: Page) -> Any:
            raise ValueError(str(document_of(page).options.headers))

    async with serve(pages()) as a, crawling(tmp_path) as crawl:
        Tells.start_urls = [a.url(host="a.test")]
        await crawl(Tells, settings={"secret_headers": "X-Mine"})
    with contextlib.closing(sqlite3.connect(tmp_path / "crawl.db")) as conn:
        ((message, detail, why),) = conn.execute("SELECT message, detail, why FROM _errors, _requests")
    assert SECRET not in message + detail + why
    assert "('X-Api-Key', '…')" in message


async def test_a_resume_asks_for_secrets_again(tmp_path: Path) -> None:
    """Secret arguments and settings are not stored: a resume without them is an error that names them."""

    class Stops(Plain):
        token: Secret

        def parse(self, page: Page) -> Any:
            running.stop("enough")
            yield {"url": page.url, "length": len(self.token)}

    async with serve(pages()) as a:
        start = [a.url(host="a.test"), a.url("/2", host="a.test")]
        settings: dict[str, Any] = {**FAST, "concurrency": 1, "auth": {a.url(host="a.test"): Bearer(SECRET)}}
        given: dict[str, Any] = {"arguments": {"token": SECRET}, "settings": settings}
        db = tmp_path / "a.db"
        for resume, options in (("new", given), ("continue", given)):
            wire = Wire(resolver=Names())
            if resume != "new":
                with pytest.raises(SpiderError, match="-a token="):
                    Crawl(Stops, db=db, resume="must", start=start, settings=settings)
                without = Crawl(Stops, db=db, resume="must", start=start, arguments=given["arguments"])
                with pytest.raises(SettingsError, match=r"auth.* not stored"):
                    await without.run()
            running = CrawlJob(Stops, db=db, start=start, resume=resume, transport=wire, **options)
            summary = await running.run()
            assert running.resumed == (resume != "new")
            await wire.aclose()
    assert summary.counters["pages"] == 2
    assert {header_of(request, "authorization") for request in a.requests} == {f"Bearer {SECRET}"}
    assert SECRET.encode() not in db.read_bytes()


def test_secrets_are_masked_where_they_are_printed() -> None:
    """Reprs of secrets and credentials show that there is one, and nothing of it."""
    for thing in (Secret(SECRET), Bearer(SECRET), Basic("me", SECRET), Bearer(env="TOKEN")):
        assert SECRET not in repr(thing)
    assert f"{Secret(SECRET)}" == SECRET
    assert repr(Bearer(env="TOKEN")) == "Bearer(env='TOKEN')"


# ------------------------------------------------------------------ one answer for one request


async def test_sec_14_cancelled_requests_never_give_their_answer_to_another() -> None:
    """1,000 keep-alive requests, a third of them cancelled at random: every body is that of its URL."""
    dice = random.Random(14)

    async def handler(client: Client) -> None:
        while request := await client.request():
            body = path_of(request).encode() * 50
            half = ok(body)
            if not await client.send(half[:40]):
                return
            await asyncio.sleep(0)
            if not await client.send(half[40:]):
                return

    async with serve(handler) as server:
        wire = Wire()

        async def one(number: int) -> bool:
            response = await wire.handle_async_request(httpx.Request("GET", server.url(f"/{number}")))
            try:
                assert isinstance(response.stream, httpx.AsyncByteStream)
                body = b"".join([chunk async for chunk in response.stream])
            finally:
                await response.aclose()
            assert body == f"/{number}".encode() * 50
            return True

        async def cancelled(number: int) -> bool:
            task = asyncio.ensure_future(one(number))
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                return await task
            return False

        answered = 0
        for batch in range(0, 1_000, 20):
            jobs = [(cancelled if dice.random() < 0.34 else one)(batch + n) for n in range(20)]
            answered += sum(await asyncio.gather(*jobs))
        await wire.aclose()
    assert 600 < answered < 1_000


BAD = ["a\r\nX-Evil: 1", "a\nb", "a\0b"]


@pytest.mark.parametrize("text", BAD)
async def test_sec_54_line_breaks_in_what_a_person_or_page_gives_send_nothing(
    tmp_path: Path, text: str
) -> None:
    """CR, LF or NUL in a header, cookie, credential or agent is refused before a byte is sent."""

    class Breaks(Plain):
        async def start(self) -> Any:
            yield Request(self.start_urls[0], headers={"X-A": text})
            yield Request(self.start_urls[0] + "?2", headers={"Cookie": text})
            yield Request(self.start_urls[0] + "?3", method=f"GET{text}")

    async with serve(pages()) as a, crawling(tmp_path) as crawl:
        origin = a.url(host="a.test")
        Breaks.start_urls = [origin]
        await crawl(Breaks)
        for setting in ({"user_agent": text}, {"headers": {"X": text}}, {"cookies": {origin: {"a": text}}}):
            with pytest.raises(SettingsError):
                Crawl(Plain, db=":memory:", start=[origin], settings=setting)
        await crawl(Plain, start=[origin], db=tmp_path / "b.db", settings={"auth": {origin: Bearer(text)}})
    assert a.requests == []
