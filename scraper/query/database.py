"""Questions to a database, on a connection that cannot write.

Three things keep it so, each enough by itself: the file is opened with `mode=ro`, `query_only` is on, and an
authorizer refuses every statement that is not a question, before it runs (`ATTACH`, `VACUUM INTO`, `PRAGMA x = y`).
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scraper.core.machine_limits import has_free_files, limit_sentence
from scraper.core.sql_names import quoted
from scraper.errors import QueryError, StoreError
from scraper.query.error_hints import explained

__all__ = ["Interrupted", "Parameters", "QueryResult", "answering", "ask", "open_readonly", "own_columns"]

Parameters = Sequence[Any] | Mapping[str, Any]

#: What a statement may do: SELECT, read a column, call a function, recurse, take a snapshot.
_QUESTIONS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)
#: Pragmas whose argument names something, or is about waiting; those that only show a value are allowed without one.
_NAMING = re.compile(
    r"(table_(x?info|list)|index_(list|x?info)|foreign_key_list|(integrity|quick)_check|busy_timeout)"
)
_SHOWING = re.compile(
    r"((collation|database|function|module|pragma)_list|(application|user)_(id|version)|compile_options|data_version|encoding"
    r"|freelist_count|journal_mode|page_(count|size)|query_only|schema_version)"
)
_FORBIDDEN = frozenset({"load_extension", "fts3_tokenizer"})
_NAME = re.compile(r"[^\s;()'\"]+")


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The columns of a result and its rows, read as they are consumed; an error may still come then.

    `sources` maps a result column to the one (table, column) of its name that the statement reads. `close` ends
    the statement before all rows were read, while its connection is open.
    """

    columns: Sequence[str]
    rows: Iterable[tuple[Any, ...]]
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def open_readonly(path: str, attach: Mapping[str, str] | None = None) -> sqlite3.Connection:
    """A connection that can only read; `attach` maps names to further files, read as `name.table`.

    Raises QueryError when a file is no database.
    """
    conn = _open(path)
    try:
        for name, other in (attach or {}).items():
            _attach(conn, name, other)
        conn.execute("PRAGMA query_only = ON")
    except BaseException:
        conn.close()
        raise
    conn.set_authorizer(_authorize)
    return conn


def _open(path: str) -> sqlite3.Connection:
    if not Path(path).is_file():
        raise QueryError(f"no database {path}")
    errors = []
    for uri in _uris(path):
        conn = None
        try:
            conn = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
            conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            return conn
        except sqlite3.Error as error:
            is_limited = not has_free_files()  # asked before one is free again
            if conn is not None:
                conn.close()
            if is_limited:
                raise StoreError(f"cannot open {path}: {limit_sentence(errno.EMFILE)}") from error
            errors.append(error)
    raise QueryError(f"{path} cannot be read: {errors[0]}") from errors[0]


def _uris(path: str) -> list[str]:
    """How to open a file. One in a folder that cannot be written has no log to share when nobody writes it."""
    uri = f"file:{quote(path)}?mode=ro"
    return [uri] if Path(f"{path}-wal").exists() else [uri, f"{uri}&immutable=1"]


def _attach(conn: sqlite3.Connection, name: str, path: str) -> None:
    if not Path(path).is_file():
        raise QueryError(f"no database {path}")
    try:
        conn.execute(f"ATTACH DATABASE ? AS {quoted(name)}", (_uris(path)[0],))
        conn.execute(f"SELECT 1 FROM {quoted(name)}.sqlite_master LIMIT 1").fetchall()  # noqa: S608 - quoted name
    except sqlite3.Error as error:
        raise QueryError(f"{path} cannot be attached as {name}: {error}") from error


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_READ and (first, second) == ("_cookies", "value"):
        return sqlite3.SQLITE_IGNORE  # reads as NULL: the values of cookies are shown to nobody
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = bool(_NAMING.fullmatch(name) or (second is None and _SHOWING.fullmatch(name)))
    elif action == sqlite3.SQLITE_UPDATE:
        # A table-valued function (json_each) declares itself so; writing there is refused by SQLite itself.
        allowed = first == "sqlite_master"
    elif action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _FORBIDDEN
    else:
        allowed = action in _QUESTIONS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class Interrupted(QueryError):
    """A statement was stopped on the way, by its progress handler or a signal."""


