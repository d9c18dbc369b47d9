"""Finding spiders: a file, `file.py:Class`, `module:Class`, or a name known in the project or from a plugin."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from scraper.errors import SpiderError, UsageError
from scraper.project import project_folder
from scraper.settings import did_you_mean
from scraper.spider import Spider, define
from scraper.trace import describe

__all__ = ["known_spiders", "load_spider"]

#: The entry point group of plugins: `name = "package.module:Class"`.
GROUP = "scraper.spiders"


def load_spider(target: str) -> type[Spider[Any]]:
    """The spider class a target names.

    Raises SpiderError for a file that does not import (the user's frames only), holds no spider or several,
    and UsageError with suggestions for an unknown name.
    """
    path, _, name = target.partition(":")
    if path.endswith(".py"):
        return _choose(_import_file(Path(path)), name, target)
    if name:
        return _choose(_import_module(path), name, target)
    known = known_spiders()
    if target in known:
        return known[target]
    listed = ", ".join(sorted(known)) or "none"
    raise UsageError(f'No spider "{target}"{did_you_mean(target, known)} Known: {listed}')


def known_spiders() -> dict[str, type[Spider[Any]]]:
    """Spiders by name: those of the project's spiders/ folder, then those of installed plugins."""
    found: dict[str, type[Spider[Any]]] = {}
    folder = project_folder() / "spiders"
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
        if not path.name.startswith("_"):
            for cls in _spiders(_import_file(path)):
                found.setdefault(define(cls).name, cls)
    for point in entry_points(group=GROUP):
        cls = point.load()
        if inspect.isclass(cls) and issubclass(cls, Spider):
            found.setdefault(point.name, cls)
    return found


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"no file {path}")
    resolved = path.resolve()
    name = f"_spider_{resolved.stem}_{abs(hash(str(resolved))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise SpiderError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(resolved.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise SpiderError(_told(str(path), error)) from error
    finally:
        sys.path.remove(str(resolved.parent))
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise SpiderError(_told(name, error)) from error


def _told(target: str, error: BaseException) -> str:
    """Why a module does not import: the error, and the frames that are the user's."""
    if isinstance(error, SyntaxError):
        code = (error.text or "").rstrip()
        caret = " " * max(0, (error.offset or 1) - 1) + "^"
        return (
            f"{target} does not load: {error.filename}:{error.lineno}  {error.msg}\n    {code}\n    {caret}"
        )
    record = describe(error, "import", target)
    detail = f"\n{record.detail}" if record.detail else ""
    return f"{target} does not load: {record.message}{detail}"


def _spiders(module: ModuleType) -> list[type[Spider[Any]]]:
    """The spider classes a module defines itself, abstract ones left out."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Spider)
        and value.__module__ == module.__name__
        and not value.__dict__.get("abstract", False)
    ]


def _choose(module: ModuleType, name: str, target: str) -> type[Spider[Any]]:
    spiders = {cls.__name__: cls for cls in _spiders(module)}
    if name:
        value = spiders.get(name) or getattr(module, name, None)
        if inspect.isclass(value) and issubclass(value, Spider):
            return value
        raise SpiderError(f"{target}: no spider class {name!r}{did_you_mean(name, spiders)}")
    if len(spiders) == 1:
        return next(iter(spiders.values()))
    if not spiders:
        raise SpiderError(f"{target} has no class that derives from Spider")
    raise SpiderError(
        f"{target} has several spiders; name one: " + ", ".join(f"{target}:{name}" for name in spiders)
    )
