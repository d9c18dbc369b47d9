"""Where a project keeps its things: its folder, and the databases in it."""

from __future__ import annotations

from pathlib import Path

from scraper.errors import UsageError
from scraper.settings import did_you_mean

__all__ = ["default_database", "find_database", "project_folder"]

#: What marks a project's folder.
MARKS = ("scraper.toml", "pyproject.toml", "spiders")


def project_folder(start: Path | None = None) -> Path:
    """The project: the nearest folder upward that has scraper.toml, pyproject.toml or spiders/; else `start`."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    return here


def default_database(spider: str, start: Path | None = None) -> str:
    """`data/<spider>.db` in the project; the folder is made when missing. Shown relative when below here."""
    folder = project_folder(start) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{spider}.db"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def find_database(name: str) -> str:
    """A database by file name, or by the name of a spider of this project.

    Raises UsageError naming what exists.
    """
    if Path(name).is_file():
        return name
    folder = project_folder() / "data"
    if (folder / f"{name}.db").is_file():
        return default_database(name)
    known = sorted(path.stem for path in folder.glob("*.db")) if folder.is_dir() else []
    told = f" Known: {', '.join(known)}" if known else ""
    raise UsageError(f"no database {name!r}{did_you_mean(name, known)}{told}")
