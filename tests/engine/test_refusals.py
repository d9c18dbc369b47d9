"""A start that is refused says how, and what may help."""

from __future__ import annotations

from typing import Any

import pytest

from scraper import Page, Spider
from scraper.testing import Answer, Site, simulate

HINT = "; it may refuse our User-Agent by name: set user_agent"


class Starts(Spider[Any]):
    """One start."""

    start_urls = ("https://a.test/",)

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a")


def why(status: int, body: str, **settings: Any) -> str:
    site = Site({"https://a.test/": Answer(body, status)})
    done = simulate(Starts, site, settings={"robots": False, "rate": None, "retries": 0, **settings})
    return done.summary.problems[0].why


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("No scrapers.\nGo away.", ": “No scrapers.”"),
        ("<html><head><title>Access  denied</title><style>p {}</style></head>", ": “Access denied”"),
        ("<!-- x -->\n<script>var a = '<p>'</script>\n<h1>Bots\x1b[2J</h1>", ": “Bots [2J”"),
        ("x" * 300, f": “{'x' * 100}…”"),
        ("", ""),
        ("<p", ""),
    ],
)
@pytest.mark.parametrize("status", [403, 406, 429])
def test_a_refused_start_shows_what_the_site_says(status: int, body: str, line: str) -> None:
    """The first line of the answer, without tags and control characters, and the setting that may help."""
    assert why(status, body) == f"HTTP {status}{line}{HINT}"


def test_nothing_is_proposed_where_it_cannot_help() -> None:
    """Another status, a User-Agent of one's own, and pages behind links are told as ever."""
    assert why(404, "No scrapers.") == "HTTP 404"
    assert why(403, "No scrapers.", user_agent="Foobot/1") == "HTTP 403"
    assert why(403, "No scrapers.", headers={"user-agent": "Foobot/1"}) == "HTTP 403"
    site = Site({"https://a.test/": "<a href=/x>x</a>", "https://a.test/x": Answer("No.", 403)})
    done = simulate(Starts, site, settings={"robots": False, "rate": None, "max_failed": 1.0})
    assert done.summary.problems[0].why == "HTTP 403"
