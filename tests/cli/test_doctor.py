"""`scraper doctor`: a table of what there is, and what is wrong with its remedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from conftest import ROOT

from scraper.cli import main
from scraper.cli.health import PACKAGES
from scraper.version import VERSION

SPIDER = "from scraper import Spider\nclass {0}(Spider):\n    start_urls = ['http://x.example/']\n    {1}\n    def parse(self, page): pass\n"


class Patient:
    """A project that is looked at, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "spiders").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def told(self, *, before: str = "true", **more: str) -> tuple[int, list[str], str]:
        """Exit code, the lines of the table, and the verdict; `before` is a command of the shell."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHELL": "/bin/bash", **more}
        command = f"{before} && exec '{sys.executable}' -W error -m scraper doctor"
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        return done.returncode, done.stdout.splitlines(), done.stderr

    def types(self) -> tuple[int, list[str], str]:
        """The same in this process, where only the project matters."""
        out, err = StringIO(), StringIO()
        with (
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            main()
        return int(left.value.code or 0), out.getvalue().splitlines(), err.getvalue()


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_the_table_has_what_a_bug_report_needs(patient: Patient) -> None:
    """Versions, TLS roots, limits, folder, configuration, spiders, completion; the verdict apart from the data."""
    patient.write("spiders/tea.py", SPIDER.format("Tea", ""))
    patient.write("scraper.toml", 'rate = "1/s"\n[spider.tea]\nretries = 1')
    code, lines, verdict = patient.told(SCRAPER_RETRIES="2")
    assert (code, verdict) == (0, "✓ all is well\n")
    table = {line[2:20].strip(): line[20:] for line in lines}
    assert table["scraper"] == VERSION
    assert list(table)[4 : 4 + len(PACKAGES)] == list(PACKAGES)
    assert all(re.match(r"\d+\.\d", table[name]) for name in ("python", "sqlite", *PACKAGES))
    assert re.match(r"\d+ \(|in /", table["tls roots"])
    assert table["data folder"].startswith("data, writable, ")
    assert (table["config"], table["environment"], table["spiders"]) == (
        "scraper.toml, valid",
        "SCRAPER_RETRIES",
        "1: tea",
    )
    assert table["completion"].startswith('eval "$(_SCRAPER_COMPLETE=bash_source scraper)"')
    assert not (patient.folder / "data").exists()


FAULTS = {
    "file": ("scraper.toml", "rat = 1", 2, "config", "scraper.toml:1: unknown setting 'rat'. Did you mean \"rate\"?", "docs/configuration.md"),
    "table": ("scraper.toml", "[spider.coffee]\nretries = 1", 2, "config", "a table for the spider coffee, which there is not", "correct the name in scraper.toml"),
    "import": ("spiders/bad.py", "import no_such_module_here", 2, "spider", "spiders/bad.py does not load", "spiders/bad.py:1  ModuleNotFoundError"),
    "name": ("spiders/z.py", SPIDER.format("Tea", ""), 2, "spider", "spiders/z.py:2 is named tea too", "spiders/tea.py:2 is used"),
    "value": ("spiders/bad.py", SPIDER.format("Bad", "rate = 'fast'"), 2, "spider", "spiders/bad.py:2: rate = 'fast' is not valid", "docs/configuration.md"),
    "folder": ("data", "not a folder", 1, "data folder", "data: Not a directory", "writable"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_has_its_remedy(patient: Patient, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is marked, with what to do in the next line; everything else is still said."""
    name, text, code, what, told, remedy = FAULTS[fault]
    patient.write("spiders/tea.py", SPIDER.format("Tea", ""))
    patient.write(name, text)
    monkeypatch.setattr(sys, "argv", ["scraper", "doctor"])
    monkeypatch.setattr(sys, "path", sys.path[:])
    found, lines, verdict = patient.types()
    assert (found, verdict) == (code, "✗ one thing is wrong\n")
    (at,) = [number for number, line in enumerate(lines) if line.startswith("✗")]
    assert lines[at].startswith(f"✗ {what:17} {told}")
    assert lines[at + 1].startswith(" " * 20 + "→ ")
    assert remedy in lines[at + 1]
    assert lines[-1].startswith("  completion")


def test_the_machine_and_the_environment_are_looked_at(patient: Patient) -> None:
    """No TLS roots, few open files, a wrong variable: three faults; 2 wins, as a variable is one of them."""
    gone = str(patient.folder / "gone")
    code, lines, verdict = patient.told(
        before="ulimit -n 100", SSL_CERT_FILE=gone, SSL_CERT_DIR=gone, SCRAPER_RAT="1"
    )
    assert (code, verdict) == (2, "✗ 3 things are wrong\n")
    assert [line.split("  ")[0] for line in lines if line.startswith("✗")] == [
        "✗ tls roots",
        "✗ open files",
        "✗ environment",
    ]
    assert " " * 20 + "→ ulimit -n 1024" in lines


def test_the_packages_are_those_of_the_project_file() -> None:
    """`doctor` looks for every dependency of pyproject.toml, and for no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert list(PACKAGES) == [re.split(r"[><=; ]", line)[0] for line in project["dependencies"]]
