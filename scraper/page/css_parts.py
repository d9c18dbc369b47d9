"""Selectors taken apart: compounds that Lexbor answers by itself, and what stands between and inside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Chain", "Compound", "Condition", "Either", "Has", "Nth", "Parser", "Unknown"]

#: Functions in one another that are looked into.
NESTED: Final = 20

#: What is left open reaches to the end: then the selector is none, and another than this one says so.
_TOKEN = re.compile(
    r"""
      (?P<comment>/\*(?:[^*]|\*(?!/))*(?:\*/)?)
    | (?P<string>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)
    | (?P<bracket>\[(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\\.|[^\]"'\\])*\]?)
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


class Unknown(Exception):
    """A selector in a form that is not known here."""


class Parser:
    """Cuts a selector that Lexbor has accepted."""

    def __init__(self, css: str) -> None:
        self._tokens = list(_TOKEN.finditer(css))
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Chain, ...]:
        chains = self._chains(relative=False)
        if self._at < len(self._tokens):
            raise Unknown
        return chains

    def _chains(self, *, relative: bool) -> tuple[Chain, ...]:
        self._depth += 1
        if self._depth > NESTED:
            raise Unknown
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
                raise Unknown
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
            raise Unknown
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
            raise Unknown
        a, b = _numbers(match)
        return Nth(a, b, "last" in name, "of-type" in name, of)

    def _verbatim(self) -> str:
        """A function with all it encloses."""
        text, depth = self._take(), 1
        while depth:
            if self._at >= len(self._tokens):
                raise Unknown
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
            raise Unknown


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
