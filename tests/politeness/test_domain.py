"""Who changes a domain's state: its own methods, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from conftest import ROOT, Source, read_sources

from scraper.politeness import Domain
from scraper.politeness.timetable import Timetable

OWNERS = {"scraper.politeness.domain", "scraper.politeness.timetable"}
FIELDS = {*Domain.__slots__, *Timetable.__slots__}


def changes(source: Source) -> Iterator[str]:
    """The assignments to a domain's fields, and uses of its private ones, in a module."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and _is_domain(node.value):
            changed = isinstance(node.ctx, (ast.Store, ast.Del)) and node.attr in FIELDS
            if changed or node.attr.startswith("_"):
                yield f"{source.path}:{node.lineno} {ast.unparse(node)}"


def _is_domain(node: ast.expr) -> bool:
    """Whether an expression is a domain by its name: `domain`, `lane.domain`, `politeness.domain(key)`."""
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name.strip("_") == "domain"
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name)):
            return name == "domain"
    return False


def test_only_a_domain_changes_its_fields() -> None:
    """No other module assigns to a field of a Domain or touches a private one: they call its methods."""
    found = [
        line
        for source in read_sources(ROOT / "scraper")
        if source.name not in OWNERS
        for line in changes(source)
    ]
    assert found == []


def test_what_changes_a_field_is_found() -> None:
    """Assignments of every kind and uses of private fields are offences; reading and calling are none."""
    text = "lane.domain.parked = 1\ndomain.next_at += 2\ndel self._domain.gap\ndomain._push()\nx = domain.gap\ndomain.park('')"
    source = Source("scraper.x", "x.py", text, ast.parse(text))
    assert [line.partition(" ")[0] for line in changes(source)] == ["x.py:1", "x.py:2", "x.py:3", "x.py:4"]
