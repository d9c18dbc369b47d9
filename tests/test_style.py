"""The style of the code, where a machine can judge it."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT, Source, read_sources

LONGEST_BODY = 40
LONGEST_MODULE = 400

#: What loads code or objects out of data.
LOADERS = {"cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "shelve"}
EVALUATORS = {"__import__", "compile", "eval", "exec"}

IGNORE = re.compile(r"#\s*type:\s*ignore")
GOOD_IGNORE = re.compile(r"#\s*type: ignore\[[a-z-]+(, ?[a-z-]+)*\]\s+(#|-)\s*\w+.+")
NOQA = re.compile(r"#\s*noqa", re.IGNORECASE)
GOOD_NOQA = re.compile(r"#\s*noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* - \w+.+")
#: A folder of one person's machine. A path in a URL has a host before it.
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|work)/\w|\b[A-Z]:\\\\?(?:Users|work)\b")


@pytest.fixture(scope="module")
def code(package: list[Source], spiders: list[Source]) -> list[Source]:
    """What users get: the package and the examples."""
    return [*package, *spiders]


@pytest.fixture(scope="module")
def tests() -> list[Source]:
    return read_sources(ROOT / "tests")


def listed(found: list[str]) -> str:
    return "\n" + "\n".join(found)


# ------------------------------------------------------------------------------------------- ruff


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command: list[str]) -> None:
    """The linter finds nothing, and the formatter would change nothing."""
    whole = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    short = os.environ | {"RUFF_OUTPUT_FORMAT": "concise"}
    done = subprocess.run(
        whole, cwd=ROOT, env=short, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------------------- size


def test_bodies_are_short(code: list[Source]) -> None:
    """No function has more than 40 lines below its docstring."""
    found = [
        f"{source.path}:{node.lineno} {node.name} has {lines} lines"
        for source in code
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := body_lines(node)) > LONGEST_BODY
    ]
    assert not found, listed(found)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_modules_are_short(code: list[Source]) -> None:
    """No module has more than 400 lines."""
    lengths = [(len(source.text.splitlines()), source.path) for source in code]
    found = [f"{path} has {lines} lines" for lines, path in lengths if lines > LONGEST_MODULE]
    assert not found, listed(found)


MOST_PARAMETERS = 6
#: Constructors of values that authors make, and the method that makes such a value anew: keywords with a name each.
PUBLIC_VALUES = {
    "scraper/api/job.py CrawlJob.__init__": "what `scraper.Crawl` takes",
    "scraper/core/models/request.py Request.__init__": "a request",
    "scraper/net/wire/wire.py Wire.__init__": "a transport",
    "scraper/core/models/request.py Requests.options": "requests with other options",
    "scraper/page/page.py Page.__init__": "a page, as tests of spiders make one",
}


def test_functions_take_few_parameters(code: list[Source]) -> None:
    """No function takes more than six parameters, but for constructors of public values and the commands of click."""
    found = {
        f"{source.path} {name}": count
        for source in code
        for name, node in functions_of(source.tree)
        if (count := parameters_of(node)) > MOST_PARAMETERS and not is_command(node)
    }
    assert found.keys() == PUBLIC_VALUES.keys(), listed([f"{name} takes {n}" for name, n in found.items()])


def functions_of(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function below a node with its name, that of its class in front."""
    for node in ast.iter_child_nodes(tree):
        name = f"{prefix}{getattr(node, 'name', '')}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        inner = f"{name}." if isinstance(node, ast.ClassDef) else prefix
        yield from functions_of(node, inner)


def parameters_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(one.arg not in {"self", "cls"} for one in taken)


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(one).startswith("click.command") for one in node.decorator_list)


# ------------------------------------------------------------------------------------- exceptions


def test_no_bare_except(code: list[Source], tests: list[Source]) -> None:
    """What is caught is named: a bare except also takes cancellation."""
    found = [place for place, handler in handlers([*code, *tests]) if handler.type is None]
    assert not found, listed(found)


def test_no_exception_is_swallowed(code: list[Source]) -> None:
    """No handler does nothing, and nothing suppresses every exception there is."""
    found = [place for place, handler in handlers(code) if all(is_nothing(s) for s in handler.body)]
    for source in code:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and called(node) == "suppress":
                wide = {ast.unparse(arg) for arg in node.args} & {"Exception", "BaseException"}
                found += [f"{source.path}:{node.lineno} suppress({name})" for name in wide]
    assert not found, listed(found)


