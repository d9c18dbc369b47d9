"""Finding spiders: a file, `file.py:Class`, `module:Class`, or a name known in the project or from a plugin.

Of several spiders with one name the first counts: that of the project's file of this name (`spiders/books.py` for
`books`), then those of the other files in alphabetical order, then those of plugins in the order of their names.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from scraper.core.tracebacks import describe
from scraper.errors import SpiderError, UsageError
from scraper.project.folder import project_folder, shown
from scraper.settings import did_you_mean
from scraper.spider import Spider, define

__all__ = ["Broken", "Catalog", "KnownSpider", "load_spider", "plugins", "spider_files", "survey"]

#: The entry point group of plugins: `name = "package.module:Class"`.
GROUP = "scraper.spiders"


@dataclass(frozen=True, slots=True)
class KnownSpider:
    """A spider that has a name. `origin` is its file:line, or the plugin's package and version.

    Without a start of its own it is not `listed`: a base class, or one that is crawled with `--start`.
    """

    name: str
    cls: type[Spider[Any]]
    origin: str
    listed: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A file or plugin that gives no spiders. `name` is the one it was probably for, `why` one line."""

    name: str
    origin: str
    why: str
    error: SpiderError


@dataclass(frozen=True, slots=True)
class Catalog:
    """All spiders of a project: those that are listed, by name, and the `startless`.

    `hidden` are those whose name another one has, which is in `spiders`.
    """

    spiders: dict[str, KnownSpider]
    hidden: tuple[KnownSpider, ...]
    startless: tuple[KnownSpider, ...]
    broken: tuple[Broken, ...]

    @property
    def names(self) -> set[str]:
        """What a spider of this project may be called by."""
        return {*self.spiders, *(known.name for known in self.startless)}


def load_spider(target: str, project: Path | None = None) -> type[Spider[Any]]:
    """The spider class a target names; `project` is where names and modules are looked for.

    Raises SpiderError for a file that does not import (the user's frames only), holds no spider or several,
    and UsageError with suggestions for an unknown name. What else is broken in the project does not matter.
    """
    project = project or project_folder()
    path, _, name = target.partition(":")
    if path.endswith(".py"):
        return _choose(_import_file(Path(path)), name, target)
    if name:
        with _importable(project, Path.cwd()):
            return _choose(_import_module(path), name, target)
    return _named(target, project)


def survey(project: Path | None = None) -> Catalog:
    """Import every spider file of the project and every plugin, and say what was found."""
    project = project or project_folder()
    found: list[KnownSpider] = []
    broken: list[Broken] = []
    for path in spider_files(project):
        _gather(_of_file(path), found, broken)
    for point in plugins():
        _gather(_of_plugin(point), found, broken)
    # Stable: in the order of discovery, but that a file comes first for the name it has itself.
    found.sort(key=lambda known: Path(known.origin.rpartition(":")[0]).stem != known.name)
    spiders: dict[str, KnownSpider] = {}
    listed = [known for known in found if known.listed]
    hidden = [known for known in listed if spiders.setdefault(known.name, known) is not known]
    startless = [known for known in found if not known.listed]
    return Catalog(dict(sorted(spiders.items())), tuple(hidden), tuple(startless), tuple(broken))


def spider_files(project: Path) -> list[Path]:
    """The files of the project that may hold spiders."""
    return [path for path in sorted((project / "spiders").glob("*.py")) if not path.name.startswith("_")]


