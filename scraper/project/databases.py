"""`scraper.open("books")`: a project's database for questions, by the name of its spider."""

from __future__ import annotations

from pathlib import Path

from scraper.project.folder import find_database
from scraper.query.dataset import CONNECTIONS, Dataset

__all__ = ["open"]


def open(database: str | Path, *, connections: int = CONNECTIONS) -> Dataset:
    """A database, by file or by the name of a spider of this project, for questions: `async with open("books") as db`.

    Up to `connections` queries run in parallel. Raises UsageError naming what exists when there is none.
    """
    return Dataset(find_database(str(database)), connections=connections)
