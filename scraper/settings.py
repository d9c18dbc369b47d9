"""Settings of a crawl: one frozen object, validated once, every error naming the key and where it was set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from scraper.errors import SettingsError
from scraper.models import Hours, Limit, Proxy, Rate, read_proxies
from scraper.urls import SESSIONS

if TYPE_CHECKING:
    import httpx

__all__ = [
    "NO_LAYERS",
    "SCOPES",
    "SECRET_SETTINGS",
    "Layer",
    "Layers",
    "Settings",
    "did_you_mean",
    "near_miss",
    "read_limit",
]

#: Settings whose values may be secrets: they are neither shown nor stored.
SECRET_SETTINGS = frozenset({"auth", "cookies", "headers", "proxy"})
SCOPES = ("site", "host", "listed", "any")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmg])i?)?b?", re.IGNORECASE)
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def _seconds(value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[(match[2] or "").lower()]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError('a time in seconds, or "500ms", "30s", "10m", "2h"')


def _size(value: Any) -> int:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _BYTES[(match[2] or "").lower()])
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError('a number of bytes, or "16 MiB"')


def _count(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return number
    raise ValueError("a whole number, 0 or more")


def _positive(value: Any) -> int:
    if number := _count(value):
        return number
    raise ValueError("a whole number, 1 or more")


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        value = {
            "true": True,
            "yes": True,
            "1": True,
            "on": True,
            "false": False,
            "no": False,
            "0": False,
            "off": False,
        }.get(value.strip().lower())
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _share(value: Any) -> float:
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip())):
        value = float(match[1]) / (100 if match[2] else 1)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError('a share from 0 to 1, or "1%"')


def _text(value: Any) -> str:
    if isinstance(value, str) and not re.search(r"[\x00-\x1f\x7f]", value):
        return value
    raise ValueError("text without control characters")


def _parts(value: Any, expected: str) -> list[Any]:
    """The entries of a list, or of text with commas or spaces; "none" is the empty one."""
    if isinstance(value, str):
        return [] if value.strip().lower() == "none" else value.replace(",", " ").split()
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        return list(value)
    raise ValueError(expected)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(_text(part) for part in _parts(value, "a list of words, or text with commas or spaces"))


def _names(value: Any) -> frozenset[str]:
    return frozenset(_words(value))


def _statuses(value: Any) -> tuple[int, ...]:
    expected = "HTTP statuses such as 404, 410"
    parts = _parts(value, expected)
    if all(re.fullmatch(r"[1-9]\d\d", str(part)) for part in parts):
        return tuple(int(part) for part in parts)
    raise ValueError(expected)


def _scope(value: Any) -> str:
    if value in SCOPES:
        return str(value)
    raise ValueError(f"one of {', '.join(SCOPES)}")


def _credentials() -> Any:
    from scraper import credentials  # httpx with it: a command line that is completed needs neither

    return credentials


def _headers(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(
            "a table of header names and texts: in a configuration file, the spider or the program"
        )
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise SettingsError(f"headers: {name!r} is no name of a header")
        if not isinstance(text, str) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
            raise SettingsError(f"headers: {name} is not valid; expected text in one line")
    return MappingProxyType(dict(value))


def _limits(value: Any) -> Mapping[str, Limit]:
    if not isinstance(value, Mapping):
        raise TypeError(
            "a table of hosts and their limits: in a configuration file, the spider or the program"
        )
    return MappingProxyType(
        {str(host).lower(): read_limit(str(host), limit) for host, limit in value.items()}
    )


def read_limit(host: str, value: Any) -> Limit:
    """The limit of one host: a Limit, its fields as a mapping, or a rate alone.

    Raises SettingsError naming the host and the key.
    """
    if isinstance(value, Limit):
        given = {f.name: getattr(value, f.name) for f in fields(Limit)}
    else:
        given = dict(value) if isinstance(value, Mapping) else {"rate": value}
    for key, inner in given.items():
        if key not in _LIMIT:
            raise SettingsError(f"limits of {host}: unknown key {key!r}{did_you_mean(key, _LIMIT)}")
        try:
            given[key] = inner if inner is None else _LIMIT[key](inner)
        except (ValueError, TypeError) as error:
            shown = "" if key in SECRET_SETTINGS else f" = {inner!r}"
            raise SettingsError(f"limits of {host}: {key}{shown} is not valid; expected {error}") from error
    return Limit(**given)


def _rate(value: Any) -> Rate | None:
    return Rate.parse(value if value is None or isinstance(value, (Rate, str, int, float)) else "")


def _rate_text(value: Any) -> Any:
    """A rate, left as it was written: "none" is no limit here, while None keeps the spider's."""
    _rate(value)
    return value


