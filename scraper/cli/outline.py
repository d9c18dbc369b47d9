"""What a spider's file says of itself when it is only read, never imported: for completion at a prompt."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outline", "outlines_of"]

#: Annotated names that are no arguments of a spider.
RESERVED = frozenset({"name", "abstract", "start_urls", "transports"})


@dataclass(frozen=True, slots=True)
class Outline:
    """A spider class: its name as a spider, whether `list` would show it, its annotated attributes."""

    cls: str
    name: str
    listed: bool
    annotated: Mapping[str, str]


def outlines_of(path: Path) -> Iterator[Outline]:
    """The classes of a file that derive from Spider, as far as the file tells; none where it is not Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in classes.values():
        line = list(_line(node, classes))
        if any(_is_spider(base) for one in line for base in _bases(one)):
            yield _outline(node, line)


def _outline(node: ast.ClassDef, line: list[ast.ClassDef]) -> Outline:
    """The outline of a class; `line` is the class and its bases in this file."""
    attributes = {name: (value, text) for one in reversed(line) for name, value, text in _attributes(one)}
    abstract = any(name == "abstract" and _constant(value) is True for name, value, _ in _attributes(node))
    given = _constant(attributes.get("name", (None, ""))[0])
    name = given if isinstance(given, str) and given else node.name.lower()
    listed = not abstract and ("start_urls" in attributes or any(map(_may_start, line)))
    annotated = {
        name: annotation
        for name, (_, annotation) in attributes.items()
        if annotation and name not in RESERVED and not name.startswith("_") and "ClassVar" not in annotation
    }
    return Outline(node.name, name, listed, annotated)


def _constant(value: ast.expr | None) -> object:
    return value.value if isinstance(value, ast.Constant) else None


def _may_start(node: ast.ClassDef) -> bool:
    """Whether a class has a start method, or may have one from a base that stands in another file."""
    own = any(isinstance(p, ast.FunctionDef | ast.AsyncFunctionDef) and p.name == "start" for p in node.body)
    return own or any(base != "Spider" and _is_spider(base) for base in _bases(node))


def _line(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """A class and those of its bases that stand in the same file, each once."""
    seen, waiting = set(), [node]
    while waiting:
        one = waiting.pop(0)
        if one.name not in seen:
            seen.add(one.name)
            yield one
            waiting += [classes[base] for base in _bases(one) if base in classes]


def _bases(node: ast.ClassDef) -> list[str]:
    """The names of a class's bases: `Spider` for `Spider`, `scraper.Spider`, `Spider[Book]`."""
    names = []
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(inner, ast.Name):
            names.append(inner.id)
        elif isinstance(inner, ast.Attribute):
            names.append(inner.attr)
    return names


def _is_spider(name: str) -> bool:
    return name.endswith("Spider")


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, str]]:
    """Name, value and annotation of what a class's body sets."""
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, part.value, ast.unparse(part.annotation)
        elif isinstance(part, ast.Assign):
            for target in part.targets:
                if isinstance(target, ast.Name):
                    yield target.id, part.value, ""
