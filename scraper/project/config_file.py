"""What was set outside of the spider: the project's file and SCRAPER_* variables, as layers of settings.

The file is `scraper.toml`, or `[tool.scraper]` of pyproject.toml, in the project's folder. Nothing is read unless
it is asked for: the command line does, a program that uses this package does not.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from scraper.errors import SettingsError
from scraper.project.folder import shown
from scraper.settings import Layer, Layers, Settings, did_you_mean, near_miss

__all__ = ["Configuration", "environment_layers", "read_configuration", "read_file"]

#: What every variable of ours begins with. (`_SCRAPER_COMPLETE`, of the shell completion, does not.)
PREFIX: Final = "SCRAPER_"
#: Variables with this prefix that are no settings.
NOT_SETTINGS: Final[frozenset[str]] = frozenset()
#: The table that holds one table for each spider.
SPIDER: Final = "spider"

Way: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The layers of a project: for every spider, for single ones by name, and those of the environment.

    `file` is as it is named in messages, "" when nothing is configured. Each layer holds one key, so that its
    source is a line. Invariant: every key and value was checked, those for other spiders too.
    """

    file: str = ""
    project: tuple[Layer, ...] = ()
    spiders: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)
    environment: tuple[Layer, ...] = ()

    def layers(self, spider: str, others: Callable[[], Collection[str]] = tuple) -> Layers:
        """What counts for one spider. `others` says which spiders there are, where that is worth asking.

        Raises SettingsError for a table that was probably meant for this spider and names none.
        """
        own = self.spiders.get(spider)
        if own is None and (meant := near_miss(spider, self.spiders)) and meant not in others():
            place = self.spiders[meant][0][0] if self.spiders[meant] else self.file
            around = "tool.scraper." if self.file.endswith("pyproject.toml") else ""
            raise SettingsError(f'{place}: no spider "{meant}". Did you mean [{around}spider.{spider}]?')
        return Layers(self.project, (*(own or ()), *self.environment))


def read_configuration(folder: Path, environment: Mapping[str, str]) -> Configuration:
    """The configuration of the project in `folder` under these variables.

    Raises SettingsError naming file and line, or the variable, and what is wrong with it.
    """
    project, spiders, file = read_file(folder)
    return Configuration(file, project, spiders, environment_layers(environment))


def environment_layers(environment: Mapping[str, str]) -> tuple[Layer, ...]:
    """The settings among these variables: SCRAPER_RATE is `rate`. Raises SettingsError naming the variable."""
    names = {PREFIX + name.upper(): name for name in Settings.names()}
    layers: list[Layer] = []
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable not in names:
            raise SettingsError(f"environment: no setting is named {variable}{did_you_mean(variable, names)}")
        layers.append((variable, {names[variable]: value}))
    Settings.of(*layers)
    return tuple(layers)


# ------------------------------------------------------------------------------------------- the file


def read_file(folder: Path) -> tuple[tuple[Layer, ...], dict[str, tuple[Layer, ...]], str]:
    """The layers of a project's file: for every spider, by spider, and the file they are from ("" for none).

    Raises SettingsError; also when both scraper.toml and pyproject.toml hold something.
    """
    found = [
        table
        for name, inside in (("scraper.toml", ()), ("pyproject.toml", ("tool", "scraper")))
        if (table := _Table.read(folder / name, inside)) is not None
    ]
    if len(found) > 1:
        both = " and ".join(table.place(()) for table in found)
        raise SettingsError(f"two configurations: {both}; keep one of them")
    if not found:
        return (), {}, ""
    (table,) = found
    return table.layers(()), dict(table.spiders()), table.file


