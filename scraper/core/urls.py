"""URLs as browsers read them (WHATWG URL standard, by ada), and the keys made from them.

`ada_url`'s Python layer builds a dict of every attribute; on the hot path its C functions are called once per
attribute that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import NamedTuple

import ada_url
from publicsuffixlist import PublicSuffixList

__all__ = [
    "IDENTITY_VERSION",
    "SCHEMES",
    "SESSIONS",
    "Parts",
    "canonical",
    "domain_of",
    "fingerprint",
    "fingerprint_of_version",
    "is_ip",
    "is_public_suffix",
    "is_rooted",
    "join",
    "normalize",
    "same_site",
    "site_of",
    "split",
    "split_plain",
]

#: Parameters that mean a session everywhere. `sid` and `sessionid` do not: they name stories and talks as well.
SESSIONS = frozenset({"cftoken", "jsessionid", "oscsid", "phpsessid", "zenid"})
SCHEMES = frozenset({"http", "https"})
#: A parameter of a path segment (RFC 3986 section 3.3): `/item;jsessionid=1F2E`.
PATH_PARAM = re.compile(r";([^/;=]*)(?:=[^/;]*)?")
DEFAULT_PORTS = {"http": 80, "https": 443}
#: A path, and perhaps a query, that no browser changes when it joins it to an origin: nothing to be quoted, no dot
#: at the start of a segment, no second slash in front, no fragment.
ROOTED = re.compile(
    r"/(?!/)(?:[A-Za-z0-9_~!$&'()*+,;=:@-]++\.?|/)*+(?:\?[A-Za-z0-9_~!$&()*+,;=:@/?%.-]*+)?", re.ASCII
)


#: How URLs are distinguished now. Version 1 took every spelling of a percent-encoding for a URL of its own.
IDENTITY_VERSION = 2
#: A percent-encoding that is not written as RFC 3986 section 6.2.2 has it: with hex digits in lower case, or of an
#: unreserved character. Behind another `%` it may be part of what only looks like one.
_LOOSE = re.compile(
    "(?<!%)(?<!%[0-9A-Fa-f])"
    "%(?:[0-9A-Fa-f][a-f]|[a-f][0-9A-F]|2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])"
)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Parts(NamedTuple):
    """A URL cut where this package needs it. `host` is lower case, punycode, without brackets or final dot."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def netloc(self) -> str:
        """`host:port`, always with the port: the key of scope and of the address guard."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://host:port` (RFC 6454), always with the port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@lru_cache(maxsize=16_384)
def normalize(url: str) -> str:
    """The absolute URL in WHATWG form, without its fragment.

    Raises ValueError when it is not an absolute URL.
    """
    return ada_url.normalize_url(url).partition("#")[0]


@lru_cache(maxsize=16_384)
def join(base: str, link: str) -> str:
    """`link` as found on a page at `base`, absolute and without its fragment.

    Raises ValueError for a link browsers would not follow either (`http://[`). The scheme may be any.
    """
    return ada_url.join_url(base, link).partition("#")[0]


def is_rooted(link: str) -> bool:
    """Whether joining `link` to a page's URL is putting it behind the origin: 0.4 µs instead of 2.5 for `join`."""
    return ROOTED.fullmatch(link) is not None


@lru_cache(maxsize=16_384)
def split(url: str) -> Parts:
    """Cut a normalized URL. Raises ValueError when it has no host (`data:`, `javascript:`)."""
    return split_plain(url) or _parsed(url)


def split_plain(url: str) -> Parts | None:
    """Cut a URL that is in normal form at first sight, as most links of a page are; None for any other.

    Takes 2 µs, where `normalize` and a parser take 8.
    """
    scheme, _, rest = url.partition("://")
    authority, _, _ = rest.partition("/")
    origin = _origin(scheme, authority)
    if origin is None:
        return None
    start = len(scheme) + 3 + len(authority)
    if ROOTED.fullmatch(url, start) is None:
        return None
    path, mark, query = url[start:].partition("?")
    return None if mark and not query else Parts(scheme, origin.host, origin.port, path, query)


@lru_cache(maxsize=4_096)
def _origin(scheme: str, authority: str) -> Parts | None:
    """The parts of a root that is in normal form, for http(s) and without credentials; None for any other."""
    root = f"{scheme}://{authority}/"
    if scheme not in SCHEMES or "@" in authority or "?" in authority or "#" in authority:
        return None
    try:
        return _parsed(root) if normalize(root) == root else None
    except ValueError:
        return None


