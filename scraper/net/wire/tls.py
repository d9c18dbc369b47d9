"""TLS contexts, made when the first connection needs them: reading the machine's roots takes 25 ms."""

from __future__ import annotations

import ssl
from typing import Final

__all__ = ["INSECURE", "Contexts"]

#: The `tls` of a key whose certificate is not verified.
INSECURE: Final = "insecure"


class Contexts:
    """The TLS contexts of one transport; `verify` is as in httpx."""

    def __init__(self, verify: bool | ssl.SSLContext) -> None:
        self._verify = verify
        self._made: dict[str, ssl.SSLContext] = {}

    def of(self, tls: str) -> ssl.SSLContext:
        """The context for connections whose key says `tls`."""
        found = self._made.get(tls)
        if found is None:
            found = self._made[tls] = self._make(tls)
        return found

    def _make(self, tls: str) -> ssl.SSLContext:
        if tls == INSECURE or self._verify is False:
            return _unverified()
        if isinstance(self._verify, ssl.SSLContext):
            return self._verify
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
