"""What limits a domain besides its rate: Retry-After, Crawl-delay, hours of the day; and the adaptive rate."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from scraper import Page, Request, Spider
from scraper.core.clock import Clock, StoredTime
from scraper.core.models import LONGEST_HOLD, DomainFacts, Hours, Limit, Rate
from scraper.errors import SettingsError
from scraper.net.retry_after import retry_after
from scraper.politeness import Domain, Politeness
from scraper.politeness.adaptive_rate import AutoRate
from scraper.settings import Settings
from scraper.testing import Answer, Site, run_virtual, simulate
from scraper.testing.virtual_time import EPOCH

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z, a Thursday
DAY = 86_400.0


class Pages(Spider[dict]):
    """Reads the pages /0 … of one host."""

    rate = "10/s"
    concurrency = 4
    count: int = 10

    async def start(self):
        for i in range(self.count):
            yield Request(f"https://a.test/{i}")

    def parse(self, page: Page):
        yield {"url": page.url}


# ------------------------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        (" 7 ", 7),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799 - NOW),
        ("99999999999999999999", float("inf")),
        ("-5", None),
        ("1.5", None),
        ("1_0", None),
        ("+5", None),
        ("٣", None),
        ("²", None),
        ("5s", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Thu, 32 Jan 2026 00:02:00 GMT", None),
        ("Thu, 01 Foo 2026 00:02:00 GMT", None),
        ("2026-01-01T00:02:00Z", None),
        ("Thursday, 01-Jan-26 00:02:00 GMT", 120),
        ("Thu Jan  1 00:02:00 2026", 120),
        ("Sat Jan 31 00:00:00 2026", 30 * 86_400),
        ("Thursday, 31-Dec-76 23:59:60 GMT", 0),  # more than 50 years ahead: 1976
        ("Tuesday, 01-Jan-75 00:00:00 GMT", datetime(2075, 1, 1, tzinfo=UTC).timestamp() - NOW),
        ("Thu, 01 Jan 2026 00:01:60 GMT", 120),
        ("Thu Jan 1 00:02:00 2026", None),
        ("Thu Jan  1 00:02:00 2026 GMT", None),
        ("Thu, 01-Jan-26 00:02:00 GMT", None),
        ("thursday, 01-Jan-26 00:02:00 GMT", None),
        ("Thu, 01 Jan 2026 00:02:00 +0000", None),
    ],
)
def test_host_43_retry_after_is_read_by_its_grammar(value: str | None, seconds: float | None) -> None:
    """W19: digits and the three forms of a date are read, a date in the past is now; every other form is none at all."""
    headers = httpx.Headers([] if value is None else [(b"Retry-After", value.encode())])
    assert retry_after(headers, StoredTime(NOW, NOW)) == (None if seconds is None else NOW + seconds)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 01 Jan 2026 05:00:00 GMT", 40),  # the server's clock is five hours ahead
        ("Wednesday, 31-Dec-25 19:00:00 GMT", 10 * 3600 + 40),
        ("Thu, 01 Jan 2026 06:00:00 GMT", 0),
        ("today", 5 * 3600 + 40),
        (None, 5 * 3600 + 40),
    ],
)
def test_a_retry_after_date_counts_from_the_date_beside_it(date: str | None, seconds: float) -> None:
    """W19: what a date asks for is its distance from the answer's own Date; without one, from the wall clock."""
    headers = httpx.Headers(
        {"Retry-After": "Thu, 01 Jan 2026 05:00:40 GMT"} | ({"Date": date} if date else {})
    )
    machine = NOW - 7000.0
    assert retry_after(headers, StoredTime(machine, NOW)) == machine + seconds


def test_the_longest_of_several_retry_afters_counts() -> None:
    """W19: an answer that names several times is left alone for the longest that can be read."""
    headers = httpx.Headers([("Retry-After", "5"), ("Retry-After", "soon"), ("Retry-After", "60")])
    assert retry_after(headers, StoredTime(NOW, NOW)) == NOW + 60


