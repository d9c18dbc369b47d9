"""Work on a database while no crawl is running on it: copy it, prune it, undo a run, bring tables to their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scraper.core.models import Table

__all__ = ["Maintenance", "Pruned", "Undone"]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many old runs were pruned, and how many old versions of rows were removed."""

    runs: int
    versions: int


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone in one table: rows removed, rows with their earlier values again, marks of gone lifted."""

    table: str
    removed: int
    restored: int
    unmarked: int


class Maintenance(Protocol):
    """The upkeep of one existing database. Times are unix seconds.

    All but `backup` raise DatabaseInUse while a crawl is running, and StoreError when the database cannot be used.
    """

    def backup(self, out: Path) -> None:
        """Copy the database to a new file, as it is at one moment; a crawl may be running.

        Raises StoreError when the copy cannot be made, for instance because the file exists.
        """
        ...

    def prune(self, keep: int, *, history: bool, now: float) -> Pruned:
        """Remove what the runs before the newest `keep` left behind, and give the space back. Items stay.

        With `history` also the versions of rows that ended before those runs.
        """
        ...

    def undo(self, run: int, *, shown: str, now: float) -> Sequence[Undone]:
        """Undo a run, table by table; `shown` is what a person calls the database.

        Raises UsageError, and changes nothing, when there is no such run or later ones built on its rows.
        """
        ...

    def migrate(self, tables: Sequence[Table], *, accept_loss: bool, now: float) -> Sequence[str]:
        """Bring the item tables that exist to what their classes say; what was done, in sentences.

        Raises TableError, and changes nothing, when that would lose data that is not accepted as lost.
        """
        ...
