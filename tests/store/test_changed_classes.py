"""An item class that changed: its table follows, or the loss is refused with the command that accepts it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import Key, Page, Spider
from scraper.errors import SpiderError, StoreError
from scraper.events import Warned
from scraper.items import Items, table
from scraper.store.file.schema import prepare
from scraper.store.rows.reshape import convert
from scraper.store.rows.shapes import Occasion, adapt
from scraper.store.rows.tables import ItemTables, Provenance
from scraper.testing import Site, simulate

UPC: tuple[str, Any] = ("upc", Annotated[str, Key])


@contextmanager
def opened(path: str = ":memory:") -> Iterator[Store]:
    store = Store(path)
    with closing(store.conn):
        yield store


def item_class(*fields: Any, **options: Any) -> Any:
    return table(**options)(make_dataclass("Book", [UPC, *fields]))


class Store:
    """A database with one item table, written run by run."""

    def __init__(self, path: str = ":memory:") -> None:
        self.conn = sqlite3.connect(path, isolation_level=None)
        prepare(self.conn)
        self.run = 0

    def crawl(self, cls: Any, rows: Sequence[Any] = (), *, accept_loss: bool = False) -> list[str]:
        """One run: the table is adapted, then the rows are written. Returns what was said."""
        self.run += 1
        occasion = Occasion(self.run, 0.0, accept_loss)
        self.conn.execute("BEGIN IMMEDIATE")
        try:
            self.conn.execute(
                "INSERT INTO _runs (spider, target, series, options, started, state)"
                " VALUES ('books', 'my books.py', '', '{}', 0, 'running')"
            )
            adapt(self.conn, Items("books", [cls]).tables, occasion)
            items = Items("books", [cls])
            made = [items.convert(cls(*row), n) for n, row in enumerate(rows)]
            origin = Provenance("https://a.test/", self.run, "", self.run, bytes([self.run]))
            assert not ItemTables().write(self.conn, made, origin).rejected
        except BaseException:
            self.conn.execute("ROLLBACK")
            raise
        self.conn.execute("COMMIT")
        return occasion.notes

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(question).fetchall()

    def columns(self, table: str = "book") -> dict[str, str]:
        found = self.ask(f"SELECT name, type FROM pragma_table_info('{table}')")
        return {name: kind for name, kind in found if not name.startswith("_")}


@pytest.fixture
def store() -> Iterator[Store]:
    with opened() as store:
        yield store


def test_a_new_field_is_a_new_column(store: Store) -> None:
    """Old rows have NULL, new ones their value; it is said and recorded once, with its run and time."""
    store.crawl(item_class(("title", str)), [("a", "A")])
    notes = store.crawl(item_class(("title", str), ("pages", int | None)), [("b", "B", 7)])
    assert notes == ["table book: new column pages, NULL in the rows stored before"]
    assert store.ask("SELECT upc, pages FROM book") == [("a", None), ("b", 7)]
    assert store.ask("SELECT at, run, what FROM _migrations") == [(0.0, 2, notes[0])]
    assert store.columns("_book_history")["pages"] == "INTEGER"
    assert store.ask("SELECT pages FROM book_history WHERE upc = 'b'") == [(7,)]
    assert store.crawl(item_class(("title", str), ("pages", int | None)), [("c", "C", 8)]) == []


def test_a_removed_field_leaves_its_column(store: Store) -> None:
    """Nothing stored is lost, and it is said once."""
    store.crawl(item_class(("title", str), ("pages", int)), [("a", "A", 7)])
    assert store.crawl(item_class(("title", str)), [("a", "A")]) == [
        "table book: column pages stays, but no field fills it any more"
    ]
    assert store.ask("SELECT title, pages, _changed_run FROM book") == [("A", 7, None)]
    assert store.crawl(item_class(("title", str)), [("b", "B")]) == []


def test_a_renamed_field_is_one_removed_and_one_new(store: Store) -> None:
    """The hint is the statement that moves the old values, and it works."""
    store.crawl(item_class(("title", str)), [("a", "A")])
    notes = store.crawl(item_class(("name", str)))
    assert len(notes) == 2
    statement = notes[1].partition("if it was renamed to name: ")[2]
    store.conn.execute(statement)
    assert store.ask("SELECT name FROM book") == [("A",)]


@pytest.mark.parametrize(
    ("before", "after", "kind", "stored"),
    [
        (int, Decimal, "NUMERIC", 7),
        (int, float, "REAL", 7.0),
        (int, str, "TEXT", "7"),
        (int, int | str, "BLOB", 7),
        (Decimal, float, "REAL", 7.0),
        (float, Decimal, "NUMERIC", 7),
        (float, str, "TEXT", "7.0"),
        (Decimal, int, "INTEGER", 7),
    ],
)
def test_a_type_that_loses_nothing_is_rewritten(
    store: Store, before: Any, after: Any, kind: str, stored: Any
) -> None:
    """Every value is read, converted and kept, in the table and in its history; then new rows have the new type."""
    store.crawl(item_class(("x", before)), [("a", before(7)), ("b", before(7))])
    store.crawl(item_class(("x", before)), [("a", before(8))])
    wanted = item_class(("x", after))
    notes = store.crawl(wanted)
    assert notes[0].startswith(f"table book: column x is {kind} now")
    assert notes[0].endswith("every value as it was")
    assert (store.columns()["x"], store.columns("_book_history")["x"]) == (kind, kind)
    assert store.ask("SELECT x, typeof(x) FROM book WHERE upc = 'b'") == [(stored, type_name(stored))]
    assert store.ask("SELECT x FROM book_history WHERE _until_run = 2") == [(stored,)]
    assert store.ask("SELECT upc, _run, _first_run FROM book") == [("a", 2, 1), ("b", 1, 1)]
    assert store.ask("SELECT pk FROM pragma_table_info('book') WHERE name = 'upc'") == [(1,)]


def type_name(value: Any) -> str:
    return {int: "integer", float: "real", str: "text"}[type(value)]


LOSSY = [
    (
        str,
        int,
        ["07", "8"],
        "TEXT in this database and INTEGER in the item class now, and 1 stored values .*'07'",
    ),
    (float, int, [1.5, 2.0], "REAL .* and INTEGER .* 1 stored values .* 1.5"),
    (int, float, [2**62 + 1, 1], "INTEGER .* and REAL .* 1 stored values"),
    (bytes, str, [b"x", b"y"], "BLOB .* and TEXT .* 2 stored values"),
    (str, Decimal, ["1.50", "free"], "TEXT .* and NUMERIC .* 2 stored values"),
]


@pytest.mark.parametrize(("before", "after", "values", "reason"), LOSSY)
def test_a_type_that_loses_something_is_refused(
    tmp_path: Path, before: Any, after: Any, values: list[Any], reason: str
) -> None:
    """Nothing is altered; the message names table, column, types, how many values, and the command, quoted."""
    with opened(str(tmp_path / "my books.db")) as store:
        store.crawl(item_class(("x", before)), list(zip("ab", values, strict=True)))
        dump = list(store.conn.iterdump())
        with pytest.raises(StoreError, match=f"column x of table book is {reason}") as error:
            store.crawl(item_class(("x", after)))
        assert str(error.value).endswith(
            f"scraper migrate '{tmp_path}/my books.db' 'my books.py' --accept-loss"
        )
        assert list(store.conn.iterdump()) == dump


def test_an_accepted_loss_keeps_what_can_be_kept(store: Store) -> None:
    """With the loss accepted, what has no form in the new type is NULL, and the number lost is recorded."""
    store.crawl(item_class(("x", str)), [("a", "1.50"), ("b", "free"), ("c", "2")])
    notes = store.crawl(item_class(("x", Decimal | None)), accept_loss=True)
    assert notes == ["table book: column x is NUMERIC now (it was TEXT); 2 values were lost"]
    assert store.ask("SELECT upc, x FROM book ORDER BY upc") == [("a", 1.5), ("b", None), ("c", 2)]


def test_another_key_is_refused_and_can_be_accepted(store: Store) -> None:
    """Of rows that would share the new key the one seen last stays; how many are dropped is said."""
    store.crawl(item_class(("isbn", str), ("n", int)), [("a", "1", 1), ("b", "1", 2)])
    store.crawl(item_class(("isbn", str), ("n", int)), [("a", "1", 3)])
    changed = make_dataclass("Book", [("upc", str), ("isbn", Annotated[str, Key]), ("n", int)])
    with pytest.raises(
        StoreError, match=r"key of table book is upc in this database and isbn .* --accept-loss"
    ):
        store.crawl(changed)
    notes = store.crawl(changed, accept_loss=True)
    assert notes == ["table book: the key is isbn now (it was upc); 1 rows were dropped"]
    assert store.ask("SELECT upc, isbn, n FROM book") == [("a", "1", 3)]
    store.crawl(changed, [("z", "1", 4)])
    assert store.ask("SELECT upc, n, _until_run FROM book_history ORDER BY _from_run, n") == [
        ("a", 1, 3 - 1),
        ("a", 3, 5),
        ("z", 4, None),
    ]


def test_an_empty_table_takes_another_key_at_once(store: Store) -> None:
    """Where there is nothing to lose nothing is asked."""
    cls = item_class(("n", int))
    store.crawl(cls, [("a", 1)])
    store.conn.execute("DELETE FROM book")
    store.crawl(make_dataclass("Book", [("upc", str), ("n", Annotated[int, Key])]))
    assert store.ask("SELECT name FROM pragma_table_info('book') WHERE pk") == [("n",)]


def test_optional_and_required_alter_nothing(store: Store) -> None:
    """How many stored rows lack what is required now is said; the other way there is nothing to say."""
    store.crawl(item_class(("x", int | None)), [("a", None), ("b", 1)])
    assert store.crawl(item_class(("x", int))) == [
        "table book: x is required now, and 1 rows stored before have none"
    ]
    assert store.crawl(item_class(("x", int | None))) == []


def test_indexes_follow_the_class(store: Store) -> None:
    """Indexes are made and dropped with the decorator, and survive a rewrite; those of a person stay."""
    store.crawl(item_class(("x", int), ("y", str), index=["x", ("y", "x")]), [("a", 1, "b")])
    store.conn.execute("CREATE INDEX own ON book (y)")
    assert {name for (name,) in store.ask(INDEXES)} == {"book(x)", "book(y, x)", "own"}
    notes = store.crawl(item_class(("x", float), ("y", str), index=["x"], unique=["y"]))
    assert "table book: index on book(y, x) was dropped" in notes
    assert "table book: index on book(y) unique was made" in notes
    assert {name for (name,) in store.ask(INDEXES)} == {"book(x)", "book(y) unique", "own"}
    plan = store.ask("EXPLAIN QUERY PLAN SELECT * FROM book WHERE x = 1")
    assert "book(x)" in plan[0][3]


INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'book' AND sql IS NOT NULL"


def test_a_row_that_breaks_a_unique_index_is_rejected_alone(store: Store) -> None:
    """Its reason names field and value; the rows around it go in, new and changed ones alike."""
    cls = item_class(("isbn", str | None), unique=["isbn"])
    store.crawl(cls, [("a", "1"), ("b", "2"), ("n", None), ("m", None)])
    items = Items("books", [cls])
    rows = [
        items.convert(cls(*row), n) for n, row in enumerate([("c", "1"), ("d", "4"), ("b", "1"), ("a", "5")])
    ]
    written = ItemTables().write(store.conn, rows, Provenance("https://a.test/", 2, "", 2, b"x"))
    assert dict(written.stored) == {"book.new": 1, "book.changed": 1}
    assert [r.reason for r in written.rejected] == ["isbn '1': another row has it (unique)"] * 2
    assert store.ask("SELECT upc, isbn FROM book WHERE isbn NOT NULL ORDER BY upc") == [
        ("a", "5"),
        ("b", "2"),
        ("d", "4"),
    ]
    assert store.ask("SELECT upc, isbn FROM _book_history") == [("a", "1")]


def test_a_unique_index_over_rows_that_break_it_is_refused(store: Store) -> None:
    """With the loss accepted the newest row of each value stays, and NULLs are no duplicates."""
    store.crawl(item_class(("isbn", str | None)), [("a", "1"), ("b", "1"), ("c", None), ("d", None)])
    with pytest.raises(StoreError, match=r"rows of table book are not unique in isbn.*--accept-loss"):
        store.crawl(item_class(("isbn", str | None), unique=["isbn"]))
    notes = store.crawl(item_class(("isbn", str | None), unique=["isbn"]), accept_loss=True)
    assert "table book: 1 rows were dropped to make book(isbn) unique" in notes
    assert store.ask("SELECT upc FROM book ORDER BY upc") == [("b",), ("c",), ("d",)]


@pytest.mark.parametrize("options", [{"index": ["nope"]}, {"unique": [()]}, {"index": [("x", "nope")]}])
def test_an_index_of_no_field_stops_before_the_crawl(options: Any) -> None:
    """A name in `index` or `unique` that is no field is a SpiderError naming the class."""
    with pytest.raises(SpiderError, match=r"Book: @table\(index=…, unique=…\) names no field"):
        Items("s", [item_class(("x", int), **options)])


def test_an_index_is_a_list() -> None:
    """One name instead of a list would be read letter by letter: it is refused."""
    with pytest.raises(SpiderError, match=r"write a list, \['price'\]"):
        table(index="price")


def test_a_merge_that_is_asked_for_later_gets_its_column(store: Store) -> None:
    """`merge="fill"` on an old table: None does not overwrite from then on."""
    store.crawl(item_class(("x", int | None)), [("a", 1)])
    store.crawl(item_class(("x", int | None), merge="fill"), [("a", None)])
    assert store.ask("SELECT x, _filled FROM book") == [(1, '{"x": null}')]


def test_sec_55_hostile_names_survive_a_rewrite(store: Store) -> None:
    """Table and columns with any name are altered, rewritten and indexed under that name."""
    name, column = 'b"ook; --', 'a" TEXT); DROP TABLE x'

    def make(kind: Any, *more: Any) -> Any:
        return table(name=name, index=[column])(
            TypedDict("Book", {"upc": Annotated[str, Key], column: kind, **dict(more)})  # type: ignore[misc]  # names no source has
        )

    def write(cls: Any, value: Any) -> list[str]:
        store.run += 1
        occasion = Occasion(store.run, 0.0)
        items = Items("s", [cls])
        adapt(store.conn, items.tables, occasion)
        row = items.convert({"upc": "u", column: value}, 0)
        assert (
            not ItemTables().write(store.conn, [row], Provenance("", store.run, "", store.run, b"x")).rejected
        )
        return occasion.notes

    write(make(int), 7)
    assert len(write(make(str, ("se'lect", int | None)), "8")) == 2
    quoted = column.replace('"', '""')
    assert store.ask(f'SELECT "{quoted}" FROM "b""ook; --_history" ORDER BY 1') == [("7",), ("8",)]


# ------------------------------------------------------------------------------------------- all or nothing


@settings(max_examples=15)
@given(after=st.integers(1, 60))
def test_a_change_that_is_interrupted_leaves_the_table_as_it_was(after: int) -> None:
    """Whatever instruction it dies at, rows, history, indexes and records are those of before."""
    with opened() as store:
        store.crawl(item_class(("x", int), index=["x"]), [(f"u{n}", n) for n in range(20)])
        store.crawl(item_class(("x", int), index=["x"]), [("u1", 99)])
        dump = list(store.conn.iterdump())
        left = after

        def interrupt() -> int:
            nonlocal left
            left -= 1
            return left < 0

        store.conn.set_progress_handler(interrupt, 100)
        try:
            store.crawl(item_class(("x", str), ("y", int | None), unique=["x"]))
        except sqlite3.OperationalError:
            store.conn.set_progress_handler(None, 0)
            assert list(store.conn.iterdump()) == dump
        else:
            store.conn.set_progress_handler(None, 0)
            assert store.columns() == {"upc": "TEXT", "x": "TEXT", "y": "INTEGER"}


KILLED = """
import os, sys
sys.path[:0] = {path!r}
from test_changed_classes import Store, item_class
store = Store({db!r})
statements = []
def trace(statement):
    statements.append(statement)
    if statement.startswith("ALTER TABLE") and "RENAME" in statement:
        os._exit(9)
