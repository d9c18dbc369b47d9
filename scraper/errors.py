"""Every error this package raises, as one tree.

ScraperError
├── UsageError                what a person typed or wrote is wrong (exit 2)
│   ├── SettingsError         an unknown or invalid setting, flag or argument
│   ├── SpiderError           a spider that does not load or breaks the author's contract
│   └── QueryError            a question the database cannot answer
├── StoreError                the database cannot be used; work done so far is kept (exit 6)
│   ├── TableError            an item class and its table differ in a way that would lose data
│   └── DatabaseInUse         a crawl is already running on it (exit 7)
├── FetchError                a request did not become a page: `kind`, `status`, `retry_at`
├── PageError                 what a callback asked of a page was not there
│   ├── NoMatch               a selector without a match and without a default
│   ├── BadSelector           a selector that is no CSS
│   └── BadValue              text that is not the number, date or JSON asked for
├── ItemError                 one item that cannot be stored; the others are
└── Verdict                   raised by callbacks to choose the outcome of their page
    ├── Retry                 fetch it again later
    ├── Skip                  nothing to see here
    ├── Blocked               the site refuses us: park the domain
    └── Stop                  end the crawl, resumable
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

__all__ = [
    "KINDS",
    "BadSelector",
    "BadValue",
    "Blocked",
    "DatabaseInUse",
    "FetchError",
    "ItemError",
    "NoMatch",
    "PageError",
    "QueryError",
    "Retry",
    "ScraperError",
    "SettingsError",
    "Skip",
    "SpiderError",
    "Stop",
    "StoreError",
    "TableError",
    "UsageError",
    "Verdict",
    "masked",
]

#: What stands before the host of a URL: a user and a password.
_USERINFO = re.compile(r"(?<=://)[^\s/?#\\\"'<>]*@")


def masked(text: str) -> str:
    """Text without the `user:password@` of the URLs in it."""
    return _USERINFO.sub("…@", text) if "@" in text else text


class ScraperError(Exception):
    """Base of every error of this package. `str(error)` is a sentence for a person, without credentials."""

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class UsageError(ScraperError):
    """What a person typed or wrote cannot be used; the message says where and what to do."""


class SettingsError(UsageError):
    """A setting, flag or spider argument is unknown or has an invalid value."""


class SpiderError(UsageError):
    """A spider cannot be loaded, or its class breaks the author's contract."""


class QueryError(UsageError):
    """A query cannot be answered: no such table, bad SQL, not a database."""


class StoreError(ScraperError):
    """The database cannot be used. Everything committed before stays as it is."""


class TableError(StoreError):
    """An item class and its table differ, and making them agree would lose data; the message has the command."""


class DatabaseInUse(StoreError):
    """Another crawl is running on the same database."""


#: Why a request did not become a page; stored with the request and shown by `scraper errors`.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "dns": "the host name has no address",
        "dns-timeout": "the name server did not answer in time",
        "connect": "no connection: refused or unreachable",
        "connect-timeout": "no connection within the connect time limit",
        "timeout": "the answer was not complete within the deadline",
        "connection": "the connection broke before the answer was complete",
        "tls": "the certificate or the TLS handshake is not valid",
        "tls-expired": "the certificate is over, or not valid yet",
        "tls-untrusted": "the certificate comes from nobody this machine trusts",
        "tls-hostname": "the certificate is for another host",
        "machine": "this machine had no file descriptor, port or memory left for it",
        "proxy": "the proxy cannot be reached, refuses us, or all proxies rest",
        "credentials": "the credentials cannot answer what the server asks for",
        "protocol": "the answer is not valid HTTP",
        "incomplete": "the body is shorter than announced, or its compression is cut off",
        "decode": "the body is not in the encoding it claims",
        "body-too-large": "the body exceeds the size limit",
        "headers-too-large": "the headers exceed the size limit",
        "bad-url": "not a valid http(s) URL",
        "unsupported-scheme": "neither http nor https",
        "private-address": "an address in a private network that nobody named",
        "bad-redirect": "a redirect without a usable target",
        "too-many-redirects": "more redirects than the hop limit, or a loop",
        "robots": "robots.txt does not allow it",
        "domain-busy": "the domain has to wait right now",
        "domain-held": "another worker of this crawl has the domain right now",
        "domain-parked": "nothing more is sent to the domain in this run",
        "robots-unreachable": "robots.txt answers with an error: everything is disallowed for now",
        "http": "a status the callback does not accept",
        "type": "a content type the spider does not accept",
        "parse": "the page cannot be parsed safely",
        "callback": "the callback raised",
        "selector": "a selector of the spider is no CSS: the crawl stops, resumable",
        "callback-timeout": "the callback did not end in time",
        "callback-missing": "the spider has no such callback any more",
        "callback-args": "the stored data does not fit the callback any more",
        "transport": "the transport raised something it should not",
        "internal": "a fault of this package; please report it",
    }
)


class FetchError(ScraperError):
    """A request that did not become a page.

    `kind` is a key of `KINDS`; `status` the HTTP status where there was one; `retry_at` the unix time
    (seconds, of a clock that is not set with the wall clock) from which another try makes sense, None where it does
    not. `page` is set when a body was read (a status that was not accepted); `request` is the `scraper.Request`
    concerned. `outage` says that the domain is at fault, which answered before and does not now: the failure counts as
    a try of no request.
    """

    def __init__(
        self,
        kind: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_at: float | None = None,
        page: Any = None,
        request: Any = None,
    ) -> None:
        super().__init__(message or KINDS.get(kind, kind))
        self.kind = kind
        self.status = status
        self.retry_at = retry_at
        self.page = page
        self.request = request
        self.outage = False


class PageError(ScraperError):
    """What a callback asked of a page was not there, or not readable."""


class NoMatch(PageError):
    """A selector matched nothing and no default was given."""


class BadSelector(PageError):
    """A selector that is not valid CSS; the message carries a caret below the place.

    `selector` is its CSS, without what stands behind `::`.
    """

    def __init__(self, message: str, selector: str = "") -> None:
        super().__init__(message)
        self.selector = selector.partition("::")[0].rstrip()


class BadValue(PageError):
    """Text that is not the number, date or JSON a callback asked for."""


class ItemError(ScraperError):
    """One item cannot be stored. `item` is its table, `field` its field where one is to blame."""

    def __init__(self, message: str, *, item: str = "", field: str = "") -> None:
        super().__init__(message)
        self.item = item
        self.field = field


class Verdict(ScraperError):
    """Raised by a callback to choose the outcome of its page. What it yielded before is dropped."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or type(self).__name__.lower())
        self.why = why


class Retry(Verdict):
    """Fetch this page again, after `after` seconds (or a timedelta), or as the retry policy says."""

    def __init__(self, why: str = "", after: float | timedelta | None = None) -> None:
        super().__init__(why)
        self.after = after.total_seconds() if isinstance(after, timedelta) else after
        if self.after is not None and not 0 <= self.after < float("inf"):
            raise ValueError(f"Retry(after={after!r}): seconds, 0 or more")


class Skip(Verdict):
    """This page holds nothing of interest: ended, not failed, with a reason."""


class Blocked(Verdict):
    """The site refuses us: the domain is parked and its requests stay queued."""


class Stop(Verdict):
    """End the crawl here; `scraper resume` goes on with what is left, this page included."""
