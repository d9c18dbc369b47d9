"""Shell completion and start-up: what a shell is offered, and what is imported for it and for `--help`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import ROOT

from scraper import Page, Spider
from scraper.cli.completion import COMPLETERS
from scraper.cli.group import COMMANDS, cli
from scraper.cli.outline import outlines_of
from scraper.settings import Settings
from scraper.testing import Site, simulate

#: The library's heavy parts: neither help nor candidates need them.
HEAVY = {"httptools", "asyncio", "httpx", "selectolax", "ada_url", "publicsuffixlist", "tenacity", "protego"}

SPIDER = """
raise RuntimeError("a file that is completed is not imported")
import scraper
from scraper import Spider
from typing import ClassVar

class Base(Spider):
    word: str
    def parse(self, page): pass

class Tea(Base):
    most: int = 3
    rate: str = "5/s"
    kept: ClassVar[int] = 1
    _own: int = 2
    start_urls = ["http://x.example/"]

class Hidden(Tea):
    abstract = True

class Coffee(scraper.Spider[dict]):
    name = "kaffee"
    def start(self): yield "http://x.example/"

class Item:
    start_urls: list
"""


def ask(
    folder: Path, line: str, *, shell: str = "bash", program: str = "main()", **more: str
) -> subprocess.CompletedProcess[str]:
    """What a shell asks when TAB is pressed at the end of `line`, in a process of its own."""
    words = line.split(" ")
    protocol = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        protocol = {"COMP_WORDS": " ".join(words), "COMP_CWORD": words[-1]}
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **protocol,
        "_SCRAPER_COMPLETE": f"{shell}_complete",
        **more,
    }
    command = [sys.executable, "-W", "error", "-c", f"from scraper.cli import main; {program}"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def offered(folder: Path, line: str, **more: str) -> list[str]:
    done = ask(folder, line, **more)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two spiders, one broken file, and a database."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "spiders").mkdir()
    (folder / "data").mkdir()
    (folder / "below").mkdir()
    (folder / "spiders" / "teas.py").write_text(SPIDER)
    (folder / "spiders" / "broken.py").write_text("def (")
    (folder / "loose.py").write_text(SPIDER.replace("Tea", "Loose"))
    site = folder / "site" / "acme-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[scraper.spiders]\ntrains = acme:Trains\n")

    simulate(Leaves, Site({"https://tea.example.com/": "<p>"}), db=folder / "data" / "tea.db")
    return folder


class Leaves(Spider[Any]):
    start_urls = ("https://tea.example.com/",)

    def parse(self, page: Page) -> Any:
        yield {"name": "Assam"}


CASES = {
    "scraper cr": ["plain,crawl"],
    "scraper --v": ["plain,--version"],
    "scraper crawl ": ["plain,kaffee", "plain,tea", "plain,trains", "plain,loose.py", "plain,spiders/"],
    "scraper crawl te": ["plain,tea"],
    "scraper crawl spiders/t": ["file,spiders/t"],
    "scraper crawl ../": ["file,../"],
    "scraper info ka": ["plain,kaffee"],
    "scraper crawl tea --max-p": ["plain,--max-pages"],
    "scraper crawl tea --set max_pag": ["plain,max_pages=", "plain,max_pages_per_domain="],
    "scraper crawl tea -a ": ["plain,word=", "plain,most="],
    "scraper crawl loose.py -a mo": ["plain,most="],
    "scraper crawl loose.py:Hidden -a mo": ["plain,most="],
    "scraper crawl spiders/teas.py:Coffee -a ": [],
    "scraper crawl nobody -a ": [],
    "scraper crawl tea --db ": ["file,"],
    "scraper crawl tea -C ": ["dir,"],
    "scraper query ": ["plain,tea"],
    "scraper query tea le": ["plain,leaves"],
    "scraper query tea _runs": ["plain,_runs"],
    "scraper query nobody ": [],
    "scraper query loose.py ": [],
    "scraper errors tea --kind dns": ["plain,dns", "plain,dns-timeout"],
    "scraper -C below crawl kaf": ["plain,kaffee"],
    "scraper -C nowhere crawl tea --set rob": ["plain,robots="],
    "scraper nonsense ": [],
    "scraper crawl 'unclosed ": [],
}


#: Asks for one line after the other, as a shell would, without a new process for each.
ASK_ALL = """
import json, os, sys
folder = os.getcwd()
for line in json.loads(sys.stdin.read()):
    words = line.split(" ")
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    os.chdir(folder)
    print("?" + line, flush=True)
    try:
        main()
    except SystemExit as left:
        assert left.code in {0, 1}