def busy_once(
    header: str | None, status: int, path: str = "/3"
) -> Callable[[httpx.Request], Answer | str | None]:
    """A site that answers one path with `status` the first time it is asked."""
    asked = set()

    def answer(request: httpx.Request) -> Answer | str | None:
        if request.url.path == path and path not in asked:
            asked.add(path)
            return Answer(status=status, headers={} if header is None else {"Retry-After": header})
        return None if request.url.path == "/robots.txt" else "x"

    return answer


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("20", 20, 20),
        ("Thu, 01 Jan 2026 00:00:40 GMT", 38, 40),
        ("0", 1, 2),
        ("1_0", 1, 2),
        ("-5", 1, 2),
        (None, 1, 2),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 1, 2),
    ],
)
def test_host_42_the_whole_domain_waits(status: int, header: str | None, least: float, most: float) -> None:
    """After 429 or 503 nothing is sent to the domain before its Retry-After, or a first backoff without one."""
    site = Site(busy_once(header, status))
    done = simulate(Pages, site)
    refused = next(hit for hit in site.hits if hit.status == status)
    after = [hit.at for hit in site.hits if hit.at > refused.at]
    assert least - 1e-6 <= min(after) - refused.ended <= most + 0.5
    assert len(done.tables["pages"]) == 10


def test_po_05_of_two_answers_under_way_the_later_one_wins() -> None:
    """Two requests in flight are refused with different waits, the longer first: it is not shortened."""
    waits = {"/0": ("30", 0.5), "/1": ("5", 0.9)}

    def answer(request: httpx.Request) -> Answer | None:
        header, latency = waits.pop(request.url.path, ("", 0.1))
        if request.url.path == "/robots.txt":
            return None
        return Answer(status=429, headers={"Retry-After": header}, latency=latency) if header else Answer("x")

    site = Site(answer)
    simulate(Pages, site, arguments={"count": 4})
    refused = [hit for hit in site.hits if hit.status == 429]
    rest = [hit.at for hit in site.hits if hit.at > max(hit.ended for hit in refused)]
    assert len(refused) == 2
    assert min(rest) >= refused[0].ended + 30 - 1e-6


def test_po_05_retry_after_of_robots_txt_counts_too() -> None:
    """A 503 with Retry-After for robots.txt holds the domain as any other answer does."""
    site = Site(busy_once("60", 503, "/robots.txt"))
    done = simulate(Pages, site, arguments={"count": 2})
    first, second = site.hits[:2]
    assert second.at - first.ended >= 60 - 1e-6
    assert len(done.tables["pages"]) == 2


def test_host_44_a_domain_that_keeps_refusing_is_parked() -> None:
    """429 for ever: ten waits, each longer, then the domain is parked with its reason, and the exit code is 5."""
    site = Site(lambda request: Answer(status=429) if request.url.path != "/robots.txt" else None)
    done = simulate(Pages, site, arguments={"count": 12}, settings={"retries": 20})
    assert done.summary.exit_code == 5
    assert done.summary.parked == {"a.test": "HTTP 429 10 times in a row"}
    assert 300 < done.seconds < 900
    assert len(site.hits) < 30


def test_host_44_refusals_under_way_together_count_once() -> None:
    """Sixteen requests in flight that are all refused are one refusal: a crawl that waits once goes on."""
    asked: list[float] = []

    def answer(request: httpx.Request) -> Answer:
        asked.append(0.0)
        return (
            Answer(status=429, headers={"Retry-After": "5"}, latency=1.0) if len(asked) <= 16 else Answer("x")
        )

    done = simulate(
        Pages,
        Site(answer),
        arguments={"count": 40},
        settings={"rate": None, "concurrency": 16, "robots": False},
    )
    assert done.summary.exit_code == 0
    assert len(done.tables["pages"]) == 40


@pytest.mark.parametrize("header", ["7200", "Fri, 31 Dec 9999 23:59:59 GMT", "9" * 20])
def test_host_43_a_wait_nobody_waits_for_is_kept_over_runs(tmp_path: Path, header: str) -> None:
    """A Retry-After beyond the cap parks the domain; neither a resume nor a new run asks it before that time."""
    db = tmp_path / "a.db"
    site = Site(busy_once(header, 429, "/0"))
    first = simulate(Pages, site, db=db, settings={"rate": "1/s"})
    sent = len(site.hits)
    assert first.summary.exit_code == 5
    assert "Retry-After" in first.summary.parked["a.test"]
    for resume in ("must", "new"):
        again = simulate(Pages, site, db=db, resume=resume, settings={"rate": "1/s"})
        assert again.summary.exit_code == 5
        assert "left alone until 20" in again.summary.parked["a.test"]
    assert len(site.hits) == sent
    with closing(sqlite3.connect(db)) as conn:
        away = conn.execute("SELECT away_until FROM _domains").fetchone()[0]
    assert EPOCH + 7200 <= away <= EPOCH + LONGEST_HOLD + 60


