"""Whole crawls under virtual time: what becomes of a request, whatever the site and the spider do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import httpx
import pytest
import respx

from scraper import Blocked, Crawl, FetchError, Key, Page, Request, Retry, Skip, Spider, Stop, crawl
from scraper.errors import SpiderError
from scraper.events import PageDone
from scraper.net.robots import Robots
from scraper.testing import Answer, Simulation, Site, VirtualLoop, simulate

NO_ROBOTS = {"robots": False, "rate": None, "max_failed": 1.0}


@dataclass
class Thing:
    name: Annotated[str, Key]
    value: str = ""


def spider(parse, *more, **attributes) -> type[Spider]:
    """A spider of the functions given, starting at https://a.test/."""
    functions = {function.__name__: function for function in (parse, *more)}
    return type(
        "Tested", (Spider,), {"start_urls": ["https://a.test/"], "name": "tested", **functions, **attributes}
    )


def outcomes(done: Simulation) -> dict[str, int]:
    counted = done.summary.counters
    return {
        name: counted[name]
        for name in ("pages", "failed", "skipped", "moved", "retries")
        if counted.get(name)
    }


def problem(done: Simulation) -> tuple[str, str]:
    (only,) = done.summary.problems
    return only.kind, only.why


# ------------------------------------------------------------------ callbacks


def test_every_kind_of_callback_works() -> None:
    """A callback may be a function, a generator, a coroutine, or an async generator."""

    def parse(self, page: Page):
        yield page.request("/function", self.function)
        yield page.request("/coroutine", self.coroutine)
        yield page.request("/agen", self.agen)
        yield [{"name": "list"}, None, ({"name": "tuple"},)]

    def function(self, page: Page):
        return (
            [{"name": "function"}, page.request("/again", self.function)] if "again" not in page.url else None
        )

    async def coroutine(self, page: Page):
        await asyncio.sleep(1)
        return {"name": "coroutine"}

    async def agen(self, page: Page):
        yield {"name": "agen"}
        await asyncio.sleep(1)
        yield {"name": "agen 2"}

    done = simulate(spider(parse, function, coroutine, agen), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert sorted(row["name"] for row in done.tables["tested"]) == [
        "agen", "agen 2", "coroutine", "function", "list", "tuple",
    ]  # fmt: skip
    assert outcomes(done) == {"pages": 5}


def test_data_reaches_callbacks_with_its_types() -> None:
    """Data of a callback comes back as its annotations say, through the database."""
    got = {}

    def parse(self, page: Page):
        yield page.follow(
            "a", self.detail, "pos", price=Decimal("1.50"), day=date(2026, 1, 2), tags=["x"], thing=Thing("t")
        )

    def detail(self, page: Page, kind: str, price: Decimal, day: date, tags: list[str], thing: Thing):
        got.update(kind=kind, price=price, day=day, tags=tags, thing=thing)

    simulate(spider(parse, detail), Site(lambda r: "<a href=/1>x</a>"), settings=NO_ROBOTS)
    assert got == {
        "kind": "pos",
        "price": Decimal("1.50"),
        "day": date(2026, 1, 2),
        "tags": ["x"],
        "thing": Thing("t"),
    }


def test_data_that_cannot_be_stored_names_callback_and_argument() -> None:
    """A lambda as data fails the page with an error that names callback and argument."""

    def parse(self, page: Page):
        yield page.request("/1", self.detail, how=lambda: 1)

    def detail(self, page: Page, how):
        pass

    done = simulate(spider(parse, detail), Site(lambda r: "x"), settings=NO_ROBOTS)
    kind, why = problem(done)
    assert kind == "callback"
    assert "detail" in why
    assert "how" in why
    assert done.summary.exit_code == 1


def test_no_callback_means_the_one_now_running_with_the_same_data() -> None:
    """`page.follow` without a callback goes on with the running one and its data."""
    seen = []

    def parse(self, page: Page):
        yield page.request("/list", self.listing, category="poetry")

    def listing(self, page: Page, category: str):
        seen.append((page.url, category))
        yield page.follow("a")

    site = Site({"https://a.test/": "x", "https://a.test/list": "<a href=/2>", "https://a.test/2": "x"})
    simulate(spider(parse, listing), site, settings=NO_ROBOTS)
    assert seen == [("https://a.test/list", "poetry"), ("https://a.test/2", "poetry")]


def test_cr_10_a_page_is_all_or_nothing() -> None:
    """What a callback yielded before it raised is dropped, with its links; the error has the place."""

    def parse(self, page: Page):
        yield {"name": 1}
        yield page.request("/2")
        raise ValueError("bad price")

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert "tested" not in done.tables
    assert len(done.hits) == 1
    assert problem(done) == ("callback", "ValueError: bad price")
    assert "test_engine.py" in done.summary.problems[0].place
    assert done.summary.exit_code == 1


def test_cr_10_memory_error_and_system_exit_end_only_their_page() -> None:
    """A callback that raises MemoryError or SystemExit fails its page; the others go on."""

    def parse(self, page: Page):
        if page.url.endswith("/"):
            return [page.request(f"/{i}") for i in range(4)]
        if page.url.endswith("1"):
            raise MemoryError
        if page.url.endswith("2"):
            raise SystemExit(3)
        return {"name": page.url}

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert outcomes(done) == {"pages": 3, "failed": 2}
    assert len(done.tables["tested"]) == 2


def test_a_wrong_yield_names_callback_and_type() -> None:
    """Yielding what is neither item nor request fails the page, naming callback and type."""

    def parse(self, page: Page):
        yield 42

    kind, why = problem(simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS))
    assert kind == "callback"
    assert "parse yielded int 42" in why


def test_rows_are_isolated_by_each() -> None:
    """With page.each a row that raises is rejected with its place; the others go in."""

    def parse(self, page: Page):
        yield from page.each("li", self.row)

    def row(self, node):
        return {"n": int(node.text())}

    done = simulate(spider(parse, row), Site(lambda r: "<li>1<li>two<li>3"), settings=NO_ROBOTS)
    assert [row["n"] for row in done.tables["tested"]] == [1, 3]
    assert done.summary.rejected == 1
    assert done.summary.exit_code == 0