@dataclass(frozen=True, slots=True)
class _Table:
    """The configuration in a TOML file. `inside` is the way from the file's top to it; `lines` knows all keys."""

    file: str
    inside: Way
    values: Mapping[str, Any]
    lines: Mapping[Way, int]

    @classmethod
    def read(cls, path: Path, inside: Way) -> _Table | None:
        """The table of a file; None where there is no file, or nothing of ours in it."""
        file = shown(path)
        try:
            text = path.read_text("utf-8-sig")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{file} is not in UTF-8, as TOML must be") from error
        values = _parsed(text, file)
        for key in inside:
            values = values.get(key, {})
            if not isinstance(values, dict):
                raise SettingsError(f"{file}: [{'.'.join(inside)}] must be a table")
        return cls(file, inside, values, _key_lines(text)) if values else None

    def place(self, path: Way) -> str:
        """file:line of a key; of the nearest table around it where the key has no line of its own."""
        whole = self.inside + path
        for end in range(len(whole), 0, -1):
            if line := self.lines.get(whole[:end]):
                return f"{self.file}:{line}"
        return self.file

    def layers(self, path: Way) -> tuple[Layer, ...]:
        """One layer for each key of the settings at `path`: () for every spider, ("spider", name) for one."""
        values = self.values
        for key in path:
            values = values[key]
        layers = [
            (self.place((*path, key)), {key: value}) for key, value in values.items() if path or key != SPIDER
        ]
        for layer in layers:
            self._check(layer, path)
        return tuple(layers)

    def _check(self, layer: Layer, path: Way) -> None:
        """Raise SettingsError for a key or a value; inside `limits`, `headers` and `tls` with the line of the entry."""
        (key, value), *_ = layer[1].items()
        if not path and key not in Settings.names():
            raise SettingsError(f"{layer[0]}: {_unknown(key)}")
        for way, piece in _pieces(value, whole=key == "tls") if key in {"limits", "headers", "tls"} else ():
            Settings.of((self.place((*path, key, *way)), {key: piece}))
        Settings.of(layer)

    def spiders(self) -> Iterator[tuple[str, tuple[Layer, ...]]]:
        """The layers of each spider that has a table."""
        tables = self.values.get(SPIDER, {})
        named = ".".join((*self.inside, SPIDER, "NAME"))
        if not isinstance(tables, dict):
            raise SettingsError(
                f"{self.place((SPIDER,))}: the settings of a spider stand in a table of its own: [{named}]"
            )
        for name, table in tables.items():
            if not isinstance(table, dict):
                where = self.place((SPIDER, name))
                raise SettingsError(f"{where}: settings of one spider stand in a table [{named}]")
            yield name, self.layers((SPIDER, name))


def _unknown(key: str) -> str:
    """What is said about a key at the top of a configuration that is no setting."""
    if key in {"tool", "scraper"}:
        return "the settings stand at the top of scraper.toml, in no table"
    return f"unknown setting {key!r}{did_you_mean(key, (*Settings.names(), SPIDER))}"


def _pieces(value: Any, way: Way = (), *, whole: bool = False) -> Iterator[tuple[Way, Any]]:
    """The leaves of nested tables, each with the way to it and as a table that holds nothing else.

    `whole`: not the leaves but the entries, for settings where one key of an entry is valid only beside another.
    """
    if not isinstance(value, dict) or not value:
        return
    for key, inner in value.items():
        below = [] if whole else list(_pieces(inner, (*way, key)))
        yield from [(path, {key: piece}) for path, piece in below] or [((*way, key), {key: inner})]


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", said, re.DOTALL)
        if at is None:
            raise SettingsError(f"{file}: not TOML: {said}") from error
        line = int(at[2]) if at[2] else len(text.rstrip().split("\n"))
        column = f", column {at[3]}" if at[3] else ""
        raise SettingsError(f"{file}:{line}: not TOML: {at[1]}{column}") from error


def _key_lines(text: str) -> dict[Way, int]:
    """The line of every table and key in a valid TOML text, counted from 1: the first one where it stands twice.

    The parser tells no lines, so each statement is given to it by itself, with the lines it has.
    """
    lines: dict[Way, int] = {}
    table: Way = ()
    statement, first = "", 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        statement, first = (f"{statement}\n{line}", first) if statement else (line, number)
        if first != number and not re.search(r"""[]}]|\"""|'''""", line):
            continue  # inside an array or a text of many lines: it cannot end here
        try:
            ways = list(_ways(tomllib.loads(statement)))
        except tomllib.TOMLDecodeError:
            continue
        header = statement.lstrip().startswith("[")
        for way in ways:
            whole = way if header else table + way
            for end in range(1, len(whole) + 1):
                lines.setdefault(whole[:end], first)
        table = ways[0] if header else table
        statement = ""
    return lines


def _ways(values: Mapping[str, Any]) -> Iterator[Way]:
    """The ways to all leaves of nested tables; an array of tables, as `[[x]]` opens one, counts as its table."""
    for key, value in values.items():
        inner = value[0] if isinstance(value, list) and len(value) == 1 else value
        below = [(key, *way) for way in _ways(inner)] if isinstance(inner, dict) else []
        yield from below or [(key,)]