def test_a_wait_holds_no_slot() -> None:
    """While busy domains wait for minutes, one slot is enough for all others."""

    class Both(Pages):
        async def start(self):
            for i in range(8):
                yield Request(f"https://busy{i}.test/")
            for i in range(20):
                yield Request(f"https://b.test/{i}")

    def answer(request: httpx.Request) -> Answer | None:
        if request.url.path == "/robots.txt":
            return None
        busy = request.url.host.startswith("busy") and asyncio.get_running_loop().time() < 300
        return Answer(status=503, headers={"Retry-After": "300"}) if busy else Answer("x", latency=0.05)

    site = Site(answer)
    done = simulate(Both, site, settings={"in_flight": 2})
    assert max(hit.ended for hit in site.hits if hit.host == "b.test") < 15
    assert len(done.tables["both"]) == 28


# ------------------------------------------------------------------------------------------- Crawl-delay


@pytest.mark.parametrize(
    ("value", "pause", "parked"),
    [
        ("0.5", 0.5, False),
        ("10", 10, False),
        ("86400", None, True),
        ("1e999", None, True),
        ("-1", 0, False),
        ("NaN", 0, False),
        ("soon", 0, False),
        ("0", 0, False),
    ],
)
def test_host_55_crawl_delays(value: str, pause: float | None, parked: bool) -> None:
    """Every odd Crawl-delay is obeyed, ignored or parks the domain; none crashes."""
    pages = {f"https://a.test/{i}": Answer("x", latency=0.2) for i in range(3)}
    robots = Answer(f"User-agent: *\nCrawl-delay: {value}", headers={"Content-Type": "text/plain"})
    done = simulate(Pages, Site({"https://a.test/robots.txt": robots, **pages}), arguments={"count": 3})
    assert (done.summary.exit_code, bool(done.summary.parked)) == ((5, True) if parked else (0, False))
    if pause is not None:
        gaps = [after.at - before.ended for before, after in pairwise(sorted(done.hits, key=lambda h: h.at))]
        assert min(gaps) >= pause - 0.2 * (pause == 0) - 1e-6


# ------------------------------------------------------------------------------------------- hours


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("22:00-06:00 UTC", 0.0, (True, 6 * 3600)),
        ("22:00-06:00 UTC", 6 * 3600.0, (False, 22 * 3600)),
        ("22:00-06:00 UTC", 23 * 3600.0, (True, 30 * 3600)),
        ("09:00-17:00 utc", 8 * 3600.0, (False, 9 * 3600)),
        ("9:00-17:00 UTC", 9 * 3600.0, (True, 17 * 3600)),
        ("09:00-17:00 UTC", 17 * 3600.0, (False, 33 * 3600)),
        ("00:00-24:00 UTC", 5.0, (True, DAY)),
    ],
)
def test_hours_know_when_they_begin_and_end(text: str, at: float, expected: tuple[bool, float]) -> None:
    """Windows within a day and over midnight, both edges exact."""
    hours = Hours.parse(text)
    assert hours is not None
    is_open, changes = hours.at(NOW + at)
    assert (is_open, changes - NOW) == expected


