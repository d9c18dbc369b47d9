"""Questions to a database, on a connection that cannot write."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scraper.errors import QueryError
from scraper.names import quoted
from scraper.settings import did_you_mean

__all__ = ["Answer", "TableInfo", "ask", "list_tables", "open_readonly"]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table or view: how many rows, and its columns as (name, type)."""

    name: str
    rows: int
    columns: Sequence[tuple[str, str]]
    internal: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The columns of a result and its rows, read as they are consumed."""

    columns: Sequence[str]
    rows: Iterable[tuple[Any, ...]]


def open_readonly(path: str) -> sqlite3.Connection:
    """A read-only connection. Raises QueryError when the file is no database."""
    if not Path(path).is_file():
        raise QueryError(f"no database {path}")
    try:
        conn = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=30)
        conn.execute("PRAGMA query_only = ON")
        conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.Error as error:
        raise QueryError(f"{path} cannot be read: {error}") from error
    return conn


def list_tables(conn: sqlite3.Connection) -> list[TableInfo]:
    """All tables and views, item tables first."""
    rows = conn.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    views = {"runs", "requests", "errors"}
    names = sorted((name for (name,) in rows), key=lambda n: (n.startswith("_"), n in views, n))
    return [_info(conn, name, name.startswith("_") or name in views) for name in names]


def _info(conn: sqlite3.Connection, name: str, internal: bool) -> TableInfo:
    count = conn.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0]  # noqa: S608 - quoted name
    columns = conn.execute(f"PRAGMA table_info({quoted(name)})").fetchall()
    return TableInfo(name, count, [(column[1], column[2]) for column in columns], internal)


def ask(conn: sqlite3.Connection, question: str, limit: int | None = None) -> Answer:
    """The answer to an SQL statement, or all rows of the table that is named.

    Raises QueryError with what is wrong and, for a misspelt name, what was probably meant.
    """
    names = [
        name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    ]
    is_name = re.fullmatch(r"[^\s;()]+", question.strip()) is not None
    sql = f"SELECT * FROM {quoted(question.strip())}" if is_name else question.strip().rstrip(";")  # noqa: S608 - quoted name
    if limit is not None:
        sql = f"SELECT * FROM ({sql}) LIMIT {int(limit)}"  # noqa: S608 - the person's own statement
    try:
        cursor = conn.execute(sql)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise QueryError(_explained(conn, str(error), names)) from error
    if cursor.description is None:
        raise QueryError("the database is open for reading only; ask with SELECT")
    return Answer([column[0] for column in cursor.description], cursor)


def _explained(conn: sqlite3.Connection, message: str, names: Sequence[str]) -> str:
    if match := re.match(r"no such table: (.+)", message):
        told = ", ".join(f"{info.name} ({info.rows})" for info in list_tables(conn) if not info.internal)
        return f"no table {match[1]!r}{did_you_mean(match[1], names)} Tables: {told or 'none yet'}"
    if match := re.match(r"no such column: (?:.*\.)?(.+)", message):
        columns = {column for info in list_tables(conn) for column, _ in info.columns}
        return f"no column {match[1]!r}{did_you_mean(match[1], columns)}"
    if "readonly" in message or "read-only" in message or "query_only" in message:
        return "the database is open for reading only; ask with SELECT"
    return f"{message}"
