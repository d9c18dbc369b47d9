"""One cookie (RFC 6265bis), and which requests take it along."""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.core.urls import Parts, domain_of

__all__ = ["Cookie", "is_below", "path_matches"]


@dataclass(slots=True)
class Cookie:
    """One cookie. `expires` is unix seconds, None for as long as the crawl; `port` 0 is any port.

    `value` None says that it was deleted. `used` counts up with every use: what was used longest ago goes first.
    """

    name: str
    value: str | None = field(repr=False)
    domain: str
    path: str = "/"
    host_only: bool = True
    secure: bool = False
    expires: float | None = None
    port: int = 0
    used: int = field(default=0, compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two cookies the same one."""
        return self.domain, self.path, self.name

    @property
    def site(self) -> str:
        """The registrable domain it counts for."""
        return domain_of(self.domain)

    def goes_to(self, parts: Parts, now: float) -> bool:
        """Whether a request for this URL takes it along (section 5.8.3)."""
        if self.secure and parts.scheme != "https":
            return False
        if self.port and self.port != parts.port:
            return False
        if parts.host != self.domain and (self.host_only or not is_below(parts.host, self.domain)):
            return False
        return path_matches(parts.path, self.path) and (self.expires is None or self.expires > now)


def is_below(host: str, domain: str) -> bool:
    """Whether a host is below a domain, and not the domain itself."""
    return host.endswith(f".{domain}")


def path_matches(path: str, cookie_path: str) -> bool:
    """Whether a cookie's path holds a URL's (section 5.1.4): equal, or a folder above it."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"
