"""Cookies (RFC 6265bis), in memory and bounded: which ones an answer sets, which ones a request takes along.

Written here because the standard library's jar knows no public suffixes, drops host-only on a round trip, has no
limits, and looks at every cookie there is for every request.

Text here is octets as latin-1: what a server sent goes back to it as it was. Two things differ from a browser.
There are no sites that embed one another, so SameSite says nothing; and a cookie from the settings belongs to one
origin, its port included.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from scraper.core.models import Cookie
from scraper.core.models.cookie import is_below, path_matches
from scraper.core.urls import Parts, domain_of, is_ip, is_public_suffix, normalize, split

__all__ = ["Jar", "parse_set_cookie"]

_AGE = re.compile(r"-?[0-9]+")

#: Cookies of one registrable domain, of all; octets of one (name and value), of an attribute, of a Cookie header.
MAX_PER_SITE: Final = 50
MAX_COOKIES: Final = 3_000
MAX_COOKIE: Final = 4_096
MAX_ATTRIBUTE: Final = 1_024
MAX_HEADER: Final = 8_192
#: Set-Cookie lines of one answer that are looked at, and the longest a cookie is kept (section 5.5), in seconds.
MAX_LINES: Final = 200
LONGEST: Final = 400 * 86_400.0
#: Octets that make a Set-Cookie line void (section 5.6): controls but the tab.
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Jar:
    """The cookies of one crawl.

    Invariants: at most `MAX_PER_SITE` for one registrable domain and `MAX_COOKIES` in all; a site is in
    `_sites` only while it has a cookie, the one used longest ago first.
    """

    def __init__(self) -> None:
        self._sites: OrderedDict[str, dict[tuple[str, str, str], Cookie]] = OrderedDict()
        self._count = 0
        self._tick = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Cookie]:
        return (cookie for cookies in self._sites.values() for cookie in cookies.values())

    def header(self, parts: Parts, now: float) -> str:
        """The Cookie header of a request, "" for none: longer paths first, then the older cookie."""
        if not self._sites or (cookies := self._sites.get(domain_of(parts.host))) is None:
            return ""
        sent = [cookie for cookie in cookies.values() if cookie.goes_to(parts, now)]
        sent.sort(key=lambda cookie: -len(cookie.path))  # stable: a dict keeps the order of arrival
        pairs, room = [], MAX_HEADER
        for cookie in sent:
            pair = f"{cookie.name}={cookie.value}" if cookie.name else cookie.value or ""
            room -= len(pair) + 2
            if room < -2:
                break
            self._tick += 1
            cookie.used = self._tick
            pairs.append(pair)
        return "; ".join(pairs)

    def learn(self, parts: Parts, lines: Iterable[str], now: float) -> list[Cookie]:
        """Take over the Set-Cookie lines of an answer; what changed is returned, deleted ones with value None."""
        changed: dict[tuple[str, str, str], Cookie] = {}
        for _, line in zip(range(MAX_LINES), lines, strict=False):
            cookie = parse_set_cookie(line, parts, now)
            if cookie is not None and self._may_set(cookie, parts):
                for one in self._set(cookie, now):
                    changed[one.key] = one
        return list(changed.values())

    def restore(self, cookies: Iterable[Cookie], now: float) -> None:
        """Take over stored cookies of a site, where this jar has none from since."""
        for cookie in cookies:
            known = self._sites.get(cookie.site, {}).get(cookie.key)
            if known is None or known.port:  # one from the settings is older than any that was stored
                self._set(cookie, now)

    def put(self, origin: str, values: Mapping[str, str]) -> None:
        """Cookies a person gave to one origin: for this scheme, host and port, and every path."""
        parts = split(normalize(origin))
        for name, value in values.items():
            octets = value.encode().decode("latin-1")  # as all cookies: one character, one octet
            secure = parts.scheme == "https"
            self._set(Cookie(name, octets, parts.host, secure=secure, port=parts.port), 0.0)

    def _may_set(self, cookie: Cookie, parts: Parts) -> bool:
        """A plain http answer may not shadow what was set over TLS (section 5.7, step 16)."""
        if parts.scheme == "https":
            return True
        return not any(
            known.secure
            and known.name == cookie.name
            and (_is_within(known.domain, cookie.domain) or _is_within(cookie.domain, known.domain))
            and path_matches(cookie.path, known.path)
            for known in self._sites.get(cookie.site, {}).values()
        )

    def _set(self, cookie: Cookie, now: float) -> list[Cookie]:
        """Store one cookie, or delete it when its time is over; with whatever had to go for it."""
        site = cookie.site
        cookies = self._sites.get(site)
        gone = cookie.expires is not None and cookie.expires <= now
        known = cookies.get(cookie.key) if cookies else None
        if gone:
            return [self._drop(site, known)] if known is not None else []
        if known is not None and cookies is not None:
            if (known.value, known.expires, known.secure, known.host_only, known.port) == (
                cookie.value, cookie.expires, cookie.secure, cookie.host_only, cookie.port,
            ):  # fmt: skip
                return []
            cookie.used = known.used
        else:
            self._count += 1
            self._tick += 1
            cookie.used = self._tick
        self._sites.setdefault(site, {})[cookie.key] = cookie
        self._sites.move_to_end(site)
        return [cookie, *self._evict(site, now)]

    def _evict(self, site: str, now: float) -> list[Cookie]:
        """What is over the limits: expired cookies first, then those used longest ago."""
        dropped: list[Cookie] = []
        cookies = self._sites[site]
        if len(cookies) > MAX_PER_SITE:
            over = [c for c in cookies.values() if c.expires is not None and c.expires <= now]
            dropped += [self._drop(site, cookie) for cookie in over]
        while len(cookies) > MAX_PER_SITE:
            dropped.append(self._drop(site, min(cookies.values(), key=lambda cookie: cookie.used)))
        while self._count > MAX_COOKIES:
            oldest = next(iter(self._sites))
            dropped.append(self._drop(oldest, next(iter(self._sites[oldest].values()))))
        return dropped

    def _drop(self, site: str, cookie: Cookie) -> Cookie:
        cookies = self._sites[site]
        del cookies[cookie.key]
        self._count -= 1
        if not cookies:
            del self._sites[site]
        return replace(cookie, value=None)


def parse_set_cookie(line: str, parts: Parts, now: float) -> Cookie | None:
    """The cookie of one Set-Cookie line of an answer from this URL; None when it sets none (section 5.6, 5.7)."""
    if CONTROL.search(line):
        return None
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = (name.strip(), value.strip()) if equals else ("", name.strip())
    if not (name or value) or len(name) + len(value) > MAX_COOKIE:
        return None
    attributes = _attributes(rest)
    domain = _domain(attributes.get("domain", ""), parts.host)
    if domain is None:
        return None
    path = attributes.get("path", "")
    cookie = Cookie(
        name, value, domain[0], path if path.startswith("/") else _default_path(parts.path), domain[1],
        "secure" in attributes, _expires(attributes, now),
    )  # fmt: skip
    return cookie if _keeps_its_promise(cookie, parts, attributes) else None


def _attributes(text: str) -> dict[str, str]:
    """Attributes by lower-case name; of several with one name the last counts, one too long not at all."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if len(value := value.strip()) <= MAX_ATTRIBUTE:
            found[name.strip().lower()] = value
    return found


