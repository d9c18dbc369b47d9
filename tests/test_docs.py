"""Documentation is tested: what it names exists, what exists is named, and its code runs."""

from __future__ import annotations

import inspect
import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import click
import pytest
from conftest import ROOT
from test_layers import ROWS

import scraper
from scraper import Key, Page, Spider
from scraper.cli.group import cli
from scraper.cli.terminal import json_events
from scraper.errors import KINDS, QueryError
from scraper.net.wire.wire import Wire
from scraper.query import ask, list_tables, open_readonly
from scraper.reports.exit_codes import EXIT_CODES
from scraper.settings import Settings
from scraper.store.rows.tables import INTERNAL
from scraper.testing import Site, simulate

DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(path.relative_to(ROOT)) for path in DOCS]

#: A fenced block, with the comment that says it is to be executed.
BLOCK = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: A file or folder in backticks: `engine/crawl.py`, `transport/`.
FILE = re.compile(r"`([\w./-]+\.(?:py|md|toml)|[\w-]+/)`")
#: Commands are invoked under these names.
PROGRAMS = {"scraper", ".venv/bin/scraper"}


class Block(NamedTuple):
    """A fenced block: its language, its text, the line of the text, and whether it is to be executed."""

    language: str
    text: str
    line: int
    run: bool


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [
        Block(m[2], m[3], text.count("\n", 0, m.start(3)), m[1] is not None) for m in BLOCK.finditer(text)
    ]


def rows(path: Path, *head: str) -> list[list[str]]:
    """The cells of all tables with this head, as in `| code | meaning |`."""
    found: list[list[str]] = []
    lines = iter(path.read_text().splitlines())
    for line in lines:
        if _cells(line) == list(head):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append(_cells(row))
    return found


