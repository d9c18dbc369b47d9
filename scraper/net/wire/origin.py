"""Whom a connection may serve: an origin (RFC 6454), the way to it, and what was said about its TLS."""

from __future__ import annotations

from typing import NamedTuple

import httpx

from scraper.core.models import Proxy
from scraper.core.urls import is_ip
from scraper.net.wire.tls import Contexts

__all__ = ["Key", "Origin"]


class Key(NamedTuple):
    """Connections of one key are alike. `tls` names the TLS context; `session` keeps visitors apart."""

    scheme: str
    host: str
    port: int
    tls: str = ""
    proxy: Proxy | None = None
    session: str = ""


class Origin:
    """Where to connect, made once per origin.

    `netloc` (`host:port`) is what the guard and `insecure_hosts` know; `where` is the same as in a URL, an IPv6 address
    in brackets. `host` has no trailing dot: it is what a certificate is compared with.
    """

    __slots__ = ("host", "is_literal", "is_secure", "key", "name", "netloc", "port", "where")

    def __init__(self, url: httpx.URL, contexts: Contexts) -> None:
        self.is_secure = url.scheme == "https"
        self.port = url.port or (443 if self.is_secure else 80)
        self.name = url.raw_host.decode("ascii")
        self.host = self.name.rstrip(".")
        self.netloc = f"{self.host}:{self.port}"
        self.where = f"[{self.host}]:{self.port}" if ":" in self.host else self.netloc
        self.is_literal = is_ip(self.name)
        tls = contexts.name_of(self.host, self.netloc) if self.is_secure else ""
        self.key = Key(url.scheme, self.host, self.port, tls)
