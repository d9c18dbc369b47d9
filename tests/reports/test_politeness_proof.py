"""`scraper politeness`: violations planted in a database are found, each by its rule, and what is polite is kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scraper import Page, Request, Spider
from scraper.cli.commands.politeness import politeness
from scraper.core.models import Limit, Pace
from scraper.reports.politeness import DomainProof, prove
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect
from scraper.store.queue.runs import begin
from scraper.testing import Answer, Site, simulate

AT = 1_767_225_600.0
FIVE = Pace(0.2, 0.0, 4, "bot/1.0 (+mail)")
PAUSED = Pace(0.2, 2.0, 1, "bot/1.0 (+mail)")
FREE = Pace(0.0, 0.0, 4, None)
ROBOTS = "User-agent: *\nDisallow: /private\n"


class Planted:
    """A crawl database in which sends are written by hand."""

    def __init__(self, path: Path) -> None:
        self.conn = connect(str(path))
        prepare(self.conn)
        for _ in range(2):
            begin(self.conn, spider="s", target="s", series="s", options={}, now=AT)
        self.rules(ROBOTS, since=AT - 10)

    def rules(self, robots: str, *, since: float, host: str = "a.test") -> None:
        self.conn.execute("INSERT OR IGNORE INTO _domains (name) VALUES (?)", (host,))
        (domain,) = self.conn.execute("SELECT id FROM _domains WHERE name = ?", (host,)).fetchone()
        self.conn.execute(
            "INSERT OR REPLACE INTO _origins (origin, domain, robots, expires, since) VALUES (?, ?, ?, ?, ?)",
            (f"https://{host}:443", domain, robots, AT + 86_400, since),
        )

    def send(
        self, at: float, took: float = 0.1, *, pace: Pace | None = FIVE, url: str = "https://a.test/1",
        hold: float | None = None, kind: str = "page", run: int = 1,
    ) -> None:  # fmt: skip
        pace_id = None
        if pace is not None:
            values = (pace.gap, pace.pause, pace.concurrency, pace.agent)
            self.conn.execute(
                "INSERT INTO _paces (gap, pause, concurrency, agent) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                values,
            )
            (pace_id,) = self.conn.execute(
                "SELECT id FROM _paces WHERE gap = ? AND pause = ? AND concurrency = ? AND agent IS ?", values
            ).fetchone()
        host = url.split("/")[2]
        self.conn.execute("INSERT OR IGNORE INTO _domains (name) VALUES (?)", (host,))
        self.conn.execute(
            "INSERT INTO _sends (run, request, domain, kind, url, sent, ended, status, bytes, pace, hold)"
            " VALUES (?, 0, (SELECT id FROM _domains WHERE name = ?), ?, ?, ?, ?, ?, 1, ?, ?)",
            (run, host, kind, url, AT + at, AT + at + took, 429 if hold else 200, pace_id,
             None if hold is None else AT + hold),
        )  # fmt: skip

    def proof(self, run: int | None = None) -> DomainProof:
        (proof,) = prove(self.conn, run)
        return proof

    def broken(self) -> list[str]:
        return sorted({broken.rule for broken in self.proof().broken})


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    made = Planted(tmp_path / "p.db")
    with closing(made.conn):
        yield made


def test_what_is_kept_is_kept(planted: Planted) -> None:
    """A thousand requests at their rate, in any order of storing, with jitter below 5 ms, are proved polite."""
    for i in reversed(range(1000)):
        planted.send(i * 0.2 + (i % 3) * 0.001)
    proof = planted.proof()
    assert proof.broken == []
    assert (proof.sends, proof.most_open, proof.may_open) == (1000, 1, 4)
    assert proof.smallest_gap == pytest.approx(0.198, abs=1e-5)
    assert proof.gaps == (0.2, 0.2)
    assert proof.robots == 1000


def test_two_requests_too_close_are_found(planted: Planted) -> None:
    """One pair closer than the gap among many is found, with both requests."""
    for i in range(50):
        planted.send(i * 0.2 - 0.05 * (i == 30), url=f"https://a.test/{i}")
    (broken, *_) = planted.proof().broken
    assert (broken.rule, *(send.sent for send in broken.sends)) == (
        "gap", pytest.approx(AT + 5.8), pytest.approx(AT + 5.95),
    )  # fmt: skip


def test_a_window_of_many_small_thefts_is_found(planted: Planted) -> None:
    """Every pair is early by less than the jitter, but together they are more than the rate allows."""
    for i in range(20):
        planted.send(i * 0.197)
    assert planted.broken() == ["window"]
    window = planted.proof().busiest
    assert window is not None
    assert window.requests == 20
    assert window.allowed == pytest.approx(19 * 0.197 / 0.2 + 1)


def test_a_rate_that_changed_is_proved_as_it_was(planted: Planted) -> None:
    """After `--set` or an adaptive step each request is held to the gap in force when it was sent."""
    slow, fast = replace(FIVE, gap=1.0), replace(FIVE, gap=0.1)
    for i in range(10):
        planted.send(i * 0.2)
    for i in range(10):
        planted.send(2.8 + i, pace=slow)
    for i in range(10):
        planted.send(11.9 + i * 0.1, pace=fast)
    assert planted.broken() == []
    planted.send(13.5, pace=slow)
    assert planted.broken() == ["gap"]


def test_too_many_at_once_are_found(planted: Planted) -> None:
    """A fifth request while four are under way is found."""
    for i in range(5):
        planted.send(i * 0.2, took=10.0)
    proof = planted.proof()
    assert [broken.rule for broken in proof.broken] == ["concurrency"]
    assert proof.most_open == 5


def test_a_send_before_retry_after_is_found(planted: Planted) -> None:
    """What was under way when the answer came is no violation; what was sent after it is, also by the next run."""
    planted.send(0.0, took=0.5, hold=60.5)
    planted.send(0.2, took=3.0)
    assert planted.broken() == []
    planted.send(59.0, run=2)
    assert planted.broken() == ["retry-after"]


def test_the_longer_of_two_retry_afters_counts(planted: Planted) -> None:
    """A shorter Retry-After that came later does not end the longer one."""
    planted.send(0.0, took=0.1, hold=60)
    planted.send(0.2, took=0.5, hold=5)
    planted.send(30.0)
    assert planted.broken() == ["retry-after"]


def test_a_pause_that_was_not_kept_is_found(planted: Planted) -> None:
    """With a pause in force the next request comes no sooner than that after the end of the response before."""
    planted.send(0.0, took=1.0, pace=PAUSED)
    planted.send(3.0, took=1.0, pace=PAUSED)
    assert planted.broken() == []
    planted.send(5.9, took=1.0, pace=PAUSED)
    assert planted.broken() == ["crawl-delay"]


def test_a_crawl_delay_the_crawler_overlooked_is_found(planted: Planted) -> None:
    """The proof reads Crawl-delay from the stored robots.txt itself, whatever pause the crawler believed in."""
    planted.rules(ROBOTS + "Crawl-delay: 2\n", since=AT - 10)
    planted.send(0.0)
    planted.send(1.0)
    assert planted.broken() == ["crawl-delay"]


def test_a_send_that_robots_txt_forbade_is_found(planted: Planted) -> None:
    """A page that robots.txt disallowed, asked for by an agent that obeys it; robots.txt itself is exempt."""
    planted.send(0.0, url="https://a.test/robots.txt", kind="robots")
    planted.send(1.0, url="https://a.test/private/1", pace=replace(FIVE, agent=None))
    assert planted.broken() == []
    planted.send(2.0, url="https://a.test/private/1")
    assert planted.broken() == ["robots"]


def test_the_robots_txt_of_that_time_counts(planted: Planted) -> None:
    """What was allowed then and is not now is no violation; what was forbidden then and is allowed now is one."""
    insert = "INSERT INTO _robots (origin, robots, since, until) VALUES (?, ?, ?, ?)"
    planted.conn.execute(insert, ("https://a.test:443", "", AT - 100, AT + 50))
    planted.rules(ROBOTS, since=AT + 50)
    planted.send(10.0, url="https://a.test/private/1")
    assert planted.broken() == []
    planted.conn.execute("UPDATE _robots SET robots = ?", (ROBOTS,))
    planted.rules("", since=AT + 50)
    assert planted.broken() == ["robots"]


def test_a_send_before_robots_txt_was_read_is_found(planted: Planted) -> None:
    """Without a robots.txt of that time nothing was allowed."""
    planted.rules(ROBOTS, since=AT + 5)
    planted.send(0.0)
    (broken,) = planted.proof().broken
    assert (broken.rule, broken.said) == ("robots", "before its robots.txt was read")


def test_sends_without_a_pace_prove_nothing(planted: Planted) -> None:
    """What an earlier version stored is counted as unknown, neither kept nor broken."""
    planted.send(0.0, pace=None)
    planted.send(0.01, pace=None)
    proof = planted.proof()
    assert (proof.sends, proof.unknown, proof.broken) == (2, 2, [])


def test_no_limit_cannot_be_broken(planted: Planted) -> None:
    """Where no rate was set and robots.txt was not read, only concurrency is proved."""
    for _ in range(4):
        planted.send(0.0, pace=FREE, url="https://a.test/private")
    assert planted.broken() == []


def test_the_command_names_the_pair_and_ends_with_1(planted: Planted, tmp_path: Path) -> None:
    """A table, the offending pair with times and URLs, and exit code 1; 0 when all is kept; JSON for programs."""
    db = str(tmp_path / "p.db")
    planted.send(0.0, url="https://a.test/first")
    planted.send(5.0, url="https://b.test/", pace=FREE)
    kept = CliRunner().invoke(politeness, [db], standalone_mode=False)
    assert kept.return_value == 0
    assert "✓ kept: 2 requests to 2 domains" in kept.output
    planted.send(0.1, url="https://a.test/second")
    done = CliRunner().invoke(politeness, [db], standalone_mode=False)
    assert done.return_value == 1
    assert "a.test  gap: 0.100 s after the one before, 0.200 s were asked for" in done.output
    assert "2026-01-01T00:00:00.000Z  page  200  https://a.test/first  (run 1)" in done.output
    assert "2026-01-01T00:00:00.100Z  page  200  https://a.test/second  (run 1)" in done.output
    assert "✗ broken" in done.output
    *domains, verdict = map(json.loads, CliRunner().invoke(politeness, [db, "--json"]).output.splitlines())
    assert verdict == {"kept": False, "sends": 3, "domains": 2}
    assert [send["url"] for send in domains[0]["broken"][0]["sends"]] == [
        "https://a.test/first",
        "https://a.test/second",
    ]


class Shop(Spider[dict]):
    """Two hosts with rules, a redirect, a 429, and fetches inside callbacks."""

    rate = "5/s"
    concurrency = 4
    scope = "any"
    limits = {"b.test": Limit("auto<=10/s", concurrency=2)}

    async def start(self):
        for i in range(40):
            yield Request(f"https://{'ab'[i % 2]}.test/{i}")

    async def parse(self, page: Page):
        if page.url.endswith("4"):
            await page.fetch("/more")
        yield {"url": page.url}


def test_a_whole_crawl_is_proved(tmp_path: Path) -> None:
    """Pages, redirects, robots.txt, sub-fetches and retries of two runs are proved polite from the database."""
    asked: set[str] = set()

    def answer(request):
        host, path = request.url.host, request.url.path
        if path == "/robots.txt":
            return Answer(ROBOTS + ("Crawl-delay: 1" if host == "b.test" else ""))
        if path == "/7":
            return Answer(status=302, headers={"Location": "/private/7"})
        if path == "/9":
            return Answer(status=302, headers={"Location": "/10?again"})
        if path == "/12" and path not in asked:
            asked.add(path)
            return Answer(status=503, headers={"Retry-After": "9"}, latency=0.5)
        return Answer("x", latency=0.3)

    db = tmp_path / "shop.db"
    for begins in (0, 3600):
        simulate(Shop, Site(answer), db=db, begins=begins)
    with closing(sqlite3.connect(db)) as conn:
        a, b = sorted(prove(conn), key=lambda proof: proof.domain)
        kinds = dict(conn.execute("SELECT kind, count(*) FROM _sends GROUP BY kind"))
    assert (a.broken, b.broken) == ([], [])
    assert kinds.keys() == {"page", "redirect", "robots", "sub"}
    assert (a.waits, b.pause, b.most_open) == (1, 1.0, 1)
    assert a.unknown == b.unknown == 0
    assert a.smallest_gap == pytest.approx(0.2, abs=1e-3)


def test_a_pause_allows_one_at_once(planted: Planted) -> None:
    """Under a Crawl-delay one request is allowed at once, whatever was before its robots.txt was read."""
    planted.rules(ROBOTS + "Crawl-delay: 2\n", since=AT - 10)
    planted.send(0, pace=FREE, kind="robots", url="https://a.test/robots.txt")
    planted.send(3)
    (proof,) = prove(planted.conn)
    assert (proof.most_open, proof.may_open) == (1, 1)


def test_before_any_page_the_pace_says_how_many_at_once(planted: Planted) -> None:
    """A domain of which nothing but robots.txt was asked for: as many as its pace allowed."""
    planted.send(0, kind="robots", url="https://a.test/robots.txt")
    (proof,) = prove(planted.conn)
    assert (proof.most_open, proof.may_open) == (1, 4)
