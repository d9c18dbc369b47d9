"""What a command line names: a spider, the project it belongs to, and what is configured for it there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.errors import UsageError
from scraper.project.config_file import read_configuration
from scraper.project.folder import default_database, project_of
from scraper.project.loader import load_spider, survey
from scraper.settings import Layers
from scraper.spider import Definition, Spider, define

__all__ = ["Target", "change_to", "find_target", "pairs_of", "stored_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A spider to run. `layers` are the settings that its project's file and the environment give it."""

    cls: type[Spider[Any]]
    definition: Definition
    project: Path
    layers: Layers

    def database(self) -> str:
        """Where its items go unless another file is named; the folder is made when missing."""
        return default_database(self.definition.name, self.project)


def find_target(target: str, near: Path | None = None) -> Target:
    """Load the spider that TARGET names, and read what is configured for it.

    A name is looked up in the project around `near`, or around the working directory. Raises UsageError.
    """
    project = project_of(target, near)
    configuration = read_configuration(project, os.environ)
    cls = load_spider(target, project)
    definition = define(cls)
    layers = configuration.layers(definition.name, lambda: survey(project).names)
    return Target(cls, definition, project, layers)


def stored_target(target: str) -> str:
    """A file is stored with its full path, so that a resume finds it from anywhere."""
    path, colon, name = target.partition(":")
    return f"{Path(path).resolve()}{colon}{name}" if path.endswith(".py") else target


def change_to(folder: str) -> None:
    """Go on as if started in this folder. Raises UsageError."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(f"-C {folder}: {error.strerror}") from error


def pairs_of(pairs: tuple[str, ...], flag: str) -> dict[str, str]:
    """KEY=VALUE as given with a flag. Raises UsageError."""
    made = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {pair}: write {flag} KEY=VALUE")
        made[key.strip().replace("-", "_")] = value
    return made