def plugins() -> list[EntryPoint]:
    """The spiders that installed packages offer; nothing is imported."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _named(name: str, project: Path) -> type[Spider[Any]]:
    """A spider by name. Files are imported one by one until it is found, first the one of that name."""
    broken: list[Broken] = []
    found: list[KnownSpider] = []
    for path in sorted(spider_files(project), key=lambda path: path.stem != name):
        _gather(_of_file(path), found, broken)
        for known in found:
            if known.name == name and known.listed:
                return known.cls
    for point in plugins():
        if point.name == name:
            _gather(_of_plugin(point), found, broken)
    named = sorted((known for known in found if known.name == name), key=lambda known: not known.listed)
    if named:
        return named[0].cls
    for fault in broken:
        if fault.name == name:
            raise fault.error
    names = {known.name for known in found if known.listed} | {point.name for point in plugins()}
    raise UsageError(_unknown(name, sorted(names), broken))


def _unknown(name: str, names: list[str], broken: list[Broken]) -> str:
    """What is said about a name that no spider has: what was meant, what there is, where more is said."""
    file = Path(f"{name}.py")
    meant = f'. Did you mean "{file}"?' if file.is_file() else did_you_mean(name, names)
    failed = f"; {len(broken)} did not load" if broken else ""
    return f'No spider "{name}"{meant} Known: {", ".join(names) or "none"}{failed} (scraper list)'


def _gather(source: Iterator[KnownSpider | Broken], found: list[KnownSpider], broken: list[Broken]) -> None:
    for one in source:
        if isinstance(one, KnownSpider):
            found.append(one)
        else:
            broken.append(one)


def _of_file(path: Path) -> Iterator[KnownSpider | Broken]:
    """The spiders of a file that can be crawled, or what is wrong with it."""
    try:
        module = _import_file(path)
    except SpiderError as error:
        yield Broken(path.stem, str(path), _in_one_line(error), error)
        return
    for cls in _spiders(module):
        try:
            definition = define(cls)
        except SpiderError as error:
            yield Broken(cls.name or cls.__name__.lower(), str(path), _in_one_line(error), error)
        else:
            yield KnownSpider(definition.name, cls, definition.place, _has_start(cls))


def _of_plugin(point: EntryPoint) -> Iterator[KnownSpider | Broken]:
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    told = f"plugin {origin} ({point.value})"
    try:
        cls = point.load()
        if not (inspect.isclass(cls) and issubclass(cls, Spider)):
            raise SpiderError(f"{told} is no Spider class")
        define(cls)
    except (Exception, SystemExit) as error:
        fault = error if isinstance(error, SpiderError) else SpiderError(_told(told, error))
        fault.__cause__ = None if fault is error else error
        yield Broken(point.name, told, _in_one_line(fault), fault)
    else:
        yield KnownSpider(
            point.name, cls, origin, _has_start(cls) and not cls.__dict__.get("abstract", False)
        )


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    """Modules of these folders can be imported: before all others now, after them for the rest of the process.

    They stay, because a callback may import as well; at the end, because a spider's file may have the name of
    a module of the standard library.
    """
    paths = list(dict.fromkeys(str(folder.resolve()) for folder in folders))
    sys.path[:0] = paths
    try:
        yield
    finally:
        for path in paths:
            if path in sys.path:  # what was imported may have changed it, and its own entries stay
                sys.path.remove(path)
        sys.path += [path for path in paths if path not in sys.path]


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"no file {path}{did_you_mean(path.name, beside)}")
    resolved = path.resolve()
    name = f"_spider_{resolved.stem}_{abs(hash(str(resolved))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise SpiderError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(resolved.parent, project_folder(resolved.parent)):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise SpiderError(_told(shown(path), error)) from error
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


def _in_one_line(error: SpiderError) -> str:
    """Where and why in one line: the place in the user's code, where it is known, and the reason."""
    cause = error.__cause__
    if cause is None:
        return str(error).partition("\n")[0]
    if isinstance(cause, SyntaxError):
        return f"{cause.filename}:{cause.lineno}  {cause.msg}"
    record = describe(cause, "import", "")
    place = record.place.partition(" in ")[0]
    return f"{place}  {record.message}".strip().partition("\n")[0]


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


def _has_start(cls: type[Spider[Any]]) -> bool:
    """Whether a spider can be crawled as it is; a base class for others often cannot."""
    return cls.start is not Spider.start or bool(cls.start_urls)


def _choose(module: ModuleType, name: str, target: str) -> type[Spider[Any]]:
    spiders = {cls.__name__: cls for cls in _spiders(module)}
    if name:
        value = spiders.get(name) or getattr(module, name, None)
        if inspect.isclass(value) and issubclass(value, Spider):
            return value
        raise SpiderError(f"{target}: no spider class {name!r}{did_you_mean(name, spiders)}")
    startable = {name: cls for name, cls in spiders.items() if _has_start(cls)}
    if len(spiders) > 1 and startable:
        spiders = startable
    if len(spiders) == 1:
        return next(iter(spiders.values()))
    if not spiders:
        raise SpiderError(f"{target} has no class that derives from Spider")
    raise SpiderError(
        f"{target} has several spiders; name one: " + ", ".join(f"{target}:{name}" for name in spiders)
    )
