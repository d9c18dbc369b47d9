"""robots.txt: which group is ours, what its lines mean, and what is never read as if everything were allowed."""

from __future__ import annotations

import gzip
import string
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import Page, Spider
from scraper.core.models import OriginFacts
from scraper.events import Warned
from scraper.net.robots import MAX_ROBOTS, Rules
from scraper.net.robots_groups import group_for, product_token
from scraper.testing import Answer, Simulation, Site, simulate

AGENT = "scraper/1.0 (+https://example.com/bot)"
URL = "https://a.test/private"


def rules(*lines: str, end: str = "\n") -> Rules:
    return Rules(OriginFacts("https://a.test", end.join(lines), 0.0))


def allowed(*lines: str, agent: str = AGENT, url: str = URL) -> bool:
    return rules(*lines).allows(url, agent)


# ------------------------------------------------------------------ which group is ours


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("scraper/1.0", "scraper"),
        ("scraper/1.0 (+https://example.com/bot)", "scraper"),
        ("Foo_Bot-x/2 (bar)", "foo_bot-x"),
        ("Foobot", "foobot"),
        ("Foobot2/1.0", "foobot"),
        ("  Foobot/1", "foobot"),
        ("360Spider/1.0 (x)", "360spider"),
        ("Mozilla/5.0 (compatible; Foobot/1.0; +https://example.com)", "foobot"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "mozilla"),
        ("", ""),
    ],
)
def test_the_product_token_of_a_user_agent(user_agent: str, token: str) -> None:
    """W20: a robots.txt knows us by the product we name first, never by version, comment or contact."""
    assert product_token(user_agent) == token


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("scraper", True),
        ("Scraper", True),
        ("SCRAPER/1.0", True),
        ("scraper bot", True),
        ("scraper/9 (+https://other.example)", True),
        ("scraper2", True),
        ("scra", False),
        ("scraper-x", False),
        ("scraper_x", False),
        ("myscraper", False),
        ("bot", False),
        ("example", False),
        ("https", False),
        ("", False),
        ("*scraper", False),
    ],
)
def test_a_name_is_ours_when_its_token_is(name: str, ours: bool) -> None:
    """W20: the token of the file, read up to the first character that is not of one, equals ours or does not."""
    assert allowed(f"User-agent: {name}", "Disallow: /", "", "User-agent: *", "Disallow: /other") is not ours
    assert allowed(f"User-agent: {name}", "Allow: /", "", "User-agent: *", "Disallow: /") is ours


tokens = st.text(string.ascii_letters + "-_", min_size=1, max_size=12)


@given(ours=tokens, theirs=tokens, version=st.from_regex(r"([/ 0-9(.][ -\"$-~]*)?", fullmatch=True))
def test_groups_are_chosen_by_equal_tokens_alone(ours: str, theirs: str, version: str) -> None:
    """W20: whatever follows a token, in the file or in what we send, and its case, choose no other group."""
    file = f"User-agent: {theirs}{version}\nDisallow: /\nUser-agent: *\nAllow: /"
    found = Rules(OriginFacts("https://a.test", file, 0.0)).allows(URL, f"{ours}/1.0 ({theirs})")
    assert found is (ours.lower() != theirs.lower())


def test_an_own_user_agent_is_known_by_its_own_name() -> None:
    """W20: with `user_agent` set, the group of that name counts, and ours is a stranger's."""
    lines = ("User-agent: Foobot", "Disallow: /", "User-agent: scraper", "Allow: /")
    assert not allowed(*lines, agent="Foobot/2.1")
    assert allowed(*lines)


@pytest.mark.parametrize(
    "settings",
    [{"user_agent": "Foobot/2 (+https://a.test/scraper)"}, {"headers": {"User-agent": "Foobot/2"}}],
)
def test_the_name_that_is_sent_is_the_name_that_counts(settings: dict[str, Any]) -> None:
    """W20: a crawl obeys the group of the User-Agent it sends, wherever that is set."""
    robots = Answer(b"User-agent: foobot\nDisallow: /private\n\nUser-agent: scraper\nDisallow: /public\n")
    assert rows(crawled(robots, **settings)) == ["/public/1"]
    assert rows(crawled(robots)) == ["/private/1"]


# ------------------------------------------------------------------ what a group holds


@pytest.mark.parametrize(
    "between",
    ["Foo: bar", "Sitemap: https://a.test/s.xml", "# comment", "", "Crawl-delay: 9", "junk", "Host: a"],
)
def test_nothing_but_a_rule_ends_the_names_of_a_group(between: str) -> None:
    """W21: a line that is not a rule does not split a group between its names (RFC 9309 section 2.2.4)."""
    assert not allowed("User-agent: scraper", between, "User-agent: other", "Disallow: /private")


