"""Shell completion: what the TAB key offers for each parameter.

It runs at a prompt, with every TAB: nothing of a spider is imported (its file is parsed), nothing is printed but
candidates, and whatever goes wrong gives none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from scraper.cli.outline import Outline, outlines_of
from scraper.errors import KINDS, ScraperError
from scraper.project.folder import find_database, project_folder

__all__ = ["attach"]

#: The entry point group of plugins, whose names are known without importing them.
GROUP = "scraper.spiders"

Completer: TypeAlias = Callable[[click.Context, str], Iterable[str | CompletionItem[str]]]


class _Bash(BashComplete):
    """As click's, but no blank is put behind a candidate that goes on: `rate=`, `spiders/`."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value); [[ $value == *[=/] ]] && compopt -o nospace"
    )


add_completion_class(_Bash)


class _Completing(click.types.StringParamType):
    """Text that a completer knows candidates for."""

    def __init__(self, completer: Completer) -> None:
        self._completer = completer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        _enter_folder(ctx)
        try:
            found = list(self._completer(ctx, incomplete))
        except (ScraperError, OSError, ValueError):  # no place to say so: a prompt
            return []
        items = [item if isinstance(item, CompletionItem) else CompletionItem(item) for item in found]
        return [item for item in items if item.type != "plain" or str(item.value).startswith(incomplete)]


def attach(command: click.Command) -> None:
    """Give the parameters of a command their completers, by the names that all commands use for them."""
    for param in command.params:
        if (completer := COMPLETERS.get(param.name or "")) is not None:
            param.type = _Completing(completer)


def _enter_folder(ctx: click.Context) -> None:
    """Go where `-C` says, before the command or behind it."""
    for folder in (ctx.find_root().params.get("folder"), ctx.params.get("folder")):
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)


def _given(ctx: click.Context, argument: str) -> str:
    """What was typed for the first argument. Behind `-a`, which lacks its value, click has not sorted it in yet."""
    left = (word for word in ctx.args if not word.startswith("-"))
    return str(ctx.params.get(argument) or next(left, ""))


# ------------------------------------------------------------------------------------------- candidates


def _targets(ctx: click.Context, incomplete: str) -> Iterator[str | CompletionItem[str]]:
    """Names of spiders, files with Python code, and folders with such files; with a slash, any file."""
    from importlib.metadata import entry_points

    names = [outline.name for _, outline in _project_outlines() if outline.listed]
    names += [point.name for point in entry_points(group=GROUP)]
    files = sorted(path.name for path in Path().glob("*.py"))
    folders = sorted({f"{path.parent}/" for path in Path().glob("[!.]*/*.py")})
    candidates = [*dict.fromkeys(sorted(names)), *files, *folders]
    yield from candidates
    if not any(candidate.startswith(incomplete) for candidate in candidates):
        yield CompletionItem(incomplete, type="file")


def _databases(ctx: click.Context, incomplete: str) -> Iterator[str | CompletionItem[str]]:
    """Names of the project's databases, and database files here; with a slash, any file."""
    names = sorted(path.stem for path in (project_folder() / "data").glob("*.db"))
    candidates = [*names, *sorted(path.name for path in Path().glob("*.db"))]
    yield from candidates
    if not any(candidate.startswith(incomplete) for candidate in candidates):
        yield CompletionItem(incomplete, type="file")


def _tables(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Tables and views of the database that stands before; internal ones when an underscore asks for them."""
    from scraper.query import Reading, table_names

    with Reading(find_database(_given(ctx, "database"))) as reading:
        yield from reading.read(table_names, internal=incomplete.startswith("_"))


def _settings(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """`rate=` and the like, with what each one is about."""
    from scraper.settings import Settings

    for name, about in Settings.names().items():
        yield CompletionItem(f"{name}=", help=about)


def _arguments(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """`word=` and the like: the arguments of the spider that stands before."""
    from scraper.settings import Settings

    known = Settings.names()
    outline = _outline_of(_given(ctx, "target"))
    for name, annotation in outline.annotated.items() if outline is not None else ():
        if name not in known:
            yield CompletionItem(f"{name}=", help=annotation)


def _kinds(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    return (CompletionItem(kind, help=about) for kind, about in KINDS.items())


def _files(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    yield CompletionItem(incomplete, type="file")


def _folders(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    yield CompletionItem(incomplete, type="dir")


#: What the parameters of all commands complete to, by their names.
COMPLETERS: dict[str, Completer] = {
    "target": _targets,
    "database": _databases,
    "attach": _databases,
    "question": _tables,
    "table": _tables,
    "settings": _settings,
    "arguments": _arguments,
    "kind": _kinds,
    "failed": _kinds,
    "db": _files,
    "out": _files,
    "output": _files,
    "folder": _folders,
}


# ------------------------------------------------------------------------------------------- spiders


def _project_outlines() -> Iterator[tuple[Path, Outline]]:
    """The spider classes of the project's files. A file that cannot be parsed has none."""
    for path in sorted((project_folder() / "spiders").glob("*.py")):
        if not path.name.startswith("_"):
            yield from ((path, outline) for outline in outlines_of(path))


def _outline_of(target: str) -> Outline | None:
    """The class a target names, where that can be told without importing it."""
    path, _, name = target.partition(":")
    if path.endswith(".py"):
        outlines = list(outlines_of(Path(path)))
        chosen = (
            [one for one in outlines if one.cls == name] if name else [one for one in outlines if one.listed]
        )
    else:
        chosen = [one for file, one in _project_outlines() if one.name == target]
    return chosen[0] if chosen else None
