"""What was probably meant by a selector that matches nothing: the nearest words that are on the page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from selectolax.lexbor import LexborNode, SelectolaxError

__all__ = ["suggest"]

#: A class, id or tag name of a selector; what stands in brackets, quotes or after a colon is none.
_WORD = re.compile(r"""\[[^]]*\]|"[^"]*"|'[^']*'|:[\w-]+(?:\([^)]*\))?|([.#]?)([A-Za-z_][\w-]*)""")
#: Elements looked at; the beginning of a huge page is enough.
MOST = 20_000


def suggest(root: LexborNode, css: str) -> tuple[str, int] | None:
    """A selector like `css` that matches below `root`, and how often; None when nothing close is there.

    Each tag, class and id that does not occur is replaced by the most similar one that does.
    """
    known = _vocabulary(root)

    def nearest(match: re.Match[str]) -> str:
        mark, word = match[1], match[2]
        if word is None or word in known[mark or ""]:
            return match[0]
        close = difflib.get_close_matches(word, known[mark or ""], n=1, cutoff=0.7)
        return f"{mark}{close[0]}" if close else match[0]

    meant = _WORD.sub(nearest, css)
    if meant == css:
        return None
    try:
        found = len(root.css(meant))
    except SelectolaxError:
        return None
    return (meant, found) if found else None


def _vocabulary(root: LexborNode) -> dict[str, set[str]]:
    """Tags (""), classes (".") and ids ("#") of the page."""
    words: dict[str, set[str]] = {"": set(), ".": set(), "#": set()}
    for node in _first(root.traverse(include_text=False), MOST):
        words[""].add(node.tag or "")
        attributes = node.attributes
        words["."].update((attributes.get("class") or "").split())
        if name := attributes.get("id"):
            words["#"].add(name)
    return words


def _first(nodes: Iterable[LexborNode], most: int) -> Iterable[LexborNode]:
    for count, node in enumerate(nodes):
        if count == most:
            return
        yield node
