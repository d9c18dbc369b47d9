"""The text of an element as a person reads it."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ["text_of"]

_SKIPPED = "script style template head"
_BOUNDARIES = (
    "address article aside blockquote br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr legend li main menu nav ol optgroup option p pre search "
    "section select summary table tbody td textarea tfoot th thead tr ul"
)
_RAISED = "sub sup"

#: Characters from which looking whether a text needs collapsing is cheaper than doing it.
LONG = 100


def _tag_ids(names: str) -> frozenset[int]:
    lexbor = LexborHTMLParser("")
    return frozenset(lexbor.create_node(name).tag_id for name in names.split())


#: Elements that separate words even where the markup holds no white space: `<br>`, blocks, table cells.
BOUNDARY_IDS = _tag_ids(_BOUNDARIES)
SKIPPED_IDS = _tag_ids(_SKIPPED)
RAISED_IDS = _tag_ids(_RAISED)


def text_of(node: LexborNode) -> str:
    """The text below an element, white space collapsed and stripped.

    Descendants that a browser does not show are left out (script, style, template, head), and a space stands
    where a line break or a block separates words. An element asked for itself gives its content.
    """
    child = node.first_child
    if child is None:
        return ""
    if child.next is None and (only := child.text_content) is not None:
        return _collapsed(only)
    return _collapsed("".join(_pieces(child)))


def _collapsed(text: str) -> str:
    """White space runs as one space. The space is the only white space that is printable."""
    if len(text) > LONG and "  " not in text and text.isprintable():
        return text.strip()
    return " ".join(text.split())


def _pieces(first: LexborNode) -> list[str]:
    pieces: list[str] = []
    pending: list[LexborNode | None] = [first]  # None: the end of a block
    while pending:
        node = pending.pop()
        if node is None:
            pieces.append(" ")
            continue
        if (following := node.next) is not None:
            pending.append(following)
        if (text := node.text_content) is not None:
            pieces.append(text)
        elif (tag := node.tag_id) not in SKIPPED_IDS:
            if tag in BOUNDARY_IDS:
                pieces.append(" ")
                pending.append(None)
            elif tag in RAISED_IDS and _would_join_digits(pieces, node):
                pieces.append(" ")
            if (below := node.first_child) is not None:
                pending.append(below)
    return pieces


def _would_join_digits(pieces: list[str], raised: LexborNode) -> bool:
    """Whether `51<sup>77</sup>` would become 5177."""
    return bool(pieces) and pieces[-1][-1:].isdigit() and raised.text()[:1].isdigit()
