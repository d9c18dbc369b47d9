"""The database a command was given, opened for reading."""

from __future__ import annotations

from scraper.project.folder import find_database
from scraper.query import Reading

__all__ = ["opened"]


def opened(database: str) -> Reading:
    """A handle on DATABASE (a file, or a spider's name). Raises UsageError or QueryError when there is none."""
    return Reading(find_database(database), name=database)
