"""What goes wrong on the wire, as httpx's exceptions that also know their `kind` (`scraper.errors.KINDS`).

    httpx.TransportError
    └── WireError                            kind
        ├── NoSuchHost      ConnectError         dns
        ├── NameTimeout     ConnectTimeout       dns-timeout
        ├── NotConnected    ConnectError         connect
        ├── MachineLimit    ConnectError         machine
        ├── ConnectLimit    ConnectTimeout       connect-timeout
        ├── PrivateAddress  ConnectError         private-address
        ├── TlsFailed       ConnectError         tls
        │   ├── TlsExpired                       tls-expired
        │   ├── TlsUntrusted                     tls-untrusted
        │   └── TlsHostname                      tls-hostname
        ├── ProxyFailed     ProxyError           proxy
        ├── Broken          ReadError            connection
        ├── BadAnswer       RemoteProtocolError  protocol
        ├── HeadersTooLarge RemoteProtocolError  headers-too-large
        ├── Incomplete      RemoteProtocolError  incomplete
        ├── BadTarget       LocalProtocolError   bad-url
        └── WrongScheme     UnsupportedProtocol  unsupported-scheme

`connecting` is the border where the errors of the system and of ssl become these while a connection is made; `broken`
and `invalid` are what goes wrong on one that stands. `kind_of` names the kind of any exception a transport raised,
foreign transports included.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import ClassVar, Final

import httpx

from scraper.core.machine_limits import is_limit, limit_errno, limit_sentence

__all__ = [
    "BadAnswer",
    "BadTarget",
    "Broken",
    "ConnectLimit",
    "HeadersTooLarge",
    "Incomplete",
    "MachineLimit",
    "NameTimeout",
    "NoSuchHost",
    "NotConnected",
    "PrivateAddress",
    "ProxyFailed",
    "TlsExpired",
    "TlsFailed",
    "TlsHostname",
    "TlsUntrusted",
    "WireError",
    "WrongScheme",
    "broken",
    "connecting",
    "invalid",
    "kind_of",
]


class WireError(httpx.TransportError):
    """Base of what the wire raises. `str(error)` is a sentence for a person.

    `retry_in`: seconds for which another try would get the same answer from a cache, None where there is none.
    """

    kind: ClassVar[str] = "transport"
    retry_in: float | None = None


class NoSuchHost(WireError, httpx.ConnectError):
    """The name has no address."""

    kind = "dns"


class NameTimeout(WireError, httpx.ConnectTimeout):
    """The name server did not answer in time, or said that it cannot now."""

    kind = "dns-timeout"


class NotConnected(WireError, httpx.ConnectError):
    """No address of the host took the connection."""

    kind = "connect"


class MachineLimit(WireError, httpx.ConnectError):
    """This machine has no descriptor, port or memory left for a connection: nothing the host did."""

    kind = "machine"


class ConnectLimit(WireError, httpx.ConnectTimeout):
    """No connection within the connect time limit, TLS included."""

    kind = "connect-timeout"


class PrivateAddress(WireError, httpx.ConnectError):
    """The guard refused every address that was left."""

    kind = "private-address"


class TlsFailed(WireError, httpx.ConnectError):
    """The certificate or the handshake is not valid."""

    kind = "tls"


class TlsExpired(TlsFailed):
    """The certificate is over, or not valid yet."""

    kind = "tls-expired"


class TlsUntrusted(TlsFailed):
    """The certificate is signed by nobody this machine trusts, or by itself."""

    kind = "tls-untrusted"


class TlsHostname(TlsFailed):
    """The certificate is for another host."""

    kind = "tls-hostname"


class ProxyFailed(WireError, httpx.ProxyError):
    """The proxy could not be reached, or does not do what it is there for.

    `at_fault`: whatever host it is asked for, it will do no better now.
    """

    kind = "proxy"

    def __init__(self, message: str, *, at_fault: bool = False) -> None:
        super().__init__(message)
        self.at_fault = at_fault


class Broken(WireError, httpx.ReadError):
    """The connection ended before the answer did."""

    kind = "connection"


class BadAnswer(WireError, httpx.RemoteProtocolError):
    """The answer is not valid HTTP."""

    kind = "protocol"


class HeadersTooLarge(WireError, httpx.RemoteProtocolError):
    """A header field, their number or all of them together exceed the limit."""

    kind = "headers-too-large"


class Incomplete(WireError, httpx.RemoteProtocolError):
    """The body is shorter than announced."""

    kind = "incomplete"


class BadTarget(WireError, httpx.LocalProtocolError):
    """A URL that cannot be requested."""

    kind = "bad-url"


class WrongScheme(WireError, httpx.UnsupportedProtocol):
    """Neither http nor https."""

    kind = "unsupported-scheme"


class connecting:
    """`with connecting(where):` turns what ssl and the system raise into `WireError`, `from` it.

    `where` (`host:port`) stands in the messages. Cancellation and everything unknown pass unchanged.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None or isinstance(exc, httpx.TransportError):
            return
        known = _connect_error(exc, self._where)
        if known is None:
            return
        try:
            raise known from exc
        finally:
            del known  # an error and the frame that raised it hold each other