def _parsed(url: str) -> Parts:
    parsed = ada_url.parse_url(url, attributes=("protocol", "hostname", "port", "pathname", "search"))
    scheme = parsed["protocol"][:-1]
    host = parsed["hostname"].strip("[]").rstrip(".")
    if not host:
        raise ValueError(f"no host in {url!r}")
    port = int(parsed["port"]) if parsed["port"] else DEFAULT_PORTS.get(scheme, 0)
    return Parts(scheme, host, port, parsed["pathname"], parsed["search"][1:])


@lru_cache(maxsize=16_384)
def domain_of(host: str) -> str:
    """The politeness key of a host: its registrable domain by the public suffix list, private section included.

    IP addresses, `localhost` and other single labels are their own key, without the port.
    """
    host = host.rstrip(".").lower()
    if is_ip(host) or "." not in host:
        return host
    found = _suffixes().privatesuffix(host)
    return str(found) if found else host


@lru_cache(maxsize=4_096)
def is_public_suffix(host: str) -> bool:
    """Whether names below `host` belong to different owners: `com`, `co.uk`, `github.io`, any single label."""
    return "." not in host or str(_suffixes().publicsuffix(host)) == host


@cache
def _suffixes() -> PublicSuffixList:
    """The list bundled with publicsuffixlist; reading it takes 70 ms, so only when a name is asked about."""
    return PublicSuffixList()


def is_ip(host: str) -> bool:
    """Whether a host is a literal IPv4 or IPv6 address (without brackets)."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4_096)
def site_of(netloc: str) -> str:
    """What `scope="site"` compares: the registrable domain, or exact host:port for IPs and single labels."""
    host = netloc.rpartition(":")[0]
    return netloc if is_ip(host) or "." not in host else domain_of(host)


def same_site(one: str, other: str) -> bool:
    """Whether two `host:port` belong to the same site."""
    return site_of(one) == site_of(other)


def canonical(url: str, ignore_params: frozenset[str] = frozenset()) -> str:
    """The form two URLs share when they name the same page: query sorted, `ignore_params` dropped, and
    percent-encodings as RFC 3986 section 6.2.2 writes them (`/%7ea` is `/~a`, but `%2F` is not `/`).

    Takes a normalized URL; idempotent. Order among parameters of the same name is kept (it may matter).
    `ignore_params` are lower case, and dropped in any case, from the query and as `;name=value` from the path.
    """
    return _sorted(_LOOSE.sub(_respelled, url) if "%" in url else url, ignore_params)


def _respelled(found: re.Match[str]) -> str:
    char = chr(int(found[0][1:], 16))
    return char if char in _UNRESERVED else found[0].upper()


def _sorted(url: str, ignore_params: frozenset[str]) -> str:
    head, mark, query = url.partition("?")
    if ignore_params and ";" in head:
        head = PATH_PARAM.sub(lambda m: "" if m[1].lower() in ignore_params else m[0], head)
    if not mark:
        return head
    pairs = [p for p in query.split("&") if p]
    if ignore_params:
        pairs = [p for p in pairs if p.partition("=")[0].lower() not in ignore_params]
    if len(pairs) > 1:
        pairs.sort(key=lambda p: p.partition("=")[0])
    return f"{head}?{'&'.join(pairs)}" if pairs else head


def fingerprint(
    url: str,
    method: str = "GET",
    body: bytes = b"",
    vary: tuple[tuple[str, str], ...] = (),
    ignore_params: frozenset[str] = frozenset(),
    salt: str = "",
) -> bytes:
    """128 bits that are equal for requests of the same page, whatever the run or machine.

    Made of method, canonical URL, body and the headers the request names in `vary`; `salt` sets apart
    requests that must not be merged (`dont_filter`) or replaces the URL (`unique`).
    """
    return _digest(canonical(url, ignore_params), method, body, vary, salt)


def _fingerprint_1(
    url: str,
    method: str = "GET",
    body: bytes = b"",
    vary: tuple[tuple[str, str], ...] = (),
    ignore_params: frozenset[str] = frozenset(),
    salt: str = "",
) -> bytes:
    """As `fingerprint` was in version 1."""
    return _digest(_sorted(url, ignore_params), method, body, vary, salt)


def fingerprint_of_version(version: int) -> Callable[..., bytes]:
    """The function a run keeps to its end: by the `IDENTITY_VERSION` it was begun with."""
    return {1: _fingerprint_1, 2: fingerprint}[version]


def _digest(
    canonical_url: str, method: str, body: bytes, vary: tuple[tuple[str, str], ...], salt: str
) -> bytes:
    digest = blake2b(canonical_url.encode(), digest_size=16)
    if method != "GET" or body or vary or salt:
        for part in (method, body.hex(), *(f"{k.lower()}={v}" for k, v in vary), salt):
            digest.update(b"\0" + part.encode())
    return digest.digest()
