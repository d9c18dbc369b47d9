"""Where a page sends its reader: the Refresh header and the element, read as browsers read them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.page.meta_refresh import Refresh, find_refresh, may_have_refresh, read_refresh


def found(html: str, header: str = "", encoding: str = "utf-8") -> tuple[int, str] | None:
    if not header and not may_have_refresh(html.encode(encoding)):
        return None
    refresh = find_refresh(header, lambda: html)
    return None if refresh is None else refresh[:2]


@pytest.mark.parametrize(
    ("text", "refresh"),
    [
        ("0; url=/x", (0, "/x")),
        ("0;URL=/x", (0, "/x")),
        ("5,url=/x", (5, "/x")),
        ("5 url=/x", (5, "/x")),
        (" 3 ; Url = '/x' ", (3, "/x")),
        ('0; url="/x y" junk', (0, "/x y")),
        ("0; url='/x", (0, "/x")),
        ("0; /x", (0, "/x")),
        ("0; url=", (0, "")),
        ("0", (0, "")),
        ("0;", (0, "")),
        ("30", (30, "")),
        (".5; url=/x", (0, "/x")),
        ("5.9; url=/x", (5, "/x")),
        ("99999999999999999999; url=/x", (999_999_999, "/x")),
        ("0; url=/x?url=/y", (0, "/x?url=/y")),
        ("0; urlx", (0, "urlx")),
        ("", None),
        ("x", None),
        ("-1; url=/x", None),
        ("url=/x", None),
        ("0x; url=/x", None),
    ],
)
def test_what_a_refresh_says(text: str, refresh: tuple[int, str] | None) -> None:
    """W25: seconds, a separator and a URL with or without quotes, by the rules of the HTML standard."""
    read = read_refresh(text)
    assert (None if read is None else read[:2]) == refresh
    assert found("", text) == refresh


META = '<meta http-equiv="refresh" content="0; url=/x">'


@pytest.mark.parametrize(
    "html",
    [
        META,
        "<META HTTP-EQUIV=Refresh CONTENT='0;URL=/x'>",
        "<meta content='0; url=&#47;x' hTTp-eQuiv = \n 'ReFresh'/>",
        f"<!-- a --><title>t</title>{META}",
        f"<!-->{META}",
        f"<!--->{META}",
        f"<!-- a --!>{META}",
        f"<script>x('</p>')</script>{META}",
        f"<template><p></template>{META}",
        f"<noscript>x</noscript>{META}",
        f"<metadata>{META}",
        f'<meta http-equiv="refresh">{META}',
        f'<meta http-equiv="refresh" content="soon">{META}',
        f"{META}<meta http-equiv=refresh content='0; url=/second'>",
        f"<meta http-equiv=content-type content=x>{META}",
        "<p>" * 9_000 + META,
        f"<meta name=q content=q>{META}",
        "q" * 99 + META,
        "q" * 99 + META.upper().replace("/X", "/x"),
    ],
)
def test_an_element_that_counts(html: str) -> None:
    """W25: the first element that browsers would follow is found, wherever and however it is written."""
    assert found(html) == (0, "/x")
    assert found(html, encoding="utf-16") == (0, "/x")


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>refresh</p>",
        f"<!-- {META} -->",
        f"<!--!>{META}-->",
        f"<!-- {META}",
        f"<noscript>{META}</noscript>",
        f"<NOSCRIPT class=x>{META}</NOSCRIPT >",
        f"<noscript>{META}",
        f"<template>{META}</template>",
        f"<template><template></template>{META}</template>",
        f"<script>document.write('{META}')</script>",
        f"<title>{META}</title>",
        f"<textarea>{META}</textarea>",
        f"<style>{META}</style>",
        "&lt;meta http-equiv=refresh content='0; url=/x'>",
        "<meta name=refresh content='0; url=/x'>",
        "<meta http-equiv=refresher content='0; url=/x'>",
        "<meta http-equiv=set-cookie http-equiv=refresh content='0; url=/x'>",
    ],
)
def test_an_element_that_does_not_count(html: str) -> None:
    """W25: in comments, scripts, noscript, template and text there is no element, and other names are not it."""
    assert found(html) is None


def test_the_header_counts_before_the_element() -> None:
    """W25: a Refresh header that can be read wins over the page's own."""
    assert found(META, "3; url=/header") == (3, "/header")
    assert found(META, "soon") == (0, "/x")


def test_the_base_of_a_page_is_told() -> None:
    """W25: a relative target is joined to the first `<base href>` before the element."""
    html = f"<base target=a><base href='/a/'><base href='/b/'>{META}"
    assert find_refresh("", lambda: html) == Refresh(0, "/x", "/a/")


PIECES = [
    "<meta ",
    "http-equiv=refresh",
    "content=0",
    "<!--",
    "-->",
    "<template>",
    "<script>",
    "</",
    ">",
    "'",
    '"',
    "=",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)))
def test_any_text_is_read(pieces: list[str]) -> None:
    """No page makes the reader raise."""
    found("".join(pieces).encode("utf-8", "replace").decode())


@pytest.mark.parametrize(
    "piece",
    ["q", "http-equiv", "<!--", "<meta http-equiv=refresh ", "<script>", "<template>", "<meta a='", "<base "],
)
def test_hostile_pages_cost_little(piece: str) -> None:
    """A page made to be looked at closely everywhere is done in a fraction of a second of CPU."""
    html = f"<meta http-equiv=refresh>{piece * ((1 << 22) // len(piece))}"
    began = time.process_time()
    found(html)
    assert time.process_time() - began < 2
