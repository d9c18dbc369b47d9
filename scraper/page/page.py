"""A fetched page as a callback gets it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, overload

import httpx

from scraper.core.messages import request_of
from scraper.core.models import Download, Options, Redirection, Request, Requests
from scraper.errors import BadValue, FetchError, NoMatch, PageError
from scraper.page.callback_options import options_for
from scraper.page.document import HTTP, Document
from scraper.page.node import Selecting
from scraper.page.numbers import DecimalPoint
from scraper.page.readers.json_text import read_json
from scraper.page.readers.markdown import markdown_of

__all__ = ["Fetcher", "Page", "document_of"]

P = ParamSpec("P")
#: The start of a template as it is serialized.
_TEMPLATE = re.compile(r'<template(?:\s[^\s=>]+(?:="[^"]*")?)*\s*>')
_WIRE_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Fetcher(Protocol):
    """Fetches in the middle of a callback, under the rules of the crawl (robots, rate, guard)."""

    async def __call__(self, request: Request) -> Page:
        """The page of a request with an absolute URL. Raises FetchError."""
        ...

    async def download(self, request: Request, name: str | None) -> Download:
        """The body of a request as a file of this name, or of one the server gives it. Raises FetchError."""
        ...


def _utf_8() -> str:
    return "utf-8"


def document_of(page: Page) -> Document:
    """The document behind a page, for what runs crawls: authors need nothing of it."""
    return page._document


class Page(Selecting):
    """A page: its URL after redirects, status, headers, body, and everything `Selecting` asks of its HTML.

    `redirects` are the answers that led here, in order; the first of them is that of `requested_url`. `complete` is False
    for a body that ended too soon and was taken all the same (`accept_incomplete`).

    Nothing is decoded or parsed until it is asked for; a page that is no markup, or empty, matches no
    selector.
    """

    __slots__ = ("_fetcher", "_response", "body", "complete", "headers", "redirects", "status", "url")

    def __init__(
        self,
        *,
        url: str,
        status: int,
        headers: httpx.Headers,
        body: bytes,
        source: Callable[[], str],
        options: Options,
        fetcher: Fetcher | None = None,
        decimal_point: DecimalPoint = ".",
        query_encoding: Callable[[], str] = _utf_8,
        redirects: tuple[Redirection, ...] = (),
        complete: bool = True,
    ) -> None:
        """`url` is absolute, `body` has no content encoding left, `source` decodes it to text, once.

        `query_encoding` says, when it is asked, in which encoding the queries of links on the page are written.
        `options` are those of the request that led here.
        """
        self.url = url
        self.status = status
        self.headers = headers
        self.body = body
        self.redirects = redirects
        self.complete = complete
        self._fetcher = fetcher
        self._response: httpx.Response | None = None
        self._own = None
        self._document = Document(url, headers, source, options, decimal_point, query_encoding)

    @property
    def requested_url(self) -> str:
        """The URL that was asked for first; `url` where no redirect led here."""
        return self.redirects[0].url if self.redirects else self.url

    @property
    def source(self) -> str:
        """The body as text."""
        return self._document.source()

    def markdown(self) -> str:
        """The content as Markdown: headings, paragraphs, lists, links (absolute), tables, code."""
        root = self._document.root()
        if root is None:
            return ""

        def absolute(link: str) -> str | None:
            found = self._document.absolute([link], {}) if link else []
            return found[0] if found else None

        return markdown_of(root, absolute)

    def template(self, sel: str = "template") -> Page:
        """The content of the first `<template>` that matches, which no selector reaches, as a page of its own.

        What is asked of it counts for this page, and its links are relative to this page. Raises NoMatch.
        """
        tag = _TEMPLATE.match(html := self.one(sel).html)
        if tag is None:
            raise NoMatch(f'"{sel}" is not a <template> on {self.url}')
        content = html[tag.end() :].removesuffix("</template>")
        outer = self._document
        inside = Page(
            url=self.url, status=self.status, headers=self.headers, body=content.encode(), source=lambda: content,
            options=outer.options, fetcher=self._fetcher, decimal_point=outer.decimal_point,
            redirects=self.redirects, complete=self.complete,
        )  # fmt: skip
        inside._document.belong_to(outer)
        return inside

    def json(self) -> Any:
        """The body read as JSON (RFC 8259). Raises BadValue naming the page, also for more than 300 levels."""
        try:
            try:
                # JSON has no bare escape octet; ISO-2022-JP, which only its author could have named, has.
                return read_json(self.body if b"\x1b" not in self.body else self.source)
            except UnicodeDecodeError:  # not in the encoding JSON demands: perhaps the one the page declares
                return read_json(self.source)
        except ValueError as exc:
            raise BadValue(f"not JSON: {exc} on {self.url}") from None

    @property
    def response(self) -> httpx.Response:
        """The page as an httpx.Response, its body decoded, so without Content-Encoding."""
        if self._response is None:
            headers = [(k, v) for k, v in self.headers.multi_items() if k.lower() not in _WIRE_HEADERS]
            request = request_of(self._document.options.method, self.url)
            self._response = httpx.Response(self.status, headers=headers, content=self.body, request=request)
        return self._response

    @overload
    def request(self, url: str, callback: None = None, /) -> Requests: ...
    @overload
    def request(
        self, url: str, callback: Callable[Concatenate[Any, P], Any], /, *args: P.args, **data: P.kwargs
    ) -> Requests: ...
    def request(
        self, url: str, callback: Callable[..., Any] | None = None, /, *args: Any, **data: Any
    ) -> Requests:
        """Fetch a URL, joined against the page; else as `follow`."""
        return self._requests([url], options_for(callback, args, data, self._document.options))

    async def fetch(self, target: str | Request) -> Page:
        """Fetch a URL or a request now, in the middle of the callback; a relative one is joined first.

        It obeys robots.txt, rate and guard, and is not deduplicated. Raises FetchError; uncaught and worth a
        retry, it makes the whole page be retried.
        """
        request = Request(target) if isinstance(target, str) else target
        url = self._absolute(request)
        if self._fetcher is None:
            raise PageError(f"{self.url} was read without a network: fetch() has nothing to fetch with")
        return await self._fetcher(Request.of(url, request.options))

    async def download(self, target: str | Request, name: str | None = None) -> Download:
        """Store the body of a URL or a request as a file, as it arrives: it is never held as a whole.

        The file is complete when this returns, and lies in the folder of the setting `files`, whatever `name` or
        the server says; the same name again takes its place. Rules and errors are those of `fetch`.
        """
        request = Request(target) if isinstance(target, str) else target
        url = self._absolute(request)
        if self._fetcher is None:
            raise PageError(f"{self.url} was read without a network: download() has nothing to fetch with")
        return await self._fetcher.download(Request.of(url, request.options), name)

    def _absolute(self, request: Request) -> str:
        try:
            url = self._document.join(self._document.base(), request.url)
        except ValueError:
            why = f"not a URL: {request.url!r} on {self.url}"
            raise FetchError("bad-url", why, request=request) from None
        if not url.startswith(HTTP):
            raise FetchError("unsupported-scheme", f"neither http nor https: {url}", request=request)
        return url

    def __repr__(self) -> str:
        return f"<Page {self.status} {self.url}>"