def test_hours_without_utc_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the wall counts, over the change to summer time too."""
    import time

    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        hours = Hours.parse("01:00-06:00")
        assert hours is not None
        assert str(hours) == "01:00-06:00"
        assert hours.at(NOW) == (True, NOW + 5 * 3600)  # midnight UTC is one o'clock
        change = 1_774_738_800.0  # 2026-03-28T23:00Z, midnight in that zone: at 02:00 it becomes 03:00
        assert hours.at(change) == (False, change + 3600)
        assert hours.at(change + 3600) == (True, change + 5 * 3600)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["22-06", "22:00", "24:00-06:00", "22:60-06:00", "06:00-06:00", "", 5])
def test_what_are_no_hours_is_refused(text: object) -> None:
    """Anything else is an error that names the form."""
    with pytest.raises(SettingsError, match="22:00-06:00"):
        Settings.of(("test", {"hours": text}))


def test_outside_its_hours_a_domain_waits(tmp_path: Path) -> None:
    """Nothing is sent outside the window; the crawl goes on when it opens again, and others are not held."""

    class Night(Pages):
        rate = "1/min"
        concurrency = 2
        limits = {"a.test": Limit(hours="23:00-00:10 UTC")}

        async def start(self):
            for i in range(15):
                yield Request(f"https://a.test/{i}")
            for i in range(15):
                yield Request(f"https://b.test/{i}")

    site = Site(lambda request: "x")
    done = simulate(Night, site, db=tmp_path / "n.db")
    assert done.summary.exit_code == 0
    assert len(done.tables["night"]) == 30
    at = [hit.at for hit in site.hits if hit.host == "a.test"]
    assert all(moment < 600 or 23 * 3600 <= moment < 24 * 3600 + 600 for moment in at)
    assert sum(moment < 600 for moment in at) == 10  # robots.txt is one of them
    assert max(hit.at for hit in site.hits if hit.host == "b.test") < 20 * 60


# ------------------------------------------------------------------------------------------- limits as written


def test_a_wrong_limit_names_its_field() -> None:
    """An unknown field of a limit, or a value that is none, is said with the field."""
    with pytest.raises(SettingsError, match=r'concurency.*Did you mean "concurrency"'):
        Settings.of(("test", {"limits": {"a.test": {"concurency": 2}}}))
    with pytest.raises(SettingsError, match="rate = 'fast' is not valid"):
        Settings.of(("test", {"limits": {"a.test": "fast"}}))
    with pytest.raises(SettingsError, match="hours"):
        Settings.of(("test", {"limits": {"a.test": Limit(hours="always")}}))


def test_a_limit_may_lift_what_the_spider_limits() -> None:
    """Limit("none") means no rate for that host; a field left out keeps the spider's."""
    settings = Settings.of(
        ("test", {"rate": "1/s", "limits": {"a.test": "none", "b.test": {"concurrency": 7}}})
    )

    async def gaps() -> tuple[float, float, int]:
        politeness = Politeness(settings, Clock())
        a, b = politeness.domain("a.test"), politeness.domain("b.test")
        return a.gap, b.gap, b.concurrency

    assert run_virtual(gaps()) == (0.0, 1.0, 7)


@pytest.mark.parametrize(
    ("text", "cap"),
    [("auto", 20), ("AUTO", 20), ("auto<=5/s", 5), ("auto <= 30/min", 0.5), ("auto≤2", 2), ("auto:5/s", 5)],
)
def test_adaptive_rates_are_read_with_their_cap(text: str, cap: float) -> None:
    """auto alone has a cap of 20/s; auto<=RATE has its own; it is written back as it is read."""
    rate = Rate.parse(text)
    assert rate == Rate(cap, auto=True)
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["auto<5/s", "auto<=", "auto<=none", "auto<=auto", "automatic", "auto 5/s"])
def test_what_is_no_adaptive_rate_is_refused(text: str) -> None:
    """Anything else is an error that shows the form."""
    with pytest.raises(ValueError, match="auto<=5/s"):
        Rate.parse(text)


# ------------------------------------------------------------------------------------------- the adaptive rate


class Limited:
    """A site that answers 503 above so many requests in any second."""

    def __init__(self, most: Callable[[float], float]) -> None:
        self._most = most
        self._recent: deque[float] = deque()

    def __call__(self, request: httpx.Request) -> Answer:
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self._most(now):
            return Answer(status=503, latency=0.02)  # quicker than a page
        self._recent.append(now)
        return Answer("x", latency=0.1)


class Auto(Pages):
    rate = "auto<=20/s"
    concurrency = 16
    robots = False
    count: int = 4_500


