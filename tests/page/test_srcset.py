"""`srcset` and `<template>`: links that no plain attribute holds and no selector reaches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import Candidate, NoMatch, srcset
from tests.support.html_pages import page_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.jpg", [Candidate("a.jpg")]),
        ("a.jpg 1x, b.jpg 2x", [Candidate("a.jpg", None, 1.0), Candidate("b.jpg", None, 2.0)]),
        ("a.jpg 480w,\n  b.jpg 800w", [Candidate("a.jpg", 480), Candidate("b.jpg", 800)]),
        ("a.jpg, b.jpg 1.5x", [Candidate("a.jpg"), Candidate("b.jpg", None, 1.5)]),
        ("/i,w_1,h_2/a.jpg 1x", [Candidate("/i,w_1,h_2/a.jpg", None, 1.0)]),
        (
            "data:image/png;base64,AA 1x, b.jpg 2x",
            [Candidate("data:image/png;base64,AA", None, 1.0), Candidate("b.jpg", None, 2.0)],
        ),
        ("a.jpg 100w 50h", [Candidate("a.jpg", 100)]),
        ("a.jpg f(1, 2) 3x, b.jpg", [Candidate("a.jpg", None, 3.0), Candidate("b.jpg")]),
        (",, a.jpg,,, b.jpg", [Candidate("a.jpg"), Candidate("b.jpg")]),
        ("a.jpg (", [Candidate("a.jpg")]),
        ("", []),
        (" , ", []),
    ],
)
def test_the_images_of_a_srcset(text: str, found: list[Candidate]) -> None:
    """Each URL comes with its width or density, by the rules of the HTML standard."""
    assert srcset(text) == found


@given(st.text(st.sampled_from("a, (x2w)\n."), max_size=60))
def test_any_text_is_read(text: str) -> None:
    """No srcset makes the reader raise, and no URL of it is empty."""
    assert all(candidate.url for candidate in srcset(text))


def test_links_read_a_srcset() -> None:
    """`::attr(srcset)` gives every image, absolute and once, where a plain attribute would give one link."""
    page = page_of("<img srcset='/a.jpg 1x, /b.jpg 2x'><source srcset=/b.jpg><img src=/c.jpg>")
    found = [url.rpartition("/")[2] for url in page.links("[srcset]::attr(srcset)")]
    assert found == ["a.jpg", "b.jpg"]
    assert len(page.follow_all("img::attr(srcset)")) == 2


def test_a_template_is_read_as_a_page() -> None:
    """What is in a `<template>` has selectors and links of its own, relative to the page."""
    page = page_of(
        '<base href="/d/"><template id=t data-x="a>b"><a href=x>one</a><p>text</p></template><a href=y>two</a>'
    )
    inside = page.template("#t")
    assert [url.rpartition("/d/")[2] for url in inside.links()] == ["x"]
    assert inside.text("p") == "text"
    assert inside.url == page.url
    assert page.texts("a") == ["two"]
    with pytest.raises(NoMatch):
        page.template("template.other")
    with pytest.raises(NoMatch):
        page.template("a")