def test_a_bad_item_is_rejected_and_the_rest_stored() -> None:
    """One item of the wrong type goes to _rejected; the other and the page go in."""

    def parse(self, page: Page):
        yield Thing("good")
        yield Thing(3)

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert [row["name"] for row in done.tables["thing"]] == ["good"]
    assert done.summary.rejected == 1


def test_a_callback_that_hangs_ends_at_its_time_limit() -> None:
    """An async callback ends after callback_timeout with its own kind."""

    async def parse(self, page: Page):
        await asyncio.sleep(10_000)

    done = simulate(spider(parse), Site(lambda r: "x"), settings={**NO_ROBOTS, "callback_timeout": 5})
    assert problem(done)[0] == "callback-timeout"
    assert done.seconds < 10


# ------------------------------------------------------------------ verdicts


def test_skip_and_check() -> None:
    """`check` runs before every callback; what it raises decides."""

    def parse(self, page: Page):
        yield {"name": page.url}
        yield page.request("/2")

    def check(self, page: Page):
        if page.url.endswith("2"):
            raise Skip("nothing here")

    done = simulate(spider(parse, check), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert outcomes(done) == {"pages": 1, "skipped": 1}


def test_retry_from_a_callback() -> None:
    """Retry(after=) fetches the page again no earlier than asked, and not for ever."""

    def parse(self, page: Page):
        raise Retry("not yet", after=7)

    done = simulate(spider(parse), Site(lambda r: "x"), settings={**NO_ROBOTS, "retries": 2})
    times = [hit.at for hit in done.hits]
    assert len(times) == 3
    assert min(b - a for a, b in pairwise(times)) >= 7 - 1e-5
    assert outcomes(done) == {"failed": 1, "retries": 2}


def test_blocked_parks_the_domain_and_keeps_its_requests() -> None:
    """Blocked parks the domain: nothing more is sent, everything stays queued, the exit code is 5."""

    def parse(self, page: Page):
        if page.url.endswith("/5"):
            raise Blocked("captcha")
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(20)]

    done = simulate(spider(parse, concurrency=1), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert done.summary.exit_code == 5
    assert done.summary.state == "stopped"
    assert done.summary.parked == {"a.test": "blocked: captcha"}
    assert done.summary.queued == 21 - done.summary.pages
    assert len(done.hits) == done.summary.pages + 1


def test_stop_ends_the_crawl_and_a_resume_does_the_rest(tmp_path) -> None:
    """Stop leaves its own page and the rest queued; `resume` then does exactly those."""
    broken = [True]

    def parse(self, page: Page):
        if page.url.endswith("/3") and broken[0]:
            raise Stop("enough")
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(10)]

    made = spider(parse, concurrency=1)
    first = simulate(made, Site(lambda r: "x"), settings=NO_ROBOTS, db=tmp_path / "a.db")
    assert (first.summary.exit_code, first.summary.reason) == (5, "enough")
    broken[0] = False
    second = simulate(made, Site(lambda r: "x"), db=tmp_path / "a.db", resume="must")
    assert second.summary.exit_code == 0
    assert second.summary.pages == 11
    asked = Counter(hit.url for hit in (*first.hits, *second.hits))
    assert {url for url, n in asked.items() if n > 1} <= {"https://a.test/3"}
    assert len(second.tables["tested"]) == 11


def test_403_twenty_times_in_a_row_parks_the_domain() -> None:
    """20 refusals in a row and the domain is parked with the reason."""

    def parse(self, page: Page):
        yield [page.request(f"/{i}") for i in range(100)]

    site = Site(lambda r: "x" if r.url.path == "/" else Answer(status=403))
    done = simulate(spider(parse, concurrency=1), site, settings=NO_ROBOTS)
    assert len(done.hits) == 21
    assert "403" in done.summary.parked["a.test"]
    assert done.summary.exit_code == 5


# ------------------------------------------------------------------ failures and retries


def test_statuses_that_may_pass_are_retried_with_backoff() -> None:
    """A 500 is tried four times with growing waits; the frontier holds it meanwhile, no task does."""

    def parse(self, page: Page):
        yield {}

    done = simulate(spider(parse), Site(lambda r: Answer(status=500)), settings=NO_ROBOTS)
    times = [hit.at for hit in done.hits]
    gaps = [b - a for a, b in pairwise(times)]
    assert len(times) == 4
    assert gaps == sorted(gaps)
    assert 1 <= gaps[0] <= 2.1
    assert problem(done) == ("http", "HTTP 500")
    assert done.summary.exit_code == 4


@pytest.mark.parametrize(
    ("error", "kind", "tries"),
    [
        (httpx.ConnectError("refused"), "connect", 4),
        (httpx.ReadError("reset"), "connection", 4),
        (httpx.ConnectTimeout("slow"), "connect-timeout", 4),
        (httpx.RemoteProtocolError("junk"), "protocol", 1),
    ],
)
def test_network_errors_end_as_outcomes(error: Exception, kind: str, tries: int) -> None:
    """Every error of the network is an outcome with its kind; those that may pass are tried again."""

    def parse(self, page: Page):
        yield {}

    done = simulate(spider(parse), Site(lambda r: Answer(error=error)), settings=NO_ROBOTS)
    assert problem(done)[0] == kind
    assert len(done.hits) == tries


def test_the_deadline_ends_a_request_that_never_ends() -> None:
    """A server that does not finish is given up at the deadline; waiting for a turn is outside it."""

    def parse(self, page: Page):
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(5)]

    site = Site(lambda r: Answer("x", latency=1e6 if r.url.path == "/3" else 0.1))
    done = simulate(
        spider(parse, concurrency=1),
        site,
        settings={**NO_ROBOTS, "rate": "1/min", "deadline": 20, "retries": 0},
    )
    assert outcomes(done) == {"pages": 5, "failed": 1}
    assert problem(done) == ("timeout", "no complete answer within 20 s")
    assert next(h for h in done.hits if h.url.endswith("/3")).ended - next(
        h for h in done.hits if h.url.endswith("/3")
    ).at == pytest.approx(20, abs=0.01)


