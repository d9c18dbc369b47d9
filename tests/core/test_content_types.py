"""Content types: which answers are pages, and which are only written like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.content_types import is_accepted, is_html
from scraper.settings import Settings

DEFAULT = Settings().accept_types
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html", "Text/HTML; charset=utf-8", "text/html,text/html", '"text/html"', "text/html charset=utf-8", "html",
        "application/xhtml+xml", "application/xml", "text/xml", "application/rss+xml", "application/atom+xml;type=feed",
        "application/vnd.google-earth.kml+xml", "application/json", "application/ld+json", "application/vnd.api+json",
        "application/x-json", "application/x-ndjson", "application/jsonl", "text/plain", "text/csv", "", ";", "*/*",
        "application/json;charset=utf-8", "application/problem+json", "image/png, text/html",
    ],
)  # fmt: skip
def test_types_that_are_pages(content_type: str) -> None:
    """W15: by default HTML, XML, JSON and text are fetched, whatever is written around their names."""
    assert is_accepted(content_type, DEFAULT)


@pytest.mark.parametrize(
    "content_type",
    [
        DOCX, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "image/svg+xml", "image/png",
        "application/pdf", "application/octet-stream", "application/zip", "model/x3d+xml", "model/gltf+json",
        "application/xml-dtd", "application/vnd.oasis.opendocument.text", "video/mp4", "application/javascript",
        "application/vnd.mozilla.xul", "application/htmlx", "application/x-texinfo",
    ],
)  # fmt: skip
def test_types_that_only_look_like_pages(content_type: str) -> None:
    """W15: `xml` in the middle of a name is no XML, and a picture in XML is no page."""
    assert not is_accepted(content_type, DEFAULT)


@pytest.mark.parametrize(
    ("wanted", "content_type", "accepted"),
    [
        ("*/*", DOCX, True),
        ("*", "image/png", True),
        ("/", "image/png", True),
        ("text/*", "text/css", True),
        ("text/*", "application/json", False),
        ("text/", "text/css", True),
        ("application/pdf", "application/pdf; x=y", True),
        ("Application/PDF", "application/pdf", True),
        ("application/pdf", "application/pdfx", False),
        ("application/pdf; q=1", "application/pdf", True),
        ("pdf", "application/pdf", True),
        ("image", "image/png", True),
        ("image/*", "image/svg+xml", True),
        ("svg", "image/svg+xml", True),
        ("svg", "image/svg", True),
        ("image/svg+xml", "image/svg+xml", True),
        ("xml", "image/svg+xml", False),
        ("rss", "application/rss+xml", True),
        ("zip", "application/x-zip", True),
        ("tml", "text/html", False),
        ("html", "text/html", True),
        ("html", "application/xhtml", True),
    ],
)
def test_what_may_be_wanted(wanted: str, content_type: str, accepted: bool) -> None:
    """W15: full types, main types, everything, or one word for a subtype, a suffix or a main type."""
    assert is_accepted(content_type, (wanted,)) is accepted


@given(st.text(max_size=60), st.lists(st.text(max_size=20)))
def test_any_text_is_compared(content_type: str, wanted: list[str]) -> None:
    """No header and no setting makes the comparison raise."""
    assert is_accepted(content_type, tuple(wanted)) in (True, False)


@pytest.mark.parametrize(
    ("content_type", "html"),
    [
        ("text/html;charset=x", True),
        ("application/xhtml+xml", True),
        ("", True),
        ("text/xml", False),
        ("text/plain", False),
    ],
)
def test_which_types_are_html(content_type: str, html: bool) -> None:
    """An HTML page says so, or nothing."""
    assert is_html(content_type) is html