def _connect_error(exc: BaseException, where: str) -> WireError | None:
    """The WireError for what ended an attempt to connect, most specific match first."""
    if (limit := limit_errno(exc)) is not None:
        return MachineLimit(limit_sentence(limit))
    if isinstance(exc, ssl.SSLError):
        return _tls_error(exc, where)
    if isinstance(exc, ssl.CertificateError):
        return TlsHostname(f"the certificate of {where} is not valid: {exc}")
    if isinstance(exc, TimeoutError):
        return ConnectLimit(f"no connection to {where} in time")
    if isinstance(exc, socket.gaierror):
        return NoSuchHost(f"no such host: {where.rpartition(':')[0]}")
    if isinstance(exc, OSError):
        return _system_error(exc, where)
    if isinstance(exc, UnicodeError | ValueError):
        return BadTarget(f"not a host that can be connected to: {where}")
    return None


def _system_error(exc: OSError, where: str) -> WireError:
    # asyncio's own text repeats the address; a connection closed within the handshake has no number.
    reason = os.strerror(exc.errno).lower() if exc.errno else "closed during the TLS handshake"
    return NotConnected(f"no connection to {where}: {reason}")


def broken(where: str, exc: Exception | None = None) -> Broken:
    """A connection that ended before its answer did. TLS says why, if it was not content: with TLS 1.3 a server
    refuses our certificate only then.
    """
    alert = exc.reason if isinstance(exc, ssl.SSLError) else None
    said = f" ({alert.replace('_', ' ').lower()})" if alert else ""
    return Broken(f"{where} closed the connection before the answer was complete{said}")


def invalid(where: str, reason: str) -> BadAnswer:
    """An answer that breaks the rules of HTTP."""
    return BadAnswer(f"the answer of {where} is not valid HTTP: {reason}")


#: OpenSSL's verdicts on a certificate (X509_V_ERR_*): not valid yet, expired; self-signed, in the chain, without
#: a known issuer, unverified; another name, another address.
_VERDICTS: Final[dict[int, type[TlsFailed]]] = {
    9: TlsExpired, 10: TlsExpired,
    18: TlsUntrusted, 19: TlsUntrusted, 20: TlsUntrusted, 21: TlsUntrusted,
    62: TlsHostname, 64: TlsHostname,
}  # fmt: skip


def _tls_error(exc: ssl.SSLError, where: str) -> TlsFailed:
    if verdict := getattr(exc, "verify_message", ""):
        made = _VERDICTS.get(getattr(exc, "verify_code", 0), TlsFailed)
        return made(f"the certificate of {where} is not valid: {verdict}")
    reason = (exc.reason or "no agreement").replace("_", " ").lower()
    return TlsFailed(f"the TLS handshake with {where} failed: {reason}")


#: Foreign exceptions, most specific first (a subclass stands above its base).
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.ConnectTimeout, "connect-timeout"),
    (httpx.PoolTimeout, "connect-timeout"),
    (httpx.TimeoutException, "timeout"),
    (httpx.ConnectError, "connect"),
    (httpx.ProxyError, "proxy"),
    (httpx.NetworkError, "connection"),
    (httpx.UnsupportedProtocol, "unsupported-scheme"),
    (httpx.RemoteProtocolError, "protocol"),
    (httpx.DecodingError, "decode"),
    (httpx.TooManyRedirects, "too-many-redirects"),
    (httpx.InvalidURL, "bad-url"),
    (TimeoutError, "timeout"),
)


def kind_of(exc: BaseException) -> str:
    """The key of `scraper.errors.KINDS` for whatever a transport raised; `transport` for the unexpected."""
    if isinstance(exc, WireError):
        return exc.kind
    if is_limit(exc):
        return "machine"
    if isinstance(exc, httpx.ConnectError):
        return _connect_kind(exc)
    return next((kind for known, kind in _KINDS if isinstance(exc, known)), "transport")


def _connect_kind(exc: httpx.ConnectError) -> str:
    """httpx has one ConnectError for names, TLS and refusals: what is below it tells them apart."""
    for cause in _causes(exc):
        if isinstance(cause, socket.gaierror):
            return "dns"
        if isinstance(cause, ssl.SSLError):
            return _VERDICTS.get(getattr(cause, "verify_code", 0), TlsFailed).kind
    return "connect"


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    inner: BaseException | None = exc
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        yield inner
        inner = inner.__cause__ or inner.__context__
