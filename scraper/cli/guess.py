"""A guess at what a page lists: its largest group of like blocks, the fields of a block, the link to the next page.

Nothing here knows a site. What counts: how many siblings are alike, how much they say, how alike they are inside.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log2
from statistics import median
from typing import Final

from scraper.errors import BadValue
from scraper.page import Node, Page

__all__ = ["Block", "guess_block", "guess_next"]

#: Elements looked at; the beginning of a huge page is enough.
MOST: Final = 10_000
#: Siblings that make a group, and members of a group that are looked into.
LEAST, SAMPLE = 3, 20
#: Characters of a block that count: beyond it more text is no better sign of a listing.
LONG: Final = 200
#: Share of the blocks that must have a field.
COMMON: Final = 0.6
FIELDS: Final = 8
CLASS: Final = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
PRICE: Final = re.compile(r"(?:[$£€¥₹]|\b(?:USD|EUR|GBP|CHF|kr)\b)")
NEXT: Final = re.compile(r"(?:next|weiter|suivant|siguiente|older)\b.*|[›»→>]+", re.IGNORECASE)
#: What a person presses or a browser runs is no content.
SILENT: Final = frozenset(
    {"button", "input", "label", "option", "script", "select", "style", "template", "noscript"}
)
HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True, slots=True)
class Block:
    """What repeats on a page: its selector, how often it matches, and code for each field of `block`."""

    selector: str
    count: int
    fields: dict[str, str]


def guess_block(page: Page) -> Block | None:
    """The block a page probably lists; None when nothing on it repeats."""
    best: list[Node] = []
    most = 0.0
    for group in _groups(page):
        if (score := _score(group)) > most:
            best, most = group, score
    if not best:
        return None
    members = _innermost(best)
    selector = _selector(members)
    return Block(selector, len(page.css(selector)), _fields(members[:SAMPLE]))


def guess_next(page: Page) -> str | None:
    """A selector of the link to the page after this one."""
    for selector in (
        "a[rel=next]",
        "li.next a",
        "a.next",
        ".next a",
        ".pagination-next a",
        "a.pagination-next",
    ):
        if page.has(selector):
            return selector
    for link in page.css("a[accesskey][href], a[aria-label][href]"):
        if NEXT.fullmatch(link.text()) or NEXT.fullmatch(link.attr("aria-label", default="")):
            name = "accesskey" if link.attr("accesskey", default="") else "aria-label"
            return f"a[{name}={json.dumps(link.attr(name), ensure_ascii=False)}]"
    return None


# ------------------------------------------------------------------------------------------- groups


def _groups(page: Page) -> Iterator[list[Node]]:
    """Siblings of one tag, and of one tag and class; those of a class come first, so that they win a tie."""
    body = page.first("body")
    waiting, looked = [body] if body is not None else [], 0
    while waiting and looked < MOST:
        children = [child for child in waiting.pop(0).children if child.tag not in SILENT]
        looked += len(children)
        waiting += children
        if len(children) < LEAST:
            continue
        kinds: dict[tuple[str, str], list[Node]] = {}
        for child in children:
            for name in (*_classes(child), ""):
                kinds.setdefault((child.tag, name), []).append(child)
        yield from (kinds[kind] for kind in sorted(kinds, key=lambda kind: not kind[1]))


def _score(group: list[Node]) -> float:
    """How much a group looks like a listing; 0 for one whose members lack text or a link."""
    members = [node for node in group[:SAMPLE] if node.text() and (node.tag == "a" or node.has("a[href]"))]
    if len(members) < LEAST or len(members) < COMMON * len(group[:SAMPLE]):
        return 0.0
    length = min(median(len(node.text()) for node in members), LONG)
    links = max(1, median(len(node.css("a[href]")) for node in members))  # a list of lists has many
    shapes = [_shape(node) for node in members]
    richness = 1 + log2(1 + median(len(shape) for shape in shapes))  # a menu's entries are a link each
    return len(group) * length / links * richness * _likeness(shapes) ** 2


def _shape(node: Node) -> frozenset[str]:
    """The tags and classes inside an element."""
    return frozenset(f"{inner.tag}.{'.'.join(_classes(inner))}" for inner in node.css("*"))


def _likeness(shapes: Sequence[frozenset[str]]) -> float:
    """The mean share of what each shape has in common with the first, from 0 to 1."""
    first = shapes[0]
    shares = [len(first & shape) / len(first | shape) if first | shape else 1.0 for shape in shapes]
    return sum(shares) / len(shares)


def _classes(node: Node) -> list[str]:
    """The classes that can stand in a selector as they are."""
    return [name for name in node.attr("class", default="").split() if CLASS.fullmatch(name)]


def _innermost(members: list[Node]) -> list[Node]:
    """Through wrappers, down to where a block begins: `li > article.product` is the article."""
    while True:
        inner = [node.children for node in members]
        kinds = {(nodes[0].tag, *_classes(nodes[0])) for nodes in inner if len(nodes) == 1}
        if len(kinds) != 1 or any(len(nodes) != 1 for nodes in inner) or inner[0][0].tag == "a":
            return members
        if len(next(iter(kinds))) < 2:  # without a class it names less than what is around it
            return members
        members = [nodes[0] for nodes in inner]


def _selector(members: list[Node]) -> str:
    """What selects these elements: tag and class, or the nearest element around them that has one."""
    common = Counter(name for node in members for name in _classes(node))
    first = members[0]
    own = next((name for name, count in common.most_common() if count == len(members)), "")
    if own:
        return f"{first.tag}.{own}"
    around = first.parent
    while around is not None:
        if classes := _classes(around):
            return f"{around.tag}.{classes[0]} {first.tag}"
        around = around.parent
    return f"{first.parent.tag} > {first.tag}" if first.parent is not None else first.tag


# ------------------------------------------------------------------------------------------- fields


def _fields(members: list[Node]) -> dict[str, str]:
    """Code that reads each field of a block, by the field's name. Every reader has a default: pages differ."""
    fields: dict[str, str] = {}
    if (title := _title(members)) is not None:
        fields["title"] = title
    for name, code in _classed(members):
        if len(fields) < FIELDS and code not in fields.values():
            fields.setdefault(name, code)
    if not fields:
        link = "" if members[0].tag == "a" else '"a", '
        fields["text"] = f"block.text({link}default=None)"
    if members[0].tag == "a":
        fields["url"] = 'block.attr("href", default=None)'
    else:
        heading = next((tag for tag in HEADINGS if _often(members, f"{tag} a[href]")), "")
        fields["url"] = f'next(iter(block.links("{f"{heading} a".strip()}")), None)'
    return fields