class answering:
    """Translates what SQLite says of a statement into a QueryError; `Interrupted` for one that was stopped."""

    def __init__(self, conn: sqlite3.Connection, sql: str) -> None:
        self._conn, self._sql = conn, sql

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (sqlite3.Error, sqlite3.Warning)):
            if str(error) == "interrupted":
                raise Interrupted("the query was stopped") from error
            raise QueryError(explained(self._conn, str(error), self._sql)) from error
        if isinstance(error, (OverflowError, UnicodeEncodeError)):
            raise QueryError(f"a value that SQLite cannot take: {error}") from error


def ask(
    conn: sqlite3.Connection,
    question: str,
    parameters: Parameters = (),
    *,
    limit: int | None = None,
    everything: bool = False,
) -> QueryResult:
    """The answer to an SQL statement, or the rows of the table that is named: its own columns, or `everything`.

    Raises QueryError with what is wrong and, for a misspelt name, what was probably meant.
    """
    question = question.strip()
    sql = _select(conn, question, everything) if _NAME.fullmatch(question) else question
    read: dict[str, set[tuple[str, str]]] = {}

    def note(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first and second:
            read.setdefault(second.lower(), set()).add((first, second))
        return _authorize(action, first, second, *rest)

    conn.set_authorizer(note)
    try:
        with answering(conn, sql):
            cursor = conn.execute(sql, parameters)
    finally:
        conn.set_authorizer(_authorize)
    if cursor.description is None:
        raise QueryError("that is no question; ask with SELECT (the database is open for reading only)")
    columns = _distinct(column[0] for column in cursor.description)
    found = {name: read.get(name.lower(), set()) for name in columns}
    sources = {name: next(iter(places)) for name, places in found.items() if len(places) == 1}
    rows = _rows(conn, sql, cursor)
    return QueryResult(columns, islice(rows, limit), sources, rows.close)


def _distinct(names: Iterable[str]) -> list[str]:
    """The names of columns; one that occurs again gets a number, so that a row as a mapping keeps every value."""
    taken: dict[str, None] = {}
    for name in names:
        count, made = 0, name
        while made in taken:
            count += 1
            made = f"{name}:{count}"
        taken[made] = None
    return list(taken)


def _rows(
    conn: sqlite3.Connection, sql: str, cursor: sqlite3.Cursor
) -> Generator[tuple[Any, ...], None, None]:
    with answering(conn, sql):
        for row in cursor:  # noqa: UP028 - left early, `yield from` would close the cursor, maybe after its connection
            yield row


def _select(conn: sqlite3.Connection, name: str, everything: bool) -> str:
    """The statement that shows a table, also one of an attached database (`other.book`)."""
    columns = [] if everything else own_columns(conn, name)
    listed = ", ".join(map(quoted, columns)) or "*"
    return f"SELECT {listed} FROM {_place(conn, name)}"  # noqa: S608 - quoted names


def own_columns(conn: sqlite3.Connection, name: str) -> list[str]:
    """The columns of a table that are the user's: all but those an item table has besides its own.

    Of a table that is internal itself, and of a view, all.
    """
    schema, table = _split(conn, name)
    rows = conn.execute("SELECT name FROM pragma_table_info(?, ?)", (table, schema)).fetchall()
    names = [column for (column,) in rows]
    own = [column for column in names if not column.startswith("_")]
    return own if own and "_request" in names and not table.startswith("_") else names


def _split(conn: sqlite3.Connection, name: str) -> tuple[str, str]:
    schema, dot, table = name.partition(".")
    known = {row[1] for row in conn.execute("PRAGMA database_list")}
    return (schema, table) if dot and schema in known else ("main", name)


def _place(conn: sqlite3.Connection, name: str) -> str:
    schema, table = _split(conn, name)
    return quoted(table) if schema == "main" else f"{quoted(schema)}.{quoted(table)}"