def test_an_empty_rule_ends_the_names_of_a_group() -> None:
    """`Disallow:` allows everything, to its own group."""
    assert allowed("User-agent: scraper", "Disallow:", "User-agent: *", "Disallow: /")


def test_groups_of_one_name_are_one() -> None:
    """Rules for us count wherever they stand (RFC 9309 section 2.2.1)."""
    lines = (
        "User-agent: scraper",
        "Disallow: /a",
        "User-agent: *",
        "Disallow: /",
        "User-agent: Scraper/2",
        "Disallow: /b",
    )
    assert [allowed(*lines, url=f"https://a.test/{path}") for path in "abc"] == [False, False, True]


@pytest.mark.parametrize(
    ("lines", "delay"),
    [
        (["Crawl-delay: 5"], 5.0),
        (["Crawl-delay: 0.5"], 0.5),
        (["Crawl-delay: .5"], 0.5),
        (["crawl delay 7"], 7.0),
        (["Crawl-delay: 1e999"], 1e9),
        (["Crawl-delay: -1"], None),
        (["Crawl-delay: nan"], None),
        (["Crawl-delay: 0"], None),
        (["Crawl-delay: soon"], None),
        (["Request-rate: 1/5"], 5.0),
        (["Request-rate: 30/1m"], 2.0),
        (["Request-rate: 2/10s 1300-1659"], 5.0),
        (["Request-rate: 100/1d"], 864.0),
        (["Request-rate: 0/5"], None),
        (["Request-rate: often"], None),
        (["Request-rate: 1/5", "Crawl-delay: 2"], 5.0),
        (["Crawl-delay: 20", "Crawl-delay: 2"], 20.0),
    ],
)
def test_host_55_the_pause_a_site_asks_for(lines: list[str], delay: float | None) -> None:
    """W21: Crawl-delay and Request-rate are both a pause; the longest one counts."""
    assert rules("User-agent: *", *lines).crawl_delay(AGENT) == delay
    assert rules("User-agent: other", *lines, "User-agent: *", "Allow: /").crawl_delay(AGENT) is None


def test_a_pause_counts_for_the_names_before_it() -> None:
    """W21: a Crawl-delay between the names of a group is that of the ones before it."""
    file = rules("User-agent: other", "Crawl-delay: 99", "User-agent: scraper", "Disallow: /")
    assert file.crawl_delay(AGENT) is None
    assert file.crawl_delay("other/1") == 99


@pytest.mark.parametrize(
    "text",
    [
        "User-agent: *\rDisallow: /private\r",
        "User-agent: *\r\nDisallow: /private\r\n",
        "\ufeffUser-agent: *\nDisallow: /private",
        "User-agent: *\0\n\0Dis\0allow: /private",
        "\0".join("User-agent: *\nDisallow: /private"),
        " \t User-Agent :*\n\t DISALLOW :/private # all of it",
        "useragent: *\ndissallow: /private",
        "User agent *\nDisallow /private",
        "<html><body>\nUser-agent: *\nDisallow: /private\n</body>",
        "Disallow: /else\nUser-agent: *\nDisallow: /private",
    ],
)
def test_host_53_odd_files_are_read(text: str) -> None:
    """W21: line ends, marks, NULs, blanks, misspellings and what stands around the lines hide no rule."""
    assert not allowed(text)
    assert allowed(text, url="https://a.test/public")


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    """No robots.txt makes its reader raise."""
    found = Rules(OriginFacts("https://a.test", text, 0.0))
    assert found.allows(URL, AGENT) in (True, False)
    assert (found.crawl_delay(AGENT) or 0) >= 0


def test_many_names_and_many_rules_cost_linear_time() -> None:
    """A file of ten thousand names before twenty thousand rules is read as fast as any of its size."""
    hostile = "User-agent: *\n" * 10_000 + "Disallow: /x\n" * 20_000
    plain = "User-agent: *\n" + "Disallow: /x\n" * 30_000
    assert len(group_for(hostile, "scraper").lines) == 20_000
    began = time.process_time()
    assert not rules(plain).allows("https://a.test/x", AGENT)
    middle = time.process_time()
    assert not rules(hostile).allows("https://a.test/x", AGENT)
    assert time.process_time() - middle < 10 * (middle - began) + 0.1


# ------------------------------------------------------------------ never "everything is allowed" by accident