def test_errback_gets_what_finally_failed() -> None:
    """An errback gets FetchError with kind, status, page and request; what it yields is stored."""
    got = []

    def parse(self, page: Page):
        yield page.request("/gone").options(errback=self.lost)
        yield {"name": "start"}

    def lost(self, error: FetchError):
        got.append((error.kind, error.status, error.page.status, error.request.url))
        yield {"name": "errback"}
        yield Request("https://a.test/instead")

    site = Site({"https://a.test/": "x", "https://a.test/instead": "x"})
    done = simulate(spider(parse, lost), site, settings=NO_ROBOTS)
    assert got == [("http", 404, 404, "https://a.test/gone")]
    assert outcomes(done) == {"pages": 2, "failed": 1}
    assert {row["name"] for row in done.tables["tested"]} == {"start", "errback"}


def test_failed_gets_what_no_errback_wanted() -> None:
    """`failed` is the errback of requests that name none."""
    got = []

    def parse(self, page: Page):
        yield page.request("/gone")

    def failed(self, error: FetchError):
        got.append(error.status)

    simulate(spider(parse, failed), Site({"https://a.test/": "x"}), settings=NO_ROBOTS)
    assert got == [404]


def test_accept_lets_a_callback_have_other_statuses() -> None:
    """`accept` of a spider or a request hands those statuses to the callback."""

    def parse(self, page: Page):
        yield {"status": page.status}
        if page.url.endswith("/"):
            yield page.request("/1")
            yield page.request("/2").options(accept=[410])

    statuses = {"/": 200, "/1": 404, "/2": 410}
    site = Site(lambda r: Answer("x", statuses[r.url.path]))
    done = simulate(spider(parse, accept=[404]), site, settings=NO_ROBOTS)
    assert sorted(row["status"] for row in done.tables["tested"]) == [200, 404, 410]


def test_types_nobody_accepts_are_skipped_at_the_headers() -> None:
    """An image is not read and not an error; a start that is one is said (exit 4)."""

    def parse(self, page: Page):
        yield {}

    done = simulate(
        spider(parse), Site(lambda r: Answer("x", headers={"Content-Type": "image/png"})), settings=NO_ROBOTS
    )
    assert outcomes(done) == {"skipped": 1}
    assert done.summary.exit_code == 4
    assert "image/png" in done.summary.start_problem


# ------------------------------------------------------------------ redirects, scope, identity


def test_hops_inside_the_domain_are_followed() -> None:
    """A redirect inside the domain ends at the callback with the final URL; every hop is a send."""

    def parse(self, page: Page):
        yield {"url": page.url}

    site = Site(
        {
            "https://a.test/": Answer(status=301, headers={"Location": "/b"}),
            "https://a.test/b": Answer(status=302, headers={"Location": "https://www.a.test/c"}),
            "https://www.a.test/c": "x",
        }
    )
    done = simulate(spider(parse), site, settings=NO_ROBOTS)
    assert [row["_url"] for row in done.tables["tested"]] == ["https://www.a.test/c"]
    assert done.summary.sends == 3


def test_host_28_a_hop_to_another_domain_is_a_new_request() -> None:
    """A start that redirects elsewhere moves there, with the target in scope and its robots.txt asked."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")

    site = Site(
        {
            "https://a.test/": Answer(status=301, headers={"Location": "https://b.test/"}),
            "https://b.test/": "<a href=/1>x</a><a href=https://c.test/>x</a>",
            "https://b.test/1": "x",
        }
    )
    done = simulate(spider(parse), site, settings={"rate": None})
    assert outcomes(done) == {"pages": 2, "moved": 1}
    assert "https://b.test/robots.txt" in {hit.url for hit in done.hits}
    assert done.summary.counters["links.out-of-scope"] == 1


def test_host_25_redirect_loops_end() -> None:
    """A loop, and a chain without end, fail as too-many-redirects."""

    def parse(self, page: Page):
        yield {}

    loop = simulate(
        spider(parse), Site(lambda r: Answer(status=302, headers={"Location": "/"})), settings=NO_ROBOTS
    )
    assert problem(loop)[0] == "too-many-redirects"
    assert len(loop.hits) == 1
    chain = Site(lambda r: Answer(status=302, headers={"Location": r.url.path + "x"}))
    done = simulate(spider(parse), chain, settings=NO_ROBOTS)
    assert problem(done)[0] == "too-many-redirects"
    assert len(done.hits) == 21


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://a.test/", "javascript:alert(1)", "data:text/html,x"]
)
def test_sec_20_redirects_to_other_schemes_are_refused(target: str) -> None:
    """A redirect to anything but http(s) is an error and nothing is opened."""

    def parse(self, page: Page):
        yield {}

    done = simulate(
        spider(parse), Site(lambda r: Answer(status=302, headers={"Location": target})), settings=NO_ROBOTS
    )
    assert problem(done)[0] in {"unsupported-scheme", "bad-redirect"}
    assert len(done.hits) == 1


def test_sec_08_bodies_do_not_cross_origins() -> None:
    """307 to another origin would send the body there: refused; 303 becomes a GET without it."""
    seen = []

    def parse(self, page: Page):
        yield {}

    async def start(self):
        yield Request("https://a.test/307", form={"pin": "1234"})
        yield Request("https://a.test/303", form={"pin": "1234"})

    def answer(request):
        seen.append((str(request.url), request.method, request.read()))
        status = int(request.url.path[1:]) if request.url.path[1:].isdigit() else 200
        to = "https://b.a.test/x" if status == 307 else "https://a.test/done"
        return Answer("x", status, {"Location": to} if status != 200 else {})

    done = simulate(spider(parse, start), Site(answer), settings=NO_ROBOTS)
    assert problem(done)[0] == "bad-redirect"
    assert ("https://a.test/done", "GET", b"") in seen
    assert not [entry for entry in seen if "b.a.test" in entry[0]]


def test_sec_06_headers_of_a_request_stay_with_its_origin() -> None:
    """Authorization, cookies and keys given to one origin are not carried over a redirect to another."""
    seen = {}

    def parse(self, page: Page):
        yield {}

    async def start(self):
        yield Request(
            "https://a.test/", headers={"Authorization": "s3cret", "X-Api-Key": "s3cret", "Cookie": "s3cret"}
        )

    def answer(request):
        seen[request.url.host] = "s3cret" in str(list(request.headers.values()))
        return (
            Answer(status=302, headers={"Location": "https://b.test/"})
            if request.url.host == "a.test"
            else "x"
        )

    simulate(spider(parse, start), Site(answer), settings=NO_ROBOTS)
    assert seen == {"a.test": True, "b.test": False}


def test_links_that_lead_nowhere_are_counted() -> None:
    """Duplicates, other schemes, broken and out-of-scope links are no errors; each page is fetched once."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")

    body = "".join(
        f'<a href="{href}">x</a>'
        for href in [
            "/1",
            "/1#top",
            "http://[",
            "mailto:x@y",
            "javascript:1",
            "https://other.test/",
            "/2?b=1&a=2",
            "/2?a=2&b=1",
        ]
    )
    site = Site(lambda r: body if r.url.path == "/" else "x")
    done = simulate(spider(parse), site, settings=NO_ROBOTS)
    assert sorted(hit.url for hit in done.hits) == [
        "https://a.test/",
        "https://a.test/1",
        "https://a.test/2?b=1&a=2",
    ]
    counted = done.summary.counters
    assert counted["links.out-of-scope"] == 1
    assert counted["links.broken"] == 1
    assert counted["links.scheme"] == 2