def _hours_text(value: Any) -> Any:
    """Hours, left as they were written, as rates are."""
    Hours.parse(value)
    return value


#: The keys of an entry of `limits`, the fields of `Limit`.
_LIMIT: Mapping[str, Callable[[Any], Any]] = MappingProxyType({
    "rate": _rate_text, "concurrency": _positive, "delay": _seconds, "robots": _flag, "hours": _hours_text,
    "proxy": read_proxies,
})  # fmt: skip


def _point(value: Any) -> str:
    if value in (".", ","):
        return str(value)
    raise ValueError('"." or ","')


def _revisit(value: Any) -> str | float:
    if value in ("always", "never"):
        return str(value)
    try:
        return _seconds(value)
    except ValueError:
        raise ValueError('"always", "never", or a time such as "12h", "7d"') from None


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def reading(value: Any) -> Any:
        return None if value is None or (isinstance(value, str) and value.lower() == "none") else read(value)

    return reading


#: Where values come from, as it is named in errors, and the values. Several make one `Settings`; later ones win.
Layer: TypeAlias = tuple[str, Mapping[str, Any]]


class Layers(NamedTuple):
    """What was set outside of a spider: `below` its own settings, which win over it, and `above` them."""

    below: tuple[Layer, ...] = ()
    above: tuple[Layer, ...] = ()

    def around(self, own: Layer, flags: Layer) -> tuple[Layer, ...]:
        """All layers in the order in which they count."""
        return (*self.below, own, *self.above, flags)


NO_LAYERS = Layers()


