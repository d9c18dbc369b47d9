"""What was probably meant by a selector that matches nothing: the nearest words that are on the page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from selectolax.lexbor import LexborNode, SelectolaxError

from scraper.core.models import Suggestion

__all__ = ["suggest"]

#: A class, id or tag name of a selector; what stands in brackets, quotes or after a colon is none.
_WORD = re.compile(r"""\[[^]]*\]|"[^"]*"|'[^']*'|:[\w-]+(?:\([^)]*\))?|([.#]?)([A-Za-z_][\w-]*)""")
#: Elements looked at, words kept of each sort, and characters of a word: the beginning of a huge page is enough,
#: and a hostile one costs some tens of milliseconds.
ELEMENTS, WORDS, LONGEST = 10_000, 400, 40
#: Words of a selector that are looked up.
PARTS = 4


def suggest(root: LexborNode, css: str, select: Callable[[str], Sequence[LexborNode]]) -> Suggestion | None:
    """A selector like `css` that matches below `root`, and how often; None when nothing close is there.

    `select` asks for it: the page may have been made to be dear for what it makes of the author's words.

    Each tag, class and id that does not occur is replaced by the most similar one that does.
    """
    known = _vocabulary(root)
    left = PARTS

    def nearest(match: re.Match[str]) -> str:
        nonlocal left
        mark, word = match[1], match[2]
        if word is None or not left or len(word) > LONGEST or word in known[mark or ""]:
            return match[0]
        left -= 1
        close = difflib.get_close_matches(word, known[mark or ""], n=1, cutoff=0.7)
        return f"{mark}{close[0]}" if close else match[0]

    meant = _WORD.sub(nearest, css)
    if meant == css:
        return None
    try:
        found = len(select(meant))
    except SelectolaxError:
        return None
    return Suggestion(meant, found) if found else None


def _vocabulary(root: LexborNode) -> dict[str, dict[str, None]]:
    """Tags (""), classes (".") and ids ("#") of the page, in the order in which they come."""
    words: dict[str, dict[str, None]] = {"": {}, ".": {}, "#": {}}
    for node in islice(root.traverse(include_text=False), ELEMENTS):
        if not node.is_element_node:
            continue
        _add(words[""], (node.tag or "",))
        attributes = node.attrs
        _add(words["."], (attributes.get("class") or "")[:1_000].split())
        _add(words["#"], (attributes.get("id") or "",))
    return words


def _add(words: dict[str, None], found: Iterable[str]) -> None:
    for word in found:
        if word and len(word) <= LONGEST and len(words) < WORDS:
            words[word] = None
