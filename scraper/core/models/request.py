"""What to fetch: requests as authors yield them and as the frontier holds them."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from scraper.core.charsets import encoding_named
from scraper.core.codec import encode_arguments
from scraper.errors import FetchError

__all__ = [
    "Known",
    "Options",
    "QueuedRequest",
    "Redirection",
    "Request",
    "Requests",
    "State",
    "callback_name",
]


class Redirection(NamedTuple):
    """One step on the way to a page: `url` was asked for, and the answer, of this `status`, led elsewhere.

    A status of 2xx is that of a page which sent its reader on (a meta refresh, or the Refresh header).
    """

    url: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything of a request but its URL; shared by all requests of one `follow_all`.

    `args` is the JSON text of the callback's data, already encoded; `accept` holds extra statuses; `redirects` is the
    way that has led to the URL, for a request that a redirect made.
    """

    callback: str = "parse"
    args: str | None = None
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    priority: int = 0
    accept: tuple[int, ...] = ()
    errback: str | None = None
    revisit: str | float | None = None
    unique: str | None = None
    vary: tuple[str, ...] = ()
    via: str | None = None
    dont_filter: bool = False
    encoding: str | None = None
    repeatable: bool = False
    accept_incomplete: bool = False
    redirects: tuple[Redirection, ...] = ()

    @property
    def retried_as(self) -> str:
        """The method by which it is decided whether to send it again."""
        return "GET" if self.repeatable else self.method


class Request:
    """A page to fetch and the callback that gets it.

    `url` is absolute; `callback` a method of the spider (default `parse`), `args` its keyword arguments
    (JSON types, Decimal, date, datetime, bytes, item classes). `params` are added to the query. One of
    `json`, `form`, `content` makes the body and, with `method` left alone, a POST. Higher `priority` is
    fetched earlier. `accept` lists statuses beyond 2xx the callback wants. `unique` replaces the URL as
    identity, `vary` names headers that belong to it, `dont_filter` fetches even a known URL again.
    `encoding` is the charset the page is read in, whatever it says itself; a byte order mark counts more. `repeatable`
    says that a second time changes nothing on the server, so that a POST is retried as a GET is. `accept_incomplete`
    takes a body that ends too soon for a page whose `complete` is False.

    Raises ValueError for an `encoding` that is not a charset of the web. Raises TypeError for a callback that
    cannot be found again by name (a lambda, a closure) or data that cannot be stored; the message names callback
    and argument.
    """

    __slots__ = ("options", "url")
    url: str
    options: Options

    def __init__(
        self,
        url: str,
        callback: Callable[..., Any] | None = None,
        *,
        args: Mapping[str, Any] | None = None,
        method: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        priority: int = 0,
        accept: Iterable[int] = (),
        errback: Callable[[FetchError], Any] | None = None,
        revisit: Literal["always", "never"] | timedelta | float | None = None,
        unique: str | None = None,
        vary: Iterable[str] = (),
        via: str | None = None,
        dont_filter: bool = False,
        encoding: str | None = None,
        repeatable: bool = False,
        accept_incomplete: bool = False,
    ) -> None:
        name = callback_name(callback) if callback is not None else "parse"
        body, content_type = _body(json, form, content)
        pairs = list((headers or {}).items())
        if content_type and not any(k.lower() == "content-type" for k, _ in pairs):
            pairs.append(("Content-Type", content_type))
        self.url = _with_params(url, params)
        self.options = Options(
            callback=name,
            args=encode_arguments(name, args) if args else None,
            method=(method or ("POST" if body or form is not None else "GET")).upper(),
            headers=tuple(pairs),
            body=body,
            priority=priority,
            accept=tuple(accept),
            errback=callback_name(errback) if errback is not None else None,
            revisit=_revisit(revisit),
            unique=unique,
            vary=tuple(vary),
            via=via,
            dont_filter=dont_filter,
            encoding=_encoding(encoding),
            repeatable=repeatable,
            accept_incomplete=accept_incomplete,
        )

    @classmethod
    def of(cls, url: str, options: Options) -> Request:
        """A request that shares `options` with others: no checking, no copying."""
        request = cls.__new__(cls)
        request.url, request.options = url, options
        return request

    def __repr__(self) -> str:
        return f"<Request {self.options.method} {self.url} → {self.options.callback}>"