def handlers(sources: list[Source]) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler):
                yield f"{source.path}:{node.lineno} {ast.unparse(node).splitlines()[0]}", node


def is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


# ----------------------------------------------------------------------------- what is not called


def called(node: ast.Call) -> str:
    """The name of what is called: `suppress` for `suppress(…)` and `contextlib.suppress(…)`."""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def test_only_the_command_line_prints(code: list[Source]) -> None:
    """The library prints nothing: what a program shows is its own affair."""
    found = [
        f"{source.path}:{node.lineno} prints"
        for source in code
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "print" and not source.name.startswith("scraper.cli")
    ]
    assert not found, listed(found)


def test_the_library_configures_no_logging(code: list[Source]) -> None:
    """Handlers and levels belong to the program, not to the library in it."""
    names = {"basicConfig", "addHandler", "setLevel", "dictConfig", "fileConfig"}
    found = [
        f"{source.path}:{node.lineno} calls {called(node)}"
        for source in code
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and called(node) in names
    ]
    assert not found, listed(found)


def test_sec_51_nothing_is_loaded_or_evaluated_from_data(code: list[Source]) -> None:
    """No pickle or its kin, no eval, exec or __import__, no YAML loader that builds objects."""
    found = [
        f"{source.path}:{line} {what}"
        for source in code
        for node in ast.walk(source.tree)
        for line, what in dangers(node)
    ]
    assert not found, listed(found)


def dangers(node: ast.AST) -> list[tuple[int, str]]:
    match node:
        case ast.Import(names):
            return [(node.lineno, f"imports {a.name}") for a in names if a.name.partition(".")[0] in LOADERS]
        case ast.ImportFrom(str(module)) if module.partition(".")[0] in LOADERS:
            return [(node.lineno, f"imports {module}")]
        case ast.Name(name) if name in EVALUATORS:
            return [(node.lineno, f"uses {name}")]
        case ast.Attribute(_, name) if name in EVALUATORS - {"compile"}:
            return [(node.lineno, f"uses {name}")]
        case ast.Attribute(ast.Name("yaml"), name) if name != "safe_load":
            return [(node.lineno, f"uses yaml.{name}")]
    return []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "def f():\n    import dill",
        "eval('1')",
        "exec(text)",
        "run = exec",
        "__import__('os')",
        "builtins.eval(text)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "compile(text, '', 'exec')",
    ],
)
def test_sec_51_the_check_sees(text: str) -> None:
    """Each way to run what data says is seen."""
    assert [danger for node in ast.walk(ast.parse(text)) for danger in dangers(node)]


def test_sec_51_the_check_lets_pass() -> None:
    """A compiled pattern and a safe loader are no danger."""
    tree = ast.parse("import re\nre.compile('x')\nyaml.safe_load(text)\nimport json\njson.loads(text)")
    assert [danger for node in ast.walk(tree) for danger in dangers(node)] == []


# ------------------------------------------------------------------------------ comments and text


def comments(source: Source) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_every_ignore_says_what_and_why(code: list[Source], tests: list[Source]) -> None:
    """Where a checker is told to look away, the comment carries its code and the reason."""
    found = [
        f"{source.path}:{line} {text}"
        for source in [*code, *tests]
        for line, text in comments(source)
        if (IGNORE.search(text) and not GOOD_IGNORE.search(text))
        or (NOQA.search(text) and not GOOD_NOQA.search(text))
    ]
    assert not found, listed(found)


@pytest.mark.parametrize(
    ("comment", "good"),
    [
        ("# type: ignore", False),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore  # because", False),
        ("# type: ignore[arg-type]  # the wrong value is meant", True),
        ("# noqa", False),
        ("# noqa: S608", False),
        ("# noqa: S608 - a constant", True),
    ],
)
def test_the_check_of_ignores_sees(comment: str, good: bool) -> None:
    """An ignore without a code or without a reason is seen."""
    assert bool(GOOD_IGNORE.search(comment) or GOOD_NOQA.search(comment)) is good


def test_no_path_of_a_machine(code: list[Source], tests: list[Source]) -> None:
    """No file names a folder that exists on one machine only."""
    others = [ROOT / "pyproject.toml", *(path for path in (ROOT / ".ci").iterdir() if path.is_file())]
    texts = [(source.path, source.text) for source in [*code, *tests] if not is_this(source)]
    texts += [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in others]
    found = [
        f"{path}:{number} {line.strip()}"
        for path, text in texts
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found, listed(found)


def is_this(source: Source) -> bool:
    return source.path == f"tests/{Path(__file__).name}"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('open("/home/me/books.db")', True),
        ('path = "/Users/me/x"', True),
        ('"https://shop.example/home/books"', False),
        ('"/catalogue/home/"', False),
    ],
)
def test_the_check_of_paths_sees(line: str, seen: bool) -> None:
    """A folder of a person is seen, a path in a URL is not taken for one."""
    assert bool(MACHINE_PATH.search(line)) is seen


