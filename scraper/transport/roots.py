"""aiohttp, imported without reading the machine's TLS roots, which takes 25 ms of every command that fetches.

aiohttp makes its TLS context when it is imported. Here that context puts off reading the roots until it is first asked
for a connection; who uses aiohttp beside this package notices nothing but that.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["LateRoots", "reading_no_roots"]

METHOD: Final = "load_default_certs"


class LateRoots(ssl.SSLContext):
    """A context that reads the roots it was told to when they are first needed."""

    _purpose: ssl.Purpose | None

    def _read(self) -> None:
        purpose, self._purpose = self._purpose, None
        if purpose is not None:
            self.load_default_certs(purpose)

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
    load = ssl.SSLContext.load_default_certs

    def later(context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        if type(context) is not ssl.SSLContext:
            load(context, purpose)
            return
        context.__class__ = LateRoots
        assert isinstance(context, LateRoots)
        context._purpose = purpose

    setattr(ssl.SSLContext, METHOD, later)
    try:
        yield
    finally:
        setattr(ssl.SSLContext, METHOD, load)


if "aiohttp" not in sys.modules:
    with reading_no_roots():
        import aiohttp  # noqa: F401 - so that the next import finds it
