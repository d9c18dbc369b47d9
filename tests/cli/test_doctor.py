"""`scraper doctor`: a table of what there is, and what is wrong with its remedy."""

from __future__ import annotations

import json
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
from scraper.cli.group import COMMANDS
from scraper.cli.installation import REQUIRED, is_within
from scraper.version import VERSION

PACKAGES = [
    requirement.name
    for requirement in REQUIRED
    if requirement.name != "backports.zstd" or sys.version_info < (3, 14)
]
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
    assert list(table)[4 : 4 + len(PACKAGES)] == PACKAGES
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
    assert " " * 20 + "→ ulimit -n 4096" in lines


# ------------------------------------------------------------------------- packages missing or broken

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_the_packages_are_those_of_the_project_file() -> None:
    """`doctor` looks for every dependency of pyproject.toml, in the versions named there, and for no other."""
    assert [f"{name}{versions}" for name, versions, _ in REQUIRED] == [
        line.partition(";")[0] for line in DEPENDENCIES
    ]


#: What stands in sitecustomize.py, which Python imports before anything else: the import of MODULE fails.
FAILING = """
import sys
from importlib import metadata

class Failing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} or name.startswith({module!r} + "."):
            raise {error}

sys.meta_path.insert(0, Failing())
"""
GONE = """
found = metadata.version
def version(name):
    if name == {name!r}:
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
"""
#: What is wrong with a package, and what is said of it.
WRONG = {
    "missing": (FAILING + GONE, "ModuleNotFoundError('No module named ' + repr(name), name=name)", "is not installed", "pip install '{}'"),
    "unimportable": (FAILING, "ImportError('built for another system')", "cannot be imported: ImportError: built for another system", "pip install --force-reinstall '{}'"),
    "raising": (FAILING, "ZeroDivisionError('in the package')", "cannot be imported: ZeroDivisionError: in the package", "pip install --force-reinstall '{}'"),
    "leaving": (FAILING, "SystemExit('in the package')", "cannot be imported: SystemExit: in the package", "pip install --force-reinstall '{}'"),
}  # fmt: skip


def breaking(folder: Path, name: str, module: str, wrong: str) -> dict[str, str]:
    """The environment in which a package is missing or broken."""
    text, how, _, _ = WRONG[wrong]
    (folder / "broken").mkdir()
    made = text.format(name=name, module=module.partition(".")[0], error=how)
    (folder / "broken" / "sitecustomize.py").write_text(made)
    return {"PYTHONPATH": os.pathsep.join([str(folder / "broken"), str(ROOT)])}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, wrong) for name in PACKAGES for wrong in ("missing", "raising")),
        ("click", "unimportable"),
        ("click", "leaving"),
    ],
)
def test_doctor_needs_none_of_the_packages_it_looks_at(patient: Patient, name: str, wrong: str) -> None:
    """One that is missing or broken is named with the pip command; everything else is looked at."""
    patient.write("spiders/tea.py", SPIDER.format("Tea", ""))
    (wanted,) = [requirement for requirement in REQUIRED if requirement.name == name]
    code, lines, verdict = patient.told(**breaking(patient.folder, name, wanted.module, wrong))
    _, _, told, remedy = WRONG[wrong]
    faults = [number for number, line in enumerate(lines) if line.startswith("✗")]
    (at,) = [number for number in faults if lines[number].startswith(f"✗ {name:17} ")]
    assert code == 1
    assert verdict.endswith("wrong\n")
    # Others may import this package, and break with the same error: httpx does with brotli and click.
    assert all(told in lines[number] for number in (faults if wrong in {"raising", "leaving"} else [at]))
    assert wrong in {"raising", "leaving"} or faults == [at]
    assert lines[at + 1] == " " * 20 + "→ " + remedy.format(f"{name}{wanted.versions}")
    names = [line[2:20].strip() for line in lines]
    assert {*PACKAGES, "[parquet]", "tls roots", "open files", "data folder", "config, spiders"} <= set(names)
    assert names[-1] == "completion"


