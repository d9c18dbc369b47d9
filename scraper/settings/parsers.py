"""How a setting's value is read: as people write it in a class, a file, a shell. Each raises ValueError or TypeError
whose text is what was expected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scraper.core.charsets import encoding_named
from scraper.core.models import Hours, Limit, Rate, Tls, read_proxies, read_tls
from scraper.errors import SettingsError

if TYPE_CHECKING:
    pass

__all__ = [
    "SCOPES",
    "SECRET_SETTINGS",
    "did_you_mean",
    "near_miss",
    "read_auth",
    "read_cookies",
    "read_count",
    "read_encoding",
    "read_fixed_rate",
    "read_flag",
    "read_headers",
    "read_hours_text",
    "read_limit",
    "read_limits",
    "read_names",
    "read_optional",
    "read_parts",
    "read_point",
    "read_positive",
    "read_rate",
    "read_rate_text",
    "read_revisit",
    "read_scope",
    "read_seconds",
    "read_share",
    "read_size",
    "read_statuses",
    "read_text",
    "read_tls_hosts",
    "read_words",
]

#: Settings whose values may be secrets: they are neither shown nor stored.
SECRET_SETTINGS = frozenset({"auth", "cookies", "headers", "proxy"})
SCOPES = ("site", "host", "listed", "any")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmg])i?)?b?", re.IGNORECASE)
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def read_seconds(value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[(match[2] or "").lower()]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError('a time in seconds, or "500ms", "30s", "10m", "2h"')


def read_size(value: Any) -> int:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _BYTES[(match[2] or "").lower()])
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError('a number of bytes, or "16 MiB"')


def read_count(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return number
    raise ValueError("a whole number, 0 or more")


def read_positive(value: Any) -> int:
    try:
        number = read_count(value)
    except ValueError:
        number = 0
    if number:
        return number
    raise ValueError("a whole number, 1 or more")


def read_flag(value: Any) -> bool:
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


def read_share(value: Any) -> float:
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip())):
        value = float(match[1]) / (100 if match[2] else 1)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError('a share from 0 to 1, or "1%"')


def read_text(value: Any) -> str:
    if isinstance(value, str) and not re.search(r"[\x00-\x1f\x7f]", value):
        return value
    raise ValueError("text without control characters")


def read_parts(value: Any, expected: str) -> list[Any]:
    """The entries of a list, or of text with commas or spaces; "none" is the empty one."""
    if isinstance(value, str):
        return [] if value.strip().lower() == "none" else value.replace(",", " ").split()
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        return list(value)
    raise ValueError(expected)


def read_words(value: Any) -> tuple[str, ...]:
    return tuple(
        read_text(part) for part in read_parts(value, "a list of words, or text with commas or spaces")
    )


def read_names(value: Any) -> frozenset[str]:
    return frozenset(read_words(value))


def read_statuses(value: Any) -> tuple[int, ...]:
    expected = "HTTP statuses such as 404, 410"
    parts = read_parts(value, expected)
    if all(re.fullmatch(r"[1-9]\d\d", str(part)) for part in parts):
        return tuple(int(part) for part in parts)
    raise ValueError(expected)


def read_scope(value: Any) -> str:
    if value in SCOPES:
        return str(value)
    raise ValueError(f"one of {', '.join(SCOPES)}")


def read_auth(value: Any) -> Any:
    from scraper.core.credentials import (
        read_auth,  # httpx with it: a command line that is completed needs neither
    )

    return read_auth(value)


def read_cookies(value: Any) -> Any:
    from scraper.core.credentials import read_cookies

    return read_cookies(value)


def read_headers(value: Any) -> Mapping[str, str]:
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


def read_limits(value: Any) -> Mapping[str, Limit]:
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


def read_tls_hosts(value: Any) -> Mapping[str, Tls]:
    """TLS by host, or host:port."""
    if not isinstance(value, Mapping):
        raise TypeError("a table of hosts and their TLS: in a configuration file, the spider or the program")
    found = {}
    for host, tls in value.items():
        try:
            found[str(host).lower()] = read_tls(tls)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"tls of {host}: {tls!r} is not valid; expected {error}") from error
    return MappingProxyType(found)


def read_rate(value: Any) -> Rate | None:
    return Rate.parse(value if value is None or isinstance(value, (Rate, str, int, float)) else "")


def read_fixed_rate(value: Any) -> Rate | None:
    """A rate that is not adaptive: that of many domains together has no one domain to learn from."""
    expected = 'a rate such as "10/s", "300/min", "1000/h", a number per second, or none'
    try:
        rate = read_rate(value)
    except ValueError:
        raise ValueError(expected) from None
    if rate is not None and rate.auto:
        raise ValueError(expected)
    return rate


def read_rate_text(value: Any) -> Any:
    """A rate, left as it was written: "none" is no limit here, while None keeps the spider's."""
    read_rate(value)
    return value


def read_hours_text(value: Any) -> Any:
    """Hours, left as they were written, as rates are."""
    Hours.parse(value)
    return value


#: The keys of an entry of `limits`, the fields of `Limit`.
_LIMIT: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "rate": read_rate_text,
        "concurrency": read_positive,
        "delay": read_seconds,
        "robots": read_flag,
        "hours": read_hours_text,
        "proxy": read_proxies,
        "outage_max": read_seconds,
    }
)


def read_encoding(value: Any) -> str:
    if isinstance(value, str) and (encoding := encoding_named(value)) is not None:
        return encoding
    raise ValueError("a charset of the web, such as windows-1251, shift_jis, gbk")


def read_point(value: Any) -> str:
    if value in (".", ","):
        return str(value)
    raise ValueError('"." or ","')


def read_revisit(value: Any) -> str | float:
    if value in ("always", "never"):
        return str(value)
    try:
        return read_seconds(value)
    except ValueError:
        raise ValueError('"always", "never", or a time such as "12h", "7d"') from None


def read_optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def reading(value: Any) -> Any:
        return None if value is None or (isinstance(value, str) and value.lower() == "none") else read(value)

    return reading


def near_miss(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: a full stop, and a suggestion where one is close."""
    meant = near_miss(word, known)
    return f'. Did you mean "{meant}"?' if meant else "."
