"""The upkeep of a database in SQLite: `scraper.core.maintenance.Maintenance` over a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from scraper.core.maintenance import Pruned, Undone
from scraper.core.models import Table
from scraper.errors import UsageError
from scraper.store.file.exclusive_access import backup, reading, transaction, upkeep
from scraper.store.rows.prune import forget_versions, old_runs, prune_some
from scraper.store.rows.shapes import Occasion, adapt
from scraper.store.rows.undo import undo

__all__ = ["SqliteMaintenance"]


class SqliteMaintenance:
    """Each method opens the file, brings it to the present schema (but for `backup`), and closes it again."""

    def __init__(self, path: str) -> None:
        self._path = path

    def backup(self, out: Path) -> None:
        with closing(reading(self._path)) as conn:
            backup(conn, out)

    def prune(self, keep: int, *, history: bool, now: float) -> Pruned:
        versions = 0
        with self._upkeep("prune", now) as conn:
            runs = len(old_runs(conn, keep))
            more = True
            while more:
                with transaction(conn):
                    more = prune_some(conn, keep)
            if history:
                with transaction(conn):
                    versions = forget_versions(conn, keep)
            if runs or versions:
                conn.execute("VACUUM")
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return Pruned(runs, versions)

    def undo(self, run: int, *, shown: str, now: float) -> Sequence[Undone]:
        with self._upkeep("undo", now) as conn:
            try:
                with transaction(conn):
                    return undo(conn, run, shown)
            except sqlite3.IntegrityError as error:
                raise UsageError(
                    f"run {run} cannot be undone: {error}; a later row took a unique value"
                ) from error

    def migrate(self, tables: Sequence[Table], *, accept_loss: bool, now: float) -> Sequence[str]:
        occasion = Occasion(at=now, accept_loss=accept_loss)
        with self._upkeep("migrate", now) as conn, transaction(conn):
            adapt(conn, tables, occasion)
        return occasion.notes

    def _upkeep(self, command: str, now: float) -> AbstractContextManager[sqlite3.Connection]:
        return upkeep(self._path, f"scraper {command}", now)