# ------------------------------------------------------------------------------------------- English

#: Words and phrases that read as translated, and what to write instead. They are patterns, matched as whole words in any
#: case.
TRANSLATED = {
    "nobody": "no one, or name who",
    "nobody's": "no one's",
    "somebody": "a person, or name who",
    "somebody's": "a person's, or name whose",
    "whoever": "the person who, or name it",
    "so many": "that many, or the number",
    "so much": "that much, or the amount",
    r"(?<!there\s)(?:is|are|was|were) no (?!longer|more|less|better|worse|other|doubt)\w+": "is not a …",
    "as ever": "as always, or leave it out",
    "of (?:ours|theirs)": "our, their",
    "(?:the|an|this) aside": "a thread, or name it",
    "said of": "said about",
    "what (?:has |had )?becom(?:e|es) of": "the outcome of, or what happens to",
    "what became of": "the outcome of, or what happened to",
    "(?:take|takes|taken|took) back": "undo, undone",
    "told apart": "distinguished",
}
#: How many of them each file may have. `python tests/test_style.py` lowers the numbers; a file without one may have none.
STYLE_WORDS = ROOT / "tests" / "style_words.json"


class Hit(NamedTuple):
    """A phrase of TRANSLATED at a place."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line} "{self.found}": write {self.instead}'


def prose() -> Iterator[tuple[str, str]]:
    """Every text that readers of the project see: paths and contents."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for path in sorted([*paths, *(ROOT / "scraper").rglob("*.py")]):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def translated(path: str, text: str) -> list[Hit]:
    """Where a text reads as translated. A phrase that is broken over two lines counts at its first."""
    joined = re.sub(r"\n[ #]*", lambda gap: "\n".ljust(len(gap[0])), text)
    return [
        Hit(path, text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), instead)
        for phrase, instead in TRANSLATED.items()
        for match in re.finditer(rf"\b{phrase.replace(' ', chr(92) + 's+')}\b", joined, re.IGNORECASE)
    ]


def test_new_text_reads_as_english() -> None:
    """No file has more translated phrases than `tests/style_words.json` allows it: a file without a number has none."""
    allowed = json.loads(STYLE_WORDS.read_text())
    found = [hit for path, text in prose() for hit in over(translated(path, text), allowed.get(path, 0))]
    assert not found, listed([str(hit) for hit in found])


def over(hits: list[Hit], allowed: int) -> list[Hit]:
    """All hits of a file that has more than it may, so that the new one is among them; none otherwise."""
    return hits if len(hits) > allowed else []


def test_the_count_of_phrases_only_goes_down() -> None:
    """Where a file got better, its number is lowered, so that it cannot get worse again."""
    counts = {path: len(hits) for path, text in prose() if (hits := translated(path, text))}
    stale = [
        f"{path}: {allowed} allowed, {counts.get(path, 0)} found"
        for path, allowed in json.loads(STYLE_WORDS.read_text()).items()
        if counts.get(path, 0) < allowed
    ]
    assert not stale, listed([*stale, "lower them: python tests/test_style.py"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Nobody asks.", ["Nobody"]),
        ("what is no URL", ["is no URL"]),
        ("a name that\n# is no host", ["is no host"]),
        ("It is no longer there, and there are no others.", []),
        ("This text is not a URL.", []),
    ],
)
def test_the_check_of_english_sees(text: str, found: list[str]) -> None:
    """A phrase is seen in any case and over the end of a line; what is good English passes."""
    assert [hit.found for hit in translated("x.md", text)] == found


def lower_counts() -> None:
    """Write the counts of today. A file that is new or has moved gets its own, unless the sum would go up."""
    before: dict[str, int] = json.loads(STYLE_WORDS.read_text())
    counts = {path: len(hits) for path, text in prose() if (hits := translated(path, text))}
    kept = {path: min(count, before.get(path, count)) for path, count in counts.items()}
    if sum(kept.values()) > sum(before.values()):
        raise SystemExit(f"{sum(kept.values())} phrases, {sum(before.values())} before: rewrite some first")
    STYLE_WORDS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    lower_counts()
