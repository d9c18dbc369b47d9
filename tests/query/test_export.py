"""Answers as files: exact values, declared types, flat memory, and never half a file."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from scraper import Exact, Key, Page, Spider, UsageError
from scraper.cli.commands.browse import command_of
from scraper.cli.group import cli
from scraper.errors import QueryError
from scraper.query import Export, export, open_readonly
from scraper.query.run_files import export_run
from scraper.testing import Site, simulate

parquet = pytest.importorskip("pyarrow.parquet")
SEEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@dataclass
class Thing:
    id: Annotated[int, Key]
    name: str
    price: Decimal | None
    exact: Annotated[Decimal, Exact]
    at: datetime
    local: datetime
    day: date
    hour: time
    lasts: timedelta
    code: UUID
    raw: bytes
    good: bool
    weight: float
    tags: list[str]
    mixed: int | str


def thing(n: int) -> Thing:
    return Thing(
        n, f"ä{n}", Decimal(n) / 8 if n else None, Decimal("0.10") * n, SEEN, SEEN.replace(tzinfo=None),
        date(2026, 1, 1), time(1, 2, 3), timedelta(seconds=1.5), UUID(int=n), b"\x00\xff", n > 1, 0.1, ["a"],
        n if n % 2 else "x",
    )  # fmt: skip


@dataclass
class Shop:
    name: str


class Things(Spider[Thing | Shop]):
    start_urls = ("https://a.test/",)
    robots = False

    def parse(self, page: Page) -> Any:
        yield [thing(n) for n in range(3)]
        yield Shop("s")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("export") / "things.db"
    assert simulate(Things, Site({"https://a.test/": "x"}), db=made).summary.exit_code == 0
    return str(made)


@pytest.fixture
def conn(path: str) -> Iterator[sqlite3.Connection]:
    with closing(open_readonly(path)) as opened:
        yield opened


def test_parquet_has_the_declared_types(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """Decimals come back exactly, aware datetimes in UTC, naive ones naive, everything as it was declared."""
    out = tmp_path / "things.parquet"
    assert export(conn, Export("thing"), out) == 3
    table = parquet.read_table(out)
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int64", "name": "string", "price": "decimal128(4, 3)", "exact": "decimal128(3, 2)",
        "at": "timestamp[us, tz=UTC]", "local": "timestamp[us]", "day": "date32[day]", "hour": "time64[us]",
        "lasts": "duration[us]", "code": "string", "raw": "binary", "good": "bool", "weight": "double",
        "tags": "string", "mixed": "string",
    }  # fmt: skip
    for n, row in enumerate(table.to_pylist()):
        wanted = thing(n)
        assert row["price"] == wanted.price
        assert row["exact"] == wanted.exact
        assert (row["at"], row["local"], row["day"], row["hour"]) == (
            SEEN,
            wanted.local,
            wanted.day,
            wanted.hour,
        )
        assert (row["lasts"], row["raw"], row["good"]) == (wanted.lasts, wanted.raw, wanted.good)
        assert row["mixed"] == str(wanted.mixed)


def test_parquet_of_an_answer(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """Columns of a statement keep their declared types; computed ones have the type of their values."""
    out = tmp_path / "answer.parquet"
    sql = "select at, price, count(*) over () as n, avg(weight) over () as w, null as empty from thing where id < ?"
    assert export(conn, Export(sql, [2]), out) == 2
    schema = parquet.read_schema(out)
    assert [str(field.type) for field in schema] == [
        "timestamp[us, tz=UTC]", "decimal128(4, 3)", "int64", "double", "string",
    ]  # fmt: skip
    with pytest.raises(QueryError, match="column day was declared as date and holds something else"):
        export(conn, Export("select 'x' || day as day from thing"), tmp_path / "bad.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["answer.parquet"]


def test_what_is_stored_as_json_is_nested_in_json(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """A list is a list in JSON and JSON lines, and its text in CSV; what a function made of it stays as it is."""
    sql = "select tags, 'x' || tags as t, name from thing where id = 1"
    for suffix in ("json", "jsonl", "csv"):
        export(conn, Export(sql), tmp_path / f"out.{suffix}")
    row = {"tags": ["a"], "t": 'x["a"]', "name": "ä1"}
    assert json.loads((tmp_path / "out.json").read_text()) == [row]
    assert json.loads((tmp_path / "out.jsonl").read_text()) == row
    with open(tmp_path / "out.csv", newline="") as file:
        assert next(csv.DictReader(file))["tags"] == '["a"]'
    export(conn, Export("select 'x' || tags as tags from thing"), tmp_path / "made.jsonl")
    assert json.loads((tmp_path / "made.jsonl").read_text().splitlines()[0]) == {"tags": 'x["a"]'}


def test_columns_of_one_name_all_have_their_values(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """No value is lost in JSON because two columns have one name."""
    export(conn, Export('select 1 as a, 2 as a, 3 as "a:1"'), tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"a": 1, "a:1": 2, "a:1:1": 3}


def test_infinity_is_refused_in_json(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """What is written as JSON can be read by every reader of JSON."""
    with pytest.raises(QueryError, match="JSON has no infinity"):
        export(conn, Export("select 1e999 as a"), tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_text_formats(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """CSV, JSON and JSON lines hold the same rows."""
    for suffix in ("csv", "json", "jsonl"):
        assert export(conn, Export("select id, name, price from thing"), tmp_path / f"out.{suffix}") == 3
    rows = [
        {"id": 0, "name": "ä0", "price": None},
        {"id": 1, "name": "ä1", "price": 0.125},
        {"id": 2, "name": "ä2", "price": 0.25},
    ]
    assert json.loads((tmp_path / "out.json").read_text()) == rows
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows
    with open(tmp_path / "out.csv", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["ä0", "ä1", "ä2"]


def test_sec_59_formulas_in_files(tmp_path: Path) -> None:
    """In CSV formulas are disarmed when asked; in an Excel file a text is never a formula."""
    file = tmp_path / "x.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE t (a TEXT, n INTEGER)")
        made.execute("INSERT INTO t VALUES ('=HYPERLINK(\"http://x\")', -1)")
        made.commit()
    with closing(open_readonly(str(file))) as conn:
        export(conn, Export("t", safe=True), tmp_path / "safe.csv")
        export(conn, Export("t"), tmp_path / "plain.csv")
        export(conn, Export("t"), tmp_path / "t.xlsx")
    assert (tmp_path / "safe.csv").read_text("utf-8-sig").splitlines()[1].startswith("\"'=HYPERLINK")
    assert (tmp_path / "plain.csv").read_text().splitlines()[1].startswith('"=HYPERLINK')
    with zipfile.ZipFile(tmp_path / "t.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "HYPERLINK" in sheet


def test_xlsx_refuses_what_a_sheet_cannot_hold(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """A text longer than a cell, or more rows than a sheet, is said and nothing is written."""
    with pytest.raises(QueryError, match="row 1: a has 40,000 characters"):
        export(conn, Export("select hex(zeroblob(20000)) as a"), tmp_path / "long.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_whole_or_not_there(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """What fails in the middle leaves the old file as it was and nothing beside it."""
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    with pytest.raises(UsageError, match=r"out\.jsonl exists; overwrite it with --force"):
        export(conn, Export("thing"), out)
    with pytest.raises(QueryError):
        export(conn, Export("select 1 union all select abs(-9223372036854775808)"), out, force=True)
    assert out.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    export(conn, Export("select 1 as a"), out, force=True)
    assert out.read_text() == '{"a": 1}\n'


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("x.cvs", 'Did you mean ".csv"'),
        ("no/x.csv", "no folder"),
        (".", "no format"),
        ("x", "Known: .csv, .json"),
    ],
)
def test_a_file_that_cannot_be_is_refused(
    conn: sqlite3.Connection, tmp_path: Path, out: str, said: str
) -> None:
    """A suffix nobody knows and a folder that is not there are said before anything is done."""
    with pytest.raises(UsageError, match=said):
        export(conn, Export("thing"), tmp_path / out)


def test_crawl_writes_the_rows_of_its_run(tmp_path: Path) -> None:
    """`crawl -o` writes what this run saw: several tables to a file each."""
    file = tmp_path / "things.db"
    site = Site({"https://a.test/": "x"})
    simulate(Things, site, db=file)
    summary = simulate(Things, site, db=file).summary
    written = export_run(str(file), summary.run, {"shop", "thing"}, str(tmp_path / "out.jsonl"))
    assert written == [(str(tmp_path / "out.shop.jsonl"), 1), (str(tmp_path / "out.thing.jsonl"), 3)]
    assert json.loads((tmp_path / "out.shop.jsonl").read_text()) == {"name": "s"}


def test_the_export_command(path: str, tmp_path: Path) -> None:
    """`scraper export` says on stderr what it wrote; stdout stays empty."""
    out = tmp_path / "t.csv"
    done = CliRunner().invoke(cli, ["export", path, "select id from thing where id > ?", str(out), "-p", "0"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "2 rows" in done.stderr
    assert out.read_text() == "id\n1\n2\n"
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_browse_serves_this_machine_only() -> None:
    """datasette is started on 127.0.0.1, on files it opens read-only and not as immutable."""
    command = command_of(["a.db"], 8001, show=False)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "-i" not in command
    assert "--immutable" not in command
    assert "a.db" in command


MILLION = 1_000_000
FLAT = """
import sqlite3, sys
from contextlib import closing
from scraper.query import Export, export, open_readonly
from scraper.query.run_files import export_run
from tests.support.peak_memory import highest, restart
path, out, rows = sys.argv[1:]
with closing(open_readonly(path)) as conn:
    export(conn, Export("book", limit=1000), out, force=True)
    before = restart()
    export(conn, Export("book", limit=int(rows)), out, force=True)
print(highest() - before)
"""


def grown(path: Path, out: Path, rows: int) -> int:
    """KiB by which an export of so many rows grew its process, beyond one of a thousand."""
    done = subprocess.run(
        [sys.executable, "-c", FLAT, str(path), str(out), str(rows)],
        capture_output=True, text=True, timeout=500, check=True,
    )  # fmt: skip
    return int(done.stdout)


def big(path: Path, rows: int) -> Path:
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE book (upc TEXT PRIMARY KEY, title TEXT, price NUMERIC, n INTEGER)")
        made.execute(
            "INSERT INTO book SELECT printf('%08d', value), 'the title of book ' || value, value / 100.0, value"
            " FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < ?) SELECT * FROM c)",
            (rows,),
        )
        made.commit()
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_memory_is_flat(tmp_path: Path, suffix: str) -> None:
    """Twice the rows take no more memory (a short version of benchmarks/rows.py)."""
    file = big(tmp_path / "big.db", 120_000)
    few, many = (grown(file, tmp_path / f"out.{suffix}", rows) for rows in (60_000, 120_000))
    assert many - few < 16 * 1024, f"{few} KiB, then {many} KiB"
