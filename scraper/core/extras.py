"""Optional packages: where one is missing, one line says how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType, ModuleType

from scraper.errors import UsageError

__all__ = ["EXTRAS", "pip_command", "present", "require"]

#: The extras of pyproject.toml (but `dev`): the module that an extra is for, as it is imported.
EXTRAS: Mapping[str, str] = MappingProxyType(
    {"socks": "python_socks", "parquet": "pyarrow", "xlsx": "xlsxwriter", "browse": "datasette"}
)


def require(extra: str, what: str) -> ModuleType:
    """The module of an extra; `what` names the feature that needs it, as in "export to Parquet".

    Raises UsageError, one line with the pip command, when the module cannot be imported.
    """
    module = EXTRAS[extra]
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"{what} needs {module}, which is not installed: {pip_command(extra)}") from error


def present(extra: str) -> bool:
    """Whether the module of an extra can be found; it is not imported."""
    try:
        return find_spec(EXTRAS[extra]) is not None
    except ImportError:  # a package above it is missing
        return False


def pip_command(extra: str) -> str:
    """What installs an extra, as it is typed: the brackets mean something to most shells."""
    return f"pip install 'scraper[{extra}]'"
