"""What an author asks of a page or of an element in it: one set of methods for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar, overload

from selectolax.lexbor import LexborNode, SelectolaxError

from scraper.core.models import Options, Request, Requests
from scraper.core.timing import timed
from scraper.errors import BadSelector, BadValue, NoMatch, Verdict
from scraper.page.callback_options import options_for
from scraper.page.css import Selector, bad_selector, compile_selector
from scraper.page.document import Document, attribute_of
from scraper.page.isolated_rows import SNIPPET, FailedRow, refuse_async, results_of
from scraper.page.numbers import DecimalPoint, read_decimal, read_number
from scraper.page.srcset import SRCSETS, urls_in

__all__ = ["Node", "Selecting"]

P = ParamSpec("P")
T = TypeVar("T")
N = TypeVar("N", int | float, Decimal)


class _Missing(Enum):
    MISSING = "missing"


_MISSING: Final = _Missing.MISSING
_ANY_LINK = "a[href], area[href]"
_OWN: Final = Selector("")


class Selecting:
    """The methods a page and its nodes share. Selectors are CSS; a node's look below it, never at itself.

    A selector may end in `::text` or `::attr(name)`, which says what is read from a match where a value is
    asked for. Without a selector the element's own value is meant. Values come from the first match;
    `default` is the answer when there is none, without it that is `NoMatch`. `BadSelector` is a selector that
    is no CSS.
    """

    __slots__ = ("_document", "_own")
    _document: Document
    _own: LexborNode | None

    # ------------------------------------------------------------------------------------------ elements

    def css(self, sel: str) -> list[Node]:
        """Every match, in document order, each once."""
        document = self._document
        return [Node(raw, document) for raw in self._select(self._elements(sel, "texts() or attrs()"))]

    def first(self, sel: str) -> Node | None:
        """The first match, or None."""
        found = self._select(self._elements(sel, "text() or attr()"), first=True)
        return Node(found[0], self._document) if found else None

    def one(self, sel: str) -> Node:
        """The first match. Raises NoMatch when there is none."""
        found = self._select(self._elements(sel, "text() or attr()"), first=True)
        if not found:
            raise self._no_match(sel)
        return Node(found[0], self._document)

    def has(self, sel: str) -> bool:
        """Whether anything matches."""
        return bool(self._select(self._elements(sel, "text() or attr()"), first=True))

    # ------------------------------------------------------------------------------------------ values

    @overload
    def text(self, sel: str | None = None) -> str: ...
    @overload
    def text(self, sel: str | None = None, default: T = ...) -> str | T: ...
    def text(self, sel: str | None = None, default: object = _MISSING) -> object:
        """The text of the first match, white space collapsed and stripped; without `sel`, the own text.

        Script, style and template content is left out; `<br>` and the ends of blocks separate words.
        """
        value = self._value(sel)
        return value if value is not None else self._default(sel, default)

    def texts(self, sel: str) -> list[str]:
        """The text of every match."""
        selector = compile_selector(sel)
        values = (self._read(selector, raw) for raw in self._select(selector))
        return [value for value in values if value is not None]

    @overload
    def attr(self, sel: str, name: str | None = None) -> str: ...
    @overload
    def attr(self, sel: str, name: str | None = None, default: T = ...) -> str | T: ...
    def attr(self, sel: str, name: str | None = None, default: object = _MISSING) -> object:
        """An attribute of the first match: `attr("a", "href")` or `attr("a::attr(href)")`.

        With one argument that is no `::attr()`, an attribute of the element itself: `node.attr("href")`.
        An attribute without a value is "". A match that lacks it counts as no match.
        """
        selector = self._attribute(sel, name)
        found = self._select(selector, first=True)
        value = self._read(selector, found[0]) if found else None
        return value if value is not None else self._default(selector.css + selector.suffix, default)

    def attrs(self, sel: str, name: str | None = None) -> list[str]:
        """An attribute of every match that has it: `attrs("a", "href")` or `attrs("a::attr(href)")`."""
        if name is None and "::" not in sel:
            raise TypeError('attrs() needs a selector and a name: attrs("a", "href")')
        selector = self._attribute(sel, name)
        values = (self._read(selector, raw) for raw in self._select(selector))
        return [value for value in values if value is not None]

    @overload
    def number(self, sel: str | None = None, *, decimal_point: DecimalPoint | None = None) -> int | float: ...
    @overload
    def number(
        self, sel: str | None = None, default: T = ..., *, decimal_point: DecimalPoint | None = None
    ) -> int | float | T: ...
    def number(
        self, sel: str | None = None, default: object = _MISSING, *, decimal_point: DecimalPoint | None = None
    ) -> object:
        """The one number in the first match's text: an int, or a float when a fraction is written.

        Reads "£51.77", "1,234.50 €", "In stock (22 available)". `decimal_point` defaults to the page's.
        Raises BadValue for text with no number or with several, or whose separators fit the other decimal
        point. The default also stands for empty text, never for text that is no number.
        """
        return self._number(sel, default, decimal_point, read_number)

    @overload
    def decimal(self, sel: str | None = None, *, decimal_point: DecimalPoint | None = None) -> Decimal: ...
    @overload
    def decimal(
        self, sel: str | None = None, default: T = ..., *, decimal_point: DecimalPoint | None = None
    ) -> Decimal | T: ...
    def decimal(
        self, sel: str | None = None, default: object = _MISSING, *, decimal_point: DecimalPoint | None = None
    ) -> object:
        """As `number`, exactly: "£51.70" is Decimal("51.70")."""
        return self._number(sel, default, decimal_point, read_decimal)

    # ------------------------------------------------------------------------------------------ links

    def links(self, sel: str = _ANY_LINK) -> list[str]:
        """The absolute http(s) URLs of every match, in order, each once, `<base href>` honoured.

        What browsers could not follow, and other schemes, are left out. `::attr(src)` and `::attr(srcset)` read those.
        """
        return list(dict.fromkeys(self._document.absolute(self._hrefs(sel), {})))

    @overload
    def follow(self, link: str | Node, callback: None = None, /) -> Requests: ...
    @overload
    def follow(
        self,
        link: str | Node,
        callback: Callable[Concatenate[Any, P], Any],
        /,
        *args: P.args,
        **data: P.kwargs,
    ) -> Requests: ...
    def follow(
        self, link: str | Node, callback: Callable[..., Any] | None = None, /, *args: Any, **data: Any
    ) -> Requests:
        """Fetch what the first match of a selector, or a node, links to; empty when nothing matches.

        `args` and `data` are for the callback; without one, the callback now running gets the same data
        again. An element that is no link stands for the first link in it. Links that are broken or not
        http(s) are counted on the page. Raises TypeError, naming the callback, for data that does not fit.
        """
        options = options_for(callback, args, data, self._document.options)
        if isinstance(link, Node):
            return link._requests([_href(link._raw, "href")], options)
        return self._requests(self._hrefs(link, first=True), options)

    @overload
    def follow_all(self, links: str | Iterable[Node], callback: None = None, /) -> Requests: ...
    @overload
    def follow_all(
        self,
        links: str | Iterable[Node],
        callback: Callable[Concatenate[Any, P], Any],
        /,
        *args: P.args,
        **data: P.kwargs,
    ) -> Requests: ...
    def follow_all(
        self,
        links: str | Iterable[Node],
        callback: Callable[..., Any] | None = None,
        /,
        *args: Any,
        **data: Any,
    ) -> Requests:
        """As `follow`, for every match of a selector or every node given."""
        options = options_for(callback, args, data, self._document.options)
        if isinstance(links, str):
            return self._requests(self._hrefs(links), options)
        found = Requests()
        for node in links:
            found += node._requests([_href(node._raw, "href")], options)
        return found

    # ------------------------------------------------------------------------------------------ rows

    def each(
        self, sel: str, row: Callable[Concatenate[Node, P], object], /, *args: P.args, **data: P.kwargs
    ) -> Iterator[Any]:
        """Call `row(node)` for every match: `yield from page.each("tr", self.row)`.

        Yields what it returns or yields, a row's results only when they are complete. A row that raises gives one
        `FailedRow` instead, and the others go on; a Verdict and a selector that is no CSS pass through.
        """
        refuse_async(row)
        for index, node in enumerate(self.css(sel)):
            try:
                results = results_of(row(node, *args, **data))
            except (Verdict, BadSelector):
                raise
            except Exception as exc:
                results = [FailedRow(exc, node.html[:SNIPPET], sel, index)]
            yield from results

    @timed("selectors")
    def _select(self, selector: Selector, first: bool = False) -> list[LexborNode]:
        """Every selector of an author goes through here: what it matched is noted with its place."""
        found = self._match(selector, first)
        if selector.css:
            self._document.note(selector.css, bool(found))
        return found

    def _match(self, selector: Selector, first: bool) -> list[LexborNode]:
        """The elements a selector matches, the node itself left out."""
        own = self._own
        root = own or self._document.root()
        if root is None:
            return []
        css = selector.css
        if not css:
            return [root]
        effort = selector.effort
        if effort and (late := self._document.select_late(css, effort, own)) is not None:
            return late[:1] if first else late
        try:
            if first:
                found = root.css_first(css)
                if found is None:
                    return []
                if own is None or found.mem_id != own.mem_id:
                    return [found]
            matches = root.css(css)
        except SelectolaxError:
            raise bad_selector(css + selector.suffix) from None
        if selector.several:  # Lexbor reports an element once per branch of the list
            matches = list(dict.fromkeys(matches))
        if own is not None and matches and matches[0].mem_id == own.mem_id:
            del matches[0]  # Lexbor starts at the element itself
        return matches

    def _elements(self, sel: str, instead: str) -> Selector:
        selector = compile_selector(sel)
        if selector.suffix:
            raise BadSelector(f'"{sel}" asks for a value, not for elements: use {instead}', sel)
        return selector

    def _attribute(self, sel: str, name: str | None) -> Selector:
        """The selector whose matches give an attribute, in any of the ways to ask for one."""
        if name is None and "::" not in sel:
            if self._own is None:
                raise TypeError(f'a page has no attributes: which element\'s "{sel}"? attr("a", "href")')
            return Selector("", attribute=sel)
        selector = compile_selector(sel)
        if name is not None and not selector.suffix:
            return replace(selector, attribute=name)
        if name is not None or selector.attribute is None:
            raise BadSelector(f'"{sel}": name one attribute, as in ("a", "href") or ("a::attr(href)")', sel)
        return selector

    def _value(self, sel: str | None) -> str | None:
        if sel is None:
            own = self._select(_OWN)
            return self._document.text_of(own[0]) if own else ""
        selector = compile_selector(sel)
        found = self._select(selector, first=True)
        return self._read(selector, found[0]) if found else None

    def _read(self, selector: Selector, raw: LexborNode) -> str | None:
        """What a match gives: the attribute the selector names, else its text."""
        if selector.attribute is not None:
            return attribute_of(raw, selector.attribute)
        return self._document.text_of(raw)

    def _number(
        self,
        sel: str | None,
        default: object,
        decimal_point: DecimalPoint | None,
        read: Callable[[str, DecimalPoint], N],
    ) -> object:
        value = self._value(sel)
        if value is None or (not value and default is not _MISSING):
            return self._default(sel, default)
        try:
            return read(value, decimal_point or self._document.decimal_point)
        except BadValue as exc:
            raise BadValue(f"{exc}{_of(sel)} on {self._document.url}") from None

    def _hrefs(self, sel: str, first: bool = False) -> list[str | None]:
        selector = compile_selector(sel)
        if selector.text:
            raise BadSelector(f'"{sel}" asks for text, not for links: leave out ::text', sel)
        name = selector.attribute or "href"
        found = [_href(raw, name) for raw in self._select(selector, first)]
        return urls_in(found) if name in SRCSETS else found

    def _requests(self, hrefs: Iterable[str | None], options: Options) -> Requests:
        document, of = self._document, Request.of
        return Requests([of(url, options) for url in document.absolute(hrefs, document.counts)])

    def _default(self, sel: str | None, default: object) -> object:
        if default is _MISSING:
            raise self._no_match(sel)
        return default

    def _no_match(self, sel: str | None) -> NoMatch:
        fault = f"{self!r} lacks {sel}" if sel and sel.startswith("::") else f'nothing matches "{sel}"'
        return NoMatch(f"{fault} on {self._document.url}")


class Node(Selecting):
    """One element of a page. Two nodes are equal when they are the same element."""

    __slots__ = ("_raw",)

    def __init__(self, raw: LexborNode, document: Document) -> None:
        self._raw, self._own, self._document = raw, raw, document

    @property
    def tag(self) -> str:
        """The name of the element, lower case in HTML."""
        return self._raw.tag or ""

    @property
    def html(self) -> str:
        """The element with everything in it, as HTML."""
        return self._raw.html or ""

    @property
    def parent(self) -> Node | None:
        """The element around this one; None for the outermost."""
        return self._nearest(self._raw.parent, "parent")

    @property
    def children(self) -> list[Node]:
        """The elements directly below, without text and comments."""
        return [Node(raw, self._document) for raw in self._raw.iter() if raw.is_element_node]

    @property
    def next(self) -> Node | None:
        """The next element beside this one."""
        return self._nearest(self._raw.next, "next")

    @property
    def prev(self) -> Node | None:
        """The previous element beside this one."""
        return self._nearest(self._raw.prev, "prev")

    def _nearest(self, raw: LexborNode | None, way: Literal["parent", "next", "prev"]) -> Node | None:
        while raw is not None and not raw.is_element_node:
            raw = getattr(raw, way)
        return None if raw is None else Node(raw, self._document)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self._raw.mem_id == other._raw.mem_id and self._document is other._document

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        names = "".join(f".{name}" for name in self.attr("class", default="").split())
        return f"<Node {self.tag}{names}>"


def _href(raw: LexborNode, name: str) -> str | None:
    """Where an element leads: its own attribute, else that of the first link in it."""
    own = attribute_of(raw, name)
    if own is not None or name != "href":
        return own
    return attribute_of(link, "href") if (link := raw.css_first("a[href]")) is not None else None


def _of(sel: str | None) -> str:
    return "" if sel is None else f' (selector "{sel}")'
