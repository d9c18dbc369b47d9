"""Texts of elements that stand in one another: the same as read one by one, and in time that grows with the page alone."""

from __future__ import annotations

import sys
from types import FrameType

from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from scraper.page import document_of
from scraper.page import text as texts
from scraper.page.text import Texts, text_of
from tests.support.html_pages import page_of

NAMES = [
    "div",
    "p",
    "b",
    "i",
    "sup",
    "sub",
    "br",
    "span",
    "script",
    "style",
    "td",
    "table",
    "tr",
    "li",
    "ul",
    "a",
    "template",
    "h1",
    "img",
]
PIECES = [f"<{name}>" for name in NAMES] + [f"</{name}>" for name in NAMES]
PIECES += ["a", "5", " ", "x  y", "\n", "7 ", "<!--c-->", "\xa0", "\x1f"]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_the_text_of_a_page_laid_out_gives_every_element_its_own(html: list[str]) -> None:
    tree = LexborHTMLParser("".join(html))
    reader, alone, before = Texts(), Texts(), texts.MANY
    texts.MANY = 0
    try:
        found = [(node.tag, reader.of(node)) for node in tree.css("*")]
    finally:
        texts.MANY = before
    assert found == [(node.tag, alone.of(node)) for node in tree.css("*")]
    assert found == [(node.tag, text_of(node)) for node in tree.css("*")]


def test_sec_39_texts_of_nested_elements_take_linear_time() -> None:
    """4,900 elements in one another, each with the text of all below it: a few steps each, not 4,900."""
    page = page_of("<div>x" * 4_900)
    document_of(page).root()
    steps = 0

    def count(frame: FrameType, event: str, of: object) -> None:
        nonlocal steps
        steps += event == "c_call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = page.texts("div")
    finally:
        sys.setprofile(before)
    assert [len(text) for text in found[:2]] == [2 * 4_900 - 1, 2 * 4_899 - 1]
    assert found[-2:] == ["x x", "x"]
    assert steps < 500_000


def test_sec_39_raised_digits_in_one_another_take_linear_time() -> None:
    """`5<sup>5<sup>…`: what follows a digit is looked at, not read."""
    page = page_of("5<sup>5" * 3_000)
    assert page.text("body").startswith("5 55 55")
    assert len(page.texts("sup")) == 3_000