def test_depth_and_page_budgets() -> None:
    """max_depth counts links from the start; max_pages is exact; both end well and say so."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.request(page.url + "x")

    deep = simulate(spider(parse), Site(lambda r: "x"), settings={**NO_ROBOTS, "max_depth": 3})
    assert deep.summary.pages == 4
    many = simulate(spider(parse), Site(lambda r: "x"), settings={**NO_ROBOTS, "max_pages": 7})
    assert (many.summary.pages, many.summary.exit_code, len(many.hits)) == (7, 0, 7)
    assert "max_pages" in str(many.summary.reason)


def test_a_page_budget_counts_only_what_ended_ok() -> None:
    """Failures do not use up max_pages: exactly that many pages end ok."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield [page.request(f"/{i}") for i in range(60)]

    site = Site(lambda r: Answer("x", 404 if r.url.path[-1] in "13579" else 200, latency=0.1))
    done = simulate(spider(parse, concurrency=8), site, settings={**NO_ROBOTS, "max_pages": 12})
    assert done.summary.pages == 12


def test_dont_filter_unique_and_vary_make_identity() -> None:
    """dont_filter fetches a known URL again, unique merges different URLs, vary sets equal ones apart."""

    def parse(self, page: Page):
        if page.url == "https://a.test/":
            yield Request("https://a.test/same", self.leaf, dont_filter=True)
            yield Request("https://a.test/same", self.leaf, dont_filter=True)
            yield Request("https://a.test/u1", self.leaf, unique="sku")
            yield Request("https://a.test/u2", self.leaf, unique="sku")
            yield Request(
                "https://a.test/v", self.leaf, headers={"Accept-Language": "de"}, vary=["Accept-Language"]
            )
            yield Request(
                "https://a.test/v", self.leaf, headers={"Accept-Language": "en"}, vary=["Accept-Language"]
            )

    def leaf(self, page: Page):
        yield {"url": page.url}

    done = simulate(spider(parse, leaf), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert Counter(hit.url.rpartition("/")[2] for hit in done.hits) == {"": 1, "same": 2, "u1": 1, "v": 2}


def test_priority_and_depth_order_a_domain() -> None:
    """Within a domain: high priority first, then small depth, then order of arrival."""

    def parse(self, page: Page):
        if page.url == "https://a.test/":
            yield [page.request(f"/{i}") for i in range(3)]
            yield page.request("/hot").options(priority=5)

    done = simulate(spider(parse, concurrency=1), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert [hit.url.rpartition("/")[2] for hit in done.hits] == ["", "hot", "0", "1", "2"]


# ------------------------------------------------------------------ robots.txt


def test_host_50_robots_statuses() -> None:
    """2xx is obeyed, 4xx allows all, 5xx and 429 disallow for now and end as robots-unreachable."""

    def parse(self, page: Page):
        yield {"url": page.url}

    def crawled(status: int, text: str = "User-agent: *\nDisallow: /") -> Simulation:
        site = Site(lambda r: Answer(text, status) if r.url.path == "/robots.txt" else "x")
        return simulate(spider(parse), site, settings={"rate": None, "max_failed": 1.0})

    assert outcomes(crawled(200)) == {"skipped": 1}
    assert crawled(200).summary.exit_code == 4
    for status in (401, 403, 404):
        assert outcomes(crawled(status)) == {"pages": 1}
    for status in (429, 500, 503):
        refused = crawled(status)
        assert problem(refused)[0] == "robots-unreachable"
        assert not refused.tables.get("tested")


def test_host_52_robots_redirects() -> None:
    """robots.txt is followed over five redirects, to another host too; the sixth makes it unavailable."""

    def parse(self, page: Page):
        yield {"url": page.url}

    def crawled(hops: int) -> Simulation:
        def answer(request):
            path = request.url.path
            if path == "/robots.txt":
                return Answer(status=302, headers={"Location": "https://r.test/0"})
            if request.url.host == "r.test" and (n := int(path[1:])) < hops - 1:
                return Answer(status=302, headers={"Location": f"https://r.test/{n + 1}"})
            return "User-agent: *\nDisallow: /" if request.url.host == "r.test" else "x"

        return simulate(spider(parse), Site(answer), settings={"rate": None})

    assert outcomes(crawled(5)) == {"skipped": 1}
    assert outcomes(crawled(6)) == {"pages": 1}


def test_host_54_robots_is_fetched_once(tmp_path: Path) -> None:
    """However many requests wait for it, robots.txt is fetched once; the next run within a day not at all."""

    def parse(self, page: Page):
        yield {"url": page.url}

    made = spider(parse, concurrency=16, start_urls=[f"https://a.test/{i}" for i in range(1_000)])
    site = Site(lambda r: Answer("x", latency=1.0) if "robots" not in r.url.path else "")
    done = simulate(made, site, db=tmp_path / "a.db", settings={"rate": None})
    assert Counter(hit.url for hit in done.hits)["https://a.test/robots.txt"] == 1
    assert len(done.hits) == 1_001
    simulate(made, site, db=tmp_path / "a.db", settings={"rate": None})
    assert Counter(hit.url for hit in site.hits)["https://a.test/robots.txt"] == 1
    assert len(site.hits) == 2_001


async def test_host_54_a_thousand_at_once_share_one_flight() -> None:
    """Whoever asks for rules that are being fetched waits for those."""
    asked: list[str] = []

    async def fetch(url: str) -> tuple[int, str]:
        asked.append(url)
        await asyncio.sleep(0.01)
        return 200, "User-agent: *\nDisallow: /private"

    robots = Robots(time.time)
    found = await asyncio.gather(*(robots.rules("https://a.test:443", fetch) for _ in range(1_000)))
    assert len(asked) == 1
    assert not any(rules.allows("https://a.test/private", "bot") for rules in found)


# ------------------------------------------------------------------ page.fetch


def test_fetch_gets_a_page_inside_a_callback() -> None:
    """`await page.fetch` works at concurrency 1, of its own and a foreign domain, under their rates."""

    async def parse(self, page: Page):
        own = await page.fetch("/own")
        other = await page.fetch("https://b.test/other")
        yield {"own": own.text("h1"), "other": other.text("h1")}

    site = Site(lambda r: f"<h1>{r.url.host}{r.url.path}</h1>" if "robots" not in r.url.path else None)
    done = simulate(spider(parse, concurrency=1, rate="1/s"), site)
    (row,) = done.tables["tested"]
    assert (row["own"], row["other"]) == ("a.test/own", "b.test/other")
    assert done.summary.pages == 1
    assert done.summary.sends == 5
    own = [hit.at for hit in done.hits if hit.host == "a.test"]
    assert min(b - a for a, b in pairwise(own)) >= 1 - 1e-6


def test_an_uncaught_fetch_error_retries_the_visit() -> None:
    """page.fetch raises FetchError; uncaught and retryable the whole visit is repeated, caught it is the author's."""
    tries = []

    async def parse(self, page: Page):
        tries.append(page.url)
        sub = await page.fetch("/flaky")
        yield {"name": sub.source}

    def answer(request):
        if request.url.path == "/flaky" and len(tries) < 3:
            return Answer(status=503)
        return "fine"

    done = simulate(spider(parse), Site(answer), settings=NO_ROBOTS)
    assert len(tries) == 3
    assert [row["name"] for row in done.tables["tested"]] == ["fine"]


def test_two_pages_that_fetch_from_each_other_do_not_deadlock() -> None:
    """Visits of two domains of concurrency 1 that each fetch from the other both end."""

    async def parse(self, page: Page):
        other = "https://b.test/x" if "a.test" in page.url else "https://a.test/x"
        sub = await page.fetch(other)
        yield {"name": sub.url}

    made = spider(parse, concurrency=1, start_urls=["https://a.test/", "https://b.test/"])
    done = simulate(made, Site(lambda r: "x", latency=1.0), settings={"rate": "1/s"})
    assert outcomes(done) == {"pages": 2}


# ------------------------------------------------------------------ starts and ends


def test_seeds_do_not_crawl_each_other() -> None:
    """With scope "site" a link is followed within the site of its own start only."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")

    body = "<a href=https://a.test/1>x</a><a href=https://b.test/2>x</a>"
    made = spider(parse, start_urls=["https://a.test/", "https://b.test/"])
    done = simulate(made, Site(lambda r: body), settings=NO_ROBOTS)
    assert sorted(hit.url for hit in done.hits) == [
        "https://a.test/", "https://a.test/1", "https://b.test/", "https://b.test/2",
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["a.test/x", "ftp://a.test/", "http://", "http://[", "::"])
def test_a_start_that_is_no_url_is_said(url: str) -> None:
    """A start without a scheme, with an unknown one, or that is no URL ends the crawl with a sentence."""

    def parse(self, page: Page):
        yield {}

    with pytest.raises(SpiderError, match="start: "):
        simulate(spider(parse, start_urls=[url]), Site(lambda r: "x"))


def test_no_items_is_exit_3_and_an_empty_declared_table_too() -> None:
    """Silence is never success: no items, or a declared table without rows, is exit 3."""

    class Empty(Spider[Thing]):
        start_urls = ["https://a.test/"]

        def parse(self, page: Page):
            yield {"other": 1} if page.has("h1") else None

    assert simulate(Empty, Site(lambda r: "x"), settings=NO_ROBOTS).summary.exit_code == 3
    with_other = simulate(Empty, Site(lambda r: "<h1>x"), settings=NO_ROBOTS)
    assert with_other.summary.exit_code == 3
    assert with_other.summary.empty_tables == ["thing"]


def test_the_same_simulation_twice_is_the_same() -> None:
    """A simulated crawl is deterministic: same requests at the same virtual times, same rows."""

    def parse(self, page: Page):
        yield Thing(page.url)
        yield page.follow_all("a")

    def once() -> Simulation:
        body = "".join(f"<a href=/{i}>x</a>" for i in range(40))
        site = Site(lambda r: Answer(body, 500 if r.url.path == "/7" else 200, latency=0.2))
        return simulate(spider(parse, concurrency=8), site, settings={"rate": "20/s", "max_failed": 1.0})

    first, second = once(), once()
    assert first.hits == second.hits
    assert first.tables == second.tables
    assert first.seconds == second.seconds


def test_cr_09_cancelling_a_crawl_at_any_moment_leaves_it_resumable(tmp_path) -> None:
    """Cancelled at many moments and resumed each time, a crawl ends with every page once and nothing open."""

    def parse(self, page: Page):
        yield Thing(page.url)
        yield page.follow_all("a")

    body = "".join(f"<a href=/{i}>x</a>" for i in range(60))
    made = spider(parse, concurrency=4, rate="10/s")
    site = Site(lambda r: Answer(body, latency=0.3))
    loop = VirtualLoop()

    def crawl(resume):
        return Crawl(made, db=tmp_path / "a.db", transport=site, inline=True, resume=resume)

    for i in range(20):
        task = loop.create_task(crawl("continue").run())
        loop.run_until_complete(asyncio.wait([task], timeout=0.11 + 0.037 * i))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        assert not asyncio.all_tasks(loop)
    summary = loop.run_until_complete(crawl("continue").run())
    loop.close()
    assert summary.exit_code == 0
    assert summary.pages == 61
    assert sum(site.open.values()) == 0


# ------------------------------------------------------------------ faults on top of faults


def test_an_errback_that_raises_ends_the_request() -> None:
    """An errback that raises the error again, or Retry for ever, ends the request as failed and is called once."""
    calls = []

    def parse(self, page: Page):
        yield page.request("/gone").options(errback=self.again)
        yield page.request("/later").options(errback=self.retry)
        yield {"name": "x"}

    def again(self, error: FetchError):
        calls.append("again")
        raise error

    def retry(self, error: FetchError):
        calls.append("retry")
        raise Retry("please")

    done = simulate(
        spider(parse, again, retry), Site({"https://a.test/": "x"}), settings={**NO_ROBOTS, "retries": 0}
    )
    assert sorted(calls) == ["again", "retry"]
    assert outcomes(done) == {"pages": 1, "failed": 2}


def test_fetching_from_a_parked_domain_is_an_error_of_its_own() -> None:
    """page.fetch to a domain that was parked raises FetchError domain-parked at once."""
    kinds = []

    async def parse(self, page: Page):
        if "b.test" in page.url:
            raise Blocked("captcha")
        await asyncio.sleep(5)
        try:
            await page.fetch("https://b.test/sub")
        except FetchError as error:
            kinds.append(error.kind)
        yield {"name": "x"}

    made = spider(parse, start_urls=["https://a.test/", "https://b.test/"])
    done = simulate(made, Site(lambda r: "x"), settings=NO_ROBOTS)
    assert kinds == ["domain-parked"]
    assert done.summary.exit_code == 5


def test_a_callback_that_blocks_past_the_lease_loses_nothing() -> None:
    """CR-10: when the loop stood still longer than a lease, the crawl goes on and every page is there."""

    def parse(self, page: Page):
        if page.url.endswith("/1"):
            asyncio.get_running_loop()._jump.now += 120.0
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(8)]

    done = simulate(spider(parse), Site(lambda r: Answer("x", latency=0.5)), settings=NO_ROBOTS)
    assert done.summary.exit_code == 0
    assert len(done.tables["tested"]) == 9


def test_any_transport_crawls() -> None:
    """A crawl runs over httpx.MockTransport, so over respx and whatever else speaks httpx's transport seam."""

    def parse(self, page: Page):
        yield {"name": page.text("h1")}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html=f"<h1>{request.url.path}</h1>")

    loop = VirtualLoop()
    crawl = Crawl(spider(parse), db=":memory:", transport=httpx.MockTransport(answer), inline=True)
    summary = loop.run_until_complete(crawl.run())
    loop.close()
    assert (summary.pages, summary.exit_code) == (1, 0)


async def test_a_crawl_over_respx_in_a_running_loop(tmp_path) -> None:
    """In a program's own loop, with a real database thread: `await crawl(...)` over a respx router."""
    router = respx.Router(assert_all_called=False)
    router.get("https://a.test/robots.txt").respond(404)
    router.get("https://a.test/").respond(html="<a href=/1>x</a>")
    page = router.get("https://a.test/1").respond(html="<h1>one</h1>")

    def parse(self, page: Page):
        yield {"name": page.url}
        yield page.follow_all("a")

    made = spider(parse, rate=None)
    transport = httpx.MockTransport(router.async_handler)
    summary = await crawl(made, db=tmp_path / "a.db", transport=transport)
    assert (summary.pages, summary.rows, page.call_count) == (2, 2, 1)
    again = await crawl(made, db=tmp_path / "a.db", transport=transport)
    assert again.items == {"tested": {"new": 2}}


@pytest.mark.parametrize("after", range(1, 80, 6))
async def test_cr_08_a_stop_at_any_moment_ends_the_crawl(tmp_path, after: int) -> None:
    """Stopped after any number of pages, with a real database thread, a crawl ends and a resume does the rest."""

    def parse(self, page: Page):
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(100)]

    def stopping(event) -> None:
        if isinstance(event, PageDone):
            pages.append(event)
            if len(pages) == after:
                crawl.stop()

    pages: list[PageDone] = []
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="x"))
    made = spider(parse, rate=None, robots=False, concurrency=16)
    options = {"db": tmp_path / "a.db", "transport": transport}
    crawl = Crawl(made, observers=[stopping], **options)
    stopped = await asyncio.wait_for(crawl.run(), 20)
    assert stopped.exit_code == 130
    resumed = await asyncio.wait_for(Crawl(made, resume="must", **options).run(), 20)
    assert (resumed.exit_code, resumed.pages) == (0, 101)


