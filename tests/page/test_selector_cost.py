"""Selectors on pages made to be dear for them: the same answer in linear time (SEC-39), checked against Lexbor's own."""

from __future__ import annotations

import gc
import random
import time

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper import Page
from scraper.core.models import Options
from scraper.errors import BadSelector
from scraper.page import document_of
from scraper.page.safety.linear_select import PATIENCE, Elements, Slow
from scraper.page.safety.selector_cost import Shape, effort_of

FLAT, DEEP = "<li><a href=/x>x</a></li>" * 40_000, "<div>" * 900 + "<p>x</p>" * 100


def page_of(html: str) -> Page:
    return Page(
        url="https://a.test/", status=200, headers=httpx.Headers({"content-type": "text/html"}),
        body=html.encode(), source=lambda: html, options=Options(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("html", "selector", "found"),
    [
        (FLAT, "li:nth-child(2)", 1), (FLAT, "li:nth-last-child(2)", 1), (FLAT, "li:nth-of-type(odd)", 20_000),
        (FLAT, "li:nth-last-of-type(3)", 1), (FLAT, "b ~ li", 0), (FLAT, "li:has(~ b)", 0), (FLAT, "li:not(:nth-child(2))", 39_999),
        (FLAT, "li:nth-child(2 of li:nth-child(even))", 1), (FLAT, "body li:nth-child(7) a", 1),
        (DEEP, "section div div p", 0), (DEEP, "section div div div div div p", 0), (DEEP, "div div div div p", 100),
        (DEEP, "div:has(div div div b)", 0), (DEEP, "p:not(section div div p)", 100), (DEEP, "section > div div > div div p", 0),
        (DEEP, "section div:nth-child(1) div div p", 0), (DEEP, "div:has(p) div:has(p) p", 100),
    ],
)  # fmt: skip
def test_sec_39_no_selector_takes_more_than_linear_time(html: str, selector: str, found: int) -> None:
    """What takes Lexbor from 0.2 s to days on these pages takes a second of CPU at most, its answer included."""
    page = page_of(html)
    document_of(page).root()
    began = time.process_time()
    assert len(page.css(selector)) == found
    assert page.has(selector) is bool(found)
    assert time.process_time() - began < 1.5


def test_sec_39_rows_of_a_huge_table_are_asked_one_by_one() -> None:
    """What is asked of a node counts its own tree, not the page's: 20,000 rows take about as long as without a number."""
    page = page_of("<table>" + "<tr><td>1<td>2<td>3</tr>" * 20_000)
    document_of(page).root()
    began = time.process_time()
    assert [row.text("td:nth-child(2)") for row in page.css("tr")] == ["2"] * 20_000
    assert time.process_time() - began < 3


def test_sec_39_what_was_probably_meant_is_asked_in_linear_time_too() -> None:
    """A page that offers `sectiom` to one who asked for `section` gets no more time by that."""
    page = page_of("<sectiom></sectiom>" + DEEP)
    document_of(page).root()
    began = time.process_time()
    assert document_of(page).suggest("section div div div p") is None
    assert time.process_time() - began < 1.5


def test_sec_39_nested_tables_are_written_once() -> None:
    """Markdown of a thousand tables in one another looks into each of them once."""
    page = page_of("<table><tr><td>" * 1_000 + "deep")
    document_of(page).root()
    began = time.process_time()
    assert "deep" in page.markdown()
    assert time.process_time() - began < 1.5


def test_sec_39_ordinary_pages_stay_with_lexbor() -> None:
    """A product page, and a table of five hundred rows, never have a list of their elements made."""
    shop = page_of("<div><table>" + "<tr><td>a<td>b</tr>" * 9 + "</table><ul>" + "<li>x" * 30 + "</ul></div>")
    table = page_of("<main><table>" + "<tr><td>1<td>2</tr>" * 500)
    for page in (shop, table):
        for selector in ("div table tr:nth-child(2) td", "td:nth-child(2)", "td ~ td", "ul li a b"):
            page.css(selector)
        root = page._document.root()
        assert root is not None
        slow = page._document._slow
        assert slow is not None
        assert slow._elements is None


@pytest.mark.parametrize("selector", ["li:nth-child(", "li:nth-child(x)", "li ~", "li:has()"])
def test_sec_39_a_selector_that_is_no_css_is_one_on_huge_pages_too(selector: str) -> None:
    """The error is the same as on any page."""
    with pytest.raises(BadSelector):
        page_of(FLAT).css(selector)


# ------------------------------------------------------------------------------- the same answer as Lexbor's

TAGS = ("div", "p", "b", "section", "span", "x-y")
NTH = ("1", "2", "odd", "even", "2n+1", "-n+2", "n", "3n - 1", "+2", "N+1", "EVEN", "0", "-1", "2n", "-2n+3")
PLAIN = (
    "div",
    "p",
    "b",
    "section",
    "span",
    "*",
    ".x",
    ".y",
    "#z",
    "div.x",
    "[class]",
    "x-y",
    "",
    ":first-child",
)


def _tree(chosen: random.Random, depth: int = 0) -> str:
    tag, attribute = chosen.choice(TAGS), chosen.choice(("", "", " class=x", " class='x y'", " id=z"))
    inner = ""
    if depth < 6:
        inner = "".join(
            _tree(chosen, depth + 1) if chosen.random() < 0.8 else "text" for _ in range(chosen.randrange(4))
        )
    return f"<{tag}{attribute}>{inner}</{tag}>"


def _compound(chosen: random.Random, functions: int) -> str:
    """`functions` levels of `:is()` and the like may stand in it."""
    text = chosen.choice(PLAIN)
    if not text or chosen.random() < 0.4:
        name = chosen.choice(("nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type", "NTH-CHILD"))
        text += f":{name}({chosen.choice(NTH)})"
    if functions and chosen.random() < 0.3:
        name = chosen.choice(("is", "where", "not", "has"))
        relation = chosen.choice(("", "> ", "+ ", "~ ")) if name == "has" else ""
        text += f":{name}({relation}{_chain(chosen, functions - 1)})"
    return text


def _chain(chosen: random.Random, functions: int) -> str:
    """Functions stand in the last compound alone: before a combinator Lexbor takes them wrong (`:not(div) p` misses)."""
    before = [_compound(chosen, 0) for _ in range(chosen.choice((0, 1, 1, 2, 3)))]
    text = ""
    for compound in before:
        text += compound + chosen.choice((" ", " ", " > ", ">", " + ", "  ~ ", "/* */ "))
    return text + _compound(chosen, functions)


@pytest.mark.parametrize("seed", range(20))
def test_sec_39_the_answer_is_lexbors(seed: int) -> None:
    """Random trees, random selectors: the same elements in the same order, from the page and from any node."""
    chosen = random.Random(seed)
    root = LexborHTMLParser("".join(_tree(chosen) for _ in range(3))).root
    assert root is not None
    elements, compared = Elements(root), 0
    everything: list[LexborNode] = root.css("*")
    order = {node.mem_id: place for place, node in enumerate(everything)}
    for _ in range(60):
        selector = ", ".join(_chain(chosen, 1) for _ in range(chosen.choice((1, 1, 2))))
        effort = effort_of(selector)
        if effort is None:
            continue
        compared += 1
        for own in (None, chosen.choice(everything)):
            there = (own or root).css(selector)
            wanted = sorted(
                {order[node.mem_id] for node in there if own is None or node.mem_id != own.mem_id}
            )
            found = [order[node.mem_id] for node in elements.select(selector, effort, own)]
            assert found == wanted, selector
    assert compared > 20


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        (":not(div) :not(b) x-y", ["1", "2", "3"]), (":is(p:first-of-type) b ~ x-y", []), ("p:nth-child(2 of .a) x-y", ["3"]),
        ("p:nth-last-child(1 of .a)", ["p2", "p3"]), ("section:has(> p ~ p) > div x-y", ["2"]), (":has(+ div) x-y", ["1"]),
    ],
)  # fmt: skip
def test_sec_39_what_lexbor_takes_wrong_is_right_here(selector: str, found: list[str]) -> None:
    """CSS Selectors Level 4, worked out by hand: functions before a combinator, and `of`."""
    html = (
        "<section><p id=p1><x-y id=1></x-y></p><div><p id=p2 class=a><x-y id=2></x-y></p></div>"
        "<p id=p0 class=a></p><p id=p3 class=a><x-y id=3></x-y></p></section>"
    )
    root = LexborHTMLParser(html).root
    assert root is not None
    effort = effort_of(selector)
    assert effort is not None
    assert [node.attributes["id"] for node in Elements(root).select(selector, effort, None)] == found


