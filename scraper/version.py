"""The versions of this package and of the SQLite that Python brings."""

__all__ = ["VERSION", "sqlite_version"]

VERSION = "0.1.0"


def sqlite_version() -> str:
    """The version of SQLite's library, as in "3.45.1". It opens no database."""
    import sqlite3  # which --version need not wait for

    return sqlite3.sqlite_version
