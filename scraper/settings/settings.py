"""Settings of a crawl: one frozen object, validated once, every error naming the key and where it was set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from scraper.core.models import Hours, Limit, Proxy, Rate, Tls, read_proxies
from scraper.core.urls import SESSIONS
from scraper.errors import SettingsError
from scraper.settings.parsers import (
    SECRET_SETTINGS,
    did_you_mean,
    read_auth,
    read_cookies,
    read_count,
    read_encoding,
    read_fixed_rate,
    read_flag,
    read_headers,
    read_limits,
    read_names,
    read_optional,
    read_point,
    read_positive,
    read_rate,
    read_revisit,
    read_scope,
    read_seconds,
    read_share,
    read_size,
    read_statuses,
    read_text,
    read_tls_hosts,
    read_words,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["NO_LAYERS", "Layer", "Layers", "Settings"]


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

    rate: Rate | None = _setting(Rate(2), read_rate, "requests per domain: 5/s, 30/min, auto<=5/s, none")
    total_rate: Rate | None = _setting(
        None, read_fixed_rate, "requests of the whole crawl, over all domains together: 10/s, none"
    )
    proxy_rate: Rate | None = _setting(None, read_fixed_rate, "requests through each proxy: 5/s, none")
    concurrency: int = _setting(2, read_positive, "requests in flight per domain")
    delay: float = _setting(
        0.0, read_seconds, "pause from the end of a response to the next request of its domain"
    )
    hours: Hours | None = _setting(
        None, Hours.parse, "hours of the day in which requests are sent: 22:00-06:00"
    )
    limits: Mapping[str, Limit] = _setting(
        MappingProxyType({}), read_limits, "limits of single hosts or domains"
    )
    in_flight: int = _setting(64, read_positive, "requests in flight overall")
    robots: bool = _setting(True, read_flag, "obey robots.txt (RFC 9309)")
    crawl_delay_max: float = _setting(
        300.0, read_seconds, "longest Crawl-delay obeyed; above it the domain is parked"
    )
    retry_after_max: float = _setting(
        3600.0, read_seconds, "longest Retry-After waited for; above it the domain is parked"
    )
    outage_max: float = _setting(
        1800.0, read_seconds, "how long a domain that is down is waited for, then it is parked; 0: not at all"
    )
    outage_pause: float = _setting(
        120.0, read_seconds, "longest time between two attempts at a domain that is down"
    )
    deadline: float = _setting(60.0, read_seconds, "time for one request, connecting to last byte")
    connect_timeout: float = _setting(10.0, read_seconds, "time for one connection")
    callback_timeout: float = _setting(300.0, read_seconds, "time for one callback")
    retries: int = _setting(3, read_count, "further tries after a failure that may pass")
    max_body: int = _setting(16 * 2**20, read_size, "largest body as sent")
    max_decoded: int = _setting(64 * 2**20, read_size, "largest body after decompression")
    max_file: int = _setting(2**30, read_size, "largest file that page.download stores")
    stall_timeout: float = _setting(30.0, read_seconds, "time a download may go without a byte")
    max_hops: int = _setting(20, read_count, "redirects followed for one request")
    meta_refresh: float | None = _setting(
        5.0, read_optional(read_seconds), "longest delay of a meta refresh that is followed as a redirect"
    )
    max_url: int = _setting(2083, read_positive, "longest URL in characters")
    max_yield: int = _setting(
        250_000, read_positive, "items, and requests, that a callback may yield for one page"
    )
    max_pages: int | None = _setting(None, read_optional(read_positive), "stop after so many pages")
    max_pages_per_domain: int | None = _setting(
        None, read_optional(read_positive), "stop a domain after so many pages"
    )
    max_items: int | None = _setting(None, read_optional(read_positive), "stop after so many items")
    max_depth: int | None = _setting(
        None, read_optional(read_count), "follow links so many steps from the start"
    )
    max_path_depth: int = _setting(20, read_positive, "longest path of a link in segments")
    max_repetitions: int = _setting(
        2, read_positive, "how often the same path segments may come again in a row"
    )
    max_identical: int | None = _setting(
        100, read_optional(read_positive), "same page from so many URLs in a row and the domain is parked"
    )
    max_time: float | None = _setting(None, read_optional(read_seconds), "stop after so much time")
    max_failed: float = _setting(
        0.01, read_share, "share of failed pages still called a success (404 and 410 not counted)"
    )
    scope: str = _setting("site", read_scope, "which links are followed: site, host, listed, any")
    allowed: tuple[str, ...] = _setting((), read_words, 'hosts a crawl may follow to with scope="listed"')
    private_hosts: frozenset[str] = _setting(
        frozenset(), read_names, "private host:port a crawl may connect to"
    )
    proxy: tuple[Proxy, ...] = _setting(
        (), read_proxies, "a proxy, or several that take turns: http, https, socks4, socks5, socks5h"
    )
    insecure_hosts: frozenset[str] = _setting(
        frozenset(), read_names, "host:port whose certificate is not verified"
    )
    tls: Mapping[str, Tls] = _setting(
        MappingProxyType({}),
        read_tls_hosts,
        "TLS of single hosts: oldest version, ciphers, client certificate",
    )
    accept: tuple[int, ...] = _setting((), read_statuses, "statuses beyond 2xx the callbacks get")
    accept_incomplete: bool = _setting(
        False, read_flag, "give callbacks bodies that end too soon as pages that are not complete"
    )
    accept_types: tuple[str, ...] = _setting(
        ("html", "xml", "json", "text/"), read_words, "content types fetched; others are cut at the headers"
    )
    headers: Mapping[str, str] = _setting(
        MappingProxyType({}), read_headers, "headers of requests to the origins of start URLs"
    )
    secret_headers: frozenset[str] = _setting(
        frozenset(),
        lambda v: frozenset(map(str.lower, read_words(v))),
        "headers that hold secrets, beside those known as such",
    )
    auth: Mapping[str, httpx.Auth] = _setting(MappingProxyType({}), read_auth, "credentials by origin")
    cookies: bool | Mapping[str, Mapping[str, str]] = _setting(
        True, read_cookies, "keep cookies; or the first ones, by origin"
    )
    keep_failed: bool = _setting(
        True, read_flag, "keep some pages a callback failed on, to try again (5 per place, up to 2 MiB each)"
    )
    ignore_params: frozenset[str] = _setting(
        SESSIONS, read_names, "query and path parameters that do not make another page"
    )
    user_agent: str | None = _setting(None, read_optional(read_text), "the User-Agent header")
    contact: str | None = _setting(
        None, read_optional(read_text), "an address the site can write to; part of the User-Agent"
    )
    keep_runs: int = _setting(
        10,
        read_positive,
        "runs whose requests, sends and errors are kept; older ones are pruned when a run ends",
    )
    revisit: str | float = _setting(
        "always", read_revisit, "what a later run fetches again: always, never, or what is older than a time"
    )
    files: str | None = _setting(None, read_optional(read_text), "the folder that page.download stores into")
    encoding: str | None = _setting(
        None, read_optional(read_encoding), "the charset pages are read in, whatever they say themselves"
    )
    decimal_point: Literal[".", ","] = _setting(".", read_point, "decimal point of numbers on the pages")

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

    def within(self, folder: Path) -> Settings:
        """The same, with the relative paths in `tls` counted from `folder`."""
        if not self.tls:
            return self
        return replace(
            self, tls=MappingProxyType({host: tls.within(folder) for host, tls in self.tls.items()})
        )

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
