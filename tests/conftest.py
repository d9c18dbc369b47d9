"""What tests about the code itself share: its sources parsed once, and one run of mypy."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The deadline of an example is wall time, which says more about the machine than about the code.
settings.register_profile("scraper", deadline=None)
settings.load_profile("scraper")


# A shell ignores Ctrl-C for what it starts in the background, and so would every process that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The ordinary run leaves out what takes long; `-m soak` asks for it."""
    if config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not item.get_closest_marker("soak")]


@dataclass(frozen=True)
class Source:
    """A Python file: its dotted name, its path as shown in messages, its text and syntax tree."""

    name: str
    path: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def exports(self) -> list[str] | None:
        """`__all__` where it is a literal list of strings, None otherwise."""
        for statement in self.tree.body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name("__all__")], value=ast.List(elements))
                    | ast.AnnAssign(target=ast.Name("__all__"), value=ast.List(elements))
                ):
                    names = [
                        e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)
                    ]
                    return names if len(names) == len(elements) else None
        return None


def read_sources(*folders: Path, root: Path = ROOT) -> list[Source]:
    """Every Python file in these folders below `root`, in the order of their paths."""
    return list(_read(sorted(path for folder in folders for path in folder.rglob("*.py")), root))


def _read(paths: Iterable[Path], root: Path) -> Iterator[Source]:
    for path in paths:
        relative, text = path.relative_to(root), path.read_text(encoding="utf-8")
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Source(name, relative.as_posix(), text, ast.parse(text, str(relative)))


@pytest.fixture(scope="session")
def package() -> list[Source]:
    """The modules of the package."""
    return read_sources(ROOT / "scraper")


@pytest.fixture(scope="session")
def spiders() -> list[Source]:
    """The example spiders."""
    return read_sources(ROOT / "spiders")


@dataclass(frozen=True)
class Complaint:
    """An error a type checker reports: `path` is relative to the project, `code` the checker's own name."""

    path: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} [{self.code}]"


@pytest.fixture(scope="session")
def mypy_complaints(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[Complaint]:
    """The errors of one mypy run over the package, the spiders, and the two files about typing."""
    kept = pytestconfig.pluginmanager.hasplugin("cacheprovider")  # a second run is ten times faster
    cache = pytestconfig.cache.mkdir("mypy") if kept else tmp_path_factory.mktemp("mypy")
    paths = ["scraper", "spiders", "tests/typing_ok.py", "tests/typing_refused.py"]
    command = [sys.executable, "-m", "mypy", "--output", "json", "--cache-dir", str(cache), *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [
        Complaint(Path(c["file"]).as_posix(), c["line"], c["code"], c["message"])
        for c in found
        if c["severity"] == "error"
    ]
