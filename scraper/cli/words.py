"""How the command line writes numbers, times, places and databases."""

from __future__ import annotations

from pathlib import Path

from scraper.project import project_folder

__all__ = ["duration", "number", "plural", "shown_database", "shown_place"]


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


def plural(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def number(count: int) -> str:
    """Thousands apart: 1 240."""
    return f"{count:,}".replace(",", " ")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
