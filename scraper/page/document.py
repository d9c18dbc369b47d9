"""A page parsed when something is first asked of it, and what its links are relative to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import Path

import httpx
from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.core import urls
from scraper.core.charsets import with_encoded_query
from scraper.core.models import Options, Site, Suggestion
from scraper.core.timing import timed
from scraper.errors import FetchError
from scraper.page.numbers import DecimalPoint
from scraper.page.safety.linear_select import Slow
from scraper.page.safety.selector_cost import Effort, effort_of
from scraper.page.suggestions import suggest
from scraper.page.text import Texts

__all__ = ["HTTP", "Document", "attribute_of", "is_markup"]

#: Characters of base and link together up to which a join is worth remembering. Beyond it a hostile page
#: could fill the process-wide cache with megabytes per entry.
CACHED_LENGTH = 2_048
_TAG_FIRST = re.compile(r"[\s\ufeff]*<")
HTTP = ("http://", "https://")
#: Frames of this package are not the author's, but for the demo, whose spider is one like any other. The
#: separator keeps a neighbour such as scraper_shop an author. Whether a file is ours is looked up once per file.
_OWN = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_GUEST = f"{_OWN}demo{os.sep}"
_is_own: dict[str, bool] = {}

#: Octets in which the first tag of a document that does not say what it is may stand.
EARLY = 1_024


class _Absent(Enum):
    ABSENT = "absent"


_ABSENT = _Absent.ABSENT


def attribute_of(node: LexborNode, name: str) -> str | None:
    """The value of an attribute; empty for one without a value, None for one that is not there."""
    value = node.attrs.get(name, _ABSENT)
    return None if value is _ABSENT else value or ""


class Document:
    """What a page and its nodes share.

    Invariants: the text is decoded and the tree parsed at most once, and the tree is never changed. A
    document refers to no page, so that pages are freed without the garbage collector. A refused one is never
    parsed. `counts` grows only by
    links left out: "links.broken" (no browser could join them), "links.scheme" (neither http nor https),
    "links.no-href". `hits` says of every selector that was asked for, and where, whether it ever matched.
    """

    __slots__ = (
        "_base",
        "_decode",
        "_origin",
        "_parsed",
        "_refusal",
        "_root",
        "_slow",
        "_source",
        "_texts",
        "counts",
        "decimal_point",
        "headers",
        "hits",
        "options",
        "query_encoding",
        "url",
    )

    def __init__(
        self,
        url: str,
        headers: httpx.Headers,
        decode: Callable[[], str],
        options: Options,
        decimal_point: DecimalPoint,
        query_encoding: Callable[[], str],
    ) -> None:
        """`decode` gives the text, `query_encoding` what queries of links are written in; called when needed."""
        self.url = url
        self.headers = headers
        self.options = options
        self.decimal_point: DecimalPoint = decimal_point
        self.counts: dict[str, int] = {}
        self.hits: dict[Site, bool] = {}
        self._decode = decode
        self.query_encoding = query_encoding
        self._source: str | None = None
        self._parsed = False
        self._refusal: tuple[str, str] | None = None
        self._root: LexborNode | None = None
        self._slow: Slow | None = None
        self._texts: Texts | None = None
        self._base: str | None = None
        self._origin: str | None = None

    def note(self, css: str, matched: bool) -> None:
        """Remember whether a selector matched, under the place in the author's code that asked."""
        inner = sys._getframe(2)
        frame = inner.f_back
        while frame is not None:
            code = frame.f_code
            file = code.co_filename
            own = _is_own.get(file)
            if own is None:
                own = _is_own[file] = file.startswith(_OWN) and not file.startswith(_GUEST)
            if not own:
                site = (file, frame.f_lineno, code.co_name, inner.f_code.co_name, css)
                if matched or site not in self.hits:
                    self.hits[site] = matched
                return
            inner, frame = frame, frame.f_back

    def belong_to(self, outer: Document) -> None:
        """This is a part of `outer`: what links are relative to, and what was asked and left out, is the same."""
        self._base, self.counts, self.hits = outer.base(), outer.counts, outer.hits

    def source(self) -> str:
        """The body as text."""
        if self._source is None:
            self._source = self._decode()
        return self._source

    def root(self) -> LexborNode | None:
        """The `html` element; None where Lexbor would make up a document: no text, or no markup.

        Raises FetchError `parse` once the document is refused.
        """
        if not self._parsed:
            self._parse()
        return self._root

    @timed("reading HTML")
    def _parse(self) -> None:
        if self._refusal is not None:
            raise FetchError(*self._refusal)
        html = self.source()
        if html and (_TAG_FIRST.match(html) or is_markup(self.headers.get("content-type", ""))):
            self._root = LexborHTMLParser(html).root
        self._parsed = True

    def may_be_markup(self, body: bytes) -> bool:
        """Whether it would be parsed: the type says so, or a tag comes early. Costs nothing, decodes nothing."""
        return is_markup(self.headers.get("content-type", "")) or b"<" in body[:EARLY]

    def has_more_than(self, nodes: int) -> bool:
        """Whether the tree has more elements, texts and comments than this."""
        root = self.root()
        if root is None:
            return False
        return sum(1 for _ in islice(root.traverse(include_text=True), nodes + 1)) > nodes

    def suggest(self, css: str) -> Suggestion | None:
        """What was probably meant by a selector that matches nothing here, and how often that matches."""
        root = self.root()
        return suggest(root, css, self.select) if root is not None else None

    def select_late(self, css: str, effort: Effort, own: LexborNode | None) -> list[LexborNode] | None:
        """What a selector matches below `own`, or on the page, where Lexbor would take too long; else None."""
        if self._slow is None:
            root = self.root()
            if root is None:
                return None
            self._slow = Slow(root)
        return self._slow.select(css, effort, own)

    def select(self, css: str) -> list[LexborNode]:
        """What a selector matches on the page, in bounded time. Raises SelectolaxError for one that is no CSS."""
        root, effort = self.root(), effort_of(css)
        if root is None:
            return []
        late = self.select_late(css, effort, None) if effort is not None else None
        return root.css(css) if late is None else late

    def text_of(self, node: LexborNode) -> str:
        """The text of an element (`scraper.page.text`)."""
        if self._texts is None:
            self._texts = Texts()
        return self._texts.of(node)

    def refuse(self, error: FetchError) -> None:
        """Never parse it: whoever asks for an element gets an error like this one, which itself is not kept.

        An error holds the frames that it went through, and the page.
        """
        self._refusal = (error.kind, str(error))

    def base(self) -> str:
        """What links are relative to: the first `<base href>` where it is usable, else the page's URL.

        HTML standard, "document base URL": a base that cannot be joined, or is data: or javascript:, counts
        as none.
        """
        if self._base is None:
            self._base = self._declared_base() or self.url
        return self._base

    def _declared_base(self) -> str | None:
        root = self.root()
        for node in root.parser.tags("base") if root else ():
            if (href := attribute_of(node, "href")) is not None:
                try:
                    joined = self.join(self.url, href)
                except ValueError:
                    return None
                return joined if joined.startswith(HTTP) else None
        return None

    @timed("links")
    def absolute(self, hrefs: Iterable[str | None], counts: dict[str, int]) -> list[str]:
        """The http(s) URLs that links of this page lead to; others are left out and added to `counts`."""
        base, origin = self.base(), self._of_links()
        found: list[str] = []
        for href in hrefs:
            if href is None:
                why = "links.no-href"
            elif origin and urls.is_rooted(href):
                found.append(origin + href)
                continue
            else:
                try:
                    url = _join(base, href) if href.isascii() else self.join(base, href)
                except ValueError:
                    why = "links.broken"
                else:
                    if url.startswith(HTTP):
                        found.append(url)
                        continue
                    why = "links.scheme"
            counts[why] = counts.get(why, 0) + 1
        return found

    def join(self, base: str, link: str) -> str:
        """`link` as it stands on this page, absolute, its query in the encoding of the page.

        Raises ValueError for one that browsers would not follow either.
        """
        return _join(base, link if link.isascii() else with_encoded_query(link, self.query_encoding()))

    def _of_links(self) -> str:
        """The origin of `base`, without a final slash; empty where there is none."""
        if self._origin is None:
            try:
                root = _join(self.base(), "/")
            except ValueError:
                root = ""
            self._origin = root[:-1] if root.startswith(HTTP) else ""
        return self._origin


def _join(base: str, link: str) -> str:
    """As `urls.join`, without remembering what is too long."""
    if len(base) + len(link) > CACHED_LENGTH:
        return urls.join.__wrapped__(base, link)
    return urls.join(base, link)


@lru_cache(maxsize=1_024)
def is_markup(content_type: str) -> bool:
    """Whether a type may be HTML or XML. So may none at all, and text/plain: servers are careless."""
    kind = content_type.partition(";")[0].strip().lower()
    if "json" in kind or "javascript" in kind:
        return False
    # Not "xml" anywhere: application/vnd.openxmlformats-… is a zip file.
    return not kind or kind.startswith("text/") or "html" in kind or kind.endswith(("/xml", "+xml", "-xml"))
