"""One proxy, as people write it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from scraper.core.urls import normalize, split
from scraper.errors import masked

__all__ = ["Proxy", "read_proxies"]

#: Schemes of a proxy, with their default ports; those that need the extra `socks`.
PORTS: Final = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
SOCKS: Final = frozenset({"socks4", "socks5", "socks5h"})


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy. `user` and `password` go to it and to nobody else; its text form has neither."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read `http://user:password@host:port`. Raises ValueError, which does not repeat the password."""
        expected = (
            f"a proxy such as http://user:password@host:3128 or socks5://host:1080, not {masked(text)!r}"
        )
        scheme, slashes, rest = text.strip().partition("://")
        scheme = scheme.lower()
        if not slashes:
            scheme, rest = "http", text.strip()
        userinfo, _, address = rest.rpartition("@")
        try:
            # Read as http, whatever it is: the standard has no rules for the hosts of socks URLs.
            parts = split(normalize(f"http://{address}"))
        except ValueError as error:
            raise ValueError(expected) from error
        if scheme not in PORTS or parts.path != "/" or parts.query:
            raise ValueError(expected)
        given = ":" in address.rpartition("]")[2]
        user, _, password = userinfo.partition(":")
        port = parts.port if given else PORTS[scheme]
        return cls(scheme, parts.host, port, unquote(user), unquote(password))

    @property
    def authorization(self) -> bytes:
        """The Proxy-Authorization it gets (RFC 7617), b"" for none."""
        if not self.user and not self.password:
            return b""
        return b"Basic " + base64.b64encode(f"{self.user}:{self.password}".encode())

    @property
    def is_socks(self) -> bool:
        return self.scheme in SOCKS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def read_proxies(value: Any) -> tuple[Proxy, ...]:
    """The `proxy` setting: one, or several that take turns. Text may hold several, with commas or spaces."""
    if isinstance(value, Proxy):
        return (value,)
    if isinstance(value, tuple) and all(isinstance(v, Proxy) for v in value):
        return value
    if isinstance(value, str):
        value = [] if value.strip().lower() == "none" else value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, (str, Proxy)) for v in value):
        raise TypeError("a proxy such as http://user:password@host:3128, or a list of them")
    return tuple(v if isinstance(v, Proxy) else Proxy.parse(v) for v in value)