class Requests(list[Request]):
    """What `follow` and `follow_all` return: a list, maybe empty, that can be yielded as it is."""

    def options(
        self,
        *,
        priority: int | None = None,
        headers: Mapping[str, str] | None = None,
        errback: Callable[[FetchError], Any] | None = None,
        accept: Iterable[int] | None = None,
        revisit: Literal["always", "never"] | timedelta | float | None = None,
        via: str | None = None,
        dont_filter: bool | None = None,
        encoding: str | None = None,
        repeatable: bool | None = None,
        accept_incomplete: bool | None = None,
    ) -> Requests:
        """The same requests with these options changed; what is not named stays."""
        changes: dict[str, Any] = {"priority": priority, "via": via, "dont_filter": dont_filter}
        changes |= {"repeatable": repeatable, "accept_incomplete": accept_incomplete}
        changes["headers"] = tuple(headers.items()) if headers is not None else None
        changes["accept"] = tuple(accept) if accept is not None else None
        changes["errback"] = callback_name(errback) if errback is not None else None
        changes["revisit"] = _revisit(revisit)
        changes["encoding"] = _encoding(encoding)
        changes = {key: value for key, value in changes.items() if value is not None}
        made: dict[int, Options] = {}
        for request in self:
            if id(request.options) not in made:
                made[id(request.options)] = replace(request.options, **changes)
        return Requests(Request.of(r.url, made[id(r.options)]) for r in self)


def callback_name(callback: Callable[..., Any]) -> str:
    """The name under which a callback is stored and found again: a method of the spider."""
    name = getattr(callback, "__name__", "")
    if getattr(callback, "__self__", None) is None or not name.isidentifier():
        raise TypeError(
            f"{name or callback!r} cannot be a callback: it is stored by name and found again after a restart, "
            "so it must be a method of the spider, like self.parse_book; pass data as keyword arguments"
        )
    return name


def _revisit(value: Any) -> str | float | None:
    """ "always", "never", or the seconds for which a visit is good enough."""
    if value is None or value in ("always", "never"):
        return value  # type: ignore[no-any-return]  # a literal, or None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise TypeError(f'revisit={value!r}: "always", "never", a timedelta or seconds')


def _encoding(label: object) -> str | None:
    """The charset a label names, as the Encoding standard calls it."""
    if label is None:
        return None
    encoding = encoding_named(label) if isinstance(label, str) else None
    if encoding is None:
        raise ValueError(f"encoding={label!r} is not a charset of the web, such as windows-1251 or shift_jis")
    return encoding


def _body(json: Any, form: Mapping[str, Any] | None, content: bytes | str | None) -> tuple[bytes, str]:
    if sum(x is not None for x in (json, form, content)) > 1:
        raise TypeError("a request has one body: give json, form or content, not several")
    if json is not None:
        return jsonlib.dumps(json, separators=(",", ":")).encode(), "application/json"
    if form is not None:
        return urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return content or b"", ""


def _with_params(url: str, params: Mapping[str, Any] | None) -> str:
    if not params:
        return url
    head, mark, fragment = url.partition("#")
    return f"{head}{'&' if '?' in head else '?'}{urlencode(params, doseq=True)}{mark}{fragment}"


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier run of the series knows of a page: the request it was, when it was fetched (unix), and the
    ETag and Last-Modified it came with. `run` saw it last."""

    request: int
    run: int
    visited: float
    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request as the frontier holds it.

    `id` is 0 until stored. `seed` holds `scheme://host:port` of the start URL it descends from, and after a space
    each `host:port` that a redirect of the start added: what scope compares, and who gets the setting `headers`.
    `attempts` counts the tries that failed and may be repeated; `not_before` is a unix time in seconds, 0 for at
    once. `known` is set when it is taken, where `revisit` may need it. `former` is the fingerprint that earlier runs
    may know it by, where that was another; it is not stored.
    """

    url: str
    fingerprint: bytes
    domain: str
    options: Options
    id: int = 0
    depth: int = 0
    hops: int = 0
    attempts: int = 0
    parent: int | None = None
    seed: str = ""
    not_before: float = 0.0
    known: Known | None = None
    former: bytes = b""


class State(IntEnum):
    """Where a stored request stands. A taken one is still QUEUED: taking is a lease, not a state."""

    QUEUED = 0
    DONE = 1
    FAILED = 2
    SKIPPED = 3
