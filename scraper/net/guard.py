"""Is the address a connection goes to public? Asked about the address, never about the name.

A page may name any host, and a name may answer with any address, a different one each time. So the question
is put where the socket is made, with the address it will be connected to (see `transport.wire`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

__all__ = ["Guard", "refuse"]

#: IPv4 addresses that are no public host (IANA special-purpose registry, RFC 6890).
V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network, and "unspecified": connects to oneself (RFC 1122)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); Alibaba's metadata 100.100.100.200
            "127.0.0.0/8",  # loopback (RFC 1122)
            "168.63.129.16/32",  # Azure's platform address: public by number, reachable only from inside
            "169.254.0.0/16",  # link-local (RFC 3927); the clouds' metadata 169.254.169.254
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # protocol assignments (RFC 6890); Oracle's metadata 192.0.0.192
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # 6to4 relays, withdrawn (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved (RFC 1112), broadcast (RFC 919)
        ),
    )
)
#: The only IPv6 addresses that are public hosts (RFC 4291), and what is none among them. Outside of it lie
#: loopback, unspecified, fc00::/7 (RFC 4193), fe80::/10, multicast and everything not assigned yet.
V6_PUBLIC: Final = IPv6Network("2000::/3")
V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments (RFC 2928), Teredo among them (RFC 4380)
            "2001:db8::/32",  # documentation (RFC 3849)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052; its local-use sibling 64:ff9b:1::/48 is not public


@lru_cache(maxsize=4_096)
def refuse(address: str) -> bool:
    """Whether a literal IP address (with or without `%zone`) is no public host; so is what is no address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip, IPv6Address):
        inner = _inner(ip)
        if inner is None:
            return ip not in V6_PUBLIC or any(ip in network for network in V6)
        ip = inner
    return any(ip in network for network in V4)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address packets to `ip` end at: v4-mapped (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052)."""
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour


class Guard:
    """Refuses connections into private networks, except from a `host:port` that was named by a person.

    `exempt` holds the exact `host:port` keys (`urls.Parts.netloc`), or is a function that knows them. The
    exemption belongs to what the request named, so `localhost:8001` may be crawled while a page's link to
    `127.0.0.1:22` stays refused.
    """

    def __init__(self, exempt: Callable[[str], bool] | Collection[str] = ()) -> None:
        self._exempt = exempt if callable(exempt) else frozenset(exempt).__contains__

    def allows(self, netloc: str, address: str) -> bool:
        """Whether a request for `netloc` (`host:port`) may connect to `address`."""
        return not refuse(address) or self._exempt(netloc)
