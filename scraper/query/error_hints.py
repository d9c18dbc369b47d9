"""What SQLite's messages mean to the person who asked: the name that was meant, the word that is misspelt."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable

from scraper.core.sql_names import quoted
from scraper.settings import did_you_mean, near_miss

__all__ = ["explained", "placeholders"]

READ_ONLY = "the database is open for reading only; ask with SELECT"
#: Words a question is made of.
_WORDS = (
    "all and as asc between by case cast collate cross desc distinct else end except exists explain filter from full"
    " glob group having in inner intersect is join left like limit natural not null nulls offset on or order outer"
    " over partition pragma recursive right select then union using values when where window with"
)
KEYWORDS = frozenset(_WORDS.split())
#: Tables named in a message at most.
MAX_NAMED = 12
_HIDDEN = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]')
_WORD = re.compile(r"[^\W\d]\w*")


def explained(conn: sqlite3.Connection, message: str, sql: str) -> str:
    """The sentence for an error of SQLite."""
    for pattern, tell in _RULES:
        if match := re.match(pattern, message):
            return tell(conn, match, sql)
    if any(
        word in message for word in ("readonly", "read-only", "not authorized", "prohibited", "authorization")
    ):
        return READ_ONLY
    return message


def placeholders(sql: str) -> tuple[list[str], int]:
    """The parameters of a statement: its names (`:name`, each once), and how many `?` it has."""
    text = _QUOTED.sub(" ", _HIDDEN.sub(" ", sql))
    names = dict.fromkeys(re.findall(r"(?<![\w:])[:@$]([^\W\d]\w*)", text))
    return list(names), len(re.findall(r"\?", text))


def _names_in(conn: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables and views of all attached databases with their columns; those of others as `name.table`."""
    found: dict[str, list[str]] = {}
    for _, schema, _ in conn.execute("PRAGMA database_list").fetchall():
        rows = conn.execute(
            f"SELECT m.name, c.name FROM {quoted(schema)}.sqlite_master m"  # noqa: S608 - quoted
            " JOIN pragma_table_info(m.name, ?) c WHERE m.type IN ('table', 'view')",
            (schema,),
        ).fetchall()
        for table, column in rows:
            found.setdefault(table if schema == "main" else f"{schema}.{table}", []).append(column)
    return found


def _words_of(sql: str) -> list[re.Match[str]]:
    """The words of a statement outside texts, quoted names and comments, with their places."""
    blank = _QUOTED.sub(_spaces, _HIDDEN.sub(_spaces, sql))
    return list(_WORD.finditer(blank))


def _spaces(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _table(conn: sqlite3.Connection, match: re.Match[str], sql: str) -> str:
    return f"no table {match[1]!r}{did_you_mean(match[1], _names_in(conn))} Tables: {_listed(conn) or 'none yet'}"


def _listed(conn: sqlite3.Connection) -> str:
    """The tables a person may mean, with their rows, then the views; those of attached databases too."""
    told: list[str] = []
    for _, schema, _ in conn.execute("PRAGMA database_list").fetchall():
        rows = conn.execute(
            f"SELECT name, type FROM {quoted(schema)}.sqlite_master WHERE type IN ('table', 'view')"  # noqa: S608 - quoted
            " AND substr(name, 1, 1) <> '_' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name"
        ).fetchall()
        for name, kind in rows:
            shown = name if schema == "main" else f"{schema}.{name}"
            if kind == "table" and len(told) < MAX_NAMED:
                sql = f"SELECT count(*) FROM {quoted(schema)}.{quoted(name)}"  # noqa: S608 - quoted
                shown += f" ({conn.execute(sql).fetchone()[0]:,})".replace(",", " ")
            told.append(shown)
    more = f" and {len(told) - MAX_NAMED} more" if len(told) > MAX_NAMED else ""
    return ", ".join(told[:MAX_NAMED]) + more


def _column(conn: sqlite3.Connection, match: re.Match[str], sql: str) -> str:
    wanted = match[1].rpartition(".")[2]
    used = {word[0].lower() for word in _words_of(sql)}
    tables = _names_in(conn)
    near = {name: columns for name, columns in tables.items() if name.rpartition(".")[2].lower() in used}
    columns = {column for names in (near or tables).values() for column in names}
    told = f"no column {wanted!r}{did_you_mean(wanted, columns)}"
    if near and near_miss(wanted, columns) is None:
        own = [column for names in near.values() for column in names if not column.startswith("_")]
        told += f" Columns: {', '.join(dict.fromkeys(own))}"
    return told


def _function(conn: sqlite3.Connection, match: re.Match[str], sql: str) -> str:
    known = {row[0] for row in conn.execute("PRAGMA function_list")}
    return f"no function {match[1]}(){did_you_mean(match[1].lower(), known)}"


def _syntax(conn: sqlite3.Connection, match: re.Match[str], sql: str) -> str:
    """Where SQLite stopped, or the misspelt keyword shortly before: `select x form y` stops at y."""
    words = _words_of(sql)
    stops = [i for i, word in enumerate(words) if word[0] == match[1]]
    names = {name.lower() for table, columns in _names_in(conn).items() for name in (table, *columns)}
    for stop in stops:
        for word in reversed(words[max(0, stop - 2) : stop + 1]):
            meant = _keyword(word[0], names)
            if meant is not None:
                return _pointed(sql, word.start(), f"did you mean {meant.upper()}?")
    at = words[stops[0]].start() if stops else sql.find(match[1])
    return _pointed(sql, max(at, 0), "SQLite does not understand it from here on")


def _keyword(word: str, names: Iterable[str]) -> str | None:
    """The keyword a word was meant to be; none when it is one, or the name of a column."""
    lower = word.lower()
    return None if lower in KEYWORDS or lower in names else near_miss(lower, KEYWORDS)


def _pointed(sql: str, at: int, what: str) -> str:
    """The line of the statement with a caret below the place."""
    start, end = sql.rfind("\n", 0, at) + 1, sql.find("\n", at)
    line = sql[start : end if end >= 0 else None]
    cut = max(0, at - start - 60)
    shown = ("…" if cut else "") + line[cut : cut + 100]
    return f"the SQL has an error:\n    {shown}\n    {' ' * (at - start - cut + bool(cut))}^ {what}"


def _values(conn: sqlite3.Connection, match: re.Match[str], sql: str) -> str:
    return f"the statement has {match[1]} parameters (?) and {match[2]} values were given"


_RULES: tuple[tuple[str, Callable[[sqlite3.Connection, re.Match[str], str], str]], ...] = (
    (r"no such table: (.+)", _table),
    (r"no such column: (.+)", _column),
    (r"no such function: (.+)", _function),
    (r'near "(.+)": syntax error', _syntax),
    (r"Incorrect number of bindings supplied.* uses (\d+), and there are (\d+) supplied", _values),
    (
        r"You did not supply a value for binding (?:parameter )?:?(\w+)",
        lambda conn, match, sql: f"no value was given for :{match[1]}",
    ),
    (
        r"incomplete input",
        lambda conn, match, sql: "the statement is not complete: something is missing at its end",
    ),
    (
        r"You can only execute one statement",
        lambda conn, match, sql: "one statement at a time, please: ask again for the second",
    ),
)