class Pages(Spider[Any]):
    """Two pages, one of them private."""

    start_urls = ("https://a.test/private/1", "https://a.test/public/1")

    def parse(self, page: Page) -> Any:
        yield {"url": page.url}


def crawled(answer: Answer, **settings: Any) -> Simulation:
    site = Site(lambda r: answer if r.url.path == "/robots.txt" else "x")
    return simulate(Pages, site, settings={"rate": None, "max_failed": 1.0, "retries": 0, **settings})


def rows(done: Simulation) -> list[str]:
    return sorted(row["url"].rpartition("a.test")[2] for row in done.tables.get("pages", []))


RULES = b"User-agent: *\nDisallow: /private\n"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(RULES, headers={"Content-Encoding": "gzip"}),
        Answer(gzip.compress(RULES)[:-12], headers={"Content-Encoding": "gzip"}),
        Answer(RULES, headers={"Content-Encoding": "foo"}),
        Answer(RULES, headers={"Transfer-Encoding": "compress"}),
        Answer(RULES, headers={"Content-Length": "999"}),
        Answer(b"", 302),
        Answer(b"", 304),
        Answer(b"", 302, {"Location": "http://["}),
        Answer(b"", 999),
    ],
)
def test_a_robots_txt_that_cannot_be_read_allows_nothing(answer: Answer) -> None:
    """W21: an answer that is not what it says it is, or says nothing, is unreachable and never "no rules"."""
    done = crawled(answer)
    assert rows(done) == []
    assert {problem.kind for problem in done.summary.problems} == {"robots-unreachable"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(RULES),
        Answer(gzip.compress(RULES), headers={"Content-Encoding": "gzip;q=1.0"}),
        Answer(gzip.compress(RULES)[:-8], headers={"Content-Encoding": "gzip"}),
        Answer(RULES.decode().encode("utf-16")),
        Answer(RULES.decode().encode("utf-16-le")),
        Answer(b"\xef\xbb\xbf" + RULES),
        Answer(b"#" * (MAX_ROBOTS - 100) + b"\n" + RULES + b"Allow: /private/only/this\n" * 99),
    ],
)
def test_a_robots_txt_that_can_be_read_is(answer: Answer) -> None:
    """W21: encodings, marks and length alone keep no rule from being obeyed."""
    assert rows(crawled(answer)) == ["/public/1"]


@pytest.mark.parametrize("packed", [False, True])
def test_the_line_in_which_a_file_is_cut_does_not_count(packed: bool) -> None:
    """W21: `Allow: /public/only` cut after `Allow: /` would allow everything."""
    start = b"User-agent: *\nDisallow: /\n"
    last = b"\nAllow: /"
    body = start + b"#" * (MAX_ROBOTS - len(start) - len(last)) + last + b"public/only\n" + b"# more\n" * 9
    answer = Answer(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if packed else Answer(body)
    assert rows(crawled(answer)) == []


def test_a_file_of_exactly_the_limit_is_whole() -> None:
    """What ends at 500 KiB is not cut, so its last line counts without an end."""
    end = b"\nAllow: /public"
    start = b"User-agent: *\nDisallow: /\n"
    assert rows(crawled(Answer(start + b"#" * (MAX_ROBOTS - len(start) - len(end)) + end))) == ["/public/1"]


def test_a_visit_time_is_said_once() -> None:
    """W21: hours that a robots.txt asks for are not obeyed, and that is said."""
    said: list[str] = []
    site = Site(lambda r: "User-agent: *\nVisit-time: 0600-0845" if r.url.path == "/robots.txt" else "x")
    listening = [lambda event: said.append(event.message) if isinstance(event, Warned) else None]
    done = simulate(Pages, site, settings={"rate": None}, observers=listening)
    expected = "https://a.test:443/robots.txt: Visit-time '0600-0845' is not obeyed; to keep to it, set hours"
    assert [line for line in said if "Visit-time" in line] == [expected]
    assert rows(done) == ["/private/1", "/public/1"]


def test_a_request_rate_spaces_the_requests() -> None:
    """W21: `Request-rate: 1/7` keeps seven seconds between an answer and the next request."""
    done = crawled(Answer(b"User-agent: *\nRequest-rate: 1/7\n"))
    sent = [hit.at for hit in done.hits]
    assert all(later - sooner >= 7 for sooner, later in pairwise(sent))


def test_an_html_page_instead_of_a_robots_txt_has_no_rules() -> None:
    """A page that a site gives for every path holds no rule, and so forbids nothing (RFC 9309 section 2.3.1.1)."""
    assert rows(crawled(Answer("<!doctype html><title>Shop</title>"))) == ["/private/1", "/public/1"]
