"""CSS selectors as people type them: the suffixes of Scrapy, and errors that point at the place.

Lexbor compiles selectors (CSS Selectors Level 4, as far as a page without a browser has an answer) but says
only that it cannot. What it takes without complaint although it is a slip of the keyboard is refused here: a
bracket or quote that is never closed, a NUL, `||`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from scraper.errors import BadSelector
from scraper.page.safety.selector_cost import Effort, effort_of

__all__ = ["Selector", "bad_selector", "compile_selector"]

#: Longer ones are no work of a person; Lexbor's time grows with the length.
MAX_LENGTH = 2_000

_SUFFIX = re.compile(r"::(?:text|attr\(\s*([^\s()\"']+)\s*\))\s*\Z")
_TOKEN = re.compile(
    r"""
      (?P<comment>/\*[^*]*(?:\*(?!/)[^*]*)*(?P<uncommented>\*/)?)
    | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*(?P<double>")?|'[^'\\]*(?:\\.[^'\\]*)*(?P<single>')?)
    | (?P<name>[\w-]+(?:\\.[\w-]*)*|(?:\\.[\w-]*)+)
    | (?P<space>[ \t\r\n\f]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector split into what Lexbor gets and what is read from a match.

    `css` is empty for a lone suffix, which means the element itself. `text` and `attribute` say which suffix
    it had; with neither, a match means its text. `several` marks a list (`a, b`), for which Lexbor reports an
    element once per branch it matches. `effort` says what it may cost on a page made to be dear; None for most.
    """

    css: str
    text: bool = False
    attribute: str | None = None
    several: bool = False
    effort: Effort | None = None

    @property
    def suffix(self) -> str:
        return "::text" if self.text else f"::attr({self.attribute})" if self.attribute else ""


@lru_cache(maxsize=4_096)
def compile_selector(sel: str) -> Selector:
    """Split off `::text` or `::attr(name)` and refuse what Lexbor would silently accept.

    Raises BadSelector. Whether the rest is valid CSS shows when it is first used.
    """
    suffix = _SUFFIX.search(sel) if "::" in sel else None
    css = sel[: suffix.start()].rstrip() if suffix else sel
    if css or not suffix:
        _refuse_slips(sel, css)
    return Selector(
        css,
        text=suffix is not None and suffix[1] is None,
        attribute=suffix[1] if suffix else None,
        several="," in css,
        effort=effort_of(css) if css else None,
    )


def bad_selector(sel: str) -> BadSelector:
    """The error for a selector Lexbor refused, its caret under the first character that cannot be right."""
    place, hint = _explain(compile_selector(sel).css)
    return _error(sel, place, hint)


def _error(sel: str, place: int, hint: str) -> BadSelector:
    shown, at = _visible(sel), len(_visible(sel[:place]))
    if len(shown) > 200:
        start = max(0, at - 100)
        shown, at = shown[start : start + 200], at - start
    head = 'bad CSS selector "'
    return BadSelector(f'{head}{shown}"\n{" " * (len(head) + at)}^ {hint}', sel)


def _visible(text: str) -> str:
    """Text on one line: what has no shape of its own is written as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# ------------------------------------------------------------------------------- accepted, but never meant


def _refuse_slips(sel: str, css: str) -> None:
    if not css.strip():
        raise _error(sel, 0, "a selector cannot be empty")
    if len(css) > MAX_LENGTH:
        raise _error(sel, MAX_LENGTH, f"a selector has at most {MAX_LENGTH:,} characters")
    if (slip := _slip(css)) is not None:
        raise _error(sel, *slip)


def _slip(css: str) -> tuple[int, str] | None:
    """Where a selector holds what Lexbor accepts without complaint, and why it is no good."""
    open_at: list[int] = []
    for token in _TOKEN.finditer(css):
        text, at = token[0], token.start()
        if token["string"] and not (token["double"] or token["single"]):
            return at, f"no {text[0]} closes this quote"
        if token["comment"] and not token["uncommented"]:
            return at, "no */ closes this comment"
        if text == "\0" or "\ud800" <= text[0] <= "\udfff":
            return at, f"{text[0]!a} cannot stand in a selector"
        if text in _CLOSES:
            open_at.append(at)
        elif open_at and text == _CLOSES[css[open_at[-1]]]:
            open_at.pop()
        elif text == "\\":
            return at, "a backslash needs a character after it"
        elif text == "|" and css[at + 1 : at + 2] == "|":
            return at, '"||" selects nothing in HTML; a list is written with ","'
    if open_at:
        opened = css[open_at[-1]]
        return open_at[-1], f'no "{_CLOSES[opened]}" closes this "{opened}"'
    return None


# ------------------------------------------------------------------------------- the place of the fault

#: What may make a cut-off selector whole again; the first is the empty string, for one that already is.
_ENDINGS = ("", "a", "1", "root", "(a)", "(1)", '("a")', "=a", "is(a)", " a")

_PSEUDO_HINTS = {
    "contains": 'write :lexbor-contains("text")',
    "first": "write :first-child, or ask for the first match with first() or text()",
    "last": "write :last-child or :last-of-type",
    "eq": "write :nth-of-type(n), or take css(…)[n]",
    "scope": "a selector already looks inside the node it is called on",
    "text": "::text stands at the very end of a selector",
    "attr": "::attr(name) stands at the very end of a selector",
}
_AFTER_HINTS = {
    ".": 'a class name must follow "."',
    "#": 'an id must follow "#"',
    ":": 'the name of a pseudo-class must follow ":"',
    "[": 'the name of an attribute must follow "["',
    "(": "something must stand between the parentheses",
    ",": 'a selector must follow ","',
    ">": 'a selector must follow ">"',
    "+": 'a selector must follow "+"',
    "~": 'a selector must follow "~"',
    "=": 'a value must follow "="; quote it unless it is a plain word',
}
_AT_HINTS = {
    ",": 'a selector is missing before ","',
    ">": 'a selector cannot begin with ">"; children gives the elements directly below a node',
    "+": 'a selector cannot begin with "+"; next gives the element after a node',
    "~": 'a selector cannot begin with "~"',
    ")": 'no "(" belongs to this ")"',
    "]": 'no "[" belongs to this "]"',
    "/": '"/" is no CSS; parts are separated by a space or ">"',
    "<": "name the tag without angle brackets",
}
_NEVER_HINTS = {
    "!": '"!" is no CSS; :not(…) turns a condition round',
    "@": '"@" is no CSS; attributes are written [name] or ::attr(name)',
}


def _explain(css: str) -> tuple[int, str]:
    """The first place from which no ending makes the selector valid, and a guess at the slip.

    If a beginning can still become a selector, so can every shorter one: the place is found by bisection.
    """
    lexbor = LexborHTMLParser("")
    tokens = list(_TOKEN.finditer(css))
    fault = bisect_left(range(len(tokens)), True, key=lambda i: not _can_go_on(lexbor, css, tokens[: i + 1]))
    before = [t[0] for t in tokens[:fault] if not (t["space"] or t["comment"])]
    if fault < len(tokens):
        return tokens[fault].start(), _hint(tokens[fault], before)
    return len(css), _AFTER_HINTS.get(before[-1] if before else "", "the selector is not complete")


def _can_go_on(lexbor: LexborHTMLParser, css: str, tokens: list[re.Match[str]]) -> bool:
    beginning, closers = css[: tokens[-1].end()], _closers(t[0] for t in tokens)
    return any(_valid(lexbor, beginning + ending + closers) for ending in _ENDINGS)


def _closers(tokens: Iterable[str]) -> str:
    """What closes the brackets that are still open after these tokens."""
    closers = ""
    for token in tokens:
        if token in _CLOSES:
            closers = _CLOSES[token] + closers
        elif closers and token == closers[0]:
            closers = closers[1:]
    return closers


def _valid(lexbor: LexborHTMLParser, css: str) -> bool:
    try:
        lexbor.css_first(css)
    except SelectolaxError:
        return False
    return True


def _hint(token: re.Match[str], before: list[str]) -> str:
    text, last = token[0], before[-1] if before else ""
    if text in _NEVER_HINTS:
        return _NEVER_HINTS[text]
    if last == ":" and token["name"]:
        return _PSEUDO_HINTS.get(text.lower(), f":{text} is no pseudo-class that a parsed page can answer")
    if last == ":" and text == ":":
        return "::text and ::attr(name) stand at the very end; there are no other pseudo-elements"
    if "]" in _closers(before):
        return 'quote the value, as in [href="/x"]' if "=" in before else 'write [name] or [name="value"]'
    if token["name"] and text[0].isdigit():
        return "a name cannot begin with a digit"
    if last == "(" and text != ")":
        return "this cannot stand between the parentheses"
    return _AFTER_HINTS.get(last) or _AT_HINTS.get(text) or f'"{_visible(text)}" has no meaning here'