"""


@pytest.fixture(scope="module")
def answers(shop: Path) -> Mapping[str, list[str]]:
    """What bash is offered for each line of CASES."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(shop / "site"), str(ROOT)]),
        "_SCRAPER_COMPLETE": "bash_complete",
    }
    command = [sys.executable, "-W", "error", "-c", f"from scraper.cli import main\n{ASK_ALL}"]
    done = subprocess.run(
        command, input=json.dumps(list(CASES)), cwd=shop, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    blocks = [block.split("\n") for block in done.stdout.split("?")[1:]]
    return {line: [word for word in words if word] for line, *words in blocks}


@pytest.mark.parametrize("line", list(CASES))
def test_bash_is_offered(answers: Mapping[str, list[str]], line: str) -> None:
    """Commands, flags, spiders, files, databases, tables, settings and arguments, each in its place."""
    assert answers[line] == CASES[line]


def test_zsh_and_fish_are_offered_help_too(shop: Path) -> None:
    """The other shells get each candidate with what it is about."""
    assert offered(shop, "scraper crawl tea --set rob", shell="zsh") == [
        "plain",
        "robots=",
        "obey robots.txt (RFC 9309)",
    ]
    (line,) = offered(shop, "scraper crawl tea --set rob", shell="fish")
    assert line.split("\t")[0] == "plain,robots="


@pytest.mark.parametrize(
    "more", [{"_SCRAPER_COMPLETE": "csh_complete"}, {"COMP_CWORD": "x"}, {"SCRAPER_RAT": "1"}]
)
def test_a_prompt_never_shows_an_error(shop: Path, more: Mapping[str, str]) -> None:
    """An unknown shell, a broken question, a wrong configuration: at most no candidates, and no word on stderr."""
    done = ask(shop, "scraper crawl te", **more)
    assert (done.stderr, done.returncode in {0, 1}) == ("", True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_line_for_bash_works(shop: Path) -> None:
    """The documented line sets a real bash up; the function it defines finds the candidates."""
    (shop / "bin").mkdir(exist_ok=True)
    program = shop / "bin" / "scraper"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m scraper \"$@\"\n")
    program.chmod(0o755)
    script = """
        eval "$(_SCRAPER_COMPLETE=bash_source scraper)"
        complete -p scraper
        COMP_WORDS=(scraper crawl te) COMP_CWORD=2; _scraper_completion scraper; echo "${COMPREPLY[@]}"
        COMPREPLY=(); COMP_WORDS=(scraper query tea le) COMP_CWORD=3; _scraper_completion scraper; echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=shop, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.stdout.split("\n") == [
        "complete -o nosort -F _scraper_completion scraper",
        "tea",
        "leaves",
        "",
    ]
    assert done.stderr == ""


def test_candidates_that_go_on_get_no_blank(shop: Path) -> None:
    """The script for bash leaves the cursor behind `rate=` and `spiders/`."""
    done = ask(shop, "", _SCRAPER_COMPLETE="bash_source")
    assert "[[ $value == *[=/] ]] && compopt -o nospace" in done.stdout


# ------------------------------------------------------------------------------------------- what is imported

SHOW = "import sys\ntry: main()\nfinally: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"


@pytest.mark.parametrize(
    "line",
    [
        "scraper cr",
        "scraper crawl te",
        "scraper info te",
        "scraper crawl tea -a ",
        "scraper query tea le",
        "scraper runs ",
    ],
)
def test_candidates_need_no_heavy_module(shop: Path, line: str) -> None:
    """Nothing of the network and of HTML is imported to answer a TAB, and no spider."""
    done = ask(shop, line, program=f"exec({SHOW!r})")
    assert done.stdout
    assert not (HEAVY - {"ada_url", "publicsuffixlist"}) & set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["crawl", "--help"], ["info", "--help"]])
def test_help_imports_little(tmp_path: Path, words: list[str]) -> None:
    """Help and version import neither the network, nor HTML, nor the database, and of the package the command line alone."""
    code = f"import sys; sys.argv[1:] = {words!r}; from scraper.cli import main; exec({SHOW!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.stdout
    imported = set(done.stderr.split())
    assert not (HEAVY | {"sqlite3", "tomllib", "rich", "importlib_metadata"}) & imported
    mine = "import sys; sys.argv[1:] = ['--help']\nfrom scraper.cli import main\ntry: main()\nfinally: print(*(n for n in sys.modules if n.startswith('scraper.')), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", mine],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert set(done.stderr.split()) == {
        "scraper.cli",
        "scraper.cli.group",
        "scraper.cli.main",
        "scraper.cli.output_streams",
        "scraper.cli.plain_output",
        "scraper.errors",
        "scraper.version",
    }


# ------------------------------------------------------------------------------------------- in this process


def test_every_parameter_that_can_be_completed_is() -> None:
    """A command that takes a target, a database, a table, settings or a file names it as the completer expects."""
    assert isinstance(cli, click.Group)
    with click.Context(cli) as context:
        commands = [cli.get_command(context, name) for name in COMMANDS]
    metavars = {"FILE", "DIR"}
    missing = [
        f"{command.name} {param.name}"
        for command in commands if command is not None
        for param in command.params
        if (isinstance(param, click.Argument) and param.name in {"spider", "db", "file"})
        or (isinstance(param, click.Option) and param.metavar in metavars and param.name not in COMPLETERS)
    ]  # fmt: skip
    assert missing == []


def test_an_outline_says_what_the_class_would(tmp_path: Path) -> None:
    """Read without importing, a file gives the names, the listed classes and the annotated attributes."""
    path = tmp_path / "teas.py"
    path.write_text(SPIDER)
    found = {one.cls: one for one in outlines_of(path)}
    assert {name: one.name for name, one in found.items()} == {
        "Base": "base",
        "Tea": "tea",
        "Hidden": "hidden",
        "Coffee": "kaffee",
    }
    assert [name for name, one in found.items() if one.listed] == ["Tea", "Coffee"]
    assert list(found["Hidden"].annotated) == ["word", "most", "rate"]
    assert "rate" in Settings.names()
    path.write_bytes(b"\xff\x00")
    assert list(outlines_of(path)) == list(outlines_of(tmp_path / "gone.py")) == []
