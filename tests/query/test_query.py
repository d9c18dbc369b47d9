"""Questions to a database: what is answered, what is refused, and what a person is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scraper import Exact, Key, Page, Spider, UsageError
from scraper.cli.commands.query import parameters
from scraper.cli.group import cli
from scraper.errors import QueryError
from scraper.query import QueryResult, ask, fill_rates, list_tables, open_readonly, write_answer
from scraper.query import tables as query_tables
from scraper.query.error_hints import placeholders
from scraper.testing import Site, simulate

SEEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Decimal
    exact: Annotated[Decimal, Exact]
    seen: datetime
    out: date
    sold: bool
    tags: list[str]
    blurb: str | None = None
    lasts: timedelta = timedelta(minutes=1)


class Books(Spider[Book]):
    start_urls = ("https://a.test/",)
    robots = False

    def parse(self, page: Page) -> Any:
        for n in range(20):
            yield Book(
                f"00{n}", "=1+1" if n == 3 else f"title {n}", Decimal(n) / 4, Decimal("0.10"), SEEN,
                date(2026, 1, 1), bool(n % 2), ["a"], None if n % 4 else "x" if n else "",
            )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("query") / "books.db"
    assert simulate(Books, Site({"https://a.test/": "x"}), db=made).summary.exit_code == 0
    return str(made)


@pytest.fixture
def conn(path: str) -> Iterator[sqlite3.Connection]:
    with closing(open_readonly(path)) as opened:
        yield opened


def told(conn: sqlite3.Connection, sql: str, *values: Any) -> str:
    with pytest.raises(QueryError) as caught:
        list(ask(conn, sql, values).rows)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- answers


def test_a_table_shows_the_columns_that_are_the_users(conn: sqlite3.Connection) -> None:
    """A table that is named shows its own columns; everything, when asked; an internal table all of its."""
    assert ask(conn, "book").columns[-1] == "lasts"
    assert "_url" in ask(conn, "book", everything=True).columns
    assert "state" in ask(conn, "_runs").columns
    assert "found_on" in ask(conn, "requests").columns


def test_parameters_by_name_and_in_order(conn: sqlite3.Connection) -> None:
    """`:name` and `?` are filled in; a limit holds without a subquery."""
    assert list(ask(conn, "select upc from book where upc = :u", {"u": "003"}).rows) == [("003",)]
    assert list(ask(conn, "select upc from book where upc = ?", ["003"]).rows) == [("003",)]
    assert len(list(ask(conn, "values (1), (2), (3)", limit=2).rows)) == 2


def test_several_databases_are_read_together(path: str, tmp_path: Path) -> None:
    """An attached database is read under its name, tables and columns; nothing of it can be written."""
    other = tmp_path / "other.db"
    simulate(Books, Site({"https://a.test/": "x"}), db=other)
    with closing(open_readonly(path, {"other": str(other)})) as conn:
        sql = "select count(*) from book join other.book o using (upc)"
        assert list(ask(conn, sql).rows) == [(20,)]
        assert ask(conn, "other.book").columns == ask(conn, "book").columns
        assert 'Did you mean "other.book"' in told(conn, "select * from other.bok")
        assert "reading only" in told(conn, "delete from other.book")


def test_a_database_in_a_folder_that_cannot_be_written_is_read(path: str, tmp_path: Path) -> None:
    """An archived database, with no log beside it, is answered even where SQLite cannot make one."""
    copy = tmp_path / "archive.db"
    copy.write_bytes(Path(path).read_bytes())
    with closing(open_readonly(str(copy))) as conn:
        assert list(ask(conn, "select count(*) from book").rows) == [(20,)]


@pytest.mark.parametrize(
    "sql",
    [
        "insert into book (upc) values ('x')",
        "delete from book",
        "drop table book",
        "create temp table t (a)",
        "create table t (a)",
        "update sqlite_master set sql = ''",
        "attach 'new.db' as other",
        "vacuum into 'new.db'",
        "vacuum",
        "pragma query_only = off",
        "pragma user_version = 7",
        "pragma journal_mode = delete",
        "pragma wal_checkpoint(truncate)",
        "pragma optimize",
        "reindex",
        "analyze",
        "savepoint x",
        "select load_extension('x.so')",
        "create virtual table t using fts5(a)",
        "with x as (select 1) delete from book",
        "select * from pragma_wal_checkpoint",
    ],
)
def test_sec_55_a_question_cannot_write(path: str, tmp_path: Path, monkeypatch: Any, sql: str) -> None:
    """Whatever is asked, neither the database nor any other file is written."""
    monkeypatch.chdir(tmp_path)
    before = Path(path).read_bytes()
    with closing(open_readonly(path)) as conn, pytest.raises(QueryError):
        list(ask(conn, sql).rows)
    assert Path(path).read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_questions_of_every_form_are_answered(conn: sqlite3.Connection) -> None:
    """CTEs, recursion, window functions, JSON functions and showing pragmas are questions too."""
    for sql in (
        "with recursive c(x) as (select 1 union all select x + 1 from c where x < 9) select * from c",
        "select upc, rank() over (order by price) from book",
        "select value from book, json_each(book.tags)",
        "select name from pragma_table_info('book')",
        "pragma table_info(book)",
        "pragma user_version",
        "pragma integrity_check",
        "explain query plan select * from book",
        "values (1)",
    ):
        assert list(ask(conn, sql).rows), sql


# ------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("bok", "no table 'bok'. Did you mean \"book\"? Tables: "),
        ("select tilte from book", "no column 'tilte'. Did you mean \"title\"?"),
        ("select b.tilte from book b", "no column 'tilte'. Did you mean \"title\"?"),
        ("select zzz from book", "Columns: upc, title, price"),
        ("select lenght(title) from book", 'no function lenght(). Did you mean "length"?'),
        ("selct title from book", "    selct title from book\n    ^ did you mean SELECT?"),
        ("select title form book", "    select title form book\n                 ^ did you mean FROM?"),
        (
            "select title\nfrom book wehre price > 3",
            "    from book wehre price > 3\n              ^ did you mean WHERE?",
        ),
        ("select title from book order bye price", "^ did you mean BY?"),
        ("select 'selct' frm book", "                   ^ did you mean FROM?"),
        ("select title, from book", "^ SQLite does not understand it from here on"),
        ("select title from", "not complete"),
        ("select 1; select 2", "one statement at a time"),
        ("select * from book where upc = ?", "1 parameters (?) and 0 values"),
        ("begin transaction", "no question"),
    ],
)
def test_mistakes_are_explained(conn: sqlite3.Connection, sql: str, said: str) -> None:
    """A misspelt table, column, function or keyword is named with what was probably meant, and where."""
    assert said in told(conn, sql)


def test_a_parameter_that_is_missing_is_named(conn: sqlite3.Connection) -> None:
    """A `:name` without a value is named by its name."""
    with pytest.raises(QueryError, match="no value was given for :u"):
        ask(conn, "select * from book where upc = :u", {})


@pytest.mark.parametrize(
    ("sql", "names", "marks"),
    [
        ("select :a, @b, $c, :a", ["a", "b", "c"], 0),
        ("select ?, ? from t where x = ':no' -- :no ?", [], 2),
        ('select ":no", [:no] /* :no */', [], 0),
        ("select '12:30'::text", [], 0),
    ],
)
def test_placeholders_are_found(sql: str, names: list[str], marks: int) -> None:
    """Parameters are found outside texts, quoted names and comments."""
    assert placeholders(sql) == (names, marks)


def test_values_of_the_command_line() -> None:
    """A number is one only as it is written by itself: an article number with zeros before it stays text."""
    assert parameters("select ?, ?, ?, ?", ["3", "003", "1.5", "a=b"]) == [3, "003", 1.5, "a=b"]
    assert parameters("select :a", ["a=x=y"]) == {"a": "x=y"}
    for given_, said in ((["b=1"], "no :b"), (["a"], "-p a=VALUE"), ([], "-p a=VALUE")):
        with pytest.raises(UsageError, match=said):
            parameters("select :a", given_)


# ------------------------------------------------------------------------------------------- text


def written(form: str, *rows: tuple[Any, ...], safe: bool = False) -> str:
    out = StringIO()
    write_answer(QueryResult([f"c{i}" for i in range(len(rows[0]))], rows), out, form, safe=safe)
    return out.getvalue()


def test_null_and_an_empty_text_differ() -> None:
    """NULL and '' are told apart in every format."""
    assert written("table", (None, "")).splitlines()[2] == "NULL"
    assert written("csv", (None, "")) == 'c0,c1\n,""\n'
    assert written("jsonl", (None, "")) == '{"c0": null, "c1": ""}\n'


def test_sec_57_a_table_cannot_steer_a_terminal() -> None:
    """Escapes, line feeds and direction marks from a site do not reach the terminal."""
    shown = written("table", ("\x1b[31mred\x07", "a\nb\u202e"))
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "＝1"])
def test_sec_59_formulas_are_disarmed_when_asked(text: str) -> None:
    """With `--excel-safe` no text begins as a formula does; without it the text is as it was."""
    import csv

    plain = list(csv.reader(StringIO(written("csv", (text, -1)), newline="")))
    assert plain[1] == [text, "-1"]
    assert list(csv.reader(StringIO(written("csv", (text, -1), safe=True), newline="")))[1] == [
        f"'{text}",
        "-1",
    ]


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers())
    )
)
def test_sec_59_csv_round_trips_otherwise(rows: list[tuple[str, int]]) -> None:
    """What is written as CSV is read back exactly, whatever the text."""
    import csv

    if rows:
        text = written("csv", *rows)
        read = list(csv.reader(StringIO(text, newline="")))
        assert [(a, int(b)) for a, b in read[1:]] == rows


# ------------------------------------------------------------------------------------------- tables


def test_tables_says_how_well_columns_are_filled(conn: sqlite3.Connection) -> None:
    """Each column has its kind, its key, and the share of rows that are neither NULL nor empty."""
    (book,) = [fill_rates(conn, info) for info in list_tables(conn) if not info.internal]
    found = {column.name: (column.kind, column.key, column.filled) for column in book.columns}
    assert found["upc"] == ("text", True, 1.0)
    assert found["price"][:2] == ("decimal", False)
    assert found["exact"][0] == "decimal"
    assert found["seen"][0] == "datetime"
    assert found["sold"] == ("boolean", False, 1.0)
    assert found["tags"][0] == "json"
    assert found["blurb"][2] == 4 / 20
    assert (book.rows, book.sampled) == (20, 0)


def test_big_tables_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a size the fill rates come of pieces spread over the table, and this is said."""
    monkeypatch.setattr(query_tables, "PIECES", 10)
    monkeypatch.setattr(query_tables, "PIECE", 10)
    file = tmp_path / "big.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE t (a, b)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [(n, None if n >= 500 else n) for n in range(1000)])
        made.commit()
    with closing(open_readonly(str(file))) as conn:
        (info,) = [fill_rates(conn, found) for found in list_tables(conn)]
    assert (info.rows, info.sampled) == (1000, 100)
    assert [column.filled for column in info.columns] == [1.0, 0.5]


