"""A million rows: `python -m benchmarks.rows` reads, exports and compares them, and shows that memory does not grow.

Two databases, of 100,000 and of 1,000,000 rows with a key, each crawled twice: in the second run every tenth row has
another value and every hundredth is gone. Each command is a process of its own, measured from outside.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from benchmarks.measure import Usage, run
from scraper import Key
from scraper.items import Items
from scraper.store.file.schema import prepare
from scraper.store.queue.runs import begin, end_run
from scraper.store.rows.tables import ItemTables, Provenance

__all__ = ["main", "make"]

#: Rows in one transaction, as a group of pages would have.
GROUP = 10_000
SIZES = (100_000, 1_000_000)
#: Files an answer is exported to.
FORMATS = ("csv", "jsonl", "parquet", "xlsx")


@dataclass
class Product:
    sku: Annotated[str, Key]
    name: str
    price: float
    stock: int


def make(path: Path, rows: int) -> dict[str, float]:
    """A database with two complete runs; seconds for the first, the second, and the end of each."""
    took = {}
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
        prepare(conn)
        for number in (1, 2):
            began = time.perf_counter()
            _crawl(conn, number, rows)
            took[f"run {number}"] = time.perf_counter() - began
            began = time.perf_counter()
            conn.execute("BEGIN IMMEDIATE")
            end_run(conn, number, "complete", None, 0.0)
            conn.execute("COMMIT")
            took[f"end of run {number}"] = time.perf_counter() - began
    return took


def _crawl(conn: sqlite3.Connection, number: int, rows: int) -> None:
    begin(conn, spider="shop", target="", series="shop", options={}, now=0.0)
    items, tables = Items("shop", [Product]), ItemTables()
    for start in range(0, rows, GROUP):
        chosen = (n for n in range(start, start + GROUP) if number == 1 or n % 100)
        made = [items.convert(_product(n, number), n) for n in chosen]
        origin = Provenance(f"https://shop.test/{start}", number, "2026-01-01T00:00:00Z", start + number, b"")
        conn.execute("BEGIN IMMEDIATE")
        tables.write(conn, made, origin)
        conn.execute("COMMIT")


def _product(n: int, number: int) -> Product:
    price = n + 0.5 if number == 2 and n % 10 == 5 else float(n)
    return Product(f"sku-{n:08}", f"Product number {n}", price, n % 7)


def _measured(folder: Path, sizes: tuple[int, ...], show: Callable[[str], None]) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    commands = {
        "tables": ["tables", "{db}"],
        "query sum": ["query", "{db}", "select sum(price) from product"],
        "query --csv": ["query", "{db}", "product", "--csv"],
        **{f"export {form}": ["export", "{db}", "product", f"{{db}}.{form}"] for form in FORMATS},
        "diff": ["diff", "{db}"],
        "diff --json": ["diff", "{db}", "--json"],
        "backup": ["backup", "{db}", "{db}.copy"],
        "undo": ["undo", "{db}", "2"],
    }
    show(f"{'command':14}{'rows':>11}{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}")
    for rows in sizes:
        db = folder / f"shop-{rows}.db"
        for name, seconds in make(db, rows).items():
            show(f"{name:14}{rows:>11,}{seconds:>9.1f}")
        for name, words in commands.items():
            used = _scraper([word.format(db=db) for word in words], env, folder / "said")
            show(f"{name:14}{rows:>11,}{used.wall:>9.1f}{used.cpu:>8.1f}{used.peak_mb:>10.0f}")


def _scraper(words: list[str], env: dict[str, str], said: Path) -> Usage:
    """A command of ours; that `diff` ends with 1 where something differs is its success."""
    code = f"import sys; from scraper.cli import main; sys.argv = {['scraper', *words]!r}\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    sys.exit(0 if end.code in (0, 1, None) else end.code)"
    return run([sys.executable, "-c", code], None, env, said)


def main() -> None:
    """Measure with the sizes given, or with `SIZES`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    with tempfile.TemporaryDirectory(prefix="scraper-rows-") as folder:
        _measured(Path(folder), tuple(parser.parse_args().sizes), print)


if __name__ == "__main__":
    main()
