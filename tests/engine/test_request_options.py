"""What a request may ask for beyond its URL, and what a page knows of the way it came."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import FetchError, Page, Redirection, Request, Spider
from scraper.core.models import Options, Requests
from scraper.store.queue.requests import decode_options, encode_options
from scraper.testing import Answer, Simulation, Site, simulate

QUICK = {"robots": False, "rate": None, "max_failed": 1.0}
A, B = "https://a.test", "https://b.test"


class Rows(Spider[Any]):
    """One row for each page, with the way that led there."""

    start_urls = (f"{A}/",)

    def parse(self, page: Page) -> Any:
        way = " ".join(f"{url} {status}" for url, status in page.redirects)
        yield {"url": page.url, "status": page.status, "asked": page.requested_url, "way": way}


def to(location: str, status: int = 302, **headers: str) -> Answer:
    return Answer("sent on", status, {"Location": location, **headers})


def run(spider: type[Spider[Any]], site: Site, **options: Any) -> Simulation:
    settings = {**QUICK, **options.pop("settings", {})}
    return simulate(spider, site, settings=settings, **options)


def problem_kinds(done: Simulation) -> list[str]:
    return [problem.kind for problem in done.summary.problems]


# ------------------------------------------------------------------ accept


@pytest.mark.parametrize("by", ["spider", "request"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300])
def test_an_accepted_redirect_is_a_page(by: str, status: int) -> None:
    """W17: a status in `accept` is not followed, and the callback sees its Location and body."""

    class Sees(Spider[Any]):
        accept = (status,) if by == "spider" else ()

        async def start(self) -> Any:
            yield Request(f"{A}/", accept=[status] if by == "request" else ())

        def parse(self, page: Page) -> Any:
            yield {
                "status": page.status,
                "to": page.headers["location"],
                "text": page.source,
                "n": len(page.redirects),
            }

    done = run(Sees, Site({f"{A}/": to(f"{B}/x", status)}))
    (row,) = done.tables["sees"]
    assert (row["status"], row["to"], row["text"], row["n"]) == (status, f"{B}/x", "sent on", 0)
    assert len(done.hits) == 1


def test_an_accepted_status_is_one_of_the_whole_chain() -> None:
    """W17: what a request accepts holds for what it is led to as well."""

    class Sees(Rows):
        accept = (303,)

    done = run(Sees, Site({f"{A}/": to("/b", 301), f"{A}/b": to("/c", 303)}))
    (row,) = done.tables["sees"]
    assert (row["url"], row["status"], row["way"]) == (f"{A}/b", 303, f"{A}/ 301")


def test_fetch_takes_what_its_request_accepts() -> None:
    """W17: `page.fetch` follows unless its own request accepts the status; the spider's list is not its."""

    class Fetches(Spider[Any]):
        start_urls = (f"{A}/",)
        accept = (302,)

        async def parse(self, page: Page) -> Any:
            for request in (Request("/go"), Request("/go", accept=[302])):
                inner = await page.fetch(request)
                yield {
                    "url": inner.url,
                    "status": inner.status,
                    "text": inner.source,
                    "asked": inner.requested_url,
                }

    done = run(Fetches, Site({f"{A}/": "x", f"{A}/go": to("/x"), f"{A}/x": "here"}))
    found = [(row["url"], row["status"], row["text"], row["asked"]) for row in done.tables["fetches"]]
    assert found == [(f"{A}/x", 200, "here", f"{A}/go"), (f"{A}/go", 302, "sent on", f"{A}/go")]


def test_a_robots_txt_is_followed_whatever_the_spider_accepts() -> None:
    """W17: `accept` is about pages."""

    class Accepts(Rows):
        accept = (302,)

    site = Site({f"{A}/robots.txt": to("/r"), f"{A}/r": "User-agent: *\nDisallow: /", f"{A}/": "x"})
    assert run(Accepts, site, settings={"robots": True}).tables.get("accepts", []) == []


# ------------------------------------------------------------------ the way of a page


@pytest.mark.parametrize(
    ("pages", "way"),
    [
        ({"/": "x"}, []),
        ({"/": to("/b"), f"{A}/b": "x"}, [(f"{A}/", 302)]),
        ({"/": to("/b", 301), f"{A}/b": to("c", 308), f"{A}/c": "x"}, [(f"{A}/", 301), (f"{A}/b", 308)]),
        ({"/": to(f"{B}/"), f"{B}/": to("/2", 307), f"{B}/2": "x"}, [(f"{A}/", 302), (f"{B}/", 307)]),
        ({"/": to(f"{B}/"), f"{B}/": to(f"{A}/2"), f"{A}/2": "x"}, [(f"{A}/", 302), (f"{B}/", 302)]),
    ],
)
def test_a_page_knows_its_way(pages: dict[str, Any], way: list[tuple[str, int]]) -> None:
    """W17: `page.redirects` has each answer that led elsewhere, inside a domain and across domains."""
    seen: list[Page] = []

    class Sees(Spider[Any]):
        start_urls = (f"{A}/",)

        def parse(self, page: Page) -> Any:
            seen.append(page)
            yield {"url": page.url}

    run(Sees, Site({f"{A}{url}" if url == "/" else url: page for url, page in pages.items()}))
    (page,) = seen
    assert page.redirects == tuple(Redirection(*step) for step in way)
    assert page.requested_url == f"{A}/"
    assert page.complete


