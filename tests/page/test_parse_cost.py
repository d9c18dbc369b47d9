"""Pages that would keep the parser busy: judged beforehand, tried where they can be killed, never on the loop."""

from __future__ import annotations

import asyncio
import os

import pytest
from selectolax.lexbor import LexborHTMLParser

from scraper import FetchError, Page, Spider
from scraper.engine import Parsing
from scraper.events import Warned
from scraper.page.safety.parse_cost import DEEPEST, Risk, is_harmless, risk_of
from scraper.testing import Answer, Site, simulate
from tests.support.html_pages import page_of

FREE = {"robots": False, "rate": None, "max_failed": 1.0}

FONTS = "".join(f"<font a={i}><p>" for i in range(3_000))
CERTAIN = {
    "nested 100k": "<div>" * 100_000,
    "nested and closed": "<div>" * 50_000 + "</div>" * 50_000,
    "20k bold": "<b>" * 20_000,
    "closed by another name": "<div></zz>" * 20_000,
}
UNSURE = {
    "50k attributes": "<p " + " ".join(f"a{i}" for i in range(50_000)) + ">",
    "attributes behind a quoted end": "<p "
    + " ".join(f"a{i}" + ' b=">"' * (i % 999 == 0) for i in range(50_000)),
    "formatting at every block": FONTS,
    "formatting, closed in comments": "<!--" + "</font>" * 3_000 + "-->" + FONTS,
    "formatting, alike up to a quote": "".join(f'<b a=">{i}"><p>' for i in range(3_000)),
    "nested by many names": "<x><y><z>" * 4_000,
    "many elements far down": "<div>" * 4_900 + "<p>x</p>" * 4_900,
    "large": "<p>words</p>" * 30_000,
}
NONE = {
    "4.5k tables": "<table>" * 4_500 + "<p>words</p>" * 300,
    "code in a manual": '<p><code class="literal">x</code> is <em>that</em></p>' * 1_200,
    "list without end tags": "<ul>" + "<li><a href=/x>x</a>" * 2_000,
    "a long tag": "<p " + " ".join(f"a{i}" for i in range(1_000)) + ">" + "<p>words</p>" * 1_000,
    "a long value": '<p>words</p><img src="data:' + "A" * 9_000 + '">' + "<p>words</p>" * 2_500,
}


HARMLESS = {
    "a listing": '<div class="row"><p><a href="/x">x</a></p><i class="icon"></i></div>' * 400,
    "a script, and comparisons in it": "<script>"
    + "if (a < b) { c = a => b; }" * 2_000
    + "</script>"
    + "<p>x</p>" * 900,
    "an image in an attribute of 3 kB": '<img src="data:' + "A" * 3_000 + '">' + "<p>words</p>" * 2_000,
}
#: The worst of each kind that is still parsed at once.
ODD = {
    "nested": "<div>" * 5_000,
    "attributes": "".join("<p " + " ".join(f"a{i}" for i in range(750)) + ">" for _ in range(30)),
    "formatting": "".join(f"<b a={i}><p>" for i in range(100)) + "<p>" * 1_800,
}
#: Encodings that a search for `<b` does not see through.
SCATTERED = {"utf-16": FONTS.encode("utf-16"), "iso-2022-jp": b"<\x1b(Bfont a=1><p>" * 3_000}


@pytest.mark.parametrize(
    ("html", "risk"),
    [*((h, Risk.CERTAIN) for h in CERTAIN.values()), *((h, Risk.UNSURE) for h in UNSURE.values()), *((h, Risk.NONE) for h in NONE.values())],
    ids=[*CERTAIN, *UNSURE, *NONE],
)  # fmt: skip
def test_sec_39_host_40_the_risk_is_seen_before_parsing(html: str, risk: Risk) -> None:
    """What explodes is seen in linear time, whatever hides it; what only looks odd is not refused."""
    assert not is_harmless(html.encode())
    assert risk_of(html.encode()) is risk


@pytest.mark.parametrize("html", [*HARMLESS.values(), *ODD.values()], ids=[*HARMLESS, *ODD])
def test_sec_39_what_is_parsed_at_once_becomes_a_tree_of_bounded_size(html: str) -> None:
    """Nodes are what a parser spends its time on; 250,000 of them take about 50 ms."""
    assert is_harmless(html.encode())
    assert len(LexborHTMLParser(html).css("*")) < 250_000


