"""The generated shop as a folder of files, for a server that is nothing but fast.

    folder = make(Kind(pages=2_000), "")

With several hosts page n lives on host n modulo hosts, and every host has a folder of its own.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.serving import WORK
from scraper.demo.endless import FIELDS, Fields, Pages, is_category, path_of, product

__all__ = ["FIELDS", "Kind", "items", "make"]

#: Raise it when the pages change: a site made by older code is then made again.
VERSION = 4


@dataclass(frozen=True)
class Kind:
    """One shop: how many pages, spread over how many hosts."""

    pages: int
    hosts: int = 1

    @property
    def items(self) -> int:
        return sum(not is_category(number) for number in range(self.pages))

    @property
    def folder(self) -> Path:
        return WORK / "shops" / f"{self.pages}-{self.hosts}"


def make(kind: Kind, base: str, *, zipped: bool = False) -> Path:
    """The folder of a shop whose host h is at `base` with h + 1 for {host}; made where it is not there yet.

    With one host all links are paths, with several they are absolute and `base` counts. `zipped` adds a .gz beside every
    page (nginx's gzip_static sends those).
    """
    folder = kind.folder
    mark = folder / "made.json"
    wanted = {"kind": asdict(kind), "base": base if kind.hosts > 1 else "", "version": VERSION}
    found = json.loads(mark.read_text()) if mark.is_file() else None
    if found != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _write(kind, base)
        mark.write_text(json.dumps(wanted))
    if zipped and not (folder / "zipped").is_file():
        for page in folder.rglob("*.html"):
            page.with_suffix(".html.gz").write_bytes(gzip.compress(page.read_bytes(), 6, mtime=0))
        (folder / "zipped").touch()
    return folder


def items(kind: Kind) -> Iterator[Fields]:
    """What a crawl must find, in order of their pages."""
    return (product(number) for number in range(kind.pages) if not is_category(number))


def _write(kind: Kind, base: str) -> None:
    def where(number: int) -> str:
        path = path_of(number)
        return path if kind.hosts == 1 else base.format(host=number % kind.hosts + 1) + path

    pages = Pages(kind.pages, where)
    for host in range(kind.hosts):
        root = kind.folder / str(host)
        root.mkdir(parents=True)
        (root / "robots.txt").write_text("User-agent: *\nDisallow: /account/\nDisallow: /cart/\n")
    made: set[Path] = set()
    for number in range(kind.pages):
        file = Path(f"{kind.folder}/{number % kind.hosts}{path_of(number)}")
        if file.parent not in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            made.add(file.parent)
        file.write_bytes(pages.page(number))