def _setting(default: Any, read: Callable[[Any], Any], about: str) -> Any:
    return field(default_factory=lambda: default, metadata={"read": read, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a crawl obeys. Times are seconds, sizes bytes. `Settings.of` builds one from layers.

    The `about` of each field is its documentation (docs/configuration.md is checked against it).
    """

    rate: Rate | None = _setting(Rate(2), _rate, "requests per domain: 5/s, 30/min, auto<=5/s, none")
    concurrency: int = _setting(2, _positive, "requests in flight per domain")
    delay: float = _setting(
        0.0, _seconds, "pause from the end of a response to the next request of its domain"
    )
    hours: Hours | None = _setting(
        None, Hours.parse, "hours of the day in which requests are sent: 22:00-06:00"
    )
    limits: Mapping[str, Limit] = _setting(MappingProxyType({}), _limits, "limits of single hosts or domains")
    in_flight: int = _setting(64, _positive, "requests in flight overall")
    robots: bool = _setting(True, _flag, "obey robots.txt (RFC 9309)")
    crawl_delay_max: float = _setting(
        300.0, _seconds, "longest Crawl-delay obeyed; above it the domain is parked"
    )
    retry_after_max: float = _setting(
        3600.0, _seconds, "longest Retry-After waited for; above it the domain is parked"
    )
    deadline: float = _setting(60.0, _seconds, "time for one request, connecting to last byte")
    connect_timeout: float = _setting(10.0, _seconds, "time for one connection")
    callback_timeout: float = _setting(300.0, _seconds, "time for one callback")
    retries: int = _setting(3, _count, "further tries after a failure that may pass")
    max_body: int = _setting(16 * 2**20, _size, "largest body as sent")
    max_decoded: int = _setting(64 * 2**20, _size, "largest body after decompression")
    max_file: int = _setting(2**30, _size, "largest file that page.download stores")
    stall_timeout: float = _setting(30.0, _seconds, "time a download may go without a byte")
    max_hops: int = _setting(20, _count, "redirects followed for one request")
    max_url: int = _setting(2083, _positive, "longest URL in characters")
    max_yield: int = _setting(
        250_000, _positive, "items, and requests, that a callback may yield for one page"
    )
    max_pages: int | None = _setting(None, _optional(_positive), "stop after so many pages")
    max_pages_per_domain: int | None = _setting(
        None, _optional(_positive), "stop a domain after so many pages"
    )
    max_items: int | None = _setting(None, _optional(_positive), "stop after so many items")
    max_depth: int | None = _setting(None, _optional(_count), "follow links so many steps from the start")
    max_path_depth: int = _setting(20, _positive, "longest path of a link in segments")
    max_repetitions: int = _setting(2, _positive, "how often the same path segments may come again in a row")
    max_identical: int | None = _setting(
        100, _optional(_positive), "same page from so many URLs in a row and the domain is parked"
    )
    max_time: float | None = _setting(None, _optional(_seconds), "stop after so much time")
    max_failed: float = _setting(
        0.01, _share, "share of failed pages still called a success (404 and 410 not counted)"
    )
    scope: str = _setting("site", _scope, "which links are followed: site, host, listed, any")
    allowed: tuple[str, ...] = _setting((), _words, 'hosts a crawl may follow to with scope="listed"')
    private_hosts: frozenset[str] = _setting(frozenset(), _names, "private host:port a crawl may connect to")
    proxy: tuple[Proxy, ...] = _setting(
        (), read_proxies, "a proxy, or several that take turns: http, https, socks4, socks5, socks5h"
    )
    insecure_hosts: frozenset[str] = _setting(
        frozenset(), _names, "host:port whose certificate is not verified"
    )
    accept: tuple[int, ...] = _setting((), _statuses, "statuses beyond 2xx the callbacks get")
    accept_types: tuple[str, ...] = _setting(
        ("html", "xml", "json", "text/"), _words, "content types fetched; others are cut at the headers"
    )
    headers: Mapping[str, str] = _setting(
        MappingProxyType({}), _headers, "headers of requests to the hosts of start URLs"
    )
    secret_headers: frozenset[str] = _setting(
        frozenset(),
        lambda v: frozenset(map(str.lower, _words(v))),
        "headers that hold secrets, beside those known as such",
    )
    auth: Mapping[str, httpx.Auth] = _setting(
        MappingProxyType({}), lambda v: _credentials().read_auth(v), "credentials by origin"
    )
    cookies: bool | Mapping[str, Mapping[str, str]] = _setting(
        True, lambda v: _credentials().read_cookies(v), "keep cookies; or the first ones, by origin"
    )
    keep_failed: bool = _setting(
        True, _flag, "keep some pages a callback failed on, to try again (5 per place, up to 2 MiB each)"
    )
    ignore_params: frozenset[str] = _setting(
        SESSIONS, _names, "query and path parameters that do not make another page"
    )
    user_agent: str | None = _setting(None, _optional(_text), "the User-Agent header")
    contact: str | None = _setting(
        None, _optional(_text), "an address the site can write to; part of the User-Agent"
    )
    keep_runs: int = _setting(
        10, _positive, "runs whose requests, sends and errors are kept; older ones are pruned when a run ends"
    )
    revisit: str | float = _setting(
        "always", _revisit, "what a later run fetches again: always, never, or what is older than a time"
    )
    files: str | None = _setting(None, _optional(_text), "the folder that page.download stores into")
    decimal_point: Literal[".", ","] = _setting(".", _point, "decimal point of numbers on the pages")

    @classmethod
    def names(cls) -> dict[str, str]:
        """Every setting and what it is about."""
        return {f.name: f.metadata["about"] for f in fields(cls)}

    @classmethod
    def of(cls, *layers: Layer) -> Settings:
        """Build settings from layers; later ones win. All are checked, also what another one hides.

        Raises SettingsError naming the layer, the key, and what was meant or expected.
        """
        readers = {f.name: f.metadata["read"] for f in fields(cls)}
        values: dict[str, Any] = {}
        for source, layer in layers:
            for key, value in layer.items():
                if key not in readers:
                    raise SettingsError(f"{source}: unknown setting {key!r}{did_you_mean(key, readers)}")
                try:
                    values[key] = readers[key](value)
                except SettingsError as error:
                    raise SettingsError(f"{source}: {error}") from error
                except (ValueError, TypeError) as error:
                    shown = "" if key in SECRET_SETTINGS else f" = {value!r}"
                    raise SettingsError(f"{source}: {key}{shown} is not valid; expected {error}") from error
        return cls(**values)

    def limit_for(self, host: str) -> tuple[str | None, Limit]:
        """The entry of `limits` for a host: the longest name it equals or is below; "*" for all others."""
        if not self.limits:
            return None, _NO_LIMIT
        name = host
        while name:
            if name in self.limits:
                return name, self.limits[name]
            name = name.partition(".")[2]
        return None, self.limits.get("*", _NO_LIMIT)


_NO_LIMIT = Limit()


def near_miss(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: a full stop, and a suggestion where one is close."""
    meant = near_miss(word, known)
    return f'. Did you mean "{meant}"?' if meant else "."
