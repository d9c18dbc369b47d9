"""The text of an element as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ["Texts", "text_of"]

_SKIPPED = "script style template head"
_BOUNDARIES = (
    "address article aside blockquote br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr legend li main menu nav ol optgroup option p pre search "
    "section select summary table tbody td textarea tfoot th thead tr ul"
)
_RAISED = "sub sup"

#: Pieces of text read from one page, again and again where elements stand in one another, until it is laid out.
MANY = 20_000
#: Characters from which looking whether a text needs collapsing is cheaper than doing it.
LONG = 100


def _tag_ids(names: str) -> frozenset[int]:
    lexbor = LexborHTMLParser("")
    return frozenset(lexbor.create_node(name).tag_id for name in names.split())


#: Elements that separate words even where the markup holds no white space: `<br>`, blocks, table cells.
BOUNDARY_IDS = _tag_ids(_BOUNDARIES)
SKIPPED_IDS = _tag_ids(_SKIPPED)
RAISED_IDS = _tag_ids(_RAISED)


class Texts:
    """The texts of one page's elements.

    An element gives the text below it, white space collapsed and stripped. Descendants that a browser does not show are
    left out (script, style, template, head), and a space stands where a line break or a block separates words. An
    element asked for itself gives its content.

    Of 5,000 elements in one another each holds the text of all that follow; read one by one that takes seconds. So when
    MANY pieces have been read the text of the whole page is put together once, and each element is a slice of it.
    """

    __slots__ = ("_places", "_read", "_whole")

    def __init__(self) -> None:
        self._read = 0
        self._whole = ""
        self._places: dict[int, tuple[int, int]] = {}

    def of(self, node: LexborNode) -> str:
        """The text of one element."""
        if self._places and (place := self._places.get(node.mem_id)) is not None:
            return self._whole[place[0] : place[1]].strip()
        child = node.first_child
        if child is None:
            return ""
        if child.next is None and (only := child.text_content) is not None:
            return _collapsed(only)
        pieces = _pieces(child)
        self._read += len(pieces)
        if self._read > MANY and not self._places:
            self._whole, self._places = _laid_out(node)
        return _collapsed("".join(pieces))


def text_of(node: LexborNode) -> str:
    """The text of one element, as `Texts` gives it."""
    return Texts().of(node)


def _collapsed(text: str) -> str:
    """White space runs as one space. The space is the only white space that is printable."""
    if len(text) > LONG and "  " not in text and text.isprintable():
        return text.strip()
    return " ".join(text.split())


def _joined(piece: str, pieces: Sequence[str]) -> str:
    """A piece collapsed, without the space that the one before it ends with already."""
    core = " ".join(piece.split())
    before = " " if piece[0].isspace() and not (pieces and pieces[-1].endswith(" ")) else ""
    return f"{before}{core} " if core and piece[-1].isspace() else before + core


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


def _laid_out(some: LexborNode) -> tuple[str, dict[int, tuple[int, int]]]:
    """The text of the page that an element belongs to, collapsed, and where in it that of each element begins and ends."""
    top = some
    while (above := top.parent) is not None:
        top = above
    pieces: list[str] = []
    length, places = 0, dict[int, tuple[int, int]]()
    pending: list[LexborNode | tuple[int, int, bool]] = [top]  # a tuple: the end of an element
    while pending:
        node = pending.pop()
        if isinstance(node, tuple):
            number, start, is_block = node
            places[number] = start, length
            piece = " " if is_block else ""
        else:
            if node is not top and (following := node.next) is not None:
                pending.append(following)
            piece = node.text_content or ""
            if node.text_content is None and (tag := node.tag_id) not in SKIPPED_IDS:
                is_block = tag in BOUNDARY_IDS
                piece = " " if is_block or (tag in RAISED_IDS and _would_join_digits(pieces, node)) else ""
                # Where it begins is known when what separates it has been put down; the end of it comes later.
                pending.append((node.mem_id, length + bool(piece and _joined(piece, pieces)), is_block))
                if (below := node.first_child) is not None:
                    pending.append(below)
        if piece and (piece := _joined(piece, pieces)):
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), places


def _would_join_digits(pieces: list[str], raised: LexborNode) -> bool:
    """Whether `51<sup>77</sup>` would become 5177."""
    return bool(pieces) and pieces[-1][-1:].isdigit() and _first_character(raised).isdigit()


def _first_character(node: LexborNode) -> str:
    """Of the text below an element; empty where there is none."""
    pending = [node.first_child]
    while pending:
        below = pending.pop()
        if below is None:
            continue
        if text := below.text_content:
            return text[:1]
        pending += [below.next, below.first_child]
    return ""
