"""Sites without end: repeated path segments, identical pages, links ever deeper. Found here, ended by settings.

A calendar whose every page differs cannot be told from a large site; only budgets end it, and a word of warning
says so. What can be told apart is refused or parked by itself.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Final, NamedTuple

from scraper.net.messages import content_type_of
from scraper.page import Page

__all__ = ["DEEP", "Repetition", "is_endless"]

#: Steps from the start at which a person is told. A pager of 500 pages is rare, a calendar always comes here.
DEEP: Final = 500
#: Domains whose last page is remembered.
DOMAINS: Final = 10_000
#: Octets of a body below which its coming again says nothing.
SHORT: Final = 256


def is_endless(path: str, deepest: int, repetitions: int) -> bool:
    """Whether a path has more than `deepest` segments, or the same ones more than `repetitions` times again in a
    row, as a relative link that leads below itself makes them: `/a/b/a/b/a/b/a/b/` repeats two segments 3 times.
    """
    slashes = path.count("/")
    if slashes <= repetitions + 1:
        return False
    if slashes > deepest:
        return True
    segments = path.split("/")[1:]
    return any(
        _repeats(segments, period, repetitions) for period in range(1, slashes // (repetitions + 2) + 1)
    )


def _repeats(segments: list[str], period: int, most: int) -> bool:
    equal = 0
    for i in range(period, len(segments)):
        equal = equal + 1 if segments[i] == segments[i - period] else 0
        if equal > period * most + period - 1:
            return True
    return False


class _Seen(NamedTuple):
    """The last page of a domain, and how many different URLs in a row gave the same."""

    url: str
    length: int
    crc: int
    times: int


class Repetition:
    """Counts how often a domain answered with the same HTML page in a row.

    A body is known by its length and CRC-32: 4 µs for 30 kB, and a hundred collisions in a row do not happen.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._last: OrderedDict[str, _Seen] = OrderedDict()

    def exceeded(self, domain: str, page: Page) -> str | None:
        """Note one page; why to park the domain when it was one too many. URLs are compared after redirects."""
        body = page.body
        if self._most is None or len(body) < SHORT or "html" not in content_type_of(page.headers):
            return None
        last, crc = self._last.get(domain), zlib.crc32(body)
        count = 1
        if last is not None and (last.length, last.crc) == (len(body), crc):
            count = last.times + (last.url != page.url)
        self._last[domain] = _Seen(page.url, len(body), crc, count)
        self._last.move_to_end(domain)
        if len(self._last) > DOMAINS:
            self._last.popitem(last=False)
        if count < self._most:
            return None
        del self._last[domain]
        return (
            f"{count} different URLs in a row gave the same page (max_identical); are they sessions,"
            " set ignore_params or max_pages_per_domain"
        )
