"""The layers of the package: who may import whom.

Every import counts: at module level, inside functions, under TYPE_CHECKING, relative ones, and modules named
in a string for a lazy import (`"scraper.cli.commands.crawl:crawl"`).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT, Source, read_sources

#: From the ground up: an entry imports only from rows above it in this list; entries of one row do not import each
#: other. An entry is a module or a package; a package has a table of its own below.
ROWS: dict[str, list[str]] = {
    "scraper": [
        "errors version",
        "core",
        "events settings",
        "items page",
        "net politeness",
        "spider",
        "store",
        "query",
        "reports",
        "engine project",
        "api",
        "demo profiling testing workers",
        "cli pytest_plugin",
        "__init__ __main__",
    ],
    "scraper.core": [
        "charsets content_types extras json_depth machine_limits machine_time messages sql_names timing urls",
        "clock codec",
        "credentials models",
        "frontier journal maintenance tracebacks",
        "ledger",
        "__init__",
    ],
    "scraper.page": [
        "css_parts isolated_rows meta_refresh numbers srcset suggestions text callback_options",
        "safety",
        "css document",
        "readers",
        "node",
        "page",
        "__init__",
    ],
    "scraper.net": [
        "cookies deflate guard messages proxies retry retry_after robots_groups",
        "decode robots",
        "identity request_headers wire",
        "chunks",
        "downloader",
        "transports",
        "__init__",
    ],
    "scraper.api": ["database", "job", "crawling", "__init__"],
    "scraper.store": [
        "rows",
        "file",
        "queue",
        "results",
        "frontier journal live_crawls maintenance",
        "ledger",
        "__init__",
    ],
    "scraper.cli": [
        "curl database guess memory outline plain_output",
        "output_streams",
        "installation",
        "terminal",
        "project_health",
        "health",
        "running",
        "commands",
        "completion",
        "group",
        "main",
        "__init__",
    ],
}

#: Libraries that only one place may know, so that replacing one is a change in that place.
HOMES = {
    "ada_url": "core.urls",
    "aiolimiter": "politeness",
    "aiosqlite": "store.file",
    "backports": "net.decode",
    "brotli": "net.decode",
    "click": "cli",
    "httptools": "net.wire",
    "protego": "net.robots",
    "python_socks": "net.wire",
    "publicsuffixlist": "core.urls",
    "rich": "cli",
    "selectolax": "page",
    "tenacity": "net.retry",
}


#: Who may speak SQL, and know the library that does. Everything else knows `Frontier`, `Ledger` and `Maintenance`,
#: and what stands in `reports`.
SPEAKERS = ("scraper.store", "scraper.query", "scraper.reports")
#: The only place above them that imports `scraper.store`.
DOOR = "scraper.api.database"
#: What else does one or the other, and why.
EXCEPTIONS = {
    "scraper.testing.simulate": "shows the rows of a simulated crawl in the order in which they were stored",
    "scraper.version": "asks SQLite's library for its version, and opens nothing",
}

#: Text that changes a database, and text that is SQL at all. The words of a statement are in capitals.
_WRITES = (
    r"\b(INSERT|REPLACE) (OR \w+ )?INTO\b|\bDELETE FROM\b|\bUPDATE\b.+\bSET\b|^VACUUM\b"
    r"|\b(CREATE|ALTER|DROP) (UNIQUE )?(TABLE|INDEX|VIEW|TRIGGER)\b"
)
WRITING = re.compile(_WRITES, re.DOTALL)
SQL = re.compile(
    rf"{_WRITES}|\bSELECT\b.+\bFROM\b|\bPRAGMA \w|^(BEGIN|COMMIT|ROLLBACK|ATTACH)( \w+)*$", re.DOTALL
)


@dataclass(frozen=True)
class Import:
    """`importer` (a module of the package) imports `imported` (dotted, of any package) at `path:line`."""

    importer: str
    imported: str
    path: str
    line: int


def imports_of(source: Source, modules: set[str]) -> Iterator[Import]:
    """Every import in a module; a name imported from a package is that of the submodule, where it is one."""
    for node in ast.walk(source.tree):
        for target in _targets(node, source, modules):
            yield Import(source.name, target, source.path, getattr(node, "lineno", 0))


def _targets(node: ast.AST, source: Source, modules: set[str]) -> list[str]:
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module, names, level):
            base = _absolute(source, module or "", level)
            inside = [f"{base}.{alias.name}" for alias in names]
            return [name if name in modules else base for name in inside]
        case ast.Constant(str(text)) if "." in text and text.partition(":")[0] in modules:
            return [text.partition(":")[0]]
    return []


def _absolute(source: Source, module: str, level: int) -> str:
    if not level:
        return module
    parts = source.name.split(".")
    kept = parts[: len(parts) - level + source.is_package]
    return ".".join([*kept, module]) if module else ".".join(kept)


def unit_of(module: str, package: str) -> str | None:
    """The entry of a package that a module belongs to: `page` for `scraper.page.node` in `scraper`, `__init__` for
    the package itself, None for a module outside of it.
    """
    if module == package:
        return "__init__"
    inside = module.removeprefix(f"{package}.")
    return None if inside == module else inside.partition(".")[0]


def rows_of(table: list[str]) -> dict[str, int]:
    return {unit: row for row, units in enumerate(table) for unit in units.split()}


def offenders(sources: list[Source], package: str, table: list[str]) -> list[str]:
    """One line for each entry of `package` without a row and for each import from a row that is not below."""
    rows, modules = rows_of(table), {source.name for source in sources}
    below: dict[str, set[str]] = defaultdict(set)
    found = []
    for source in sources:
        importer = unit_of(source.name, package)
        for i in imports_of(source, modules) if importer else ():
            imported = unit_of(i.imported, package)
            if imported is None or importer is None or importer == imported:
                continue
            below[importer].add(imported)
            if importer in rows and imported in rows and rows[importer] <= rows[imported]:
                found.append(
                    f"{i.path}:{i.line} imports {i.imported} (row {rows[importer]} ≤ {rows[imported]})"
                )
    units = {unit for module in modules if (unit := unit_of(module, package))}
    found += [_rowless(unit, below[unit], rows) for unit in sorted(units - set(rows))]
    return found


def _rowless(unit: str, imported: Iterable[str], rows: dict[str, int]) -> str:
    lowest = max((rows[name] for name in imported if name in rows), default=-1) + 1
    where = f"add it to ROWS in tests/test_layers.py, in row {lowest} or higher"
    return f"{unit} is in no row: {where}; {lowest} is the first above what it imports"


def cycle_in(sources: list[Source]) -> list[str]:
    """The modules of one import cycle, in order; empty when there is none."""
    modules = {source.name for source in sources}
    graph = {
        source.name: {i.imported for i in imports_of(source, modules)} & modules - {source.name}
        for source in sources
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


# ------------------------------------------------------------------------------------------- the package


@pytest.mark.parametrize("name", ROWS)
def test_modules_import_only_from_lower_rows(package: list[Source], name: str) -> None:
    """A module imports only from rows below its own, and every module has a row, inside packages too."""
    found = offenders(package, name, ROWS[name])
    assert not found, "\n" + "\n".join(found)


def test_no_import_cycles(package: list[Source]) -> None:
    """No two modules import each other in any way, through others neither."""
    assert not cycle_in(package)


@pytest.mark.parametrize("name", ROWS)
def test_rows_name_modules_that_exist(package: list[Source], name: str) -> None:
    """A table of rows names each module once, and nothing that is gone."""
    units = [unit for row in ROWS[name] for unit in row.split()]
    assert len(units) == len(set(units))
    assert set(units) <= {unit_of(source.name, name) for source in package}


def test_a_library_is_known_in_one_place(package: list[Source]) -> None:
    """A library that could be replaced is imported by the module that wraps it and by no other."""
    modules = {source.name for source in package}
    found = [
        f"{i.path}:{i.line} imports {i.imported}, which only {home} does"
        for source in package
        for i in imports_of(source, modules)
        if (home := HOMES.get(i.imported.partition(".")[0])) and not is_within(i.importer, f"scraper.{home}")
    ]
    assert not found, "\n" + "\n".join(found)


def texts_of(source: Source) -> Iterator[tuple[int, str]]:
    """(line, text) of every string of a module but docstrings; of an f-string its fixed parts, a blank between them."""
    skipped = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        match node:
            case ast.JoinedStr(parts):
                fixed = [part for part in parts if isinstance(part, ast.Constant)]
                skipped |= {id(part) for part in fixed}
                yield node.lineno, " ".join(str(part.value) for part in fixed)
            case ast.Constant(str(text)) if id(node) not in skipped:
                yield node.lineno, text


def sql_outside(sources: list[Source], places: Iterable[str]) -> list[str]:
    """One line for each import of sqlite3 and each SQL text in a module that is not within `places`."""
    known, modules = tuple(places), {source.name for source in sources}
    outside = [source for source in sources if not any(is_within(source.name, place) for place in known)]
    found = [
        f"{i.path}:{i.line} imports {i.imported}"
        for source in outside
        for i in imports_of(source, modules)
        if i.imported.partition(".")[0] == "sqlite3"
    ]
    return found + [
        f"{source.path}:{line} holds SQL: {text[:60]!r}"
        for source in outside
        for line, text in texts_of(source)
        if SQL.search(text)
    ]


def openers_of(sources: list[Source], package: str) -> dict[str, str]:
    """The modules outside of a package that import from it, each with a place where it does."""
    modules = {source.name for source in sources}
    return {
        source.name: f"{i.path}:{i.line} imports {i.imported}"
        for source in sources
        if not is_within(source.name, package)
        for i in imports_of(source, modules)
        if is_within(i.imported, package)
    }


def test_sql_is_spoken_in_three_packages(package: list[Source]) -> None:
    """Only `store`, `query` and `reports` know sqlite3 or hold SQL, but for what the exceptions name."""
    found = sql_outside(package, [*SPEAKERS, *EXCEPTIONS])
    assert not found, "\n" + "\n".join(found)


def test_the_store_has_one_door(package: list[Source]) -> None:
    """Above `query` and `reports` one module alone imports `scraper.store`, but for what the exceptions name."""
    openers = openers_of(package, "scraper.store")
    allowed = (*SPEAKERS, DOOR, *EXCEPTIONS)
    found = [at for name, at in openers.items() if not any(is_within(name, place) for place in allowed)]
    assert not found, "\n" + "\n".join(found)
    assert DOOR in openers


def test_only_the_store_writes(package: list[Source]) -> None:
    """No statement that changes a database stands outside of `store`."""
    found = [
        f"{source.path}:{line} {text[:60]!r}"
        for source in package
        if not is_within(source.name, "scraper.store")
        for line, text in texts_of(source)
        if WRITING.search(text)
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_exceptions_are_needed(package: list[Source]) -> None:
    """An exception names a module that is there and needs to be excepted."""
    needed = {source.name for source in package if sql_outside([source], SPEAKERS)}
    assert set(EXCEPTIONS) <= needed | set(openers_of(package, "scraper.store"))


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def test_spiders_use_only_the_public_package(spiders: list[Source], package: list[Source]) -> None:
    """An example imports names from `scraper` itself, as a user would, never from a module inside."""
    modules = {source.name for source in package}
    found = [
        f"{i.path}:{i.line} imports {i.imported}"
        for source in spiders
        for i in imports_of(source, modules)
        if i.imported.startswith("scraper.")
    ]
    assert not found, "\n" + "\n".join(found)


# ------------------------------------------------------------------------------------------- the tests

#: What one test module may take from another: the table above, which the documentation repeats.
SHARED = {"tests.test_docs": "test_layers"}


def test_no_test_module_imports_another() -> None:
    """What several test modules need stands in tests/support, under a name that says what it is."""
    found = [
        f"{source.path}:{i.line} imports {i.imported}: move what both need to tests/support"
        for source in read_sources(ROOT / "tests")
        for i in imports_of(source, {source.name})
        if any(part.startswith("test_") for part in i.imported.split("."))
        and not is_within(i.imported, source.name)
        and SHARED.get(source.name) != i.imported
    ]
    assert not found, "\n" + "\n".join(found)


# ------------------------------------------------------------------------------------------- the test itself

TREE = {
    "__init__.py": "def f():\n    from pkg.high import H",
    "low.py": "",
    "high.py": "from pkg.low import L",
    "group/__init__.py": "from pkg.group.one import O",
    "group/one.py": "from pkg import low",
}


def written(folder: Path, **changed: str) -> list[Source]:
    files = TREE | {name.replace("__in__", "/") + ".py": text for name, text in changed.items()}
    for name, text in files.items():
        path = folder / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_sources(folder / "pkg", root=folder)


TABLE = ["low", "group", "high", "__init__"]


def test_a_tree_in_order_passes(tmp_path: Path) -> None:
    """Imports downwards, and those inside a package without a cycle, are no offence."""
    sources = written(tmp_path)
    assert offenders(sources, "pkg", TABLE) == []
    assert cycle_in(sources) == []


@pytest.mark.parametrize(
    "text",
    [
        "from pkg.high import H",
        "import pkg.high",
        "from pkg import high",
        "from . import high",
        "from .high import H",
        "def f():\n    import pkg.high",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg.high import H",
        "class C:\n    def f(self):\n        from .high import H",
        "HOME = 'pkg.high:H'",
    ],
)
def test_an_import_upwards_is_seen(tmp_path: Path, text: str) -> None:
    """An import from a higher row, however it is written, is named with file, line and both rows."""
    sources = written(tmp_path, low=text)
    line = text.count("\n") + 1
    assert offenders(sources, "pkg", TABLE) == [f"pkg/low.py:{line} imports pkg.high (row 0 ≤ 2)"]
    assert sorted(set(cycle_in(sources))) == ["pkg.high", "pkg.low"]


def test_siblings_are_seen(tmp_path: Path) -> None:
    """Modules in one row that import each other's names are named."""
    found = offenders(written(tmp_path), "pkg", ["low", "group", "high __init__"])
    assert found == ["pkg/__init__.py:2 imports pkg.high (row 2 ≤ 2)"]


