"""Selectors in time that grows with the page alone, for pages on which Lexbor's would explode.

A stranger writes the page, so a stranger would choose how long an author's innocent selector takes. Here a selector
is cut into compounds (`div.x[y]`), which Lexbor answers for the whole page in linear time; the rest is arithmetic on
sets of positions: who has a parent, an ancestor, an earlier sibling in that set. Only a selector that might take Lexbor
longer than `PATIENCE` is answered here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from scraper.page.css_parts import Chain, Compound, Either, Has, Nth
from scraper.page.safety.selector_cost import Effort, Shape

__all__ = ["PATIENCE", "Elements", "Slow"]

#: Seconds that Lexbor may need at worst before a selector is answered here.
PATIENCE: Final = 0.01
#: Elements of a page on which two steps back and forth are no matter, so that its shape need not be known.
FEW: Final = 400


class Elements:
    """The elements of a page by position, in document order, and what selectors match among them.

    Built when a selector first needs it, 0.5 µs an element; each answer takes about 0.2 µs an element and part, and
    is remembered. No single call into C takes longer than the selector `*` does.
    """

    def __init__(self, root: LexborNode) -> None:
        self._root = root
        self._nodes: list[LexborNode] = root.css("*")
        self._place = {node.mem_id: place for place, node in enumerate(self._nodes)}
        self._parents: list[int] = []
        for node in self._nodes:
            above = node.parent
            self._parents.append(-1 if above is None else self._place.get(above.mem_id, -1))
        self._found: dict[str, list[int]] = {}

    def knows(self, css: str) -> bool:
        """Whether a selector was answered before."""
        return css in self._found

    def select(self, css: str, effort: Effort, own: LexborNode | None) -> list[LexborNode]:
        """What matches below `own`, or on the whole page, in document order, each once."""
        found = self._found.get(css)
        if found is None:
            found = self._found[css] = self._matching(effort.chains)
        if own is None:
            return [self._nodes[place] for place in found]
        at = self._place[own.mem_id]
        first = bisect_left(found, at + 1)
        return [self._nodes[place] for place in found[first : bisect_left(found, self._end(at))]]

    def _end(self, at: int) -> int:
        """The position after the last element below one."""
        parents, end = self._parents, at + 1
        while end < len(parents) and parents[end] >= at:
            end += 1
        return end

    def _matching(self, chains: Sequence[Chain]) -> list[int]:
        if len(chains) == 1:
            return self._chain(chains[0])
        together: set[int] = set()
        for chain in chains:
            together.update(self._chain(chain))
        return sorted(together)

    def _chain(self, chain: Chain) -> list[int]:
        found = self._compound(chain.links[0][1])
        for combinator, compound in chain.links[1:]:
            ok = self._after(combinator, set(found))
            found = [place for place in self._compound(compound) if ok(place)]
        return found

    def _compound(self, compound: Compound) -> list[int]:
        """The positions a compound matches, in order."""
        place = self._place
        found = [place[node.mem_id] for node in self._root.css(compound.plain) if node.mem_id in place]
        if "," in compound.plain:  # a list in :is(): Lexbor may report an element once per branch
            found = sorted(set(found))
        for condition in compound.conditions:
            if isinstance(condition, Nth):
                numbers = self._numbers(condition)
                found = [p for p in found if numbers[p] and condition.takes(numbers[p])]
            elif isinstance(condition, Either):
                those = set(self._matching(condition.chains))
                found = [p for p in found if (p in those) is not condition.negated]
            else:
                having = self._having(condition)
                found = [p for p in found if p in having]
        return found

    def _after(self, combinator: str, before: set[int]) -> Callable[[int], bool]:
        """Whether an element stands to one of `before` as a combinator says."""
        parents = self._parents
        if combinator == ">":
            return lambda place: parents[place] in before
        if combinator == " ":
            below = bytearray(len(parents))
            for place, parent in enumerate(parents):
                if parent >= 0 and (below[parent] or parent in before):
                    below[place] = 1
            return lambda place: bool(below[place])
        ok = bytearray(len(parents))
        if combinator == "+":
            latest: dict[int, int] = {}
            for place, parent in enumerate(parents):
                ok[place] = latest.get(parent, -1) in before
                latest[parent] = place
        else:
            seen: set[int] = set()
            for place, parent in enumerate(parents):
                ok[place] = parent in seen
                if place in before:
                    seen.add(parent)
        return lambda place: bool(ok[place])

    def _having(self, has: Has) -> set[int]:
        """The elements of which `:has()` is true, found from what it asks for backwards."""
        together: set[int] = set()
        for chain in has.chains:
            links = chain.links
            found = set(self._compound(links[-1][1]))
            for place in range(len(links) - 1, -1, -1):
                before = self._before(links[place][0], found)
                found = before if place == 0 else before.intersection(self._compound(links[place - 1][1]))
            together |= found
        return together

    def _before(self, combinator: str, after: set[int]) -> set[int]:
        """The elements that some of `after` stands to as a combinator says."""
        parents = self._parents
        if combinator == ">":
            return {parents[place] for place in after}
        if combinator == " ":
            above: set[int] = set()
            for place in after:
                parent = parents[place]
                while parent >= 0 and parent not in above:
                    above.add(parent)
                    parent = parents[parent]
            return above
        found: set[int] = set()
        if combinator == "+":
            latest: dict[int, int] = {}
            for place, parent in enumerate(parents):
                if place in after and parent in latest:
                    found.add(latest[parent])
                latest[parent] = place
        else:
            later: set[int] = set()
            for place in range(len(parents) - 1, -1, -1):
                if parents[place] in later:
                    found.add(place)
                if place in after:
                    later.add(parents[place])
        return found

    def _numbers(self, nth: Nth) -> list[int]:
        """The number of each element among its siblings, from 1; 0 for one that is not counted."""
        parents = self._parents
        counted = set(self._matching(nth.of)) if nth.of else None
        numbers = [0] * len(parents)
        so_far: dict[tuple[int, int], int] = {}
        places = range(len(parents) - 1, -1, -1) if nth.last else range(len(parents))
        for place in places:
            if counted is not None and place not in counted:
                continue
            key = (parents[place], self._nodes[place].tag_id if nth.alike else 0)
            numbers[place] = so_far[key] = so_far.get(key, 0) + 1
        return numbers


class Slow:
    """Which selectors of one page are answered here, and by what. Looks at the page no more than it must."""

    __slots__ = ("_elements", "_few", "_late", "_root", "_shape")

    def __init__(self, root: LexborNode) -> None:
        self._root = root
        self._few: bool | None = None
        self._shape: Shape | None = None
        self._elements: Elements | None = None
        self._late: dict[str, bool] = {}

    def select(self, css: str, effort: Effort, own: LexborNode | None) -> list[LexborNode] | None:
        """What a selector matches; None where Lexbor is quick enough. `css` is known to be valid, or refused by Lexbor."""
        if self._few is None:
            self._few = sum(1 for _ in islice(self._root.traverse(include_text=False), FEW + 1)) <= FEW
        if (self._few and effort.is_harmless) or not self._is_late(css, effort, own) or not _is_valid(css):
            return None
        if self._elements is None:
            self._elements = Elements(self._root)
        return self._elements.select(css, effort, own)

    def _is_late(self, css: str, effort: Effort, own: LexborNode | None) -> bool:
        late = self._late.get(css)
        if self._shape is None:
            self._shape = Shape.of(self._root)
        if late is None:
            late = self._late[css] = effort.seconds(self._shape) > PATIENCE
        if not late or own is None or (self._elements is not None and self._elements.knows(css)):
            return late
        return effort.seconds(self._shape, Shape.of(own)) > PATIENCE


@lru_cache(maxsize=4_096)
def _is_valid(css: str) -> bool:
    try:
        LexborHTMLParser("").css_first(css)
    except SelectolaxError:
        return False
    return True
