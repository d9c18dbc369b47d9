"""Optional packages: what is said where one is missing."""

from __future__ import annotations

import tomllib
from types import MappingProxyType

import pytest
from conftest import ROOT

from scraper.core import extras
from scraper.errors import UsageError


def test_the_extras_are_those_of_the_project_file() -> None:
    """EXTRAS names every extra of pyproject.toml but `dev`, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """One extra whose module is there, and two whose module is not."""
    made = {"there": "json", "gone": "no_such_module_here", "below": "no_such_package.inside"}
    monkeypatch.setattr(extras, "EXTRAS", MappingProxyType(made))


@pytest.mark.usefixtures("two")
def test_a_missing_extra_is_one_line_with_the_pip_command() -> None:
    """The error names what was wanted, the package, and what installs it; exit 2 like every wrong use."""
    with pytest.raises(UsageError) as refused:
        extras.require("gone", "export to Parquet")
    assert str(refused.value) == (
        "export to Parquet needs no_such_module_here, which is not installed: pip install 'scraper[gone]'"
    )


@pytest.mark.usefixtures("two")
def test_an_extra_that_is_there_is_handed_out() -> None:
    """`require` answers with the module itself; `present` asks without importing, nested names included."""
    assert extras.require("there", "x").__name__ == "json"
    assert [extras.present(name) for name in ("there", "gone", "below")] == [True, False, False]