store.conn.set_trace_callback(trace)
store.crawl(item_class(("x", str)))
"""


def test_cr_05_a_process_that_dies_in_a_rewrite_loses_nothing(tmp_path: Path) -> None:
    """Killed between dropping the old table and naming the new one: the next opening finds the old one."""
    db = tmp_path / "books.db"
    with opened(str(db)) as store:
        store.crawl(item_class(("x", int)), [("a", 7)])
    code = KILLED.format(path=[str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)], db=str(db))
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ}, capture_output=True)
    assert done.returncode == 9, done.stderr
    with opened(str(db)) as store:
        assert store.ask("SELECT upc, x FROM book") == [("a", 7)]
        assert store.columns()["x"] == "INTEGER"
        assert store.ask("PRAGMA integrity_check") == [("ok",)]


# ------------------------------------------------------------------------------------------- values


scalars = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@given(scalars, st.sampled_from(["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB"]))
def test_what_survives_comes_back(value: Any, kind: str) -> None:
    """A value said to survive a change of type can be had back from it, exactly."""
    made, survives = convert(value, kind)
    if survives and value is not None:
        if kind == "BLOB" or type(made) is type(value):
            assert made == value
        elif isinstance(value, str):
            assert repr(made) == value or repr(int(made)) == value
        elif isinstance(made, str):
            assert type(value)(made) == value
        else:
            assert made == value


# ------------------------------------------------------------------------------------------- whole crawls


class First(Spider[Any]):
    name = "shop"
    start_urls = ["https://a.test/"]
    rate = None

    def parse(self, page: Page) -> Any:
        yield [page.request(f"https://a.test/{n}", self.parse_one) for n in range(4)]

    def parse_one(self, page: Page) -> Any:
        yield Old(page.url, 7)


Old = item_class(("x", int))
Changed = item_class(("x", str), ("y", int | None))


class Second(First, Spider[Changed]):
    def parse_one(self, page: Page) -> Any:
        yield Changed(page.url, "8", 1)


def pages() -> Site:
    return Site({"https://a.test/": "", **{f"https://a.test/{n}": "" for n in range(4)}})


def test_a_crawl_says_what_it_altered(tmp_path: Path) -> None:
    """The changes are warnings before the first request, and the crawl goes on with the new table."""
    db, told = tmp_path / "shop.db", []
    simulate(First, pages(), db=db)
    made = simulate(Second, pages(), db=db, observers=[told.append])
    warned = [event.message for event in told if isinstance(event, Warned)]
    assert told.index(next(event for event in told if not isinstance(event, Warned))) == len(warned) == 2
    assert warned[0].startswith("table book: column x is TEXT now (it was INTEGER)")
    assert made.summary.items["book"] == {"changed": 4}


def test_an_unfinished_run_of_an_older_class_is_resumed(tmp_path: Path) -> None:
    """Stopped under the old class, resumed under the new one: old rows are converted, the rest is new."""
    db = tmp_path / "shop.db"
    assert simulate(First, pages(), db=db, settings={"concurrency": 1, "max_time": "0s"}).summary.pages < 5

    class Stopping(First):
        def parse_one(self, page: Page) -> Any:
            if page.url.endswith("3"):
                from scraper import Stop

                raise Stop("for now")
            yield from super().parse_one(page)

    assert simulate(Stopping, pages(), db=db, settings={"concurrency": 1}).summary.state == "stopped"
    made = simulate(Second, pages(), db=db, resume="must")
    assert made.summary.state == "complete"
    assert [(row["x"], row["y"]) for row in made.tables["book"]] == [("7", None)] * 3 + [("8", 1)]


def test_a_refused_change_of_an_undeclared_class_stops_the_crawl(tmp_path: Path) -> None:
    """What only the first item shows stops the crawl there; its page waits, and a resume after the mending does the rest."""
    db = tmp_path / "shop.db"
    simulate(Second, pages(), db=db)
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("UPDATE book SET x = 'seven'")
        conn.commit()
    site = pages()
    made = simulate(First, site, db=db, settings={"concurrency": 1})
    assert (made.summary.state, made.summary.exit_code, len(site.hits)) == ("stopped", 5, 3)
    assert "--accept-loss" in (made.summary.reason or "")
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("UPDATE book SET x = '7'")
        conn.commit()
    made = simulate(First, pages(), db=db, resume="must")
    assert (made.summary.state, made.summary.pages) == ("complete", 5)


def test_a_refused_change_begins_no_run(tmp_path: Path) -> None:
    """A lossy change of a declared class is an error before anything is fetched; no run is left behind."""
    db = tmp_path / "shop.db"
    simulate(Second, pages(), db=db)
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("UPDATE book SET x = 'seven'")
        conn.commit()

    class Back(First, Spider[item_class(("x", int))]):  # type: ignore[misc]  # made on the spot
        pass

    site = pages()
    with pytest.raises(StoreError, match=r"4 stored values would not survive \(such as 'seven'\)"):
        simulate(Back, site, db=db)
    assert site.hits == []
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*) FROM _runs").fetchone() == (1,)
