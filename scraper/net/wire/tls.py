"""TLS contexts, made when the first connection needs them: reading the machine's roots takes 25 ms."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Collection, Mapping
from typing import Final

import httpx

from scraper.core.models import Tls
from scraper.core.urls import is_ip
from scraper.errors import SettingsError

__all__ = ["Contexts", "check_hosts"]

#: How a name of a context begins whose certificates are not verified.
INSECURE: Final = "insecure"
VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
#: What servers of TLS 1.0 and 1.1 offer: RSA key exchange and SHA-1, which OpenSSL refuses from level 1 on.
OLD_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
#: Servers that renegotiate as before RFC 5746 (`ssl.OP_LEGACY_SERVER_CONNECT` from Python 3.12 on).
OP_LEGACY_SERVER_CONNECT: Final = 0x4


class Contexts:
    """The TLS contexts of one transport, by name; connections made with different ones are never mixed.

    `verify` is as in httpx. `insecure` holds the `host:port` whose certificates are not verified, `hosts` what is special
    about a host, or a `host:port`, as a person writes it. Raises SettingsError when it is made if `hosts` has a file that
    cannot be used, or something that is not a host.
    """

    def __init__(
        self,
        verify: bool | ssl.SSLContext,
        insecure: Collection[str] = (),
        hosts: Mapping[str, Tls] | None = None,
    ) -> None:
        self._verify = verify
        self._insecure = frozenset(insecure)
        self._hosts = {_named(host): tls for host, tls in (hosts or {}).items()}
        self._made: dict[str, ssl.SSLContext] = {}
        for host in self._hosts:
            self.of(host)

    def name_of(self, host: str, netloc: str) -> str:
        """The name of the context for a host and its `host:port`, "" for the ordinary one."""
        special = netloc if netloc in self._hosts else host if host in self._hosts else ""
        return f"{INSECURE} {special}" if netloc in self._insecure else special

    def of(self, name: str) -> ssl.SSLContext:
        """The context of this name."""
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def _make(self, name: str) -> ssl.SSLContext:
        is_insecure = name.startswith(INSECURE)
        host = name.removeprefix(f"{INSECURE} ")
        tls = self._hosts.get(host)
        if tls is None and not is_insecure and isinstance(self._verify, ssl.SSLContext):
            return self._verify
        context = _unverified() if is_insecure or self._verify is False else ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        if tls is not None:
            if isinstance(self._verify, ssl.SSLContext) and not is_insecure:
                _trust_as(context, self._verify)
            _adapt(context, tls, host)
        return context


def check_hosts(hosts: Mapping[str, Tls]) -> None:
    """Raise SettingsError for the first that is not a host, or whose ciphers or certificate cannot be used."""
    for host, tls in hosts.items():
        _adapt(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls, _named(host))


def _named(written: str) -> str:
    """A host, or `host:port`, as an origin has it: lower case, IDNA, without brackets and trailing dot."""
    if is_ip(written):
        return written
    try:
        url = httpx.URL(f"any://{written}")
    except httpx.InvalidURL:
        url = httpx.URL("any:")
    name = url.raw_host.decode("ascii").rstrip(".")
    if not name or url.userinfo or url.raw_path != b"/" or url.fragment:
        raise SettingsError(f"tls: not a host, or host:port: {written!r}")
    return name if url.port is None else f"{name}:{url.port}"


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trust_as(context: ssl.SSLContext, other: ssl.SSLContext) -> None:
    """Trust the authorities of another context as well."""
    if found := b"".join(other.get_ca_certs(binary_form=True)):
        context.load_verify_locations(cadata=found)


def _adapt(context: ssl.SSLContext, tls: Tls, host: str) -> None:
    if tls.min:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            context.minimum_version = VERSIONS[tls.min]
    if tls.is_old:
        context.options |= OP_LEGACY_SERVER_CONNECT
    if ciphers := tls.ciphers or (OLD_CIPHERS if tls.is_old else ""):
        try:
            context.set_ciphers(ciphers)
        except (ssl.SSLError, ValueError) as error:  # ValueError: a NUL in it
            raise SettingsError(f"tls of {host}: no such ciphers: {ciphers}") from error
    if tls.cert:
        _show(context, tls, host)


def _show(context: ssl.SSLContext, tls: Tls, host: str) -> None:
    """Have our certificate shown when the host asks for one."""
    files = " and ".join(file for file in (tls.cert, tls.key) if file)
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(tls.cert, tls.key or None, password="")
    except ssl.SSLError as error:
        raise SettingsError(
            f"tls of {host}: no certificate with its key, in PEM and not encrypted, in {files}"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"tls of {host}: cannot read {files}: {reason}") from error
