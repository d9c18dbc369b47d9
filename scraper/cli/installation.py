"""The packages this one needs, each looked at by itself: is it there, does it import, is its version one that fits?

At import this module needs the standard library alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from scraper.cli.plain_output import one_line

__all__ = [
    "CONFIGURATION",
    "MACHINE",
    "REQUIRED",
    "WELL",
    "Finding",
    "Requirement",
    "is_within",
    "package_findings",
]

WELL, MACHINE, CONFIGURATION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is. With a fault `code` is not WELL, and `remedy` says what to do."""

    name: str
    value: str
    remedy: str = ""
    code: int = WELL


class Requirement(NamedTuple):
    """A dependency: its name and versions as in pyproject.toml, and the module of it that this package imports."""

    name: str
    versions: str
    module: str


#: The dependencies of pyproject.toml.
REQUIRED: Final = (
    Requirement("httpx", ">=0.28,<0.29", "httpx"),
    Requirement("httptools", ">=0.9,<0.10", "httptools"),
    Requirement("selectolax", ">=1.0,<2", "selectolax.lexbor"),
    Requirement("aiolimiter", ">=1.2,<2", "aiolimiter"),
    Requirement("tenacity", ">=9,<10", "tenacity"),
    Requirement("aiosqlite", ">=0.22,<0.23", "aiosqlite"),
    Requirement("ada-url", ">=1.15", "ada_url"),
    Requirement("publicsuffixlist", ">=1.0", "publicsuffixlist"),
    Requirement("protego", ">=0.4", "protego"),
    Requirement("brotli", ">=1.1", "brotli"),
    Requirement("backports.zstd", ">=1.0", "backports.zstd"),
    Requirement("click", ">=8.2", "click.shell_completion"),
)
#: Part of the standard library from Python 3.14 on.
IN_PYTHON_3_14: Final = "backports.zstd"
#: Modules of the standard library that a Python can be built without.
BUILT_IN: Final = ("sqlite3", "ssl", "zlib")


def package_findings() -> Iterator[Finding]:
    """One line for each required package, and one for each part that this Python was built without."""
    for requirement in REQUIRED:
        if requirement.name != IN_PYTHON_3_14 or sys.version_info < (3, 14):
            yield _package(requirement)
    for module in BUILT_IN:
        if (error := _import_error(module)) is not None:
            remedy = "use a Python that was built with it"
            yield Finding(module, f"missing from this Python: {error}", remedy, MACHINE)


def _package(wanted: Requirement) -> Finding:
    """How one package is. The line of a fault has the pip command that mends it."""
    found, error = _version_of(wanted.name), _import_error(wanted.module)
    pip = f"pip install '{wanted.name}{wanted.versions}'"
    if error is None and found is None:
        return Finding(wanted.name, "present, of an unknown version")
    if found is None:
        return Finding(wanted.name, "is not installed", pip, MACHINE)
    if not is_within(found, wanted.versions):
        return Finding(wanted.name, f"{found} is installed, {wanted.versions} is needed", pip, MACHINE)
    if (own := _shadow(wanted.module)) is not None:
        return Finding(wanted.name, f"is hidden by {own}", f"give {own} another name", MACHINE)
    if error is not None:
        remedy = pip.replace("install", "install --force-reinstall", 1)
        return Finding(wanted.name, f"{found} cannot be imported: {error}", remedy, MACHINE)
    return Finding(wanted.name, found)


def _version_of(name: str) -> str | None:
    """The version that is installed; None when none is, or when what is left of it has no readable version."""
    try:
        found: str | None = version(name)
    except (PackageNotFoundError, KeyError):
        return None
    return found


def _import_error(module: str) -> str | None:
    """Why a module cannot be imported, None when it can. A broken package may raise anything, SystemExit too."""
    try:
        import_module(module)
    except (Exception, SystemExit) as error:
        return one_line(f"{type(error).__name__}: {error}".partition("\n")[0])
    return None


def _shadow(module: str) -> str | None:
    """The file in the working directory that Python takes for this package, None when there is none."""
    top = module.partition(".")[0]
    if str(Path.cwd()) not in {str(Path(entry).resolve()) for entry in sys.path}:
        return None
    loaded = getattr(sys.modules.get(top), "__file__", None)
    for own in (Path(f"{top}.py"), Path(top, "__init__.py")):
        if own.is_file() and (loaded is None or own.samefile(loaded)):
            return str(own)
    return None


def is_within(found: str, versions: str) -> bool:
    """Whether a version fits bounds such as ">=0.28,<0.29". The first numbers count, so 2.0rc1 is 2.0."""
    for bound in versions.split(","):
        at_least = bound.startswith(">=")
        number = _release(bound.lstrip("<>="))
        if (_release(found) >= number) is not at_least:
            return False
    return True


def _release(text: str) -> tuple[int, ...]:
    """The numbers a version begins with, without zeros at the end: 1.0 is 1."""
    leading = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(number) for number in leading[0].split(".")] if leading else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
