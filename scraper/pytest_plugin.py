"""Pytest collects `*.case.json`: pages saved by `scraper try --save`, replayed without a network.

Nothing of the crawler is imported before there is such a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CaseFile", "CaseItem", "Changed", "pytest_addoption", "pytest_collect_file"]

#: As in `scraper.testing.saved_case`, which is not imported for it.
SUFFIX = ".case.json"
ACCEPT = "--accept-cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("scraper").addoption(
        ACCEPT, action="store_true", help="save what spiders make of saved pages now as what they should"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.endswith(SUFFIX):
        return None
    collected: pytest.Collector = CaseFile.from_parent(parent, path=file_path)
    return collected


class Changed(Exception):
    """A spider makes something else of a saved page."""


class CaseFile(pytest.File):
    """One saved case."""

    def collect(self) -> Iterator[pytest.Item]:
        yield CaseItem.from_parent(self, name=self.path.name.removesuffix(SUFFIX))


class CaseItem(pytest.Item):
    """Replays the page and compares items, rejections and links."""

    def runtest(self) -> None:
        from scraper.testing.saved_case import accept, difference

        changes = difference(self.path)
        if changes and self.config.getoption(ACCEPT):
            accept(self.path)
        elif changes:
            raise Changed(changes)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Changed):
            return f"{self.path}\n{excinfo.value}\naccept it with: pytest {ACCEPT}"
        from scraper.errors import ScraperError

        if isinstance(excinfo.value, ScraperError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"saved case: {self.name}"
