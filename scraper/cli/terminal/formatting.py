"""How the command line writes numbers, times, places and databases."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from scraper.project.folder import project_folder

__all__ = ["duration", "number", "of_table", "plural", "shown_database", "shown_place", "with_local_times"]

#: A time in a stored reason, as `scraper.core.clock.iso` writes it.
_STORED = re.compile(r"(?<=since |until )\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def shown_place(place: str) -> str:
    path, colon, rest = place.partition(":")
    try:
        return f"{Path(path).relative_to(Path.cwd())}{colon}{rest}"
    except ValueError:
        return place


def shown_database(path: str) -> str:
    """How a person names this database: the spider's name when it is the project's, else the path."""
    resolved = Path(path).resolve()
    if resolved == project_folder() / "data" / f"{resolved.stem}.db":
        return resolved.stem
    return path


def with_local_times(text: str, now: float) -> str:
    """A stored reason with its times as the clock on the wall shows them; `now` is unix seconds."""
    return _STORED.sub(lambda found: _local(found[0], now), text)


def _local(stamp: str, now: float) -> str:
    from scraper.core.clock import local_time  # not above: it brings asyncio, and the TAB key is quick

    try:
        return local_time(datetime.fromisoformat(stamp).timestamp(), now)
    except ValueError:  # what looks like a time and is not one
        return stamp


def plural(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith(("ch", "sh", "x")) else "s"
    return f"{number(count)} {noun}{ending}"


def of_table(rows: int, table: str) -> str:
    """So many rows of a table: 1 240 books, 3 categories; a name that is a plural already stays."""
    if rows == 1 or table.endswith("s"):
        return f"{number(rows)} {table}"
    if table.endswith("y") and table[-2:-1] not in set("aeiou"):
        return f"{number(rows)} {table[:-1]}ies"
    return f"{number(rows)} {table}s"


def number(count: int) -> str:
    """Thousands apart: 1 240."""
    return f"{count:,}".replace(",", " ")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
