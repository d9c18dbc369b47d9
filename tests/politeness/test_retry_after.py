"""Retry-After with every status: what the request, its domain and a redirect wait for (W19)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import FetchError, Page, Request, Spider
from scraper.testing import Answer, Site, simulate
from scraper.testing.virtual_time import EPOCH

WAIT = 7.0


class Pages(Spider[dict]):
    """Reads the pages /0 … /4 of one host."""

    rate, concurrency, robots = "10/s", 2, False

    async def start(self):
        for i in range(5):
            yield Request(f"https://a.test/{i}")

    def parse(self, page: Page):
        yield {"url": page.url}


def answering_once(
    first: Answer, path: str = "/0", then: str = "x"
) -> Callable[[httpx.Request], Answer | str]:
    """A site that gives `first` the first time that `path` is asked for."""
    left = [first]

    def answer(request: httpx.Request) -> Answer | str:
        return left.pop() if request.url.path == path and left else then

    return answer


def asking(status: int, wait: float = WAIT, **headers: str) -> Answer:
    return Answer("no", status, {"Retry-After": f"{wait:g}"} | headers)


def times(site: Site, path: str) -> list[float]:
    return [hit.at for hit in site.hits if httpx.URL(hit.url).path == path]


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "status", [403, 404, 408, 409, 413, 423, 425, 429, 500, 501, 502, 503, 504, 509, 529, 599]
)
def test_the_retry_of_an_error_is_never_earlier_than_asked(status: int) -> None:
    """W19: an error of any status that says when to come again is tried again then, and not before."""
    site = Site(answering_once(asking(status)))
    done = simulate(Pages, site)
    _, second = times(site, "/0")
    refused = next(hit for hit in site.hits if hit.status == status)
    assert WAIT - 1e-6 <= second - refused.ended <= WAIT + 3
    assert (done.summary.exit_code, len(done.tables["pages"])) == (0, 5)


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504, 509, 529])
def test_an_error_of_the_site_holds_its_domain(status: int) -> None:
    """W19: a Retry-After that speaks for the whole site holds every request to it."""
    site = Site(answering_once(asking(status)))
    simulate(Pages, site)
    refused = next(hit for hit in site.hits if hit.status == status)
    assert min(hit.at for hit in site.hits if hit.at > refused.ended) >= refused.ended + WAIT - 1e-6


@pytest.mark.parametrize("status", [404, 413, 423])
def test_an_error_of_one_url_holds_that_url_alone(status: int) -> None:
    """W19: an error that is about its own URL delays nothing else."""
    site = Site(answering_once(asking(status)))
    simulate(Pages, site)
    assert max(times(site, "/4")) < WAIT


@pytest.mark.parametrize("status", [403, 413, 500, 502])
def test_an_error_without_a_readable_time_is_treated_by_its_status_alone(status: int) -> None:
    """W19: where Retry-After cannot be read, 403 and 413 are final and 500 and 502 are tried again soon."""
    site = Site(answering_once(Answer("no", status, {"Retry-After": "later"})))
    simulate(Pages, site)
    assert len(times(site, "/0")) == (1 if status < 500 else 2)


def test_a_page_that_asks_for_longer_than_is_waited_for_fails_alone() -> None:
    """W19: a 500 with a Retry-After beyond `retry_after_max` is final for its page and holds nothing else."""
    site = Site(answering_once(asking(500, 7200)))
    done = simulate(Pages, site, settings={"max_failed": 1.0})
    assert len(times(site, "/0")) == 1
    assert (len(done.tables["pages"]), done.summary.parked) == (4, {})
    assert done.seconds < WAIT


def test_asking_for_ever_is_no_retry_for_ever() -> None:
    """W19: an error that asks again each time is tried as often as any other."""
    site = Site(lambda request: asking(413, 1) if request.url.path == "/0" else "x")
    simulate(Pages, site, settings={"max_failed": 1.0})
    assert len(times(site, "/0")) == 4


@pytest.mark.parametrize(("status", "tries"), [(403, 2), (413, 2), (429, 2), (503, 2), (500, 1), (502, 1)])
def test_a_post_is_repeated_only_where_it_was_not_taken(status: int, tries: int) -> None:
    """W19: a refused POST comes again when it was asked to; one that may have had its effect does not."""

    class Posts(Pages):
        async def start(self):
            yield Request("https://a.test/0", method="POST", content=b"x")

    site = Site(answering_once(asking(status)))
    simulate(Posts, site)
    assert len(times(site, "/0")) == tries


@pytest.mark.parametrize("status", [403, 413, 500])
def test_a_fetch_in_a_callback_is_told_when_to_come_again(status: int) -> None:
    """W19: the FetchError of `page.fetch` carries what was asked for, whatever the status."""
    told: list[float | None] = []

    class Fetches(Pages):
        start_urls = ["https://a.test/page"]
        start = Spider.start

        async def parse(self, page: Page):
            try:
                await page.fetch("https://a.test/0")
            except FetchError as error:
                told.append(error.retry_at)
            yield {"url": page.url}

    site = Site(answering_once(asking(status)))
    simulate(Fetches, site)
    refused = next(hit for hit in site.hits if hit.status == status)
    assert told == [pytest.approx(EPOCH + refused.ended + WAIT)]


# ------------------------------------------------------------------------------------------- redirects


def redirecting(location: str, status: int = 302, wait: float = 9.0) -> Answer:
    return asking(status, wait, Location=location)


class OneStart(Spider[dict]):
    start_urls = ["https://a.test/from"]
    rate, robots, scope = None, False, "any"

    def parse(self, page: Page) -> Any:
        yield {"url": page.url, "body": page.body.decode()}


class Checking(OneStart):
    """Sees every detour itself: its redirects are followed inside the visit."""

    def check(self, page: Page) -> None:
        return


class Posting(OneStart):
    async def start(self):
        yield Request("https://a.test/from", method="POST", content=b"data")


@pytest.mark.parametrize("spider", [OneStart, Checking, Posting])
@pytest.mark.parametrize("location", ["/to", "https://b.test/to"])
@pytest.mark.parametrize("status", [302, 303, 307, 308])
def test_a_redirect_is_not_followed_earlier_than_asked(
    spider: type[Spider[Any]], location: str, status: int
) -> None:
    """W19: Retry-After on a 3xx is the least time before the redirected request (RFC 9110 10.2.3), which is sent once."""
    if spider is Posting and status > 303 and location != "/to":
        pytest.skip("a body goes to no other origin")
    site = Site(answering_once(redirecting(location, status), "/from", "page"))
    done = simulate(spider, site)
    (first,), (second,) = times(site, "/from"), times(site, "/to")
    assert 9 - 1e-6 <= second - first <= 10
    assert [row["body"] for row in done.tables[done.summary.spider]] == ["page"]
    posted = spider is Posting and status > 303
    assert site.hits[-1].method == ("POST" if posted else "GET")


def test_a_redirect_that_waits_outlives_its_process(tmp_path: Path) -> None:
    """W19: killed while a redirect waits, the crawl follows it once, and not before it was asked to."""
    site = Site(answering_once(redirecting("/to"), "/from", "page"))
    done = simulate(OneStart, site, db=tmp_path / "a.db", kill=[4.0])
    (first,), (second,) = times(site, "/from"), times(site, "/to")
    assert second - first >= 9 - 1e-6
    assert len(done.tables[done.summary.spider]) == 1


def test_a_redirect_beyond_what_is_waited_for_fails() -> None:
    """W19: a redirect that asks for two hours is not followed, and the error says so."""
    site = Site(answering_once(redirecting("/to", wait=7200), "/from", "page"))
    done = simulate(OneStart, site)
    assert not times(site, "/to")
    assert done.summary.counters["failed"] == 1


@pytest.mark.parametrize(("wait", "asked"), [(3.0, 1), (9.0, 0)])
def test_a_fetch_in_a_callback_waits_a_moment_for_a_redirect(wait: float, asked: int) -> None:
    """W19: inside a callback a few seconds are waited for; beyond them the FetchError says when to come again."""
    told: list[float] = []

    class Fetches(OneStart):
        start_urls = ["https://a.test/page"]

        async def parse(self, page: Page):
            try:
                await page.fetch("https://a.test/from")
            except FetchError as error:
                told.append(error.retry_at or 0.0)
            yield {"url": page.url}

    site = Site(answering_once(redirecting("/to", wait=wait), "/from", "page"))
    simulate(Fetches, site)
    (redirect,) = (hit for hit in site.hits if hit.status == 302)
    assert len(times(site, "/to")) == asked
    if asked:
        assert times(site, "/to")[0] >= redirect.ended + wait - 1e-6
    else:
        assert told == [pytest.approx(EPOCH + redirect.ended + wait)]


def test_robots_txt_waits_for_its_redirect() -> None:
    """W19: the redirect of a robots.txt is not followed earlier than asked either."""

    class Polite(OneStart):
        robots = True

    site = Site(answering_once(redirecting("/rules.txt", wait=3), "/robots.txt", ""))
    simulate(Polite, site)
    (redirect,) = (hit for hit in site.hits if hit.status == 302)
    assert times(site, "/rules.txt")[0] >= redirect.ended + 3 - 1e-6