def _spent(root: LexborNode, selector: str) -> float:
    """Seconds of CPU that Lexbor takes; what the collector takes to look at all other tests left behind is not its own."""
    gc.disable()
    try:
        began = time.process_time()
        root.css(selector)
        return time.process_time() - began
    finally:
        gc.enable()


def test_sec_39_the_worst_is_never_taken_for_little() -> None:
    """Lexbor's own time on dear pages is below what was expected of it, so that what is left to it is quick."""
    for html in ("<i>" * 200 + "<p>" * 20, "<p>x</p>" * 3_000, "<div><p>" * 100):
        root = LexborHTMLParser(html).root
        assert root is not None
        shape = Shape.of(root)
        for selector in (
            "b i i p",
            "p:nth-child(2)",
            "b ~ p",
            "b p:nth-child(2) p",
            "i:has(i b)",
            "p:not(b i i p)",
        ):
            effort = effort_of(selector)
            assert effort is not None
            assert min(_spent(root, selector) for _ in range(3)) < max(5 * effort.seconds(shape), PATIENCE), (
                selector
            )


def test_sec_39_a_selector_of_a_thousand_parts_is_judged_at_once() -> None:
    """Length and nesting of a selector, which its author chose, overflow no number and no stack."""
    root = LexborHTMLParser(DEEP).root
    assert root is not None
    for selector in ("b " * 900 + "p", "b ~ " * 400 + "p", ":is(" * 300 + "p" + ")" * 300):
        effort = effort_of(selector)
        if effort is not None:
            assert effort.seconds(Shape.of(root)) > PATIENCE
            assert Slow(root).select(selector, effort, None) == []
