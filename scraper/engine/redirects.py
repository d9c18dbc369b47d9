"""From a URL to the answer at the end of its redirects: the one hop loop of a crawl.

Visits, `page.fetch`, downloads and robots.txt go through `follow`. What differs between them (under which domain's
turn a hop is sent, whether robots.txt is asked, when a redirect is not followed here) is their `Route`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import httpx

from scraper.core.models import Options, Redirection
from scraper.core.urls import SCHEMES, Parts, join, split
from scraper.errors import FetchError
from scraper.net.downloader import Reply
from scraper.net.messages import url_header_of
from scraper.net.request_headers import CARRIED
from scraper.settings import Settings
from scraper.spider.scope import check_url

__all__ = ["Arrival", "Asked", "Hop", "Route", "follow", "is_redirect", "wants_no_redirect"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})

Left = TypeVar("Left", covariant=True)


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a chain of redirects: a normalized URL, its parts, and the options it is sent with."""

    url: str
    parts: Parts
    options: Options


@dataclass(frozen=True, slots=True)
class Arrival:
    """The end of a chain: the last hop and its answer."""

    hop: Hop
    reply: Reply


class Asked(NamedTuple):
    """What was asked of a server, as far as its answer may depend on it."""

    method: str
    url: str
    cookies: str


class Route(Protocol[Left]):
    """One way through a chain."""

    @property
    def most(self) -> int:
        """How many redirects are followed at most."""
        ...

    @property
    def asked(self) -> set[Asked]:
        """What the chain has asked for so far."""
        ...

    @property
    def cookies_sent(self) -> str:
        """The Cookie header of the last send; "" for none."""
        ...

    async def ask(self, hop: Hop) -> Reply:
        """Send one hop, under its domain's turn. Raises FetchError."""
        ...

    def cookies_for(self, hop: Hop) -> str:
        """The Cookie header that a hop would be sent with now."""
        ...

    def arrives(self, hop: Hop, reply: Reply) -> bool:
        """Whether a redirect is what was asked for, so that it is not followed."""
        ...

    def refresh(self, hop: Hop, reply: Reply) -> str | None:
        """Where a page without a redirect sends its reader, absolute; None where it does not, or too late."""
        ...

    async def leave(self, hop: Hop, reply: Reply) -> Hop | Left | None:
        """`reply` redirects to `hop`: None to follow it, another hop to ask instead, or what ends the chain here."""
        ...


async def follow(hop: Hop, route: Route[Left], settings: Settings) -> Arrival | Left:
    """Hop by hop to the answer.

    A loop is the same method and URL with the same cookies: a redirect back that set a cookie is not one. A page that
    sends its reader to another at once, as a redirect would, is followed; in a loop it is the answer.
    Raises FetchError `too-many-redirects`, `bad-redirect`, `unsupported-scheme`, and what `Route.ask` raises.
    """
    for left in range(route.most, -1, -1):
        reply = await route.ask(hop)
        if not is_redirect(reply.status, reply.headers):
            target = route.refresh(hop, reply)
        else:
            target = None if route.arrives(hop, reply) else _target(hop.url, reply)
        if target is None:
            return Arrival(hop, reply)
        if not left:
            break
        route.asked.add(Asked(hop.options.method, hop.url, route.cookies_sent))
        before, hop = hop, _next(hop, target, reply.status, settings)
        if Asked(hop.options.method, hop.url, route.cookies_for(hop)) in route.asked:
            if reply.status < 300:
                return Arrival(before, reply)  # pages that show each other in turn are pages
            raise FetchError("too-many-redirects", f"redirect loop at {hop.url}", status=reply.status)
        left_for = await route.leave(hop, reply)
        if isinstance(left_for, Hop):
            hop = replace(left_for, options=replace(left_for.options, redirects=hop.options.redirects))
        elif left_for is not None:
            return left_for
    raise FetchError("too-many-redirects", f"more than {settings.max_hops} redirects (max_hops)")


def _next(hop: Hop, target: str, status: int, settings: Settings) -> Hop:
    url, parts = check_url(target, settings.max_url)
    return Hop(url, parts, _redirected(hop, status, parts, settings.secret_headers))


def is_redirect(status: int, headers: httpx.Headers) -> bool:
    """Whether an answer sends the client elsewhere (RFC 9110 section 15.4)."""
    return status in REDIRECTS and "location" in headers


def wants_no_redirect(status: int, headers: httpx.Headers) -> bool:
    """Whether a body is worth reading: that of a redirect is not."""
    return not is_redirect(status, headers)


def _target(url: str, reply: Reply) -> str:
    """Where a redirect leads, absolute.

    Raises FetchError `bad-redirect` for a target that is not a URL, `unsupported-scheme` for one that is not http(s).
    """
    location = url_header_of(reply.headers, b"location")
    try:
        target = join(url, location)
        parts = split(target)
    except ValueError as error:
        raise FetchError(
            "bad-redirect", f"redirect to {location[:200]!r}, which is not a URL", status=reply.status
        ) from error
    if parts.scheme not in SCHEMES:
        raise FetchError(
            "unsupported-scheme",
            f"redirect to {location[:200]!r}: neither http nor https",
            status=reply.status,
        )
    return target


def _redirected(hop: Hop, status: int, after: Parts, secret: Collection[str]) -> Options:
    """The options after a redirect, which is added to them: POST becomes GET as browsers do it (Fetch standard, 4.4),
    and nothing that may be secret goes to another origin: neither what `CARRIED` lacks nor what the author calls `secret`.

    Raises FetchError `bad-redirect` when a body would have to be sent to another origin.
    """
    way = (*hop.options.redirects, Redirection(hop.url, status))
    options = replace(hop.options, redirects=way)
    same_origin = hop.parts.origin == after.origin
    is_post = options.method == "POST"
    if (status in {301, 302} and is_post) or status < 300 or (status == 303 and options.method != "HEAD"):
        kept = tuple((n, v) for n, v in options.headers if not n.lower().startswith("content-"))
        options = replace(options, method="GET", body=b"", headers=kept)
    if not same_origin and options.body:
        raise FetchError(
            "bad-redirect", "a redirect would send the request's body to another origin", status=status
        )
    if not same_origin and options.headers:
        harmless = CARRIED.difference(secret)
        options = replace(options, headers=tuple((n, v) for n, v in options.headers if n.lower() in harmless))
    return options