def test_importing_the_package_itself_is_seen(tmp_path: Path) -> None:
    """The top of the package is above everything, so nothing inside imports from it."""
    found = offenders(written(tmp_path, low="from pkg import H"), "pkg", TABLE)
    assert found == ["pkg/low.py:1 imports pkg (row 0 ≤ 3)"]


@pytest.mark.parametrize(
    "text", ["from . import O", "from pkg.group import O", "def f():\n    from .. import group"]
)
def test_a_cycle_inside_a_package_is_seen(tmp_path: Path, text: str) -> None:
    """A module that imports from the package it stands in is a cycle."""
    sources = written(tmp_path, group__in__one=text)
    assert offenders(sources, "pkg", TABLE) == []
    assert sorted(set(cycle_in(sources))) == ["pkg.group", "pkg.group.one"]


def test_a_module_without_a_row_is_seen(tmp_path: Path) -> None:
    """A new module fails until it has a row, and the message says which one fits."""
    (found,) = offenders(written(tmp_path, new="from pkg.group import O"), "pkg", TABLE)
    assert found.startswith("new is in no row: add it to ROWS in tests/test_layers.py")
    assert "in row 2 or higher" in found


@pytest.mark.parametrize(
    "text",
    [
        "import sqlite3",
        "def f():\n    from sqlite3 import Row",
        "ASK = 'SELECT id FROM _runs'",
        "def f(name):\n    return f'DELETE FROM {name}'",
        "ASK = 'WITH x AS (SELECT 1)\\nSELECT *\\nFROM x'",
    ],
)
def test_sql_outside_is_seen(tmp_path: Path, text: str) -> None:
    """An import of sqlite3, or a statement in any string, is named with its file; in a place that may, it is not."""
    sources = written(tmp_path, low=text)
    assert [line.partition(":")[0] for line in sql_outside(sources, [])] == ["pkg/low.py"]
    assert sql_outside(sources, ["pkg.low"]) == []


def test_prose_is_not_sql(tmp_path: Path) -> None:
    """A docstring may quote a statement, and a sentence may select one thing from another."""
    text = (
        'def f():\n    """Runs SELECT id FROM _runs."""\n    return "select one from these, update the set"'
    )
    assert sql_outside(written(tmp_path, low=text), []) == []


def test_a_second_door_is_seen(tmp_path: Path) -> None:
    """A module outside of a package that imports from it is named, one inside is not."""
    sources = written(tmp_path, high="from pkg.group.one import O")
    assert set(openers_of(sources, "pkg.group")) == {"pkg.high"}