async def test_many_crawls_run_at_once(tmp_path) -> None:
    """Several crawls run side by side in one loop, each with its own database."""

    def parse(self, page: Page):
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(5)]

    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="x"))
    made = spider(parse, rate=None, robots=False)
    done = await asyncio.gather(
        *(crawl(made, db=tmp_path / f"{i}.db", transport=transport) for i in range(4))
    )
    assert [summary.pages for summary in done] == [6] * 4


def test_a_callback_that_fails_on_fifty_pages_in_a_row_stops_the_crawl(tmp_path) -> None:
    """Fail-fast: exit 5 with the callback named; `resume` after the fix does exactly the rest."""
    broken = [True]

    def parse(self, page: Page):
        yield [page.request(f"/{i}", self.detail) for i in range(200)]

    def detail(self, page: Page):
        if broken[0]:
            raise ValueError("new layout")
        yield {"name": page.url}

    made = spider(parse, detail)
    first = simulate(made, Site(lambda r: "x"), settings=NO_ROBOTS, db=tmp_path / "a.db")
    assert first.summary.exit_code == 5
    assert "detail failed on 50 pages in a row" in str(first.summary.reason)
    assert first.summary.problems[0].count >= 50
    assert first.summary.queued == 200
    assert len(first.hits) < 120
    broken[0] = False
    second = simulate(made, Site(lambda r: "x"), db=tmp_path / "a.db", resume="must")
    assert (second.summary.exit_code, len(second.hits), len(second.tables["tested"])) == (0, 200, 200)
    assert second.summary.counters["failed"] == 0