def test_a_way_survives_a_kill_between_two_domains(tmp_path: Path) -> None:
    """W17: the way is stored with the request that a redirect made."""
    site = Site({f"{A}/": to(f"{B}/"), f"{B}/": Answer("x", latency=5)})
    done = run(Rows, site, db=tmp_path / "a.db", kill=[2])
    assert done.kills == 1
    (row,) = done.tables["rows"]
    assert (row["asked"], row["way"]) == (f"{A}/", f"{A}/ 302")


def test_a_way_survives_a_retry_and_a_chain_inside_the_visit() -> None:
    """W17: neither a second try nor the redirects of a POST lose it."""
    tries = []

    class Posts(Rows):
        async def start(self) -> Any:
            yield Request(f"{A}/form", form={"a": "b"})

    def answer(request: httpx.Request) -> Answer | str:
        if request.method == "POST":
            return to("/done", 303)
        tries.append(request)
        return "x" if len(tries) > 1 else Answer("", 503)

    (row,) = run(Posts, Site(answer)).tables["posts"]
    assert (row["asked"], row["way"]) == (f"{A}/form", f"{A}/form 303")


def test_a_cookie_wall_is_on_the_way() -> None:
    """W17: a URL that is asked once more, because its redirect has set a cookie, is on its own way."""

    def answer(request: httpx.Request) -> Answer | str:
        return "x" if "sid=1" in request.headers.get("cookie", "") else to("/", **{"Set-Cookie": "sid=1"})

    (row,) = run(Rows, Site(answer)).tables["rows"]
    assert (row["url"], row["asked"], row["way"]) == (f"{A}/", f"{A}/", f"{A}/ 302")


# ------------------------------------------------------------------ how they are stored


def test_options_are_stored_and_read_back() -> None:
    """What a request asks for comes out of the database as it went in; what is not named takes no room."""
    options = Options(
        repeatable=True, accept_incomplete=True, redirects=(Redirection(f"{A}/", 302),), accept=(302,)
    )
    text = encode_options(options)
    assert decode_options("parse", 0, text, None) == options
    assert json.loads(text or "") == {
        "accept": [302], "repeatable": True, "accept_incomplete": True, "redirects": [[f"{A}/", 302]],
    }  # fmt: skip
    assert encode_options(Options()) is None


def test_options_of_a_list_are_changed() -> None:
    """`.options()` takes what a request takes."""
    (request,) = Requests([Request(f"{A}/")]).options(repeatable=True, accept_incomplete=True)
    assert (request.options.repeatable, request.options.accept_incomplete) == (True, True)


# ------------------------------------------------------------------ repeatable


@pytest.mark.parametrize(("repeatable", "tries"), [(True, 4), (False, 1)])
def test_a_repeatable_post_is_retried(repeatable: bool, tries: int) -> None:
    """W22: a POST that changes nothing is retried as a GET is, with its body; another one is not."""

    class Asks(Rows):
        async def start(self) -> Any:
            yield Request(f"{A}/graphql", json={"query": "{a}"}, repeatable=repeatable)

    bodies = []

    def answer(request: httpx.Request) -> Answer:
        bodies.append(request.content)
        return Answer(error=httpx.ReadError("reset")) if len(bodies) < 4 else Answer("x")

    done = run(Asks, Site(answer))
    assert bodies == [b'{"query":"{a}"}'] * tries
    assert problem_kinds(done) == ([] if repeatable else ["connection"])


def test_a_post_that_has_not_left_is_retried() -> None:
    """W22: while robots.txt does not answer nothing is sent, so that a POST waits for it as a GET does."""

    class Posts(Rows):
        async def start(self) -> Any:
            yield Request(f"{A}/order", json={"book": 1})

    asked = []

    def answer(request: httpx.Request) -> Answer:
        asked.append(f"{request.method} {request.url.path}")
        return Answer("busy", 500) if len(asked) == 1 else Answer("User-agent: *\nAllow: /")

    done = run(Posts, Site(answer), settings={"robots": True})
    assert asked == ["GET /robots.txt", "GET /robots.txt", "POST /order"]
    assert not problem_kinds(done)


