"""Answers as files: CSV, JSON, JSON lines, Parquet, Excel; by the file's suffix, with flat memory.

A file is written beside its place and renamed when it is whole: whoever looks sees all of it, or what was there
before.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scraper.errors import QueryError, StoreError, UsageError
from scraper.query.columns import json_columns
from scraper.query.database import Parameters, answering, ask
from scraper.query.output import write_answer
from scraper.settings import did_you_mean

__all__ = ["SUFFIXES", "Export", "check_output", "export"]


#: Errors of a disk that takes no more.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@dataclass(frozen=True, slots=True)
class Export:
    """What to write: an SQL statement or a table's name, its parameters, and how.

    `everything` adds a table's internal columns; `safe` disarms formulas in CSV.
    """

    question: str
    parameters: Parameters = ()
    everything: bool = False
    safe: bool = False
    limit: int | None = None


Writing = Callable[[sqlite3.Connection, Export, str], int]


def _text(form: str, conn: sqlite3.Connection, what: Export, path: str) -> int:
    # utf-8-sig: Excel takes a file without the mark for one in the local code page.
    encoding = "utf-8-sig" if what.safe else "utf-8"
    with open(path, "w", encoding=encoding, newline="") as out:
        answer = ask(conn, what.question, what.parameters, limit=what.limit, everything=what.everything)
        return write_answer(answer, out, form, safe=what.safe, nested=json_columns(conn, answer))


def _parquet(conn: sqlite3.Connection, what: Export, path: str) -> int:
    from scraper.query.parquet import write_parquet

    return write_parquet(
        conn,
        lambda: ask(conn, what.question, what.parameters, limit=what.limit, everything=what.everything),
        path,
    )


def _xlsx(conn: sqlite3.Connection, what: Export, path: str) -> int:
    from scraper.query.xlsx import write_xlsx

    answer = ask(conn, what.question, what.parameters, limit=what.limit, everything=what.everything)
    return write_xlsx(answer, path)


#: What a suffix means.
SUFFIXES: dict[str, Writing] = {
    ".csv": partial(_text, "csv"),
    ".json": partial(_text, "json"),
    ".jsonl": partial(_text, "jsonl"),
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}


def check_output(out: str | Path, *, force: bool = False) -> None:
    """See, before anything is done, that a file can be written there and in which format.

    Raises UsageError with what to do: another suffix, an extra to install, `force` for a file that exists.
    """
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(
            f"{path}: no format {path.suffix!r}{did_you_mean(path.suffix, SUFFIXES)} Known: {known}"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: no folder {path.parent}" if not path.is_dir() else f"{path} is a folder")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; overwrite it with --force, or name another file")
    if path.suffix.lower() == ".parquet":
        from scraper.query.parquet import require as require_parquet

        require_parquet()
    elif path.suffix.lower() == ".xlsx":
        from scraper.query.xlsx import require as require_xlsx

        require_xlsx()


def export(conn: sqlite3.Connection, what: Export, out: str | Path, *, force: bool = False) -> int:
    """Write an answer to a file and return the number of rows. All of it is from one moment of the database.

    Raises QueryError for the question, UsageError for the file, StoreError for its disk; then nothing is left behind.
    """
    check_output(out, force=force)
    path = Path(out)
    try:
        with _snapshot(conn), _renamed(path) as unfinished, answering(conn, what.question):
            return SUFFIXES[path.suffix.lower()](conn, what, unfinished)
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror or error}"
        raise (StoreError(said) if error.errno in FULL else QueryError(said)) from error


@contextmanager
def _snapshot(conn: sqlite3.Connection) -> Iterator[None]:
    """One reading transaction: what a crawl commits meanwhile is not seen."""
    conn.execute("BEGIN")
    try:
        yield
    finally:
        conn.execute("ROLLBACK")


@contextmanager
def _renamed(path: Path) -> Iterator[str]:
    """A file beside `path` that takes its place when it is whole, and is removed otherwise."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield name
        os.chmod(name, 0o666 & ~_umask())
        with open(name, "rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
