"""How TLS is spoken with one host, where it must differ from the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

__all__ = ["Tls", "read_tls"]

#: The versions of TLS there are.
VERSIONS: Final = ("1.0", "1.1", "1.2", "1.3")


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS with one host: the least version, the ciphers, and the client certificate to show.

    `min` is "1.0" to "1.3"; below "1.2" OpenSSL's security level is lowered as well, or there would be nothing to agree
    on. `ciphers` is an OpenSSL cipher list. `cert` and `key` are PEM files; without `key` it is in `cert`. In settings a
    relative path counts from the project's folder.
    """

    min: str = ""
    ciphers: str = ""
    cert: str = ""
    key: str = ""

    @property
    def is_old(self) -> bool:
        """Whether versions are allowed that are no longer secure."""
        return self.min in {"1.0", "1.1"}

    def within(self, folder: Path) -> Tls:
        """The same, with relative paths counted from `folder`."""
        cert, key = (str(folder / file) if file else "" for file in (self.cert, self.key))
        return replace(self, cert=cert, key=key)


def read_tls(value: Any) -> Tls:
    """Read a Tls, or its fields as a mapping. Raises TypeError or ValueError with what is expected."""
    expected = 'a table of min ("1.0" to "1.3"), ciphers, cert and key, such as {min = "1.0"}'
    if isinstance(value, Tls):
        value = asdict(value)
    if not isinstance(value, dict) or not all(isinstance(inner, str) for inner in value.values()):
        raise TypeError(expected)
    if not set(value) <= {field.name for field in fields(Tls)}:
        raise ValueError(expected)
    tls = Tls(**value)
    if tls.min not in ("", *VERSIONS) or (tls.key and not tls.cert):
        raise ValueError(expected)
    return tls
