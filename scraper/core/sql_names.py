"""Names in SQL: how they are written, and when SQLite takes two for one."""

from __future__ import annotations

__all__ = ["fold", "quoted"]


def quoted(name: str) -> str:
    """A name as an SQL identifier: in double quotes, those inside doubled. Any text but NUL survives it."""
    return '"' + name.replace('"', '""') + '"'


def fold(name: str) -> str:
    """The form in which SQLite compares names: without the case of ASCII letters, and of these only."""
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)