def test_a_version_that_does_not_fit_is_named(patient: Patient) -> None:
    """A package that is older than pyproject.toml allows is named with its version, the range and the pip command."""
    (patient.folder / "broken").mkdir()
    (patient.folder / "broken" / "sitecustomize.py").write_text(
        "from importlib import metadata\nmetadata.version = lambda name: '0.0.1'\n"
    )
    path = os.pathsep.join([str(patient.folder / "broken"), str(ROOT)])
    code, lines, verdict = patient.told(PYTHONPATH=path)
    assert (code, verdict) == (1, f"✗ {len(PACKAGES)} things are wrong\n")
    for name, versions, _ in REQUIRED:
        if name in PACKAGES:
            at = lines.index(f"✗ {name:17} 0.0.1 is installed, {versions} is needed")
            assert lines[at + 1] == " " * 20 + f"→ pip install '{name}{versions}'"


#: Runs each command line in this process, as `scraper` would: its exit code, and what it said on stderr.
EACH = """
import contextlib, io, json, sys
from scraper.cli import main
for words in json.loads(sys.argv[1]):
    err = io.StringIO()
    sys.argv = ["scraper", *words]
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as left:
            code = left.code
    print(json.dumps([words, code, err.getvalue()]))
"""


@pytest.mark.parametrize(("name", "wrong"), [*((name, "missing") for name in PACKAGES), ("httpx", "raising")])
def test_a_command_without_a_package_says_which(patient: Patient, name: str, wrong: str) -> None:
    """A command either does without the package or says in one line which one it is and who knows more; exit 2."""
    patient.write("spiders/tea.py", SPIDER.format("Tea", ""))
    (wanted,) = [requirement for requirement in REQUIRED if requirement.name == name]
    environment = {**os.environ, **breaking(patient.folder, name, wanted.module, wrong)}
    lines = [[command, "--help"] for command in COMMANDS]
    lines += [
        ["crawl", "tea"],
        ["get", "http://127.0.0.1:1/"],
        ["list"],
        ["query", "tea"],
        ["nonsense"],
        ["-C", "x", "runs"],
        [],
    ]
    done = subprocess.run(
        [sys.executable, "-c", EACH, json.dumps(lines)], cwd=patient.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [words for words, _, _ in told] == lines
    sentence = f"✗ {name} {WRONG[wrong][2].split(':')[0]}"
    blaming = [
        words
        for words, code, err in told
        if code == 2 and name in err and "scraper doctor says what to do\n" in err
    ]
    for words, _, err in told:
        assert "fault of scraper" not in err
        assert "Traceback" not in err
        assert (words in blaming) == ("scraper doctor" in err)
        assert words not in blaming or (err.count("\n") == 1 and sentence.split()[1] in err)
    assert ["crawl", "tea"] in blaming
    assert name != "click" or blaming == lines


def test_the_shell_is_told_nothing_where_click_is_missing(patient: Patient) -> None:
    """Completion runs at a prompt: no candidates, and not a word."""
    environment = {
        **os.environ,
        **breaking(patient.folder, "click", "click", "missing"),
        "_SCRAPER_COMPLETE": "bash_complete",
    }
    done = subprocess.run(
        [sys.executable, "-m", "scraper"],
        cwd=patient.folder,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_file_that_hides_a_package_is_named(patient: Patient) -> None:
    """A file in the working directory that Python takes for a package is named, not the package blamed."""
    patient.write("tenacity.py", "")
    code, lines, _ = patient.told()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("✗")]
    assert (code, lines[at].split(), lines[at + 1].split(maxsplit=1)[1]) == (
        1,
        ["✗", "tenacity", "is", "hidden", "by", "tenacity.py"],
        "give tenacity.py another name",
    )


@pytest.mark.parametrize(
    ("found", "versions", "fits"),
    [
        ("0.28.1", ">=0.28,<0.29", True),
        ("0.28", ">=0.28,<0.29", True),
        ("0.29.0", ">=0.28,<0.29", False),
        ("0.27.9", ">=0.28,<0.29", False),
        ("1", ">=1.0,<2", True),
        ("2.0rc1", ">=1.0,<2", False),
        ("10.0", ">=9,<10", False),
        ("1.1.2.20261023", ">=1.0", True),
        ("nonsense", ">=1.0", False),
    ],
)
def test_versions_are_compared_as_numbers(found: str, versions: str, fits: bool) -> None:
    """A version is in a range by its numbers, not by its text."""
    assert is_within(found, versions) is fits
