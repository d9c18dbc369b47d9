"""A page as Markdown: headings, paragraphs, lists, links, tables, code; what a reader of the page would miss."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborNode

from scraper.page.document import attribute_of
from scraper.page.text import text_of

__all__ = ["markdown_of"]

_ONLY_MARKS = re.compile(r"[*`\s]+")

_SKIPPED = frozenset({"script", "style", "template", "head", "noscript", "svg", "iframe"})
_BLOCK_NAMES = (
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer "
    "form header legend li main nav ol p section summary ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_HEADINGS = {f"h{n}": "#" * n + " " for n in range(1, 7)}
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`"}
#: Stands for a line break until white space was collapsed.
_BREAK = "\0"


def markdown_of(root: LexborNode, absolute: Callable[[str], str | None]) -> str:
    """The content below `root`; `absolute` makes the URL of a link, None where it leads nowhere."""
    writer = _Writer(absolute)
    for node, entering in _walk(root, writer.takes):
        if node.is_text_node:
            writer.line.append(node.text_content or "")
        elif entering:
            writer.enter(node)
        else:
            writer.leave(node)
    writer.end_block()
    return writer.joined()


def _walk(root: LexborNode, takes: Callable[[LexborNode], bool]) -> Iterator[tuple[LexborNode, bool]]:
    """Every node below `root`, elements twice: before and after what is in them. However deep, without recursion.

    What `takes` answers True for is not walked into.
    """
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        if entering and node.is_element_node:
            if takes(node):
                continue
            stack.append((node, False))
            stack += [(child, True) for child in reversed(list(node.iter(include_text=True)))]
        yield node, entering


class _Writer:
    """What is written so far. `line` is the block under way, before white space is collapsed."""

    def __init__(self, absolute: Callable[[str], str | None]) -> None:
        self._absolute = absolute
        self._blocks: list[tuple[str, bool]] = []
        self._lists: list[str] = []
        self._links: list[int] = []
        self._quotes = 0
        self._prefix = ""
        self.line: list[str] = []

    def takes(self, node: LexborNode) -> bool:
        """Whether an element was dealt with as a whole."""
        tag = node.tag
        if tag == "pre":
            self.end_block()
            self._add(f"```\n{node.text(deep=True).strip(chr(10))}\n```")
        elif tag == "table" and node.css_first("table table") is None:
            self.end_block()
            self._add(_table(node))
        elif tag not in _SKIPPED:
            return False
        return True

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _HEADINGS or tag in _BLOCKS:
            self.end_block()
            self._prefix = _HEADINGS.get(tag, self._prefix)
        if tag == "li":
            mark = "1. " if self._lists and self._lists[-1] == "ol" else "- "
            self._prefix = "  " * max(0, len(self._lists) - 1) + mark
        elif tag in {"ul", "ol"}:
            self._lists.append(tag)
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "a":
            self._links.append(len(self.line))
        elif tag == "br":
            self.line.append(_BREAK)
        elif tag == "hr":
            self.end_block()
            self._add("---")
        elif tag == "img" and (url := self._absolute(attribute_of(node, "src") or "")):
            self.line.append(f"![{attribute_of(node, 'alt') or ''}]({url})")
        elif tag in _MARKS:
            self.line.append(_MARKS[tag])

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _HEADINGS or tag in _BLOCKS:
            self.end_block()
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag == "a" and self._links:
            self._link(node, self._links.pop())
        elif tag in _MARKS and self.line and self.line[-1] == _MARKS[tag]:
            self.line.pop()  # nothing between
        elif tag in _MARKS:
            self.line.append(_MARKS[tag])

    def _link(self, node: LexborNode, since: int) -> None:
        text = "".join(self.line[since:])
        url = self._absolute(attribute_of(node, "href") or "") if text.strip() else None
        if url is not None:
            self.line[since:] = [f"[{text.strip()}]({url})"]

    def end_block(self) -> None:
        text = " ".join("".join(self.line).split()).replace(f" {_BREAK}", _BREAK).replace(_BREAK, "  \n")
        self.line.clear()
        if text.strip() and not _ONLY_MARKS.fullmatch(text):
            self._add(self._prefix + text, in_list=bool(self._lists))
            self._prefix = " " * len(self._prefix) if self._lists else ""
        elif not self._lists:
            self._prefix = ""

    def _add(self, text: str, *, in_list: bool = False) -> None:
        quoted = "> " * self._quotes
        self._blocks.append(("\n".join(quoted + line for line in text.split("\n")), in_list))

    def joined(self) -> str:
        """All blocks; those of one list stand close together."""
        made = ""
        for index, (text, in_list) in enumerate(self._blocks):
            if index:
                made += "\n" if in_list and self._blocks[index - 1][1] else "\n\n"
            made += text
        return made


def _table(node: LexborNode) -> str:
    rows = [[text_of(cell).replace("|", "\\|") for cell in row.css("td, th")] for row in node.css("tr")]
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])
