"""Selectors: suffixes, and errors that point at the place."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.models import Options
from scraper.errors import BadSelector
from scraper.page import Page
from scraper.page.css import MAX_LENGTH, compile_selector

HTML = '<div class=box><h1 title="T">Head</h1><p>one</p><p>two <a href="/a">link</a></p></div>'


def page() -> Page:
    return Page(
        url="https://a.test/dir/page",
        status=200,
        headers=httpx.Headers(),
        body=HTML.encode(),
        source=lambda: HTML,
        options=Options(),
    )


@pytest.mark.parametrize(
    ("sel", "under", "hint"),
    [
        ("article..book", 8, 'a class name must follow "."'),
        ("p.", 2, 'a class name must follow "."'),
        ("#", 1, 'an id must follow "#"'),
        ("ul >", 4, 'a selector must follow ">"'),
        ("ul > > li", 5, 'a selector must follow ">"'),
        ("> li", 0, "children"),
        ("a,,b", 2, 'a selector must follow ","'),
        (",a", 0, 'missing before ","'),
        ("p:foo", 2, ":foo"),
        ("p:", 2, 'pseudo-class must follow ":"'),
        ("p:contains('x')", 2, "lexbor-contains"),
        ("li:first", 3, "first-child"),
        (":not(:foo)", 6, ":foo"),
        ("p::before", 2, "::text"),
        ("h1::text b", 3, "very end"),
        ("a[href=/x]", 7, "quote the value"),
        ("a[href!='x']", 6, ":not"),
        ("a[@href]", 2, "::attr(name)"),
        ('p["x"]', 2, "write [name]"),
        (".1a", 1, "cannot begin with a digit"),
        ("p)", 1, 'no "("'),
        ("<p>", 0, "angle brackets"),
        ("div/p", 3, "separated by a space"),
        ("p:nth-child(x)", 12, "between the parentheses"),
        ("p:not()", 6, "between the parentheses"),
        ("td:nth-child(2n+1) > b..c, x", 23, "class name"),
        ("p\u00a0a", 1, "\\xa0"),
    ],
)
def test_the_caret_stands_under_the_fault(sel: str, under: int, hint: str) -> None:
    """An invalid selector gives two lines: itself, and a caret with a hint under the first wrong place."""
    with pytest.raises(BadSelector) as caught:
        page().css(sel)
    first, second = str(caught.value).split("\n")
    assert second.index("^") - first.index('"') - 1 == under
    assert hint in second


@pytest.mark.parametrize(
    ("sel", "under", "hint"),
    [
        ("", 0, "empty"),
        ("  \t", 0, "empty"),
        ("p\0", 1, "cannot stand"),
        ("p\ud800", 1, "cannot stand"),
        ("p[x", 1, 'no "]"'),
        ("p[x='a'", 1, 'no "]"'),
        ("p:not(a", 5, 'no ")"'),
        ("a[href='x]", 7, "no ' closes"),
        ("p /*", 2, "no */"),
        ("p || a", 2, '"||"'),
        ("p\\", 1, "backslash"),
    ],
)
def test_what_lexbor_would_accept_silently_is_refused(sel: str, under: int, hint: str) -> None:
    """Slips that would match nothing without a word are errors as well."""
    with pytest.raises(BadSelector) as caught:
        page().css(sel)
    first, second = str(caught.value).split("\n")
    assert second.index("^") - first.index('"') - 1 == under
    assert hint in second


def test_a_selector_beyond_all_measure_is_refused() -> None:
    """The length of a selector is bounded, and so is the message about it."""
    with pytest.raises(BadSelector) as caught:
        page().css("a," * MAX_LENGTH + "b")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "sel",
    [
        "*",
        "p:nth-child(2n+1)",
        ":not(:has(> a))",
        "a[href^='/' i]",
        "a[title=']']",
        "#a\\:b",
        "/* c */ p",
        "p, h1",
    ],
)
def test_valid_selectors_pass(sel: str) -> None:
    """What CSS allows is not refused."""
    page().css(sel)


def test_text_suffix_reads_text() -> None:
    """`::text` may stand where a value is asked for, and alone means the element itself."""
    assert page().text("h1::text") == "Head"
    assert page().texts("p::text") == ["one", "two link"]
    assert page().one("h1").text("::text") == "Head"


def test_attr_suffix_reads_an_attribute() -> None:
    """`::attr(name)` may stand where a value or a link is asked for."""
    assert page().attr("a::attr(href)") == "/a"
    assert page().text("a::attr(href)") == "/a"
    assert page().attrs("a::attr( href )") == ["/a"]
    assert page().one("a").attr("::attr(href)") == "/a"
    assert page().links("a::attr(href)") == ["https://a.test/a"]


@pytest.mark.parametrize("method", ["css", "first", "one", "has"])
def test_suffixes_are_refused_where_elements_are_asked_for(method: str) -> None:
    """A suffix in a call for elements is an error that names the method to use."""
    with pytest.raises(BadSelector, match=r"use text"):
        getattr(page(), method)("h1::text")


def test_suffixes_that_contradict_the_call_are_refused() -> None:
    """Text is no attribute and no link."""
    with pytest.raises(BadSelector, match="one attribute"):
        page().attr("a::text")
    with pytest.raises(BadSelector, match="one attribute"):
        page().attr("a::attr(href)", "title")
    with pytest.raises(BadSelector, match="::text"):
        page().follow("a::text")


def test_compiling_splits_off_the_suffix() -> None:
    """What Lexbor gets has no suffix, and a list is known as one."""
    selector = compile_selector("a, b ::attr(x)")
    assert (selector.css, selector.attribute, selector.several) == ("a, b", "x", True)


@given(st.text(alphabet="ab1.#:>+~,[]()='\"*-| \\/n\0", max_size=12))
def test_any_selector_works_or_is_explained(sel: str) -> None:
    """Whatever is typed either works or gives two lines, the caret inside or just behind the selector."""
    try:
        page().texts(sel)
    except BadSelector as error:
        first, second = str(error).split("\n")
        assert len('bad CSS selector "') <= second.index("^") <= len(first) - 1