@pytest.mark.parametrize(
    ("repeatable", "failure", "tries"),
    [
        (False, Answer("broken", 500), 1),
        (False, Answer(error=httpx.ReadError("reset")), 1),
        (False, Answer("later", 429, {"Retry-After": "1"}), 2),
        (True, Answer("broken", 500), 2),
    ],
)
def test_a_visit_is_not_made_again_to_repeat_a_post(repeatable: bool, failure: Answer, tries: int) -> None:
    """W22: a POST inside a callback that may have arrived is not repeated by a retry of the visit."""

    class Orders(Spider[Any]):
        start_urls = (f"{A}/",)

        async def parse(self, page: Page) -> Any:
            await page.fetch(Request("/order?b=2", json={"book": 1}, repeatable=repeatable))

    asked = []

    def answer(request: httpx.Request) -> Answer:
        asked.append(request.method)
        return failure if request.method == "POST" else Answer("<p>a book")

    run(Orders, Site(answer), settings={"retries": 1})
    assert asked == ["GET", "POST"] * tries


# ------------------------------------------------------------------ a short body on purpose

SHORT = Answer("<p>half", headers={"Content-Length": "99"})


@pytest.mark.parametrize("by", ["spider", "request", "fetch"])
def test_a_short_body_may_be_taken_on_purpose(by: str) -> None:
    """A body that ends too soon is a page whose `complete` is False, at the first try, where it is asked for."""

    class Takes(Spider[Any]):
        accept_incomplete = by == "spider"

        async def start(self) -> Any:
            yield Request(f"{A}/" if by != "fetch" else f"{A}/whole", accept_incomplete=by == "request")

        async def parse(self, page: Page) -> Any:
            if by == "fetch":
                assert page.complete
                page = await page.fetch(Request("/", accept_incomplete=True))
            yield {"text": page.text("p"), "complete": page.complete}

    done = run(Takes, Site({f"{A}/": SHORT, f"{A}/whole": "x"}))
    (row,) = done.tables["takes"]
    assert (row["text"], row["complete"]) == ("half", 0)
    assert [hit.url for hit in done.hits].count(f"{A}/") == 1


def test_a_short_compressed_body_is_what_was_decoded() -> None:
    """What arrived of a compressed body is decoded as far as it goes."""

    class Takes(Spider[Any]):
        start_urls = (f"{A}/",)
        accept_incomplete = True

        def parse(self, page: Page) -> Any:
            yield {"size": len(page.body), "complete": page.complete}

    packed = gzip.compress(b"".join(b"%d," % n for n in range(9_000)))
    done = run(Takes, Site({f"{A}/": Answer(packed[:-2_000], headers={"Content-Encoding": "gzip"})}))
    (row,) = done.tables["takes"]
    assert 20_000 < row["size"] < 43_000
    assert row["complete"] == 0


def test_a_short_body_is_an_error_otherwise() -> None:
    """Silence is no page: without being asked for, a short body is tried again and fails."""
    done = run(Rows, Site({f"{A}/": SHORT}))
    assert problem_kinds(done) == ["incomplete"]
    assert len(done.hits) == 4


# ------------------------------------------------------------------ credentials that cannot answer


class Broken(httpx.Auth):
    """Credentials with a fault of their own."""

    def auth_flow(self, request: httpx.Request) -> Any:
        yield request
        raise LookupError("no key for this realm")


@pytest.mark.parametrize(
    ("auth", "challenge", "why"),
    [
        (httpx.DigestAuth("u", "p"), 'Digest realm="a", nonce="n", qop="auth-int"', "auth-int"),
        (httpx.DigestAuth("u", "p"), 'Digest realm="a", nonce="n", qop="foo"', "qop"),
        (httpx.DigestAuth("u", "p"), 'Digest realm="a", nonce="n", algorithm=SHA-1024', "SHA-1024"),
        (httpx.DigestAuth("u", "p"), 'Digest realm="a"', "Malformed"),
        (Broken(), "Basic", "no key for this realm"),
    ],
)
def test_a_challenge_that_cannot_be_answered_is_about_the_credentials(
    auth: httpx.Auth, challenge: str, why: str
) -> None:
    """W18: an error of the tree names the origin and says why; no fault of this package, and no second try."""
    errors: list[FetchError] = []

    class Asks(Rows):
        def failed(self, error: FetchError) -> Any:
            errors.append(error)

    Asks.auth = {A: auth}
    done = run(Asks, Site({f"{A}/": Answer("", 401, {"WWW-Authenticate": challenge})}))
    assert problem_kinds(done) == ["credentials"]
    (error,) = errors
    assert error.status == 401
    assert str(error).startswith("the credentials for https://a.test:443 cannot answer what it asks for: ")
    assert why in str(error)
    assert len(done.hits) == 1


def test_an_older_database_reads_its_options(tmp_path: Path) -> None:
    """Requests that were stored without the newer options have their defaults."""
    old = '{"method":"POST","headers":[["A","b"]],"accept":[404]}'
    options = decode_options("parse", 0, old, b"x")
    assert (options.redirects, options.repeatable, options.accept_incomplete) == ((), False, False)
    run(Rows, Site({f"{A}/": "x"}), db=tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        assert conn.execute("SELECT options FROM _requests").fetchall() == [(None,)]