def _often(members: list[Node], selector: str) -> bool:
    return sum(node.has(selector) for node in members) >= COMMON * len(members)


def _differ(values: Iterable[str]) -> bool:
    """Whether a field says something: what is the same everywhere is a caption."""
    return len(set(values)) > 1


def _title(members: list[Node]) -> str | None:
    """A heading, or the first link whose text differs; with its title attribute, where the text is cut short."""
    for selector in (*HEADINGS, "a"):
        if not _often(members, selector):
            continue
        link = selector if selector == "a" else f"{selector} a"
        whole = [node.attr(link, "title", default="") for node in members]
        if all(whole) and _differ(whole):
            return f'block.attr("{link}", "title", default=None)'
        if _differ(node.text(selector, default="") for node in members):
            return f'block.text("{selector}", default=None)'
    return None


def _classed(members: list[Node]) -> Iterator[tuple[str, str]]:
    """Elements with a class and text of their own: a field each, a list where a block has several."""
    counts: Counter[tuple[str, str]] = Counter()
    texts: dict[tuple[str, str], list[str]] = {}
    for member in members:
        seen: dict[tuple[str, str], None] = {}  # in the order of the page
        for node in member.css("*"):
            if (names := _classes(node)) and node.tag not in SILENT and _says(node):
                seen[node.tag, names[0]] = None
                texts.setdefault((node.tag, names[0]), []).append(node.text())
        counts.update(seen.keys())
    for (tag, name), count in counts.items():
        values = texts[tag, name]
        if count >= COMMON * len(members):
            selector = f'"{tag}.{name}"'
            key = "price" if "price" in name.lower() else re.sub(r"\W+", "_", name).strip("_").lower()
            if len(values) > 1.2 * count:
                yield f"{key.removesuffix('s')}s", f"block.texts({selector})"
            elif all(map(PRICE.search, values)) and _are_prices(members, f"{tag}.{name}"):
                yield key, f"block.decimal({selector}, default=None)"
            else:
                yield key, f"block.text({selector}, default=None)"


def _says(node: Node) -> bool:
    """Whether an element has text that is not its children's, and is not the caption of a list."""
    children = sum(len(child.text().replace(" ", "")) for child in node.children)
    return len(node.text().replace(" ", "")) > children and len(node.css("[class]")) < 2


def _are_prices(members: list[Node], selector: str) -> bool:
    try:
        return all(node.decimal(selector, default=None) is not None for node in members if node.has(selector))
    except BadValue:
        return False