# ------------------------------------------------------------------ what reviews found


def test_sec_22_a_redirect_does_not_name_a_private_address(tmp_path) -> None:
    """A start that redirects to another host takes it into scope, not past the address guard."""
    named = {}

    def parse(self, page: Page):
        yield {"url": page.url}

    def answer(request: httpx.Request) -> httpx.Response:
        named[request.url.host] = request.extensions["named"]
        if request.url.host == "a.test":
            return httpx.Response(302, headers={"Location": "https://internal.test/secret"})
        return httpx.Response(200, html="x")

    loop = VirtualLoop()
    crawl = Crawl(spider(parse), db=":memory:", transport=httpx.MockTransport(answer), inline=True)
    loop.run_until_complete(crawl.run())
    loop.close()
    assert named == {"a.test": True, "internal.test": False}


def test_po_05_a_429_to_page_fetch_holds_the_domain() -> None:
    """Retry-After on a page.fetch makes the whole domain wait, as on a page."""

    async def parse(self, page: Page):
        if page.url == "https://a.test/0":
            await page.fetch("/busy")
        yield {"url": page.url}

    busy = []

    def answer(request):
        if request.url.path == "/busy" and not busy:
            busy.append(asyncio.get_running_loop().time())
            return Answer(status=429, headers={"Retry-After": "15"})
        return "x"

    made = spider(parse, start_urls=[f"https://a.test/{i}" for i in range(8)], concurrency=1)
    done = simulate(made, Site(answer), settings={**NO_ROBOTS, "rate": "5/s"})
    refused = next(hit for hit in done.hits if hit.status == 429)
    assert min(hit.at for hit in done.hits if hit.at > refused.at) >= refused.ended + 15 - 1e-5
    assert done.summary.exit_code == 0


