"""Where a project keeps its things: its folder, and the databases in it."""

from __future__ import annotations

from pathlib import Path

from scraper.errors import StoreError, UsageError

__all__ = ["default_database", "find_database", "project_folder", "project_of", "shown"]

#: What marks a project's folder.
MARKS = ("scraper.toml", "pyproject.toml", "spiders")


def project_folder(start: Path | None = None) -> Path:
    """The project: the nearest folder upward that has scraper.toml, pyproject.toml or spiders/; else `start`."""
    here = (start or Path.cwd()).resolve()
    return _marked(here) or here


def project_of(target: str, near: Path | None = None) -> Path:
    """The project a target belongs to: found upward from its file, where it names one, then from here.

    What is no file is looked for around `near` first.
    """
    path, _, _ = target.partition(":")
    start = Path(path).resolve().parent if path.endswith(".py") else near
    return (start and _marked(start.resolve())) or project_folder()


def _marked(here: Path) -> Path | None:
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    return None


def default_database(spider: str, start: Path | None = None) -> str:
    """`data/<spider>.db` in the project; the folder is made when missing. Shown relative when below here.

    Raises StoreError when the folder cannot be made.
    """
    folder = project_folder(start) / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be made: {error.strerror}; use --db FILE") from error
    return shown(folder / f"{spider}.db")


def shown(path: Path) -> str:
    """A path as it is shown: relative when it is below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def find_database(name: str) -> str:
    """A database by file name, or by the name of a spider of this project.

    Raises UsageError naming what exists.
    """
    if Path(name).is_file():
        return name
    folder = project_folder() / "data"
    if (folder / f"{name}.db").is_file():
        return default_database(name)
    from scraper.settings import did_you_mean  # needs packages, which `scraper doctor` must do without

    known = sorted(path.stem for path in folder.glob("*.db")) if folder.is_dir() else []
    told = f" Known: {', '.join(known)}" if known else ""
    raise UsageError(f"no database {name!r}{did_you_mean(name, known)}{told}")