# ------------------------------------------------------------------------------------------- the command line


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    return done.exit_code, done.stdout, str(done.exception or "") + done.stderr


def test_the_commands_answer(path: str) -> None:
    """`tables` and `query` write to stdout what they found, and nothing else."""
    code, out, _ = run("query", path, "select title from book where upc = :u", "-p", "u=003", "--csv")
    assert (code, out) == (0, "title\n=1+1\n")
    _, out, _ = run("query", path, "select title from book where upc = ?", "-p", "003", "--excel-safe")
    assert out == "title\n'=1+1\n"
    code, out, _ = run("tables", path)
    assert out.splitlines()[0] == "book  20 rows"
    assert ["blurb", "text", "20", "%"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-1].startswith("views: ")
    assert run("query", path, "book", "--limit", "1", "--attach", path, "--attach", path)[2].startswith(
        "--attach: each"
    )


def test_the_name_of_a_database_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A misspelt database is answered with the one that was meant."""
    (tmp_path / "data").mkdir()
    (tmp_path / "spiders").mkdir()
    (tmp_path / "data" / "books.db").write_bytes(Path(path).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run("tables", "books")[0] == 0
    assert 'Did you mean "books"?' in run("tables", "boks")[2]


ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select 1 union all select count(*) from c"


def test_ctrl_c_stops_a_long_query(path: str) -> None:
    """A query that would never end leaves at Ctrl-C with exit code 130 and no traceback."""
    command = [sys.executable, "-m", "scraper", "query", path, ENDLESS, "--csv"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is at work: the first row is there, the second will never be
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_live_crawl_can_be_asked(tmp_path: Path) -> None:
    """While a crawl is writing, what it has committed is read, and the crawl goes on."""
    file = tmp_path / "live.db"
    seen: list[int] = []

    class Live(Spider[Book]):
        start_urls = ("https://a.test/",)
        robots = False

        def parse(self, page: Page) -> Any:
            yield Book("1", "t", Decimal(1), Decimal(1), SEEN, date(2026, 1, 1), True, [])
            yield page.request("https://a.test/2", self.second)

        def second(self, page: Page) -> None:
            with closing(open_readonly(str(file))) as conn:
                seen.extend(row[0] for row in ask(conn, "select count(*) from book").rows)

    simulate(Live, Site({"https://a.test/": "x", "https://a.test/2": "y"}), db=file)
    assert seen == [1]
