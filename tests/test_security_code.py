"""What the package's own code may do: read from its syntax tree, and from a crawl in a real process."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Source

from tests.support.raw_server import answering, ok, serve

# ----------------------------------------------------------------------- SEC-50: nothing by a name from data

#: Where a name that is no literal may be looked up, and whose name it is.
NAMED_BY_US = {
    "scraper/__init__.py": "our own exports",
    "scraper/api/__init__.py": "our own exports",
    "scraper/api/crawling.py": "the spider's own arguments",
    "scraper/engine/assembly.py": "the spider's own secret arguments",
    "scraper/engine/lanes.py": "fields of Limit",
    "scraper/core/extras.py": "an optional package we name",
    "scraper/project/loader.py": "the spider a person asks for",
    "scraper/page/node.py": "the direction of a step in the tree, one of two",
    "scraper/engine/options.py": "our own fields",
    "scraper/query/parquet.py": "an optional package we name",
    "scraper/core/timing.py": "marked functions of this package",
    "scraper/settings/parsers.py": "fields of Limit",
    "scraper/spider/definition.py": "the spider's own annotated arguments",
    "scraper/store/queue/requests.py": "fields of Options",
    "scraper/net/wire/proxy_tunnel.py": "one of two kinds of proxy",
    "scraper/core/codec/classes.py": "fields of an item class",
    "scraper/reports/json_form.py": "fields of a report",
}
LOOKUPS = {"getattr", "setattr", "delattr", "import_module", "methodcaller", "attrgetter"}


def lookups(tree: ast.AST) -> Iterator[int]:
    """Lines that look up an attribute or module whose name is no literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in LOOKUPS and not all(
                isinstance(arg, ast.Constant) for arg in node.args[name.endswith("attr") :][:1]
            ):
                yield node.lineno


def test_sec_50_nothing_is_looked_up_by_a_name_from_data(package: list[Source]) -> None:
    """No attribute, method or module is found by a name that came from a response or a database."""
    found = {
        source.path
        for source in package
        if any(lookups(source.tree)) and not source.path.startswith("scraper/cli")
    }
    assert found <= set(NAMED_BY_US), found - set(NAMED_BY_US)


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("getattr(x, name)", True),
        ("getattr(x, 'name')", False),
        ("import_module(name)", True),
        ("a.b.import_module('x')", False),
        ("setattr(x, name, 1)", True),
    ],
)
def test_sec_50_the_check_sees(code: str, seen: bool) -> None:
    """A lookup by a variable is seen, one by a literal is not."""
    assert any(lookups(ast.parse(code))) is seen


# ------------------------------------------------------------------------------- SEC-52: nobody can connect

LISTENERS = {
    "create_server",
    "start_server",
    "start_unix_server",
    "create_unix_server",
    "create_datagram_endpoint",
    "listen",
    "ThreadingHTTPServer",
    "HTTPServer",
    "serve_forever",
}
#: What serves on purpose: the demo's shop; and where a socket is made unusable on purpose.
SERVING = {
    "scraper/demo/endless/server.py",
    "scraper/demo/server.py",
    "scraper/demo/crawl.py",
    "scraper/testing/virtual_time.py",
}


def test_sec_52_no_code_listens(package: list[Source]) -> None:
    """Only the demo opens a listening socket."""
    found = {
        source.path
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.Attribute, ast.Name))
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in LISTENERS
    }
    assert found <= SERVING, found - SERVING


