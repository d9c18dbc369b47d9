"""Selectors in time that grows with the page alone, for pages on which Lexbor's would explode.

Lexbor tries every combination of ancestors for `a b c d`, counts siblings anew for every `:nth-child`, and walks them
for every `~`. What was measured: `section div div p` takes 27 s on a hundred `<p>` that stand 900 levels deep, and
`li:nth-child(2)` 14 s on 100,000 siblings. A stranger writes the page, so a stranger would choose how long an
author's innocent selector takes.

Here a selector is cut into compounds (`div.x[y]`), which Lexbor answers for the whole page in linear time; the rest
is arithmetic on sets of positions: who has a parent, an ancestor, an earlier sibling in that set. `Effort` says what
a selector would cost in Lexbor at worst; only beyond `PATIENCE` is it answered here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import comb
from typing import Final, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

__all__ = ["Effort", "Elements", "Shape", "Slow", "effort_of"]

#: Seconds that Lexbor may need at worst before a selector is answered here.
PATIENCE: Final = 0.01
#: Seconds of one step of Lexbor: to an ancestor, to a sibling.
CLIMB, COUNT = 6e-9, 1.8e-9
#: Elements of a page on which two steps back and forth are no matter, so that its shape need not be known.
FEW: Final = 400
HARMLESS_CLIMBS: Final = 2
#: Steps beyond which a selector is as dear as can be; and functions in one another that are looked into.
MOST, NESTED = 12, 20

_TOKEN = re.compile(
    r"""
      (?P<comment>/\*.*?\*/)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<bracket>\[(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.|[^\]"'\\])*\])
    | (?P<function>::?(?:[\w-]|\\.)+\()
    | (?P<combinator>\s*[>+~]\s*|\s+)
    | (?P<comma>\s*,\s*)
    | (?P<other>\\.|[^\s>+~,()\[\]"':\\/]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NTH = re.compile(
    r"\s*(?:(?P<odd>odd)|(?P<even>even)|(?P<a>[+-]?\d*)n(?:\s*(?P<sign>[+-])\s*(?P<b>\d+))?|(?P<only>[+-]?\d+))\s*",
    re.IGNORECASE,
)
_COUNTED = {":nth-child(", ":nth-last-child(", ":nth-of-type(", ":nth-last-of-type("}
_ALTERNATIVES = {":is(", ":where(", ":not("}


# ------------------------------------------------------------------------------- what a selector is made of


@dataclass(frozen=True, slots=True)
class Nth:
    """`:nth-child(an+b of …)` and its kin: `last` counts from the end, `alike` those of one name only."""

    a: int
    b: int
    last: bool
    alike: bool
    of: tuple[Chain, ...] = ()

    def takes(self, number: int) -> bool:
        """Whether the element with this number, from 1, is meant."""
        if self.a == 0:
            return number == self.b
        steps, rest = divmod(number - self.b, self.a)
        return rest == 0 and steps >= 0


@dataclass(frozen=True, slots=True)
class Either:
    """`:is(…)`; or `:not(…)`, then `negated`."""

    chains: tuple[Chain, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Has:
    """`:has(…)`: each chain begins with a combinator."""

    chains: tuple[Chain, ...]


Condition = Nth | Either | Has


@dataclass(frozen=True, slots=True)
class Compound:
    """What stands between combinators: a selector for Lexbor, and the conditions that are left for us."""

    plain: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Compounds with the combinator before each; that of the first is empty, but in `:has()`."""

    links: tuple[tuple[str, Compound], ...]


class _Odd(Exception):
    """A selector in a form that is not known here."""


class _Parser:
    """Cuts a selector that Lexbor has accepted."""

    def __init__(self, css: str) -> None:
        self._tokens = list(_TOKEN.finditer(css))
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Chain, ...]:
        chains = self._chains(relative=False)
        if self._at < len(self._tokens):
            raise _Odd
        return chains

    def _chains(self, *, relative: bool) -> tuple[Chain, ...]:
        self._depth += 1
        if self._depth > NESTED:
            raise _Odd
        chains = [self._chain(relative)]
        while self._kind() == "comma":
            self._at += 1
            chains.append(self._chain(relative))
        self._depth -= 1
        return tuple(chains)

    def _chain(self, relative: bool) -> Chain:
        links: list[tuple[str, Compound]] = []
        combinator = " " if relative else ""
        self._skip_comments()
        if self._kind() == "combinator":  # leading white space; in :has() also > + ~
            mark = self._take().strip()
            if mark and not relative:
                raise _Odd
            combinator = mark or combinator
        while True:
            links.append((combinator, self._compound()))
            self._skip_comments()
            combinator = ""
            while self._kind() in {"combinator", "comment"}:
                if self._kind() == "combinator":
                    combinator = self._tokens[self._at][0].strip() or combinator or " "
                self._at += 1
            if not combinator or self._is_over():
                return Chain(tuple(links))

    def _is_over(self) -> bool:
        return self._at >= len(self._tokens) or self._kind() == "comma" or self._tokens[self._at][0] == ")"

    def _compound(self) -> Compound:
        plain: list[str] = []
        conditions: list[Condition] = []
        while not self._is_over() and self._kind() != "combinator":
            token = self._tokens[self._at]
            if token["function"] is None:
                self._at += 1
                plain.append("" if token["comment"] else token[0])
                continue
            condition = self._condition(token[0].lower())
            if condition is None:
                plain.append(self._verbatim())
            elif isinstance(condition, str):
                plain.append(condition)
            else:
                conditions.append(condition)
        if not plain and not conditions:
            raise _Odd
        return Compound("".join(plain) or "*", tuple(conditions))

    def _condition(self, name: str) -> Condition | str | None:
        """The condition a function stands for; what stands there where Lexbor may do it; None for a function
        of another kind.
        """
        if name in _COUNTED:
            self._at += 1
            return self._nth(name)
        if name not in _ALTERNATIVES and name != ":has(":
            return None
        began, relative = self._at, name == ":has("
        self._at += 1
        chains = self._chains(relative=relative)
        self._close()
        if name == ":has(":
            return Has(chains)
        if all(len(chain.links) == 1 and not chain.links[0][1].conditions for chain in chains):
            return "".join(token[0] for token in self._tokens[began : self._at])
        return Either(chains, negated=name == ":not(")

    def _nth(self, name: str) -> Nth:
        written = ""
        while not self._is_over() and self._tokens[self._at][0].strip().lower() != "of":
            written += self._take()
        of: tuple[Chain, ...] = ()
        if not self._is_over():
            self._at += 1
            of = self._chains(relative=False)
        self._close()
        match = _NTH.fullmatch(written)
        if match is None:
            raise _Odd
        a, b = _numbers(match)
        return Nth(a, b, "last" in name, "of-type" in name, of)

    def _verbatim(self) -> str:
        """A function with all it encloses."""
        text, depth = self._take(), 1
        while depth:
            if self._at >= len(self._tokens):
                raise _Odd
            token = self._tokens[self._at]
            depth += (token["function"] is not None or token[0] == "(") - (token[0] == ")")
            text += self._take()
        return text

    def _kind(self) -> str | None:
        return self._tokens[self._at].lastgroup if self._at < len(self._tokens) else None

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _skip_comments(self) -> None:
        while self._kind() == "comment":
            self._at += 1

    def _close(self) -> None:
        while self._kind() in {"combinator", "comment"}:
            self._at += 1
        if self._at >= len(self._tokens) or self._take() != ")":
            raise _Odd


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    if match["odd"]:
        return 2, 1
    if match["even"]:
        return 2, 0
    if match["only"]:
        return 0, int(match["only"])
    a = match["a"]
    return int(a + "1" if a in {"", "+", "-"} else a), int(f"{match['sign']}{match['b']}") if match[
        "b"
    ] else 0


# ------------------------------------------------------------------------------- what it costs


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
        chains = _Parser(css).whole()
    except _Odd:
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


# ------------------------------------------------------------------------------- the answer


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
