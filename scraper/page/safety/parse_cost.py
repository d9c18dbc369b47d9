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

__all__ = ["DEEPEST", "LARGE", "Risk", "is_harmless", "risk_of"]

#: A page with no more octets and `<` than this takes 60 ms at worst (750 formatting elements, each before a block), or
#: 80 if it is one tag.
SMALL_BYTES: Final = 32_768
SMALL_TAGS: Final = 1_500
#: A page that is not small, but has no more octets and `<` than this, takes 60 ms at worst if it has no long tag
#: (1.6 ms each) and few formatting elements (0.2 µs for each of them at each block).
MEDIUM_BYTES: Final = 131_072
MEDIUM_TAGS: Final = 5_000
MEDIUM_TAG: Final = 4_096
MEDIUM_REPEATED: Final = 200_000
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


#: The beginning of a formatting element. Its first part is a set, so that most tags are passed over at once.
_FORMAT: Final = re.compile(
    rb"<[bBcCeEfFiInNsStTuU](?:[\s/>]|(?i:ig|ode|m|ont|obr|mall|trike|trong|t)[\s/>])"
)
#: A formatting element that ends before another tag begins: none that could be opened again at a block.
_ENDED: Final = re.compile(
    rb"""<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?:\s+[\w:-]+(?:="[^"<>]*")?)*\s*>[^<]*</\1\s*>""",
    re.IGNORECASE,
)
#: What stays of a body to look for quoted ends: a fifth of it.
_STRUCTURE: Final = bytes(octet for octet in range(256) if octet not in b"<>=\"'")
_QUOTED_END_OF_STRUCTURE: Final = re.compile(rb"""=(?:"[^">]*>|'[^'>]*>)""")


class Risk(Enum):
    """What may happen when a page is parsed."""

    NONE = "parsed within 300 ms, whatever it is"
    UNSURE = "large or odd: to be tried where it can be killed"
    CERTAIN = "nested too deep"


def is_harmless(body: bytes) -> bool:
    """Whether a page may be parsed where it is asked for: it takes 60 ms at worst. Takes 50 µs for 30 kB.

    Every tag has its `<` in every encoding of the web, so that octets may be counted instead of characters.
    """
    length, opening = len(body), body.count(b"<")
    if length <= SMALL_BYTES and opening <= SMALL_TAGS:
        return True
    if length > MEDIUM_BYTES or opening > MEDIUM_TAGS or _may_scatter(body):
        return False
    return (
        not _may_have_long_tag(body)
        and _left_open(body, MEDIUM_REPEATED // max(1, opening)) * opening <= MEDIUM_REPEATED
        and not _has_quoted_ends(body.translate(None, _STRUCTURE), _QUOTED_END_OF_STRUCTURE)
    )


def _may_scatter(body: bytes) -> bool:
    """Whether the encoding may write a letter apart from its tag (UTF-16, ISO-2022-JP), which a search for both misses."""
    return b"\0" in body or b"\x1b" in body


def _left_open(body: bytes, enough: int) -> int:
    """The most formatting elements that are open at once; not looked at closely when they are no more than `enough`."""
    count = len(_FORMAT.findall(body))
    return count if count <= enough else count - len(_ENDED.findall(body))


def _may_have_long_tag(body: bytes) -> bool:
    """Whether something that begins like a tag goes on for MEDIUM_TAG octets without a `>`.

    So long a piece covers one of the blocks of half that length, which is all that is looked at in most pages.
    """
    half, find = MEDIUM_TAG // 2, body.find
    for start in range(0, len(body) - half + 1, half):
        if find(b">", start, start + half) < 0:
            end = find(b">", start + half)
            end = len(body) if end < 0 else end
            if _OPENING.search(body, body.rfind(b">", 0, start) + 1, max(end - MEDIUM_TAG, 0)):
                return True
    return False


def risk_of(body: bytes) -> Risk:
    """The risk of a page that is not harmless; about 0.2 µs a tag, of the first 256 KiB at most."""
    tags = Counter(map(bytes.lower, _TAG.findall(body, 0, LARGE)))
    opened = sum(count for tag, count in tags.items() if tag[1:2] != b"/")
    if opened > DEEPEST and _is_deep(tags):
        return Risk.CERTAIN
    if len(body) > LARGE or opened > MANY_TAGS or _may_scatter(body):
        return Risk.UNSURE
    if _repeats(body, tags, opened) or _has_long_tag(body):
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
    return _has_quoted_ends(body, QUOTED_END)


def _has_quoted_ends(text: bytes, pattern: re.Pattern[bytes]) -> bool:
    """Whether more than FEW tags may be longer than they look."""
    return any(count >= FEW for count, _ in enumerate(pattern.finditer(text)))


def _searched_long_tag(body: bytes) -> bool:
    start = 0
    while start < len(body):
        end = body.find(b">", start)
        end = len(body) if end < 0 else end
        if end - start > LONG_TAG and _OPENING.search(body, start, end - LONG_TAG):
            return True
        start = end + 1
    return False
