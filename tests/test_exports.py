"""What is public: `__all__` of every module, the names of `import scraper`, and what a wheel holds."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Source

import scraper
from scraper import Crawl, Node, Page

Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def order(name: str) -> tuple[int, str]:
    """Constants, classes, functions; each by name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_every_module_says_what_it_exports(package: list[Source]) -> None:
    """Every module has `__all__`: a literal list of names, sorted, each once."""
    found = [f"{s.path} has no __all__ that is a literal list" for s in package if s.exports is None]
    for source in package:
        names = source.exports or []
        if names != (right := sorted(set(names), key=order)):
            found.append(f"{source.path}: write __all__ = {right}")
    assert not found, "\n" + "\n".join(found)


def test_exported_names_exist(package: list[Source]) -> None:
    """Every name in an `__all__` can be imported."""
    for source in package:
        module = importlib.import_module(source.name)
        assert [name for name in source.exports or () if not hasattr(module, name)] == [], source.path


def test_what_is_not_exported_is_private(package: list[Source]) -> None:
    """A function or class of a module is in its `__all__`, or its name begins with an underscore."""
    found = [
        f"{source.path}:{node.lineno} {node.name} is neither in __all__ nor private"
        for source in package
        for node in source.tree.body
        if isinstance(node, Definition)
        and not node.name.startswith("_")
        and node.name not in (source.exports or ())
    ]
    assert not found, "\n" + "\n".join(found)


def test_modules_use_only_what_others_export(package: list[Source]) -> None:
    """A name that one module takes from another is in the other's `__all__`."""
    exports = {source.name: source.exports or [] for source in package}
    found = [
        f"{source.path}:{line} uses {module}.{name}, which is not in its __all__"
        for source in package
        for line, module, name in names_used(source, set(exports))
        if name not in exports[module]
    ]
    assert not found, "\n" + "\n".join(found)


def names_used(source: Source, modules: set[str]) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) for `from module import name`, and for `module.name` of an imported module."""
    imported: dict[str, str] = {}
    for node in ast.walk(source.tree):
        match node:
            case ast.ImportFrom(str(module), names, 0) if module in modules:
                for alias in names:
                    if f"{module}.{alias.name}" in modules:
                        imported[alias.asname or alias.name] = f"{module}.{alias.name}"
                    else:
                        yield node.lineno, module, alias.name
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(ast.Name(variable), name) if variable in imported:
                yield node.lineno, imported[variable], name


# ------------------------------------------------------------------------------------------- import scraper


def test_the_public_names_are_real() -> None:
    """Every name in `scraper.__all__` is the object its module exports, and dir() lists it."""
    for name in scraper.__all__:
        home = importlib.import_module(scraper._HOME[name])
        assert getattr(scraper, name) is getattr(home, name)
        assert name in home.__all__
    assert set(scraper.__all__) <= set(dir(scraper))
    with pytest.raises(AttributeError, match="has no attribute 'Spidre'"):
        _ = scraper.Spidre


def test_the_three_lists_of_public_names_agree(package: list[Source]) -> None:
    """`__all__`, the table of homes, and the imports that type checkers see name the same."""
    (root,) = [source for source in package if source.name == "scraper"]
    seen = {
        alias.name: node.module
        for node in ast.walk(root.tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scraper.")
        for alias in node.names
    }
    assert seen == scraper._HOME
    assert sorted(scraper.__all__) == sorted(scraper._HOME)
    assert sum(len(names) for names in scraper._HOMES.values()) == len(scraper._HOME)


def test_importing_the_package_imports_nothing_else() -> None:
    """`import scraper` loads no other module of the package, and no library."""
    code = (
        "import json, sys; before = set(sys.modules);"
        "import scraper; print(json.dumps([*set(sys.modules) - before]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = json.loads(done.stdout)
    assert "scraper" in loaded
    assert [name for name in loaded if name.startswith("scraper.")] == []
    assert {name.partition(".")[0] for name in loaded} - {"scraper"} <= sys.stdlib_module_names


# ------------------------------------------------------------------------------------------- the wheel


def test_the_wheel_holds_every_module_and_the_typing_marker(tmp_path: Path, package: list[Source]) -> None:
    """A wheel holds the package, `py.typed` and the command, and no tests."""
    assert (ROOT / "scraper" / "py.typed").is_file()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (commands,) = [archive.read(name).decode() for name in held if name.endswith("entry_points.txt")]
    assert {source.path for source in package} | {"scraper/py.typed"} <= held
    assert not [name for name in held if not name.startswith(("scraper/", "scraper-"))]
    assert "scraper = scraper.cli:main" in commands


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Crawl, {"database", "observe", "run", "run_id", "settings", "status", "stop"}),
        (
            Page,
            {
                "body",
                "complete",
                "download",
                "fetch",
                "headers",
                "json",
                "markdown",
                "redirects",
                "request",
                "requested_url",
                "response",
                "source",
                "status",
                "template",
                "url",
            },
        ),
    ],
)
def test_help_shows_an_author_what_is_theirs(cls: type, names: set[str]) -> None:
    """A page and a crawl have no methods for the engine: besides what nodes share, these are all."""
    shared = {name for name in dir(Node) if not name.startswith("_")}
    own = {name for name in dir(cls) if not name.startswith("_")} - shared
    assert own == names - shared
