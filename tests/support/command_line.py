"""A person who types commands in a folder with a spider, and what each command printed.

A module that takes the fixture `person` imports `shop` of `shop_server` as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from conftest import ROOT

from scraper.cli import main

__all__ = ["SPIDER", "Person", "Ran", "person", "wait_for"]

SPIDER = """
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from scraper import Key, Page, Spider

@dataclass
class Product:
    name: Annotated[str, Key]
    price: Decimal

class Shop(Spider[Product]):
    start_urls = ["{url}/"]
    rate = {rate}
    concurrency = 4

    def parse(self, page: Page):
        yield page.follow_all("a.product", self.product)

    def product(self, page: Page):
        yield Product(page.text("h1"), page.decimal("b"))
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Person:
    """Someone in a directory with a spider, typing commands."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        (folder / "scraper.toml").touch()
        self.write("shop.py", SPIDER.format(url=url, rate="None"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "scraper", *words]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def runs(self, *words: str) -> Ran:
        """A command in a process of its own."""
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return Ran(process.returncode, out, err)

    def types(self, *words: str) -> Ran:
        """A command in this process."""
        out, err = StringIO(), StringIO()
        sys.argv = ["scraper", *words]
        with (
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            main()
        return Ran(left.value.code or 0, out.getvalue(), err.getvalue())

    def spider(self, body: str, top: str = "") -> Ran:
        """Run a spider whose class body is given."""
        self.write(
            "s.py", f"from scraper import Page, Spider\n{top}class S(Spider):\n    rate = None\n" + body
        )
        return self.types("crawl", "s.py", "--db", "s.db")


@pytest.fixture
def person(tmp_path: Path, shop: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setattr(sys, "argv", sys.argv)
    return Person(tmp_path, shop[0])


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until it holds; only for processes, which have no other way to tell."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