def _domain(wanted: str, host: str) -> tuple[str, bool] | None:
    """The domain of a cookie and whether it is for that host alone; None where the host may not set it."""
    wanted = wanted.removeprefix(".").lower()
    if not wanted:
        return host, True
    if not wanted.isascii():
        try:
            wanted = split(normalize(f"http://{wanted}/")).host
        except ValueError:
            return None
    if wanted == host:
        return host, is_public_suffix(host) or is_ip(host)
    if is_ip(host) or not is_below(host, wanted) or is_public_suffix(wanted):
        return None
    return wanted, False


def _keeps_its_promise(cookie: Cookie, parts: Parts, attributes: Mapping[str, str]) -> bool:
    """What Secure and the prefixes of a name demand (section 4.1.3)."""
    if cookie.secure and parts.scheme != "https":
        return False
    # A cookie without a name could smuggle a prefix in its value.
    shown = (cookie.name or cookie.value or "").lower()
    if shown.startswith("__host-"):
        at_root = attributes.get("path") == "/" and not attributes.get("domain")
        return bool(cookie.name) and cookie.secure and cookie.host_only and at_root
    return not shown.startswith("__secure-") or (bool(cookie.name) and cookie.secure)


def _expires(attributes: Mapping[str, str], now: float) -> float | None:
    """When a cookie is over, in unix seconds; Max-Age counts before Expires; None: with the crawl."""
    age = attributes.get("max-age", "")
    if _AGE.fullmatch(age):
        if age.startswith("-") or not int(age[:20]):
            return 0.0
        return now + min(LONGEST, float(age[:20]))
    at = _date(attributes["expires"]) if "expires" in attributes else None
    return None if at is None else min(at, now + LONGEST)


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DELIMITERS: Final = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9]).*")
_DAY: Final = re.compile(r"([0-9]{1,2})(?![0-9]).*")
_YEAR: Final = re.compile(r"([0-9]{2,4})(?![0-9]).*")


def _date(text: str) -> float | None:
    """A date as servers write it (section 5.1.1: whatever looks like its parts), in unix seconds."""
    time: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (found := _TIME.fullmatch(token)):
            time = int(found[1]), int(found[2]), int(found[3])
        elif day is None and (found := _DAY.fullmatch(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.fullmatch(token)):
            year = int(found[1])
            year += 1900 if 70 <= year <= 99 else 2000 if year < 70 else 0
    if time is None or day is None or month is None or year is None or year < 1601:
        return None
    try:
        return datetime(year, month, day, *time, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _is_within(host: str, domain: str) -> bool:
    return host == domain or is_below(host, domain)


def _default_path(path: str) -> str:
    """The folder of a URL's path (section 5.1.4)."""
    return path[: path.rfind("/")] or "/"