def _cells(line: str) -> list[str]:
    if not line.startswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def sections(path: Path, level: int) -> dict[str, str]:
    """The text below each heading of a level."""
    parts = re.split(rf"^#{{{level}}} (.+)$", path.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def unticked(cell: str) -> str:
    return cell.strip("`")


# ------------------------------------------------------------------------------------------- commands


def commands() -> dict[str, click.Command]:
    assert isinstance(cli, click.Group)
    with click.Context(cli) as context:
        found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def flags(command: click.Command) -> dict[str, str]:
    """The options of a command, as they are written in the documentation, with their help."""
    found = {}
    for option in command.params:
        if isinstance(option, click.Option):
            names = ", ".join(f"`{name}`" for name in option.opts)
            value = "" if option.is_flag else f" {option.metavar}"
            found[names[:-1] + value + "`"] = option.help or ""
    return found


def test_every_command_is_documented() -> None:
    """docs/cli.md has a section for each command of the command line, and for no other."""
    named = {head.split()[1] for head in sections(ROOT / "docs" / "cli.md", 2) if head.startswith("scraper ")}
    assert named == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_flag_is_documented(name: str) -> None:
    """The flags of a command stand in its section of docs/cli.md with their help, and no others."""
    text = sections(ROOT / "docs" / "cli.md", 2)[f"scraper {name}"]
    documented = {cells[0]: cells[1] for line in text.splitlines() if len(cells := _cells(line)) == 2}
    assert {k: v for k, v in documented.items() if k.startswith("`-")} == flags(commands()[name])


def invocations(path: Path) -> Iterator[list[str]]:
    """Every command line in a document: in blocks of shell, and in backticks."""
    for block in blocks(path):
        if block.language in {"console", "sh", "bash"}:
            for line in block.text.splitlines():
                for part in re.split(r"&&|\|", line.removeprefix("$ ")):
                    yield _words(part)
    for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", path.read_text())):
        yield _words(code)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_documented_commands_exist(path: Path) -> None:
    """Every `scraper …` in the documentation names a command and flags it has."""
    known = commands()
    for words in invocations(path):
        if words[1:2] == ["-C"]:  # the program's own flag stands before the command
            del words[1:3]
        if len(words) < 2 or words[0] not in PROGRAMS or words[1] in {"--help", "--version", "COMMAND"}:
            continue
        assert words[1] in known, f"{path.name}: no command {shlex.join(words)}"
        given = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[A-Za-z]", word)}
        taken = {name for param in known[words[1]].params for name in param.opts}
        assert given <= taken, f"{path.name}: {shlex.join(words)}"


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_flags_named_alone_exist(path: Path) -> None:
    """A `--flag` in backticks, without its command, is a flag of some command."""
    taken = {name for command in commands().values() for param in command.params for name in param.opts}
    for words in invocations(path):
        if words and words[0].startswith("--"):
            assert words[0].partition("=")[0] in taken | {"--help", "--version"}, f"{path.name}: {words}"


def test_exit_codes_are_documented() -> None:
    """The table of exit codes in docs/cli.md is that of the program, in its order."""
    documented = [(int(code), text) for code, text in rows(ROOT / "docs" / "cli.md", "code", "meaning")]
    assert documented == list(EXIT_CODES.items())
    helped = re.findall(r"^  (\d+) +(.+)$", cli.epilog or "", re.MULTILINE)
    plain = [(code, re.sub(r"\W+", " ", text).strip()) for code, text in documented]
    assert [(int(code), re.sub(r"\W+", " ", text).strip()) for code, text in helped] == plain


CHANGELOG = ROOT / "CHANGELOG.md"


def test_commands_of_the_changelog_are_those_there_are() -> None:
    """The line of commands in CHANGELOG.md has each command once; what is "not yet" there is not."""
    text = re.sub(r"\n +", " ", CHANGELOG.read_text())
    there, later = (
        set(re.split(r", ", found)) for found in re.findall(r"^- Commands: ([\w, ]+)[;.]", text, re.M)
    )
    assert there == set(commands())
    assert not later & there
    not_there = (ROOT / "README.md").read_text().partition("## Not there yet")[2]
    assert f"- commands: {', '.join(sorted(later))}\n" in not_there


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_nothing_stands_twice(path: Path) -> None:
    """A document has no heading and no entry of a list twice."""
    text = BLOCK.sub("", path.read_text())
    heads = re.findall(r"^#+ .+$", text, re.MULTILINE)
    assert len(heads) == len(set(heads)) or path == CHANGELOG, heads
    entries = re.findall(r"^- .{20,}$", text, re.MULTILINE)
    assert [entry for entry in entries if entries.count(entry) > 1] == []


# ------------------------------------------------------------------------------------------- tables


def settings_table() -> dict[str, tuple[str, str]]:
    found = rows(ROOT / "docs" / "configuration.md", "name", "default", "meaning")
    return {unticked(name): (default, meaning) for name, default, meaning in found}


def test_every_setting_is_documented() -> None:
    """docs/configuration.md lists all settings, in their order, with what they are about."""
    documented = settings_table()
    assert list(documented) == list(Settings.names())
    for name, about in Settings.names().items():
        assert documented[name][1].startswith(about), name


@pytest.mark.parametrize("name", list(Settings.names()))
def test_defaults_are_documented(name: str) -> None:
    """The default in docs/configuration.md is the true one, in a form that the setting accepts."""
    (field,) = [f for f in fields(Settings) if f.name == name]
    default = getattr(Settings(), name)
    documented = settings_table()[name][0]
    if documented == "none":
        assert default is None or default in ((), frozenset(), {})
    else:
        assert field.metadata["read"](documented) == default


def test_kinds_of_failure_are_documented() -> None:
    """docs/spiders.md explains every kind of failure, and no other."""
    documented = {
        unticked(kind): text for kind, text in rows(ROOT / "docs" / "spiders.md", "kind", "meaning")
    }
    assert documented == dict(KINDS)


def test_layers_are_documented() -> None:
    """The tables of layers in docs/architecture.md are those the package, and each package in it, is held to."""
    path = ROOT / "docs" / "architecture.md"
    top = [f"| {row} | {_ticked(units, ', ')} |" for row, units in enumerate(ROWS["scraper"])]
    inner = [
        f"| `{name.removeprefix('scraper.')}/` | {' → '.join(_ticked(units, ' ') for units in table)} |"
        for name, table in ROWS.items()
        if name != "scraper"
    ]
    missing = [line for line in [*top, *inner] if line not in path.read_text().splitlines()]
    assert not missing, "docs/architecture.md should have:\n" + "\n".join(missing)
    assert (len(rows(path, "row", "modules")), len(rows(path, "package", "rows"))) == (len(top), len(inner))


def _ticked(units: str, between: str) -> str:
    return between.join(f"`{unit}`" for unit in units.split())


def test_the_map_shows_every_folder() -> None:
    """The map of docs/architecture.md has every entry of the package, in the order of its layers, and their folders."""
    (drawn,) = [b.text for b in blocks(ROOT / "docs" / "architecture.md") if b.text.startswith("scraper/\n")]
    entries: dict[str, list[str]] = {}
    for line in drawn.splitlines()[1:]:
        indent = len(line) - len(line.lstrip())
        names = [name.strip(" /") for name in re.split(r"  +", line.strip())[0].split(",")]
        if indent == 2:
            entries |= {name: [] for name in names}
        else:
            entries[list(entries)[-1]] += names
    order = {unit: row for row, units in enumerate(ROWS["scraper"]) for unit in units.split()}
    assert sorted(entries, key=lambda name: order[name]) == list(entries)
    assert set(entries) == {name for name in order if not name.startswith("__")}
    for folder in ("page", "net", "store", "cli"):
        inside = {path.parent.name for path in (ROOT / "scraper" / folder).glob("*/__init__.py")}
        assert set(entries[folder]) == inside, folder


def test_extensions_are_documented() -> None:
    """docs/architecture.md lists every extension of requests and responses that the package reads or sets."""
    pattern = re.compile(r'extensions(?:\[|\.get\()"(\w+)"|"(\w+)" in \w+\.extensions|extensions = \{"(\w+)"')
    sources = [path.read_text() for path in (ROOT / "scraper").rglob("*.py")]
    used = {next(filter(None, found)) for text in sources for found in pattern.findall(text)}
    documented = {
        unticked(name): meaning
        for name, _, meaning in rows(ROOT / "docs" / "architecture.md", "name", "of", "meaning")
    }
    assert set(documented) == used
    (line,) = [
        line
        for line in (ROOT / "docs" / "architecture.md").read_text().splitlines()
        if line.startswith("`guarantees` is")
    ]
    assert set(re.findall(r"`([\w-]+)`", line)) - {"guarantees", "Wire"} == Wire.guarantees


def test_events_are_documented() -> None:
    """docs/cli.md lists every event that `--json` writes, and no other."""
    written = re.findall(r'_write\("(\w+)"', inspect.getsource(json_events))
    documented = [unticked(name) for name, _ in rows(ROOT / "docs" / "cli.md", "event", "other keys")]
    assert sorted(documented) == sorted(set(written))


def test_internal_columns_are_documented() -> None:
    """docs/data.md lists the columns that every item table has besides its own."""
    found = rows(ROOT / "docs" / "data.md", "column", "type", "meaning")
    assert {unticked(name): kind for name, kind, _ in found} == INTERNAL


@pytest.mark.parametrize("name", scraper.__all__)
def test_public_names_are_documented(name: str) -> None:
    """Every public name of the package stands in docs/spiders.md."""
    assert re.search(rf"\b{name}\b", (ROOT / "docs" / "spiders.md").read_text())


# ------------------------------------------------------------------------------------------- code


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_python_blocks_compile(path: Path) -> None:
    """Every Python block in the documentation is valid Python."""
    for block in blocks(path):
        if block.language == "python":
            compile("\n" * block.line + block.text, str(path), "exec")


def run_blocks(path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    module = ModuleType(f"_documentation_{path.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(path):
        if block.run:
            code = compile("\n" * block.line + block.text, str(path), "exec")
            exec(code, vars(module))  # noqa: S102 - our own documentation
    return vars(module)


RUN = [path for path in DOCS if any(block.run for block in blocks(path))]


@pytest.mark.parametrize("path", RUN, ids=[path.name for path in RUN])
def test_marked_blocks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block marked `<!-- run -->` runs, after those before it, without an error."""
    assert len(run_blocks(path, monkeypatch)) > 1


def test_first_spider_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spider of the README is at most 12 lines long and reads every page."""
    readme = ROOT / "README.md"
    (block,) = [block for block in blocks(readme) if block.run]
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 12
    spider = run_blocks(readme, monkeypatch)["Quotes"]
    quote = "<div class=quote><span class=text>{}</span><small class=author>A</small></div>"
    start = "https://quotes.toscrape.com/"
    pages = {
        start: quote.format(1) + "<li class=next><a href=/page/2/>Next</a></li>",
        f"{start}page/2/": quote.format(2),
    }
    done = simulate(spider, Site(pages))
    assert done.summary.exit_code == 0
    assert [(row["text"], row["author"]) for row in done.tables["quotes"]] == [("1", "A"), ("2", "A")]


# ------------------------------------------------------------------------------------------- SQL


@dataclass
class Quote:
    text: Annotated[str, Key]
    tags: list[str]


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Decimal


class Library(Spider[Quote | Book]):
    start_urls = ("https://library.example.com/",)

    def parse(self, page: Page) -> Any:
        yield Quote("q", ["a", "b"])
        yield Book("u", "t", Decimal("1.5"))
        yield Book("broken", "t", Decimal("NaN"))
        yield page.follow_all("a")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("docs") / "library.db"
    pages = "<a href=/gone>gone</a><a href=https://other.example.org/>away</a>"
    simulate(Library, Site({"https://library.example.com/": pages}), db=path)
    with closing(open_readonly(str(path))) as conn:
        yield conn


SQL = [(path, block) for path in DOCS for block in blocks(path) if block.language == "sql"]


@pytest.mark.parametrize(("path", "block"), SQL, ids=[f"{p.name}:{b.line}" for p, b in SQL])
def test_sql_is_answered(path: Path, block: Block, database: sqlite3.Connection) -> None:
    """Every question in the documentation can be asked of a database."""
    try:
        list(ask(database, block.text).rows)
    except QueryError as error:
        pytest.fail(f"{path.name}:{block.line}: {error}")


def test_views_are_documented(database: sqlite3.Connection) -> None:
    """docs/data.md lists the stable views and their columns, in order."""
    documented = {
        unticked(name): re.findall(r"`(\w+)`", columns)
        for name, columns in rows(ROOT / "docs" / "data.md", "view", "columns")
    }
    views = {
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
    }
    tables = {info.name: [column.name for column in info.columns] for info in list_tables(database)}
    history = [name for name in tables["book_history"] if name.startswith("_")]
    assert documented.pop("<table>_history") == history
    assert documented == {name: tables[name] for name in views if not name.endswith("_history")}


def test_rejected_items_are_documented(database: sqlite3.Connection) -> None:
    """docs/data.md explains the columns of `_rejected`."""
    found = rows(ROOT / "docs" / "data.md", "column", "meaning")
    documented = [name for names, _ in found for name in re.findall(r"`(\w+)`", names)]
    columns = [row[1] for row in database.execute("PRAGMA table_info(_rejected)")]
    assert documented == columns


# ------------------------------------------------------------------------------------------- files and links


def test_files_of_the_architecture_exist() -> None:
    """Every file and folder named in docs/architecture.md exists."""
    named = set(FILE.findall((ROOT / "docs" / "architecture.md").read_text()))
    assert named
    missing = [name for name in named if not ((ROOT / "scraper" / name).exists() or (ROOT / name).exists())]
    assert not missing, missing


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_relative_links_resolve(path: Path) -> None:
    """A link to another file of the project leads to a file, and to a heading that is there."""
    for link in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name}: {link}"
        assert not anchor or anchor in _anchors(target), f"{path.name}: {link}"


def _anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


#: What a document may name below these folders though it is not there: made by a command, or a pattern.
MADE = {"tests/cases/"}


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_documents_speak_of_files_that_exist(path: Path) -> None:
    """A file or folder below scraper/, tests/, docs/ or benchmarks/ that a document names is there."""
    for name in re.findall(r"`((?:scraper|tests|docs|benchmarks)/[\w./-]+(?:\.[a-z]+|/))`", path.read_text()):
        assert (ROOT / name).exists() or name in MADE, f"{path.name}: {name}"


def test_the_code_speaks_of_files_that_exist() -> None:
    """A file of the project that a docstring or comment of the package names is there."""
    pattern = re.compile(r"(?<![\w/.:<-])((?:scraper|tests|docs|benchmarks)/[\w/-]+\.(?:py|md|txt|sql))\b")
    missing = [
        f"{path.relative_to(ROOT)}:{number} {name}"
        for path in sorted((ROOT / "scraper").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for name in pattern.findall(line)
        if not (ROOT / name).exists()
    ]
    assert not missing, missing


def test_documents_speak_of_names_that_exist() -> None:
    """A word in backticks that looks like code (snake_case, CamelCase or with a dot) stands in the package or its tests."""
    folders = ("scraper", "tests", "benchmarks", "spiders")
    known = {
        word for folder in folders for path in (ROOT / folder).rglob("*.py") for word in _code_words(path)
    }
    known |= {path.stem for folder in folders for path in (ROOT / folder).rglob("*.py")}
    missing = [
        f"{path.name}: `{code}` has {word}"
        for path in DOCS
        for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", path.read_text()))
        for word in re.findall(r"\b(?:[a-z]+_[a-z_]+|[A-Z][a-z]+[A-Z]\w+)\b", code)
        if word not in known
    ]
    assert not missing, missing


def _code_words(path: Path) -> list[str]:
    return re.findall(r"\w+", path.read_text())
