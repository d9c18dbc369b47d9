"""Which URLs a crawl may follow: those it can fetch at all, and of them those in scope of their start."""

from __future__ import annotations

from functools import lru_cache

from scraper.core.urls import SCHEMES, Parts, normalize, same_site, split, split_plain
from scraper.errors import FetchError
from scraper.settings import Settings

__all__ = ["check_url", "in_scope", "netlocs", "start_of"]

#: A URL so many times longer than allowed is not even looked at: normalizing does not shorten it that much,
#: and what is normalized is remembered.
SHRINK = 4
#: RFC 1035 section 2.3.4, without the root's dot.
LONGEST_HOST = 253


def in_scope(settings: Settings, parts: Parts, seeds: str) -> bool:
    """Whether a URL may be followed by a request that descends from `seeds` (see `QueuedRequest.seed`)."""
    scope = settings.scope
    if scope == "any":
        return True
    if scope == "listed":
        return any(
            parts.host == name or parts.host.endswith(f".{name}") or parts.netloc == name
            for name in settings.allowed
        )
    netloc, named = parts.netloc, netlocs(seeds)
    return netloc in named or (scope == "site" and any(same_site(netloc, seed) for seed in named))


def start_of(parts: Parts) -> str:
    """A start URL as the requests that descend from it know it: `scheme://host:port`, an IPv6 host without brackets."""
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=4_096)
def netlocs(seeds: str) -> tuple[str, ...]:
    """The `host:port` of each seed."""
    return tuple(seed.rpartition("//")[2] for seed in seeds.split(" "))


def check_url(url: str, longest: int) -> tuple[str, Parts]:
    """A URL normalized and cut. Raises FetchError when it is none this crawler can fetch."""
    if len(url) > SHRINK * longest:
        raise _too_long(url, longest)
    if len(url) <= longest and (plain := split_plain(url)) is not None and len(plain.host) <= LONGEST_HOST:
        return url, plain
    try:
        normal = normalize(url)
        parts = split(normal)
    except ValueError as error:
        raise FetchError("bad-url", _not_a_url(url)) from error
    if parts.scheme not in SCHEMES:
        raise FetchError(
            "unsupported-scheme", f"{url}: the scheme {parts.scheme!r} is neither http nor https"
        )
    if "@" in normal.split("/", 3)[2]:
        raise FetchError(
            "bad-url",
            f"{parts.scheme}://…@{parts.host}: credentials in a URL are not sent; use the setting auth",
        )
    if len(normal) > longest:
        raise _too_long(url, longest)
    if len(parts.host) > LONGEST_HOST:
        raise FetchError("bad-url", f"{url[:80]}…: a host longer than {LONGEST_HOST} characters")
    return normal, parts


def _not_a_url(url: str) -> str:
    """What is wrong with text that no browser takes for a URL, and how it may be meant."""
    short = url if len(url) <= 200 else f"{url[:200]}…"
    scheme, colon, rest = url.strip().partition(":")
    if colon and scheme.isalpha() and not rest[:1].isdigit():
        if scheme.lower() not in SCHEMES:
            return f"{short!r} is not a URL of a web page: it begins with neither http:// nor https://"
        if not rest.strip("/\\"):
            return f"{short!r} is not a URL: it names no host"
        return f"{short!r} is not a URL: its host or port is not valid"
    whole = f"https://{url.strip().lstrip('/')}"
    try:
        normalize(whole)
    except ValueError:
        return f"{short!r} is not a URL; write it in full, like https://example.com/"
    if url.startswith("/") and not url.startswith("//"):
        return f"{short!r} is not a URL, only a path; write it with its host, like https://example.com{short}"
    return f"{short!r} is not a URL; write it with its scheme, like https://{short.strip().lstrip('/')}"


def _too_long(url: str, longest: int) -> FetchError:
    return FetchError("bad-url", f"{url[:80]}…: longer than {longest} characters (max_url)")
