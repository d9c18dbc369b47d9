"""Pages that send their reader elsewhere after some seconds: `<meta http-equiv=refresh>` and the Refresh header.

HTML standard, "shared declarative refresh steps". An element in `<noscript>`, `<template>`, a comment, or where only text
stands is not one: browsers that run scripts see none there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Final, NamedTuple

__all__ = ["Refresh", "find_refresh", "may_have_refresh", "read_refresh"]

#: Octets, and characters, of a page that are looked at; browsers look at all of it.
FAR: Final = 1 << 19
#: Places of one letter that are looked at one by one; it costs less to search a copy in lower case for more of them.
FEW: Final = 64

_ELEMENT: Final = re.compile(rb"http-equiv\s*=\s*[\"']?\s*refresh")
#: Octets in which the name and value are looked for.
_NEAR: Final = 64
_HYPHEN: Final = ord("-")
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
_TOKEN: Final = re.compile(
    r"<!--|<(?:(?P<text>script|style|noscript|title|textarea|iframe|noembed|noframes|xmp)|(?P<template>/?template)"
    r"|(?P<element>meta|base))(?=[\s/>])",
    re.IGNORECASE,
)
_TEXT_END: Final = re.compile(
    r"</(script|style|noscript|title|textarea|iframe|noembed|noframes|xmp)(?=[\s/>])", re.IGNORECASE
)
_COMMENT_END: Final = re.compile(r"-->|(?<!<!)--!>")
_ATTRIBUTE: Final = re.compile(
    r"[\s/]*+([^\s/>=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>]*+)))?", re.DOTALL
)
_DELAY: Final = re.compile(r"[\t\n\f\r ]*(?:([0-9]{1,9})[0-9]*|(?=\.))[0-9.]*")
_URL: Final = re.compile(r"url[\t\n\f\r ]*=[\t\n\f\r ]*", re.IGNORECASE)
_BLANKS: Final = "\t\n\f\r "


class Refresh(NamedTuple):
    """After `delay` seconds the reader is sent to `target`, "" for the page itself; `base` is what the page declares."""

    delay: int
    target: str
    base: str = ""


def find_refresh(header: str, source: Callable[[], str]) -> Refresh | None:
    """The first refresh of an HTML page: that of its Refresh `header`, else that of an element in its text."""
    if header and (found := read_refresh(header)) is not None:
        return found
    return _first_element(source()[:FAR])


def read_refresh(text: str) -> Refresh | None:
    """What a header or `content` says: seconds, and perhaps a URL. None for what browsers ignore."""
    delay = _DELAY.match(text)
    if delay is None:
        return None
    rest = text[delay.end() :]
    if rest and rest[0] not in f";,{_BLANKS}":
        return None
    rest = rest.lstrip(_BLANKS)
    rest = rest[1:].lstrip(_BLANKS) if rest[:1] in {";", ","} else rest
    if named := _URL.match(rest):
        rest = rest[named.end() :]
    if rest[:1] in {"'", '"'}:
        rest = rest[1:].partition(rest[0])[0]
    return Refresh(int(delay[1] or 0), rest.strip(_BLANKS))


def may_have_refresh(body: bytes) -> bool:
    """Whether the octets look as if there were an element, by a letter that is rare: an ordinary page costs 5 µs."""
    if body.startswith(_WIDE):
        return True
    for letter in (b"q", b"Q"):
        at = body.find(letter, 6, FAR)
        for _ in range(FEW):
            if at < 0:
                break
            if body[at - 2] == _HYPHEN and _ELEMENT.match(body[at - 6 : at + _NEAR].lower()):
                return True
            at = body.find(letter, at + 1, FAR)
        else:
            return _ELEMENT.search(body[:FAR].lower()) is not None
    return False


def _first_element(text: str) -> Refresh | None:
    base: str | None = None
    for name, attributes in _elements(text):
        if name == "base":
            base = attributes.get("href") if base is None else base
        elif attributes.get("http-equiv", "").strip().lower() == "refresh":
            found = read_refresh(attributes.get("content", ""))
            if found is not None:
                return found._replace(base=base or "")
    return None


def _elements(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, attributes) of each `meta` and `base` that counts, in order."""
    at = templates = 0
    while found := _TOKEN.search(text, at):
        at = found.end()
        if found["text"]:
            at = _end_of_text(text, at, found["text"].lower())
            if at < 0:
                return
        elif found["template"]:
            templates = max(0, templates + (-1 if found["template"].startswith("/") else 1))
        elif found["element"]:
            attributes, at = _attributes(text, at)
            if not templates:
                yield found["element"].lower(), attributes
        elif (closed := _COMMENT_END.search(text, at - 2)) is not None:
            at = closed.end()
        else:
            return


def _end_of_text(text: str, at: int, name: str) -> int:
    """Behind the end of an element that holds text alone; -1 for none."""
    for end in _TEXT_END.finditer(text, at):
        if end[1].lower() == name:
            return end.end()
    return -1


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """The attributes of the tag whose name ends at `at`, and where they end. Of two of one name the first counts."""
    attributes: dict[str, str] = {}
    while found := _ATTRIBUTE.match(text, at):
        value = next((value for value in found.groups()[1:] if value is not None), "")
        attributes.setdefault(found[1].lower(), unescape(value))
        at = found.end()
    return attributes, at