def test_parked_before_any_page_is_resumable() -> None:
    """A domain that refuses everything from the start is parked: exit 5, requests kept, not a dead end."""

    def parse(self, page: Page):
        yield {}

    made = spider(parse, start_urls=[f"https://a.test/{i}" for i in range(30)], concurrency=1)
    done = simulate(made, Site(lambda r: Answer(status=403)), settings=NO_ROBOTS)
    assert (done.summary.exit_code, done.summary.state) == (5, "stopped")
    assert done.summary.queued == 30


def test_a_selector_that_never_matches_is_named_with_what_was_meant() -> None:
    """A misspelt selector is counted per place; the nearest one that matches on the first page is suggested."""

    def parse(self, page: Page):
        for node in page.css("artcle.product"):
            yield {"name": node.text()}
        yield page.follow("li.next a")

    body = "<article class=product>x</article><article class=product>y</article>"
    done = simulate(spider(parse), Site(lambda r: body), settings=NO_ROBOTS)
    assert done.summary.exit_code == 3
    first, second = sorted(done.summary.silent, key=lambda silent: silent.selector)
    assert (first.selector, first.call, first.pages, first.meant, first.meant_matches) == (
        "artcle.product", "css", 1, "article.product", 2,
    )  # fmt: skip
    assert "test_engine.py:" in first.place
    assert (second.selector, second.meant) == ("li.next a", None)


def test_a_selector_that_matched_in_the_run_before_is_named(tmp_path) -> None:
    """An optional selector that found something in the last run and nothing in this one is said."""

    def parse(self, page: Page):
        yield {"name": page.text("h1", default=None), "price": page.text("b", default=None)}

    made = spider(parse)
    simulate(made, Site(lambda r: "<h1>x</h1><b>1</b>"), settings=NO_ROBOTS, db=tmp_path / "a.db")
    done = simulate(made, Site(lambda r: "<h1>x</h1><i>1</i>"), settings=NO_ROBOTS, db=tmp_path / "a.db")
    assert [(silent.selector, silent.before) for silent in done.summary.silent] == [("b", 1)]


def test_a_cancelled_wait_in_a_callback_fails_its_page() -> None:
    """A callback that ends in the CancelledError of something it awaited fails once, and is not fetched for ever."""

    async def parse(self, page: Page):
        task = asyncio.ensure_future(asyncio.sleep(1))
        task.cancel()
        await task

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert problem(done)[0] == "callback"
    assert len(done.hits) == 1


@pytest.mark.parametrize(
    "error", [GeneratorExit, BaseExceptionGroup("g", [KeyError("x")]), BaseException("odd")]
)
def test_whatever_a_callback_raises_ends_only_its_page(error) -> None:
    """Any exception of a callback is an outcome of its page."""

    def parse(self, page: Page):
        raise error

    assert problem(simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS))[0] == "callback"


def test_sec_56_text_no_database_takes_does_not_end_the_crawl() -> None:
    """Half a character in an error message or a reason is stored as "?"; the crawl goes on."""

    def parse(self, page: Page):
        if page.url.endswith("/1"):
            raise ValueError("bad \ud800 text")
        if page.url.endswith("/2"):
            raise Skip("odd \ud800 reason")
        if page.url.endswith("/3"):
            raise Retry("x", after=float("nan"))
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(1, 6)]

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert outcomes(done) == {"pages": 3, "failed": 2, "skipped": 1}


def test_what_cannot_be_stored_fails_its_page_only() -> None:
    """When the database refuses what a page produced, that page is failed as internal and the others go on."""

    def parse(self, page: Page):
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(3)]
        if page.url.endswith("/1"):
            yield page.request("/x", self.parse, note="\ud800").options(headers={"X-Odd": "\ud800"})

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert done.summary.pages >= 3


def test_identity_survives_redirects_to_other_domains() -> None:
    """unique, dont_filter and a bounce over another domain: every request still gets its page."""

    def parse(self, page: Page):
        if page.url == "https://a.test/":
            yield Request("https://a.test/u", self.leaf, unique="sku-1")
            for n in range(3):
                yield Request("https://a.test/d", self.leaf, args={"n": n}, dont_filter=True)
            yield Request("https://a.test/bounce", self.leaf)

    def leaf(self, page: Page, n: int = -1):
        yield {"url": page.url, "n": n}

    bounced = []

    def answer(request):
        host, path = request.url.host, request.url.path
        if host == "a.test" and path in {"/u", "/d"}:
            return Answer(status=302, headers={"Location": f"https://b.test{path}"})
        if host == "a.test" and path == "/bounce" and not bounced:
            bounced.append(1)
            return Answer(status=302, headers={"Location": "https://b.test/consent"})
        if path == "/consent":
            return Answer(status=302, headers={"Location": "https://a.test/bounce"})
        return "x"

    done = simulate(spider(parse, leaf), Site(answer), settings={**NO_ROBOTS, "scope": "any"})
    got = sorted((row["url"], row["n"]) for row in done.tables["tested"])
    assert got == [
        ("https://a.test/bounce", -1), ("https://b.test/d", 0), ("https://b.test/d", 1), ("https://b.test/d", 2),
        ("https://b.test/u", -1),
    ]  # fmt: skip


