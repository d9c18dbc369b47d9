"""What is said about a start that a site refuses: perhaps it is our name that it does not like."""

from __future__ import annotations

import re

from scraper.core.charsets import decode_text
from scraper.net.messages import content_type_of
from scraper.page import Page
from scraper.settings import Settings

__all__ = ["may_be_named", "refusal"]

#: Statuses with which sites refuse a client by its User-Agent.
NAMED = frozenset({403, 406, 429})
#: Octets of the body, and characters of its first line, that are looked at and shown.
BEGINNING, SHOWN = 4_096, 100
_NO_TEXT = re.compile(
    r"<!--.*?(?:-->|$)|<(style|script)\b.*?(?:</\1[^>]*(?:>|$)|$)|<[^>]*(?:>|$)", re.DOTALL | re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]+")


def may_be_named(status: int, settings: Settings) -> bool:
    """Whether this may be about the User-Agent: the status is one of those, and the author has chosen no other name."""
    return (
        status in NAMED
        and settings.user_agent is None
        and not any(name.lower() == "user-agent" for name in settings.headers)
    )


def refusal(status: int, page: Page) -> str:
    """The status, how the answer begins, and what to try."""
    line = _first_line(page)
    return (
        f"HTTP {status}{f': “{line}”' if line else ''}; it may refuse our User-Agent by name: set user_agent"
    )


def _first_line(page: Page) -> str:
    """The first line of text on a page, tags left out; "" for none."""
    text = decode_text(page.body[:BEGINNING], content_type_of(page.headers))
    for line in _NO_TEXT.sub(" ", text).splitlines():
        if shown := " ".join(_CONTROL.sub(" ", line).split()):
            return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    return ""