def test_po_07_the_rate_settles_below_what_is_refused_and_recovers() -> None:
    """503s above 5/s: from the second minute on 3 to 5/s and < 2 % refused; up to the cap once the limit is gone."""
    site = Site(Limited(lambda now: 5 if now < 240 else 1000))
    done = simulate(Auto, site, settings={"max_time": 400, "max_failed": 1.0})
    settled = [hit for hit in site.hits if 60 <= hit.at < 240]
    for begin in range(60, 240, 20):
        mean = sum(begin <= hit.at < begin + 20 for hit in settled) / 20
        assert 3 <= mean <= 5, begin
    assert sum(hit.status == 503 for hit in settled) < 0.02 * len(settled)
    last = sorted(hit.at for hit in site.hits if hit.at > 360)
    assert len(last) / 40 > 12
    assert min(after - before for before, after in pairwise(sorted(h.at for h in site.hits))) >= 1 / 20 - 1e-6
    assert done.summary.parked == {}


@pytest.mark.parametrize("what", [404, 500, httpx.ReadError("gone"), httpx.ConnectError("no")])
def test_po_07_errors_do_not_raise_the_rate(what: int | Exception) -> None:
    """Answers that are quicker than pages because they are errors leave the rate where it was."""
    error = what if isinstance(what, Exception) else None
    broken = Answer(status=what if isinstance(what, int) else 200, error=error)
    site = Site(lambda request: broken if request.url.path != "/0" else "x")
    settings = {"max_time": 60, "max_failed": 1.0, "retries": 0, "outage_max": 0}
    simulate(Auto, site, arguments={"count": 300}, settings=settings)
    at = sorted(hit.at for hit in site.hits)
    assert len(at) > 50
    assert min(after - before for before, after in pairwise(at)) >= 1 - 1e-6


def test_po_07_time_outs_halve_the_rate() -> None:
    """A time-out halves the rate once, whatever else was under way, and it is said why."""
    auto = AutoRate(20.0, 0.0)
    auto.restore(8.0, None, "")
    assert auto.refused(1.0, 5.0, "no answer in time")
    assert not auto.refused(2.0, 5.1, "no answer in time")  # sent before the rate was halved
    assert (auto.rate, auto.why) == (4.0, "halved: no answer in time")
    assert auto.refused(6.0, 7.0, "HTTP 429")
    assert auto.rate == 2.0


def test_po_07_answers_that_become_slow_ease_the_rate() -> None:
    """While answers take longer than they did the rate goes down, not up."""
    auto, now = AutoRate(20.0, 0.0), 0.0
    while now < 30:
        now += 1 / auto.rate
        auto.answered(now, now, 0.1, good=True)
    reached = auto.rate
    assert reached > 5
    for _ in range(40):
        now += 1 / auto.rate
        auto.answered(now, now, 0.9, good=True)
    assert auto.rate < reached
    assert auto.why.startswith("eased: answers take 0.90 s")


def test_po_07_an_unused_rate_does_not_grow() -> None:
    """A domain that is asked less often than its rate allows does not save up for a burst."""
    auto = AutoRate(20.0, 0.0)
    for second in range(0, 600, 4):
        auto.answered(second, second, 0.1, good=True)
    assert auto.rate == 1.0


def test_po_07_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    """The rate a run ended with is the one the next run begins with, and `_domains` says why."""
    db = tmp_path / "auto.db"
    site = Site(Limited(lambda now: 5))
    simulate(Auto, site, db=db, settings={"max_time": 30, "max_failed": 1.0})
    with closing(sqlite3.connect(db)) as conn:
        rate, ceiling, why = conn.execute("SELECT auto_rate, auto_ceiling, auto_why FROM _domains").fetchone()
    assert 2 < rate <= ceiling <= 7.7
    assert why
    again = Site(Limited(lambda now: 5))
    simulate(Auto, again, db=db, settings={"max_time": 4, "max_failed": 1.0})
    first, second = sorted(hit.at for hit in again.hits)[:2]
    assert second - first == pytest.approx(1 / rate, rel=0.2)


# ------------------------------------------------------------------------------------------- changes at run time


def domain(**settings: object) -> Domain:
    made = Settings.of(("test", settings))
    return Domain("a.test", made, Limit(), Clock())


async def sends(it: Domain, times: list[float], count: int, seconds: float = 0.0) -> None:
    for _ in range(count):
        async with it.turn() as turn:
            await turn.permit()
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)


