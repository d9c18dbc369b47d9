"""The rows of one run as files: `scraper crawl -o`."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from scraper.core.sql_names import quoted
from scraper.query.database import open_readonly, own_columns
from scraper.query.export import Export, check_output, export
from scraper.query.tables import own_tables

__all__ = ["check_run_output", "export_run"]


def check_run_output(out: str) -> None:
    """See before a crawl that its rows can be written to `out` after it."""
    check_output(out, force=True)


def export_run(database: str, run: int, filled: Collection[str], out: str) -> list[tuple[str, int]]:
    """Write the rows a run saw: one table to `out`, several to `out` with the table's name in it.

    `filled` names the tables that the run put rows into. Returns the files with their numbers of rows; `out` is
    replaced when it exists, as a shell's `>` does.
    """
    path = Path(out)
    written = []
    with closing(open_readonly(database)) as conn:
        names = [name for name in own_tables(conn) if name in filled]
        for name in names or own_tables(conn)[:1]:
            target = path if len(names) < 2 else path.with_name(f"{path.stem}.{name}{path.suffix}")
            columns = ", ".join(map(quoted, own_columns(conn, name)))
            sql = f"SELECT {columns} FROM {quoted(name)} WHERE _run = {run}"  # noqa: S608 - quoted
            written.append((str(target), export(conn, Export(sql), target, force=True)))
    return written