def test_dont_filter_starts_are_all_fetched() -> None:
    """Two equal start requests with dont_filter are two requests."""

    async def start(self):
        yield Request("https://a.test/", dont_filter=True)
        yield Request("https://a.test/", dont_filter=True)

    def parse(self, page: Page):
        yield {"url": page.url}

    assert len(simulate(spider(parse, start), Site(lambda r: "x"), settings=NO_ROBOTS).hits) == 2


def test_a_coroutine_from_a_plain_def_has_the_callback_time_limit() -> None:
    """The limit holds for whatever awaits, also when a plain function returned it."""

    def parse(self, page: Page):
        return self.later(page)

    async def later(self, page: Page):
        await asyncio.sleep(1e7)

    done = simulate(spider(parse, later), Site(lambda r: "x"), settings={**NO_ROBOTS, "callback_timeout": 5})
    assert problem(done)[0] == "callback-timeout"


def test_an_own_timeout_is_not_the_callback_limit() -> None:
    """A TimeoutError of the author's own is reported with its place, not as callback_timeout."""

    async def parse(self, page: Page):
        async with asyncio.timeout(1):
            await asyncio.sleep(10)

    done = simulate(spider(parse), Site(lambda r: "x"), settings=NO_ROBOTS)
    assert problem(done) == ("callback", "TimeoutError")


def test_a_fetch_that_fails_in_a_task_group_retries_the_visit() -> None:
    """A retryable FetchError wrapped in an ExceptionGroup by TaskGroup still retries the whole visit."""
    tries = []

    async def parse(self, page: Page):
        tries.append(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(page.fetch("/flaky"))
        yield {"name": "fine"}

    site = Site(lambda r: Answer("x", 503 if r.url.path == "/flaky" and len(tries) < 2 else 200))
    done = simulate(spider(parse), site, settings=NO_ROBOTS)
    assert (len(tries), done.summary.exit_code) == (2, 0)


def test_sec_01_headers_of_a_spider_stay_with_its_start() -> None:
    """Secret headers set on the spider go to the start's host only, over redirects and page.fetch too."""
    seen = {}

    async def parse(self, page: Page):
        await page.fetch("https://c.test/")
        yield {"url": page.url}

    def answer(request):
        seen.setdefault(request.url.host, set()).add("s3cret" in str(list(request.headers.values())))
        if request.url.path == "/to-b":
            return Answer(status=302, headers={"Location": "https://b.test/"})
        return "x"

    made = spider(
        parse, start_urls=["https://a.test/", "https://a.test/to-b"], headers={"Authorization": "s3cret"}
    )
    simulate(made, Site(answer))
    assert seen == {"a.test": {True}, "b.test": {False}, "c.test": {False}}


def test_secrets_of_a_request_are_cleared_when_it_ends(tmp_path) -> None:
    """Headers and bodies are gone from the database when their request ended, failed ones too."""

    async def start(self):
        yield Request("https://a.test/ok", headers={"Authorization": "s3cret"})
        yield Request("https://a.test/gone", form={"pin": "s3cret"})

    def parse(self, page: Page):
        yield {"url": page.url}

    site = Site(lambda r: Answer("x", 404 if r.url.path == "/gone" else 200))
    simulate(spider(parse, start), site, settings=NO_ROBOTS, db=tmp_path / "a.db")
    assert b"s3cret" not in (tmp_path / "a.db").read_bytes()


def test_scope_holds_for_redirects_inside_the_domain() -> None:
    """scope="host": a link that redirects to another host of the domain is out of scope; a start may."""

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")

    site = Site(
        {
            "https://a.test/": Answer(status=302, headers={"Location": "https://www.a.test/"}),
            "https://www.a.test/": "<a href=/out>x</a><a href=/in>x</a>",
            "https://www.a.test/in": "x",
            "https://www.a.test/out": Answer(status=302, headers={"Location": "https://blog.a.test/"}),
            "https://blog.a.test/": "x",
        }
    )
    done = simulate(spider(parse, scope="host"), site, settings=NO_ROBOTS)
    assert sorted(row["url"] for row in done.tables["tested"]) == [
        "https://www.a.test/",
        "https://www.a.test/in",
    ]


def test_max_items_counts_over_a_resume(tmp_path) -> None:
    """What a run stored before it was stopped counts for max_items when it goes on."""

    def parse(self, page: Page):
        if page.url.endswith("/1") and once:
            once.clear()
            raise Stop("pause")
        yield {"name": page.url}
        yield [page.request(f"/{i}") for i in range(50)]

    once = [1]
    made = spider(parse, concurrency=1)
    options = {"db": tmp_path / "a.db"}
    first = simulate(made, Site(lambda r: "x"), settings={**NO_ROBOTS, "max_items": 6}, **options)
    assert first.summary.exit_code == 5
    second = simulate(made, Site(lambda r: "x"), resume="must", **options)
    assert 6 <= second.summary.rows <= 7  # a page under way when the sixth was stored still ends


def test_a_start_or_init_that_raises_is_said_with_its_place() -> None:
    """start() or __init__ raising is an error of the spider, with file and line."""

    async def start(self):
        yield Request("https://a.test/")
        raise KeyError("urls")

    def parse(self, page: Page):
        yield {}

    def __init__(self):
        raise OSError("no list")

    with pytest.raises(SpiderError, match=r"test_engine.py:\d+ in start   KeyError"):
        simulate(spider(parse, start), Site(lambda r: "x"))
    with pytest.raises(SpiderError, match=r"test_engine.py:\d+ in __init__   OSError: no list"):
        simulate(spider(parse, __init__), Site(lambda r: "x"))


def test_an_endless_retry_after_of_a_fetch_does_not_hang_the_crawl() -> None:
    """page.fetch answered with a Retry-After beyond every limit parks or fails; the crawl ends."""

    async def parse(self, page: Page):
        await page.fetch("https://b.test/")

    site = Site(
        lambda r: Answer(status=429, headers={"Retry-After": "9" * 20}) if r.url.host == "b.test" else "x"
    )
    done = simulate(spider(parse), site, settings=NO_ROBOTS)
    assert done.summary.exit_code in {1, 3, 5}
    assert done.seconds < 100
