"""Where a document says in which encoding it is, and who is asked: HTML by the HTML standard, XML by its declaration.

Only HTML has `<meta charset>`. JSON, style sheets, scripts, CSV and plain text declare nothing, whatever stands in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Final

from scraper.core.charsets.labels import encoding_named

__all__ = ["Kind", "declared_in_html", "declared_in_xml", "encoding_of_header", "kind_of"]

_SPACE: Final = b"\t\n\f\r "
#: Octets within which a document without a type, or an XML declaration, must show itself.
EARLY: Final = 1_024
_CHARSET: Final = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
_PARAMETERS: Final = re.compile("[;,]")
#: In the `content` of a meta element: what goes before a label, and what ends it.
_BEFORE_LABEL: Final = re.compile(rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*")
_END_OF_LABEL: Final = re.compile(rb"[\t\n\f\r ;]")
_COMMENT: Final = re.compile(rb"<!--.*?(?<=--)>", re.DOTALL)
_META: Final = re.compile(rb"<meta[\t\n\f\r /]", re.IGNORECASE)
_TAG: Final = re.compile(rb"</?[a-zA-Z][^\t\n\f\r >]*")
_XML_ENCODING: Final = re.compile(
    rb"""<\?xml(?:(?!encoding)[^>])*encoding[\x00-\x20]*=[\x00-\x20]*(?:"([^">]*)"|'([^'>]*)')[^>]*>"""
)
#: `<?x` in UTF-16, without a byte order mark.
_WIDE: Final = {b"<\0?\0x\0": "utf-16le", b"\0<\0?\0x": "utf-16be"}


class Kind(Enum):
    """What a body is, as far as that decides who says its encoding."""

    HTML = "html"
    XML = "xml"
    JSON = "json"
    TEXT = "text"


def kind_of(content_type: str | None, body: bytes) -> Kind:
    """By its Content-Type; without one by how it begins."""
    kind = _kind_named(content_type) if content_type else None
    if kind is not None:
        return kind
    start = body[:EARLY].lstrip(_SPACE)
    if start.startswith(b"<?xml"):
        return Kind.XML
    return Kind.HTML if start.startswith(b"<") else Kind.TEXT


@lru_cache(maxsize=1_024)
def _kind_named(content_type: str) -> Kind | None:
    essence = _PARAMETERS.split(content_type, maxsplit=1)[0].strip().lower()
    if not essence:
        return None
    if essence.endswith("xml"):  # application/xhtml+xml too
        return Kind.XML
    if "json" in essence:
        return Kind.JSON
    return Kind.HTML if "html" in essence else Kind.TEXT


@lru_cache(maxsize=1_024)
def encoding_of_header(content_type: str) -> str | None:
    """The encoding a Content-Type header names; None for none or an unknown one."""
    found = _CHARSET.search(content_type)
    return encoding_named(found[1]) if found else None


def declared_in_xml(body: bytes) -> str | None:
    """The encoding of an XML declaration at the very beginning ("get an XML encoding"); None for none.

    A declaration that can be read as ASCII is not UTF-16, so that one means UTF-8.
    """
    if (wide := _WIDE.get(body[:6])) is not None:
        return wide
    found = _XML_ENCODING.match(body, 0, EARLY) if body.startswith(b"<?xml") else None
    return _readable(found[1] if found[1] is not None else found[2]) if found else None


def declared_in_html(head: bytes) -> str | None:
    """The encoding that the first octets of an HTML document declare; None for none.

    It is the standard's "prescan a byte stream to determine its encoding" (HTML standard, 13.2.3.2), over all of
    `head`: a `meta` element with `charset`, or with `http-equiv=content-type` and `content`; else an XML declaration.
    """
    if head[:6] in _WIDE:
        return _WIDE[head[:6]]
    if b"charset" not in head.lower():
        return declared_in_xml(head)
    at = head.find(b"<")
    while at >= 0:
        if head.startswith(b"<!--", at):
            comment = _COMMENT.match(head, at)
            at = comment.end() if comment else len(head)
        elif _META.match(head, at):
            attributes = _Attributes(head, at + 6)
            declared = _of_meta(attributes)
            if declared is not None and attributes.at < len(head):
                return declared
            at = attributes.at
        elif (tag := _TAG.match(head, at)) is not None:
            attributes = _Attributes(head, tag.end())
            for _ in attributes:
                pass
            at = attributes.at
        elif head[at + 1 : at + 2] in (b"!", b"/", b"?"):
            end = head.find(b">", at)
            at = end if end >= 0 else len(head)
        else:
            at += 1
        at = head.find(b"<", at)
    return declared_in_xml(head)


def _of_meta(attributes: _Attributes) -> str | None:
    """What one meta element declares. Attributes that come again do not count."""
    seen: set[bytes] = set()
    is_pragma = by_pragma = False
    declared = None
    for name, value in attributes:
        if name in seen:
            continue
        seen.add(name)
        if name == b"http-equiv":
            is_pragma = value == b"content-type"
        elif name == b"content" and declared is None and b"charset" not in seen:
            declared = _in_content(value)
            by_pragma = declared is not None
        elif name == b"charset":
            declared, by_pragma = _readable(value), False
    return declared if is_pragma or not by_pragma else None


def _in_content(content: bytes) -> str | None:
    """The encoding of a `content` attribute ("extracting a character encoding from a meta element")."""
    for found in _BEFORE_LABEL.finditer(content):
        rest = content[found.end() :]
        if rest[:1] in (b'"', b"'"):
            label, quote, _ = rest[1:].partition(rest[:1])
            return _readable(label) if quote else None
        return _readable(_END_OF_LABEL.split(rest, maxsplit=1)[0])
    return None


def _readable(label: bytes) -> str | None:
    """The encoding of a label that could be read as ASCII: the document is not UTF-16 then."""
    encoding = encoding_named(label.decode("latin-1"))
    if encoding in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if encoding == "x-user-defined" else encoding


class _Attributes:
    """The attributes of a tag, as the prescan gets them: names and values in lower case. `at` is where it stands."""

    def __init__(self, head: bytes, at: int) -> None:
        self._head = head
        self.at = at

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        while (name := self._name()) is not None:
            yield name.lower(), self._value().lower()

    def _name(self) -> bytes | None:
        """The name of the next attribute; None at the end of the tag, or of the head."""
        head = self._head
        self.at = self._after(_SPACE + b"/")
        if head[self.at : self.at + 1] in (b">", b""):
            return None
        start = self.at
        self.at += 1  # a name may begin with an equals sign
        while (octet := head[self.at : self.at + 1]) and octet not in b"\t\n\f\r />=":
            self.at += 1
        return head[start : self.at]

    def _value(self) -> bytes:
        """The value behind a name; empty where there is none."""
        head = self._head
        behind = self._after(_SPACE)
        if head[behind : behind + 1] != b"=":
            self.at = behind
            return b""
        self.at = behind + 1
        start = self.at = self._after(_SPACE)
        quote = head[start : start + 1]
        if quote in (b'"', b"'"):
            end = head.find(quote, start + 1)
            self.at = end + 1 if end >= 0 else len(head)
            return head[start + 1 : end if end >= 0 else len(head)]
        while (octet := head[self.at : self.at + 1]) and octet not in b"\t\n\f\r >":
            self.at += 1
        return head[start : self.at]

    def _after(self, octets: bytes) -> int:
        """Where the first octet stands, from here on, that is none of these."""
        at = self.at
        while at < len(self._head) and self._head[at] in octets:
            at += 1
        return at
