"""aiohttp, imported without reading the machine's TLS roots, which takes 25 ms of every command that fetches.

aiohttp makes its two TLS contexts when it is imported. Here they put off reading the roots until they are first asked
for a connection; who uses aiohttp beside this package notices nothing but that.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["LateRoots", "reading_no_roots"]

METHOD: Final = "set_default_verify_paths"


class LateRoots(ssl.SSLContext):
    """A context that was told to read the roots, and does it when they are first needed."""

    _is_read: bool

    def _read(self) -> None:
        if not self._is_read:
            self._is_read = True
            self.set_default_verify_paths()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        self._read()
        return super().wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        self._read()
        return super().wrap_socket(*args, **options)

    def get_ca_certs(self, *args: Any, **options: Any) -> Any:
        self._read()
        return super().get_ca_certs(*args, **options)

    def cert_store_stats(self) -> dict[str, int]:
        self._read()
        return super().cert_store_stats()


@contextmanager
def reading_no_roots() -> Iterator[None]:
    """Contexts made inside become `LateRoots`, unless they are of a class of their own."""

    def later(context: ssl.SSLContext) -> None:
        if type(context) is not ssl.SSLContext:
            super(ssl.SSLContext, context).set_default_verify_paths()
            return
        context.__class__ = LateRoots
        assert isinstance(context, LateRoots)
        context._is_read = False

    setattr(ssl.SSLContext, METHOD, later)
    try:
        yield
    finally:
        delattr(ssl.SSLContext, METHOD)  # inherited again


if "aiohttp" not in sys.modules:
    with reading_no_roots():
        import aiohttp  # noqa: F401 - so that the next import finds it