def test_a_changed_rate_never_admits_a_send_too_early() -> None:
    """The gap may change at any moment, up or down, while sends wait: the one in force at a send is kept."""

    async def run() -> list[tuple[float, float]]:
        it = domain(rate="1/s", concurrency=8)
        made = Settings()
        times: list[float] = []
        workers = [asyncio.create_task(sends(it, times, 12)) for _ in range(8)]
        gaps: list[tuple[float, float]] = []
        for step in range(60):
            await asyncio.sleep(0.37)
            before = len(times)
            it.adjust(made, Limit((step % 5 + 1) * 0.7, concurrency=8))
            await asyncio.sleep(0.01)
            assert len(times) <= before + 1
        await asyncio.gather(*workers)
        gaps.extend(pairwise(times))
        return gaps

    gaps = run_virtual(run())
    assert len(gaps) == 95
    assert min(after - before for before, after in gaps) >= 1 / 3.5 - 1e-4


def test_a_raised_rate_wakes_who_waits_for_the_old_one() -> None:
    """From one an hour to ten a second: the next send comes at once, not in an hour."""

    async def run() -> list[float]:
        it, times = domain(rate="1/h"), []
        task = asyncio.create_task(sends(it, times, 3))
        await asyncio.sleep(5)
        it.adjust(Settings(), Limit("10/s"))
        await task
        return times

    assert [round(at, 2) for at in run_virtual(run())] == [0.0, 5.0, 5.1]


@pytest.mark.parametrize(("first", "then"), [(4, 1), (1, 4), (4, 2), (2, 2)])
def test_a_changed_concurrency_holds_for_the_next_turns(first: int, then: int) -> None:
    """Fewer turns once those under way have ended, more at once; and the number of slots is exact after it."""

    async def run() -> tuple[int, int]:
        it, most, open_ = domain(rate=None, concurrency=first), 0, 0

        async def one() -> None:
            nonlocal most, open_
            async with it.turn():
                open_ += 1
                most = max(most, open_)
                await asyncio.sleep(1)
                open_ -= 1

        workers = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0.5)
        before, most = most, 0
        it.adjust(Settings(), Limit("none", concurrency=then))
        await asyncio.sleep(1)
        most = open_
        await asyncio.gather(*workers)
        workers = [asyncio.create_task(one()) for _ in range(8)]
        most = 0
        await asyncio.gather(*workers)
        return before, most

    assert run_virtual(run()) == (first, then)


def test_a_pause_that_comes_up_leaves_one_request_on_the_wire() -> None:
    """When a Crawl-delay is learned while others hold turns, the next send waits until nothing is under way."""

    async def run() -> list[float]:
        it, times = domain(rate=None, concurrency=3), []
        workers = [asyncio.create_task(sends(it, times, 2, 1.0)) for _ in range(3)]
        await asyncio.sleep(0.5)
        it.slow_down(2.0)
        await asyncio.gather(*workers)
        return times

    assert [round(at, 2) for at in run_virtual(run())] == [0, 0, 0, 3, 6, 9]


# ------------------------------------------------------------------------------------------- eviction


def test_po_10_eviction_never_resets_a_running_delay() -> None:
    """A domain that is forgotten and taken up again waits out its gap and its hold as if nothing had been."""

    async def run() -> tuple[float, float]:
        clock = Clock()
        politeness = Politeness(Settings.of(("test", {"rate": "6/min"})), clock)
        one = politeness.domain("a.test")
        async with one.turn() as turn:
            await turn.permit()
        facts = politeness.facts("a.test")
        politeness.forget("a.test")
        assert len(politeness) == 0
        await asyncio.sleep(3)
        again = politeness.restore("a.test", facts)
        held = politeness.domain("b.test")
        held.hold(clock.mono() + 100, "Retry-After")
        kept = politeness.facts("b.test")
        politeness.forget("b.test")
        await asyncio.sleep(1)
        return again.send_at, politeness.restore("b.test", kept).send_at

    first, second = run_virtual(run())
    assert first == pytest.approx(10, abs=1e-3)
    assert second == pytest.approx(103, abs=1e-3)


def test_stored_times_of_a_wrong_clock_are_clamped() -> None:
    """A hold that no correct clock wrote, years ahead, is a month at most."""

    async def run() -> float:
        clock = Clock()
        politeness = Politeness(Settings(), clock)
        return politeness.restore("a.test", DomainFacts(not_before=clock.unix() + 1e9)).send_at

    assert run_virtual(run()) == pytest.approx(LONGEST_HOLD, abs=1)
