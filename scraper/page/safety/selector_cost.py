"""What a selector may cost in Lexbor on a page made for that, from the selector and the shape of the tree.

Lexbor tries every combination of ancestors for `a b c d`, counts siblings anew for every `:nth-child`, and walks them
for every `~`. What was measured: `section div div p` takes 27 s on a hundred `<p>` that stand 900 levels deep, and
`li:nth-child(2)` 14 s on 100,000 siblings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from math import comb
from typing import Final, NamedTuple

from selectolax.lexbor import LexborNode

from scraper.page.css_parts import Chain, Has, Nth, Parser, Unknown

__all__ = ["Effort", "Shape", "effort_of"]

#: Seconds of one step of Lexbor: to an ancestor, to a sibling.
CLIMB, COUNT = 6e-9, 1.8e-9
HARMLESS_CLIMBS: Final = 2
#: Steps beyond which a selector is as dear as can be.
MOST: Final = 12


@dataclass(slots=True)
class Shape:
    """How a tree is built: elements on each level, siblings at most on each level."""

    levels: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    #: For all elements together: how many siblings they have.
    beside: int = 0

    @classmethod
    def of(cls, root: LexborNode) -> Shape:
        """0.2 µs an element, without recursion."""
        shape, level = cls(), [root]
        width = beside = 1
        while level:
            shape.levels.append(len(level))
            shape.widths.append(width)
            shape.beside += beside
            below, width, beside = [], 0, 0
            for node in level:
                children = list(node.iter(include_text=False))
                count = len(children)
                if count:
                    below += children
                    beside += count * count
                    width = max(width, count)
            level = below
        return shape


@dataclass(frozen=True, slots=True)
class Effort:
    """What makes a selector dear: `climbs` to any ancestor, steps `beside` to any sibling, `counts` of siblings at the last
    compound, and `early` ones before it, each with the climbs it takes to get there.
    """

    chains: tuple[Chain, ...]
    climbs: int
    beside: int
    counts: int
    early: tuple[int, ...]

    @property
    def is_harmless(self) -> bool:
        """Whether a page of few elements may be asked without a look at its shape."""
        return self.climbs <= HARMLESS_CLIMBS and self.beside <= 1

    def seconds(self, page: Shape, part: Shape | None = None) -> float:
        """At worst, in Lexbor: on a page, or below one node of it, a `part` whose place is not known."""
        shape, above = (page, 0) if part is None else (part, len(page.levels))
        path = sum(page.widths)
        climbing = counting = 0.0
        for level, count in enumerate(shape.levels, above):
            climbing += count * comb(level, self.climbs)
            counting += sum(count * comb(level, climbs - 1) * path for climbs in self.early)
        widest = float(max(page.widths)) ** self.beside
        return widest * (climbing * CLIMB + counting * COUNT) + self.counts * shape.beside * COUNT


@lru_cache(maxsize=4_096)
def effort_of(css: str) -> Effort | None:
    """What a selector that Lexbor accepts may cost; None where that is never much: names, classes, attributes, `>`, `+`
    and one step to any ancestor.
    """
    try:
        chains = Parser(css).whole()
    except Unknown:
        return None
    cost = _cost(chains)
    if cost.climbs <= 1 and not (cost.beside or cost.counts or cost.early):
        return None
    early = tuple(min(climbs, MOST) for climbs in cost.early[:MOST])
    return Effort(chains, min(cost.climbs, MOST), min(cost.beside, MOST), cost.counts, early)


class _Cost(NamedTuple):
    climbs: int = 0
    beside: int = 0
    counts: int = 0
    early: tuple[int, ...] = ()


def _cost(chains: Iterable[Chain]) -> _Cost:
    """The dearest of several, thing by thing."""
    costs = [_cost_of(chain) for chain in chains]
    return _Cost(
        max((cost.climbs for cost in costs), default=0),
        max((cost.beside for cost in costs), default=0),
        max((cost.counts for cost in costs), default=0),
        tuple(climbs for cost in costs for climbs in cost.early),
    )


def _cost_of(chain: Chain) -> _Cost:
    climbs = beside = counts = 0
    early: list[int] = []
    for place, (combinator, compound) in reversed(list(enumerate(chain.links))):
        there, is_last = climbs, place == len(chain.links) - 1
        for condition in compound.conditions:
            if isinstance(condition, Nth):
                inner = _cost(condition.of)
                counts += is_last
                beside += bool(condition.of)
                if not is_last:
                    early.append(max(1, there))
            else:
                inner = _cost(condition.chains)
                climbs += isinstance(condition, Has)
            climbs, beside = climbs + inner.climbs, beside + inner.beside
            early += [max(1, climbs + up) for up in (*inner.early, *[0] * inner.counts)]
        climbs += combinator == " "
        beside += combinator == "~"
    return _Cost(climbs, beside, counts, tuple(early))