CRAWL = """
import json, os, re, sys
from pathlib import Path
from scraper import Spider, run
from scraper.events import PageDone

def listening():
    ours = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\\\\[(\\\\d+)\\\\]", os.readlink(fd))
        except OSError:
            continue
        if found:
            ours.add(found[1])
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/self/net", name).read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in ours], len(ours)

seen = []

class Listens(Spider):
    start_urls = [sys.argv[1]]
    rate = None
    def parse(self, page):
        yield {"url": page.url, "referrer": page.headers.get("referrer-policy")}
        yield page.follow_all("a")

summary = run(Listens, db=sys.argv[2], observers=[lambda event: seen.append(listening()) if isinstance(event, PageDone) else None])
print(json.dumps({"seen": seen, "pages": summary.pages}))
"""


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs /proc")
async def test_sec_50_sec_52_a_crawl_opens_no_listening_socket(tmp_path: Path) -> None:
    """While pages come in, the process has connections but listens nowhere; a header that names code is text."""
    import asyncio

    body = b'<a href="/2">x</a>' + b"<p>words</p>" * 40_000  # large enough for the helper process
    async with serve(answering(ok(body, "Content-Type: text/html", "Referrer-Policy: sys.exit"))) as server:
        script = CRAWL.replace("\\\\", "\\")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, server.url("/1"), str(tmp_path / "a.db"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        out, err = await process.communicate()
    assert err == b""
    said = json.loads(out)
    assert said["pages"] == 2
    assert [listening for listening, _ in said["seen"]] == [[], []]
    assert all(sockets for _, sockets in said["seen"])


# ------------------------------------------------------------------------- SEC-37: no expression explodes

#: These read what the author or the person at the terminal typed, not what a server sent.
TYPED_BY_PEOPLE = (
    "scraper/query/",
    "scraper/cli/",
    "scraper/settings/",
    "scraper/core/models/limits.py",
    "scraper/project/config_file.py",
    "scraper/page/css.py",
    "scraper/page/suggestions.py",
    "scraper/reports/",
)
METHODS = {"match", "fullmatch", "search", "findall", "finditer", "sub", "split"}

RUN = """
import importlib, json, re, sys, time
cases, size = json.loads(sys.stdin.read()), int(sys.argv[1])
units = ["a", " ", "<", "<a ", "</", "=", '="', "='", "0", "1,", "1.", ".", "-", "- ", ";a", "/a", "%", "\\n", "\\t", "\\r\\n",
         "\\u00a0", "\\u00e9", "[", "(", ":", ": ", "charset=", "charset =", "<meta ", "<b a=\\"", "<b a ", "crawl-delay:", "crawl-delay ", "1e", "+1e1", "aA", "\\u2212", "\\u00a3 "]
starts = ["", "<b", "<meta ", "crawl-delay:", "="] if size > 10_000 else ["", "<b"]

def seconds(pattern, method, start, unit, size):
    text = start + unit * (size // len(unit)) + "!"
    text = text.encode() if isinstance(pattern.pattern, bytes) else text
    call, begun = getattr(pattern, method), time.process_time()
    call(type(text)(), text) if method == "sub" else sum(1 for _ in call(text)) if method == "finditer" else call(text)
    return time.process_time() - begun

slow = []
for module, name, method in cases:
    pattern = getattr(importlib.import_module(module), name)
    for start, unit in ((start, unit) for start in starts for unit in units):
        took = seconds(pattern, method, start, unit, size)
        if took <= size / 1e6:
            continue
        # A machine may be slow, but what grows with the text alone takes four times as long for four times as much.
        if took < 1:
            once, more = (min(seconds(pattern, method, start, unit, n) for _ in range(3)) for n in (size, 4 * size))
        if took >= 1 or more > 8 * once:
            slow.append([module, name, method, start, unit, round(took, 3)])
print(json.dumps(slow))
"""


def expressions(package: list[Source]) -> list[tuple[str, str, str]]:
    """Every compiled expression that reads what servers send: its module, its name, how it is applied."""
    web = [source for source in package if not source.path.startswith(TYPED_BY_PEOPLE)]
    names = {
        (source.name, target.id)
        for source in web
        for node in source.tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and is_compiled(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    used = {
        (node.value.id, node.attr)
        for source in web
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS
    }
    return sorted((module, name, method) for module, name in names for owner, method in used if owner == name)


def is_compiled(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "re.compile"


def slow_ones(cases: list[tuple[str, str, str]], size: int, path: Path = ROOT) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(size)], input=json.dumps(cases), capture_output=True, text=True,
        timeout=300, check=True, cwd=path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_sec_37_the_check_sees(tmp_path: Path) -> None:
    """An expression that takes quadratic time is found by the same run."""
    (tmp_path / "bad.py").write_text('import re\nBAD = re.compile(r"\\s*<")\n')
    assert slow_ones([("bad", "BAD", "search")], 2_000, tmp_path)


def test_sec_37_no_expression_takes_more_than_linear_time(package: list[Source]) -> None:
    """Whatever a server sends, no expression takes time that grows faster than its text."""
    assert len(expressions(package)) > 15
    assert slow_ones(expressions(package), 8_000) == []


@pytest.mark.soak
def test_sec_37_no_expression_explodes_on_a_megabyte(package: list[Source]) -> None:
    """The same with a megabyte."""
    assert slow_ones(expressions(package), 1_000_000) == []


def test_sec_37_every_expression_is_compiled_once(package: list[Source]) -> None:
    """What servers send is read by expressions in sight of that test: compiled at the top of a module."""
    found = [
        f"{source.path}:{node.lineno}"
        for source in package
        if not source.path.startswith(TYPED_BY_PEOPLE)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "re"
        and node.func.attr in METHODS
    ]
    assert found == []
