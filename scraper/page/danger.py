"""How long a document may keep the parser busy, judged before it is parsed.

Lexbor takes time that grows with the square of a page's depth, of the attributes of one tag and of the options
of one list, and makes a node for every formatting element left open at every block after it. What was measured
(one core, ms): 16,000 nested `<div>` 220, 16,000 attributes on one tag 310, 2,000 times `<font a=N><p>` 1,700
and a gigabyte. 20,000 nested `<b>` or tables without attributes take 3.

Everything here costs linear time. NONE errs to the safe side: no number it rests on is below the true one,
whatever stands in comments, scripts and quotes. CERTAIN is what no honest page is.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from typing import Final

__all__ = ["DEEPEST", "LARGE", "Risk", "is_small", "risk_of"]

#: A page with no more octets and tags than this takes 20 ms at worst, so it is parsed where it is asked for.
SMALL_BYTES: Final = 32_768
SMALL_TAGS: Final = 1_000
#: Up to here a page that looks harmless is not tried out first.
LARGE: Final = 262_144
MANY_TAGS: Final = 5_000
#: Levels of a tree. Browsers stop at 512; selectors that climb take time in proportion to it.
DEEPEST: Final = 5_000
#: Nodes that open formatting elements may add to a page.
MOST_REPEATED: Final = 200_000
#: A tag as long as this may hold 5,000 attributes, which take 30 ms.
LONG_TAG: Final = 16_384
#: A `>` inside a quoted value, which hides how long a tag is. As many as this are harmless.
QUOTED_END: Final = re.compile(rb"""=\s*(?:"[^">]*>|'[^'>]*>)""")
FEW: Final = 2

_OPENING: Final = re.compile(rb"<[a-zA-Z]")
_TAG: Final = re.compile(rb"</?[a-zA-Z][^\s/><]*")
_FORMATTING: Final = frozenset(b"b big code em font i nobr s small strike strong tt u".split())
_TAME: Final = re.compile(
    rb"""<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?:\s+[\w:-]+(?:="[^"<>]*")?)*\s*>""",
    re.IGNORECASE,
)
#: Tags that need no end tag, so that many of them without one say nothing.
_ENDLESS: Final = frozenset(
    b"area base br col embed hr img input link meta param source track wbr html head body p li dt dd option"
    b" optgroup tr td th thead tbody tfoot colgroup caption rt rp".split()
)


class Risk(Enum):
    """What may happen when a page is parsed."""

    NONE = "parsed within 300 ms, whatever it is"
    UNSURE = "large or odd: to be tried where it can be killed"
    CERTAIN = "nested too deep"


def is_small(body: bytes) -> bool:
    """Whether a page may be parsed at once. Takes 5 µs for 30 kB.

    Every tag has its `<` in every encoding of the web, so that octets may be counted instead of characters.
    """
    return len(body) <= SMALL_BYTES and body.count(b"<") <= SMALL_TAGS


def risk_of(body: bytes) -> Risk:
    """The risk of a page that is not small; about 0.2 µs a tag, of the first 256 KiB at most."""
    tags = Counter(map(bytes.lower, _TAG.findall(body, 0, LARGE)))
    opened = sum(count for tag, count in tags.items() if tag[1:2] != b"/")
    if opened > DEEPEST and _is_deep(tags):
        return Risk.CERTAIN
    if len(body) > LARGE or opened > MANY_TAGS or _repeats(body, tags, opened) or _has_long_tag(body):
        return Risk.UNSURE
    return Risk.NONE


def _is_deep(tags: Counter[bytes]) -> bool:
    """Whether more elements of one name are left open than a tree may have levels."""
    return any(
        count - tags[b"</" + tag[1:]] > DEEPEST
        for tag, count in tags.items()
        if count > DEEPEST and tag[1:2] != b"/" and tag[1:] not in _ENDLESS
    )


def _repeats(body: bytes, tags: Counter[bytes], opened: int) -> bool:
    """Whether formatting elements left open could multiply: three alike at most are opened again at a block
    (HTML standard, "push onto the list of active formatting elements"), so only distinct ones count.
    """
    formatting = sum(tags[b"<" + name] for name in _FORMATTING)
    if formatting * opened <= MOST_REPEATED:
        return False
    alike = Counter(_TAME.findall(body))
    distinct = formatting - sum(alike.values()) + sum(min(3, count) for count in alike.values())
    return distinct * opened > MOST_REPEATED


def _has_long_tag(body: bytes) -> bool:
    # Most pages have no such piece at all, which `split` finds out twenty times faster than the search.
    if max(map(len, body.split(b">"))) > LONG_TAG and _searched_long_tag(body):
        return True
    return any(count >= FEW for count, _ in enumerate(QUOTED_END.finditer(body)))


def _searched_long_tag(body: bytes) -> bool:
    start = 0
    while start < len(body):
        end = body.find(b">", start)
        end = len(body) if end < 0 else end
        if end - start > LONG_TAG and _OPENING.search(body, start, end - LONG_TAG):
            return True
        start = end + 1
    return False