@pytest.mark.parametrize("html", [*UNSURE.values(), *CERTAIN.values()], ids=[*UNSURE, *CERTAIN])
def test_sec_39_nothing_that_explodes_is_parsed_at_once(html: str) -> None:
    assert not is_harmless(html.encode())


@pytest.mark.parametrize("body", SCATTERED.values(), ids=SCATTERED)
def test_sec_39_an_encoding_hides_nothing(body: bytes) -> None:
    assert not is_harmless(body)
    assert risk_of(body) is Risk.UNSURE


@pytest.mark.parametrize(
    "unit",
    ["<font a={}><p>", "<b a={}><table>", "<i a={}><li>", "<a b={}><div>", "<div>", "<table><b a={}>"],
)
def test_sec_39_small_pages_stay_small(unit: str) -> None:
    """A page small enough to be parsed at once becomes a tree of bounded size, whatever it holds."""
    html = "".join(unit.format(i) for i in range(1_500 // unit.count("<")))
    assert is_harmless(html.encode())
    assert len(LexborHTMLParser(html).css("*")) < 300_000


async def test_sec_39_large_pages_are_parsed_before_they_are_asked() -> None:
    """An ordinary large page is ready afterwards; a small one, and one that is no markup, are left alone."""
    parsing = Parsing()
    large, data = page_of("<p>x</p>" * 20_000), page_of('{"a": "' + "x" * 300_000 + '"}', "application/json")
    try:
        for page in (large, data, page_of("<p>x</p>")):
            await parsing.ready(page, "a.test")
    finally:
        await parsing.aclose()
    assert large.text("p") == "x"
    assert data.first("p") is None


async def test_sec_39_what_takes_too_long_is_killed_and_the_loop_runs_on() -> None:
    """A page that is not parsed in time is refused, other tasks run meanwhile, and no process is left."""
    parsing, turns = Parsing(seconds=0.2), 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    other = asyncio.create_task(others())
    page = page_of(UNSURE["50k attributes"])
    try:
        with pytest.raises(FetchError, match=r"not parsed within 0\.2 s") as caught:
            await parsing.ready(page, "a.test")
        assert caught.value.kind == "parse"
        with pytest.raises(FetchError, match="parsed safely"):
            page.css("p")
        await parsing.ready(large := page_of("<p>x</p>" * 40_000), "a.test")
        assert len(large.css("p")) == 40_000
    finally:
        other.cancel()
        process = parsing._trial._process
        await parsing.aclose()
    assert turns > 20
    assert process is not None
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_sec_39_memory_and_depth_of_a_trial_are_bounded() -> None:
    """A page that does not fit into the trial's memory, or whose tree is too deep, is refused with that reason."""
    parsing = Parsing(seconds=30)
    try:
        with pytest.raises(FetchError, match="does not fit into 512 MiB"):
            await parsing.ready(page_of(FONTS), "a.test")
        with pytest.raises(FetchError, match="nested deeper than 5,000 levels"):
            await parsing.ready(page_of(UNSURE["nested by many names"]), "b.test")
        with pytest.raises(FetchError, match="too much of it that deep"):
            await parsing.ready(page_of(UNSURE["many elements far down"]), "c.test")
    finally:
        await parsing.aclose()


async def test_sec_39_a_domain_that_fails_trials_gets_no_more() -> None:
    """After three dubious pages that could not be parsed a domain's next is refused without a trial."""
    parsing, hostile = Parsing(), UNSURE["nested by many names"]
    try:
        for _ in range(3):
            with pytest.raises(FetchError, match="deeper"):
                await parsing.ready(page_of(hostile), "bad.test")
        with pytest.raises(FetchError, match=r"3 pages of bad\.test before"):
            await parsing.ready(page_of(hostile), "bad.test")
        await parsing.ready(page_of("<p>x</p>" * 40_000), "good.test")
    finally:
        await parsing.aclose()


@pytest.mark.parametrize("started", [False, True])
async def test_sec_39_closing_ends_a_trial_under_way(started: bool) -> None:
    """A crawl that ends does not wait for a trial, whether its process runs already or not."""
    parsing = Parsing(seconds=600)
    if started:
        await parsing.ready(page_of(UNSURE["large"]), "a.test")
    endless = "<p " + " ".join(f"a{i}" for i in range(200_000))
    trial = asyncio.create_task(parsing.ready(page_of(endless), "a.test"))
    await asyncio.sleep(0)
    await parsing.aclose()
    with pytest.raises((FetchError, asyncio.CancelledError)):
        await trial


def test_sec_39_host_40_a_refused_page_fails_with_its_kind() -> None:
    """The outcome is `parse`, no error of the callback; the errback gets the page, whose selectors raise the same."""
    seen: list[FetchError] = []

    def parse(self, page: Page):
        yield page.request("/deep", self.never)
        yield page.request("/gone", self.never)
        yield {"name": "start"}

    def never(self, page: Page):
        yield {"name": "not reached"}

    def failed(self, error: FetchError):
        seen.append(error)
        error.page.css("div")

    attributes = {
        "start_urls": ["https://a.test/"],
        "name": "t",
        "parse": parse,
        "never": never,
        "failed": failed,
    }
    deep = "<div>" * (DEEPEST + 1_000)
    pages = {"https://a.test/": "x", "https://a.test/deep": deep, "https://a.test/gone": Answer(deep, 404)}
    done = simulate(type("Tested", (Spider,), attributes), Site(pages), settings=FREE)
    assert sorted(error.kind for error in seen) == ["http", "parse"]
    assert {problem.kind for problem in done.summary.problems} == {"parse"}
    assert done.summary.counters["failed.parse"] == 2
    assert [row["name"] for row in done.tables["t"]] == ["start"]


def test_sec_39_a_hostile_page_inside_a_callback_is_its_fetch_that_failed() -> None:
    """`page.fetch` of a page that cannot be parsed raises the kind `parse`."""
    kinds: list[str] = []

    async def parse(self, page: Page):
        try:
            await page.fetch("/deep")
        except FetchError as error:
            kinds.append(error.kind)

    attributes = {"start_urls": ["https://a.test/"], "name": "t", "parse": parse}
    pages = {"https://a.test/": "x", "https://a.test/deep": "<div>" * 20_000}
    simulate(type("Tested", (Spider,), attributes), Site(pages), settings=FREE)
    assert kinds == ["parse"]


@pytest.mark.parametrize("flavour", ["plain", "generator", "coroutine", "async generator"])
def test_a_callback_that_blocks_the_loop_is_named_once(flavour: str) -> None:
    """Whatever kind of callback holds the loop for seconds is reported by name, once; one that awaits is not."""

    def block() -> None:
        asyncio.get_running_loop()._jump.now += 5.0

    def plain(self, page: Page):
        block()

    def generator(self, page: Page):
        block()
        yield {"name": "x"}

    async def coroutine(self, page: Page):
        await asyncio.sleep(9)
        block()
        await asyncio.sleep(9)

    async def agen(self, page: Page):
        yield {"name": "x"}
        await asyncio.sleep(9)
        block()

    async def waits(self, page: Page):
        await asyncio.sleep(9)

    blocking = {"plain": plain, "generator": generator, "coroutine": coroutine, "async generator": agen}[
        flavour
    ]

    def parse(self, page: Page):
        yield [page.request(f"/{i}", vars(type(self))[blocking.__name__].__get__(self)) for i in range(3)]
        yield page.request("/waits", self.waits)

    attributes = {
        "start_urls": ["https://a.test/"],
        "name": "t",
        "parse": parse,
        blocking.__name__: blocking,
        "waits": waits,
    }
    said: list[str] = []
    simulate(
        type("Tested", (Spider,), attributes), Site(lambda r: "x"), settings=FREE,
        observers=[lambda event: said.append(event.message) if isinstance(event, Warned) else None],
    )  # fmt: skip
    assert said == [f"callback {blocking.__name__} blocked the loop for 5.0 s: use asyncio.to_thread"]


@pytest.mark.parametrize("size", [1, 30_000, 60_000, 120_000, 600_000])
def test_a_body_without_a_tag_is_weighed_too(size: int) -> None:
    """Text of any length under an HTML type, such as a large CSV file, is parsed like any page."""
    assert is_harmless(b"1,2\n" * (size // 4)) or risk_of(b"1,2\n" * (size // 4)) in Risk
