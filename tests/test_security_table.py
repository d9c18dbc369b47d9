"""docs/security.md names every row of what servers do, and each row has tests."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import ROOT, read_sources

from tests.support.hostile_web import ENDPOINTS

ROW = re.compile(r"^\| ((?:SEC|HOST)-\d\d) \| .+ \| .+ \| `((?:sec|host)_\d\d)` \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """The rows of the table: their name, and what selects their tests."""
    return dict(ROW.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The names of all tests, those made from the list of endpoints included."""
    written = {
        node.name
        for source in read_sources(ROOT / "tests")
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }
    return written | {f"test_{endpoint.id}" for endpoint in ENDPOINTS}


def test_every_row_has_tests(rows: dict[str, str], names: set[str]) -> None:
    """What a row promises is selected by its own name."""
    for row, key in rows.items():
        assert key == row.lower().replace("-", "_")
        assert any(key in name for name in names), row


def test_every_row_is_there(rows: dict[str, str]) -> None:
    """All sixty of the list but the one about HTTP/2, which is not spoken, and every advisory."""
    assert {f"HOST-{number:02}" for number in range(1, 61)} - rows.keys() == {"HOST-57"}
    listed = [*range(1, 15), *range(20, 25), *range(30, 41), 50, 51, 52, *range(54, 61)]
    assert {f"SEC-{number:02}" for number in listed} <= rows.keys()


def test_every_endpoint_is_a_row(rows: dict[str, str]) -> None:
    """Each endpoint of the hostile web is described."""
    assert {f"HOST-{endpoint.row:02}" for endpoint in ENDPOINTS} <= rows.keys()
