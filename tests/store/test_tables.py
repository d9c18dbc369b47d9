"""Item tables in a real SQLite: what goes in comes out, and timing does not decide what stays."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.core.codec import Exact, Key, build
from scraper.core.models import Column, ItemRow, Table
from scraper.errors import ItemError, StoreError
from scraper.items import INTERNAL as RESERVED
from scraper.items import Items, table
from scraper.store.file.schema import prepare
from scraper.store.rows.shapes import Occasion, ensure
from scraper.store.rows.tables import INTERNAL, ItemTables, Provenance

NOW = "2024-01-02T03:04:05Z"


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str | None = None
    price: Decimal | None = None


@table(merge="fill")
@dataclass
class Shoe:
    sku: Annotated[str, Key]
    a: int | None = None
    b: int | None = None


@dataclass
class Quote:
    text: str


def connect() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    prepare(conn)
    conn.execute("BEGIN IMMEDIATE")
    return conn


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    conn = connect()
    yield conn
    conn.close()


def page(
    conn: sqlite3.Connection, request: int, run: int = 1, fingerprint: bytes | None = None
) -> Provenance:
    """A page of request `request`; its fingerprint is the id as a byte unless given."""
    fingerprint = bytes([request]) if fingerprint is None else fingerprint
    conn.execute(
        "INSERT OR IGNORE INTO _requests (id, run, domain, fingerprint, url, callback) VALUES (?, ?, 1, ?, '', '')",
        (request, request, fingerprint),
    )
    return Provenance(f"https://a.test/{request}", run, NOW, request, fingerprint)


def rows_of(items: Items, objs: Sequence[Any]) -> list[ItemRow]:
    return [items.convert(obj, ordinal) for ordinal, obj in enumerate(objs)]


def dump(conn: sqlite3.Connection, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return conn.execute(f'SELECT {columns} FROM "{table}" ORDER BY 1, _request, _ordinal').fetchall()


# ------------------------------------------------------------------------------------------------ schema


def test_a_table_has_its_columns_its_key_and_where_each_row_is_from(conn: sqlite3.Connection) -> None:
    """Keys become the primary key, and every row says its page, run, time and place."""
    tables, items = ItemTables(), Items("s")
    written = tables.write(conn, rows_of(items, [Book("u", "t", Decimal("1.50"))]), page(conn, 7, run=3))
    assert dict(written.stored) == {"book.new": 1}
    info = conn.execute("SELECT name, type, \"notnull\", pk FROM pragma_table_info('book')").fetchall()
    assert info[:3] == [("upc", "TEXT", 1, 1), ("title", "TEXT", 0, 0), ("price", "NUMERIC", 0, 0)]
    assert {name: kind for name, kind, _, _ in info[3:]} == INTERNAL
    assert dump(conn, "book") == [
        ("u", "t", 1.5, "https://a.test/7", 3, NOW, 7, 0, 3, None, None, None, None)
    ]


def test_composite_keys(conn: sqlite3.Connection) -> None:
    """Several key fields are one primary key."""
    cls = make_dataclass("Pair", [("a", Annotated[str, Key]), ("b", Annotated[int, Key]), ("c", str)])
    tables, items = ItemTables(), Items("s")
    written = tables.write(
        conn, rows_of(items, [cls("x", 1, "1"), cls("x", 2, "2"), cls("x", 1, "3")]), page(conn, 1)
    )
    assert dict(written.stored) == {"pair.new": 2, "pair.merged": 1}
    assert dump(conn, "pair", "a, b, c") == [("x", 2, "2"), ("x", 1, "3")]


def test_new_fields_and_new_keys_add_columns(conn: sqlite3.Connection) -> None:
    """A class that gained a field, and a dict with a new key, widen their table; old rows have NULL."""
    tables, items = ItemTables(), Items("s")
    tables.write(conn, rows_of(items, [{"a": 1}, {"a": 2, "b": "x"}, {"B": "y"}]), page(conn, 1))
    assert dump(conn, "s", "a, b") == [(None, "y"), (1, None), (2, "x")]
    ensure(conn, Table("book", (Column("upc", "TEXT", True),)), Occasion())
    tables.write(conn, rows_of(items, [Book("u", "t")]), page(conn, 2))
    assert dump(conn, "book", "upc, title") == [("u", "t")]


@pytest.mark.parametrize(
    ("sql", "row", "reason"),
    [
        (
            "CREATE TABLE book (upc BLOB PRIMARY KEY, {})",
            "INSERT INTO book (upc) VALUES (x'00')",
            "column upc of table book is BLOB .* and TEXT .* 1 stored values",
        ),
        (
            "CREATE TABLE book (upc TEXT PRIMARY KEY, price TEXT, {})",
            "INSERT INTO book (upc, price) VALUES ('a', '1.50'), ('b', 'free'), ('c', '2')",
            "column price of table book is TEXT .* and NUMERIC .* 2 stored values .* '1.50'",
        ),
        (
            "CREATE TABLE book (upc TEXT, title TEXT, {})",
            "INSERT INTO book (upc) VALUES ('a')",
            "the key of table book is none .* and upc",
        ),
        (
            "CREATE TABLE book (upc TEXT, title TEXT, {}, PRIMARY KEY (upc, title))",
            "INSERT INTO book (upc, title) VALUES ('a', 'b')",
            "is title, upc .* and upc",
        ),
        ("CREATE TABLE book (upc TEXT PRIMARY KEY)", "", "book in this database is no item table"),
        ("CREATE VIEW book AS SELECT 1 AS upc", "", "no item table"),
    ],
)
def test_a_table_of_another_shape_is_a_store_error(
    conn: sqlite3.Connection, sql: str, row: str, reason: str
) -> None:
    """What cannot be altered without loss is an error naming table, column, both types and the next step."""
    conn.execute(sql.format(", ".join(f"{name} {kind}" for name, kind in INTERNAL.items())))
    conn.execute(row)
    before = list(conn.iterdump())
    with pytest.raises(StoreError, match=reason + r".*--db FILE.*@table\(name="):
        ItemTables().write(conn, rows_of(Items("s"), [Book("u")]), page(conn, 1))
    conn.execute("DELETE FROM _requests")
    assert list(conn.iterdump()) == before


def test_after_a_rollback_nothing_is_assumed(conn: sqlite3.Connection) -> None:
    """A table made in a transaction that was rolled back is made again once `forget` was called."""
    tables, items = ItemTables(), Items("s")
    conn.execute("SAVEPOINT page")
    tables.write(conn, rows_of(items, [Quote("a")]), page(conn, 1))
    conn.execute("ROLLBACK TO page")
    tables.forget()
    assert tables.write(conn, rows_of(items, [Quote("a")]), page(conn, 1)).stored["quote.new"] == 1


def test_shapes_remembered_are_bounded(conn: sqlite3.Connection) -> None:
    """Endless table objects do not grow the memory, nor mix up their statements."""
    tables = ItemTables()
    for n in range(1500):
        row = ItemRow(Table("s", (Column("ab"[n % 2], "INTEGER"),), open=True), (n,), 0)
        tables.write(conn, [row], page(conn, n + 1, fingerprint=b"x"))
    assert len(tables._plans) <= 1024
    assert conn.execute("SELECT count(a), count(b), sum(a), sum(b) FROM s").fetchone() == (
        750,
        750,
        561750,
        562500,
    )


# ------------------------------------------------------------------------------------------------ rows


def test_keyless_rows_are_one_per_place(conn: sqlite3.Connection) -> None:
    """Equal rows stay apart; the same page written again replaces its rows instead of doubling them."""
    tables, items = ItemTables(), Items("s")
    for text in ("a", "b"):
        tables.write(conn, rows_of(items, [Quote(text), Quote(text)]), page(conn, 1))
    assert dump(conn, "quote", "text, _ordinal") == [("b", 0), ("b", 1)]
    tables.write(conn, rows_of(items, [Quote("b")]), page(conn, 2))
    assert len(dump(conn, "quote")) == 3


def test_a_key_seen_by_a_later_run_is_updated(conn: sqlite3.Connection) -> None:
    """new, changed and same are told apart; first, changed and gone runs are kept truly."""
    tables, items = ItemTables(), Items("s")

    def crawl(run: int, *books: Book) -> dict[str, int]:
        return dict(tables.write(conn, rows_of(items, books), page(conn, run * 10, run)).stored)

    assert crawl(1, Book("u", "t"), Book("v", "t")) == {"book.new": 2}
    assert crawl(3, Book("u", "t"), Book("v", "new"), Book("w")) == {
        "book.same": 1,
        "book.changed": 1,
        "book.new": 1,
    }
    assert dump(
        conn, "book", "upc, title, _run, _first_run, _changed_run, _gone_run, _request, _ordinal, _url"
    ) == [
        ("u", "t", 3, 1, None, None, 30, 0, "https://a.test/30"),
        ("v", "new", 3, 1, 3, None, 30, 1, "https://a.test/30"),
        ("w", None, 3, 3, None, None, 30, 2, "https://a.test/30"),
    ]
    assert crawl(4, Book("v", "new")) == {"book.same": 1}
    assert dump(conn, "book", "upc, _changed_run") == [("u", None), ("v", 3), ("w", None)]


def test_of_one_page_the_later_item_wins(conn: sqlite3.Connection) -> None:
    """The same key twice on a page: the second is kept and counted as merged."""
    tables, items = ItemTables(), Items("s")
    written = tables.write(conn, rows_of(items, [Book("u", "1"), Book("u", "2")]), page(conn, 1))
    assert dict(written.stored) == {"book.new": 1, "book.merged": 1}
    assert dump(conn, "book", "title, _ordinal, _changed_run") == [("2", 1, None)]


values = st.none() | st.integers(0, 3)
pages_of = st.lists(st.lists(st.tuples(values, values), min_size=1, max_size=2), min_size=2, max_size=4)


def final(
    cls: Any, pages: Sequence[tuple[int, list[tuple[Any, Any]]]], before: Sequence[Any]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The row for one key after these pages of run 2, on top of what run 1 stored, and the values before."""
    conn = connect()
    tables, items = ItemTables(), Items("s")
    tables.write(conn, rows_of(items, [cls("k", *one) for one in before]), page(conn, 99, run=1))
    for request, rows in pages:
        tables.write(conn, rows_of(items, [cls("k", *row) for row in rows]), page(conn, request, run=2))
    name = cls.__name__.lower()
    row = dump(conn, name, "1, *")
    past = dump(conn, f"_{name}_history", "a, b, _first_run, _changed_run, _until_run")
    conn.close()
    return row, past


Plain = make_dataclass("Plain", [("sku", Annotated[str, Key]), ("a", int | None), ("b", int | None)])


@pytest.mark.parametrize("cls", [Plain, Shoe])
@settings(max_examples=60, deadline=None)
@given(pages=pages_of, before=st.lists(st.tuples(values, values), max_size=1))
def test_timing_does_not_decide_what_stays(
    cls: Any, pages: list[list[tuple[Any, Any]]], before: list[Any]
) -> None:
    """Pages with one key, in every order of arrival, leave the same row: that of the smallest fingerprint."""
    numbered = list(enumerate(pages, 1))
    # Of a key that a page yields twice the later item counts, but the earlier may have met another page.
    ignored = 13 if any(len(rows) > 1 for rows in pages) else 99
    seen = set()
    for order in itertools.permutations(numbered):
        (row,), past = final(cls, order, before)
        assert row[7] == 1  # the request with the smallest fingerprint
        seen.add((tuple(value for i, value in enumerate(row) if i != ignored), *past))
    assert len(seen) == 1
    ((kept, *past),) = seen
    if before and kept[2:4] != before[0]:
        assert (past, kept[10]) == ([(*before[0], 1, None, 2)], 2)
    else:
        assert (past, kept[10]) == ([], None)
    latest_first = [row for _, rows in numbered for row in reversed(rows)]
    expected = [next((row[i] for row in latest_first if row[i] is not None), None) for i in (0, 1)]
    if cls is Plain:
        assert kept[2:4] == numbered[0][1][-1]
    else:
        old = before[0] if before else (None, None)
        assert kept[2:4] == tuple(e if e is not None else o for e, o in zip(expected, old, strict=True))


def test_fill_keeps_what_the_new_row_lacks(conn: sqlite3.Connection) -> None:
    """With `merge="fill"` None never overwrites a stored value, in the same run or a later one."""
    tables, items = ItemTables(), Items("s")
    tables.write(conn, rows_of(items, [Shoe("k", 1, None)]), page(conn, 1, run=1))
    written = tables.write(conn, rows_of(items, [Shoe("k", None, 2)]), page(conn, 2, run=2))
    assert dict(written.stored) == {"shoe.changed": 1}
    assert dump(conn, "shoe", "a, b, _run, _request, _changed_run") == [(1, 2, 2, 2, 2)]


# ------------------------------------------------------------------------------------------------ round trips

text = st.text(st.characters(exclude_categories=["Cs"]))
int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
prices = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12)
exact = st.decimals(allow_nan=False, allow_infinity=False)
kinds = [
    (str, text),
    (int, int64),
    (float, finite),
    (bytes, st.binary()),
    (Decimal, prices),
    (Annotated[Decimal, Exact], exact),
    (Annotated[int, Exact], st.integers()),
    (int | str, int64 | text),
    (Any, st.none() | text | int64 | finite | st.binary()),
    (str | None, st.none() | text),
    (int | float, int64 | finite),
]


def back(annotation: Any, stored: Any) -> Any:
    if annotation in (Annotated[Decimal, Exact], Annotated[int, Exact]):
        return annotation.__origin__(stored)
    return Decimal(repr(stored)) if annotation is Decimal else stored


@pytest.mark.parametrize(("annotation", "strategy"), kinds, ids=[str(k) for k, _ in kinds])
@settings(max_examples=60, deadline=None)
@given(source=st.data())
def test_every_scalar_comes_back_from_sqlite(annotation: Any, strategy: Any, source: st.DataObject) -> None:
    """What the database returns is the value that was stored, exactly."""
    value = source.draw(strategy)
    conn = connect()
    cls = make_dataclass("Thing", [("x", annotation)])
    assert not ItemTables().write(conn, rows_of(Items("s"), [cls(value)]), page(conn, 1)).rejected
    ((stored,),) = dump(conn, "thing", "x")
    conn.close()
    assert back(annotation, stored) == value
    if annotation in (str, int | str, Any, bytes):
        assert type(stored) is type(value)


@settings(max_examples=60, deadline=None)
@given(value=st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_stored_exactly_or_refused(value: Decimal) -> None:
    """NUMERIC never changes a Decimal: it comes back equal, or the item was refused with advice."""
    conn, item = connect(), make_dataclass("Thing", [("x", Decimal)])(value)
    if Decimal(repr(float(value))) == value or (value == value.to_integral_value() and abs(value) < 2**63):
        ItemTables().write(conn, rows_of(Items("s"), [item]), page(conn, 1))
        assert Decimal(repr(dump(conn, "thing", "x")[0][0])) == value
    else:
        with pytest.raises(ItemError, match="Exact"):
            Items("s").convert(item, 0)
    conn.close()


def test_nested_json_can_be_queried_and_built_again(conn: sqlite3.Connection) -> None:
    """A nested class is JSON that SQLite's functions read and `build` turns back."""
    cls = make_dataclass("Shelf", [("books", list[Book])])
    ItemTables().write(conn, rows_of(Items("s"), [cls([Book("ü", None, Decimal("1.50"))])]), page(conn, 1))
    ((stored, first),) = dump(conn, "shelf", "books, books ->> '$[0].upc'")
    assert first == "ü"
    assert build(cls, {"books": json.loads(stored)}) == cls([Book("ü", None, Decimal("1.50"))])


# ------------------------------------------------------------------------------------------------ hostile

NAMES = [
    'a"b',
    'a" TEXT); DROP TABLE "s"; --',
    "select",
    "\u202eabc",
    "a b",
    "'",
    "rowid",
    "?",
    "%s",
    "[x]",
    "`",
    "\n",
    ";",
]


def test_sec_55_hostile_names_are_columns_and_nothing_else(conn: sqlite3.Connection) -> None:
    """Quotes, keywords and SQL in dict keys are names: every value is found under its key."""
    items, tables = Items("s"), ItemTables()
    written = tables.write(conn, rows_of(items, [{name: name} for name in NAMES]), page(conn, 1))
    assert written.stored["s.new"] == len(NAMES)
    columns = [name for (name,) in conn.execute("SELECT name FROM pragma_table_info('s')")]
    assert set(NAMES) <= set(columns)
    for name in NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        assert conn.execute(f"SELECT {quoted} FROM s WHERE {quoted} IS NOT NULL").fetchall() == [(name,)]


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=6, unique=True))
def test_sec_55_any_name_is_stored_or_refused(names: list[str]) -> None:
    """Whatever the keys of a dict, it is stored whole or refused with a reason; SQLite never objects."""
    folded = {re.sub("[A-Z]", lambda letter: letter[0].lower(), name) for name in names}
    possible = len(folded) == len(names) > 0 and "" not in folded
    possible = possible and not any(re.search("[\0\ud800-\udfff]", name) for name in names)
    possible = possible and not folded & set(RESERVED)
    conn, items = connect(), Items("s")
    if possible:
        row = items.convert(dict.fromkeys(names, 1), 0)
        assert not ItemTables().write(conn, [row], page(conn, 1)).rejected
        assert dump(conn, "s")[0][: len(names)] == (1,) * len(names)
    else:
        with pytest.raises(ItemError):
            items.convert(dict.fromkeys(names, 1), 0)
    conn.close()


def test_sec_55_a_table_takes_no_more_columns_than_sqlite(conn: sqlite3.Connection) -> None:
    """Ever new keys fill a table up to SQLite's limit; rows beyond it are rejected, the page goes on."""
    items, tables = Items("s"), ItemTables()
    shapes = [{f"k{n}": 1 for n in range(start, start + 700)} for start in (0, 700, 1400)]
    written = tables.write(conn, rows_of(items, [*shapes, {"k1": 1}]), page(conn, 1))
    assert written.stored["s.new"] == 3
    assert [r.reason for r in written.rejected] == [
        "table s would have more than 2,000 columns; nest some fields in a dict"
    ]


BAD = [
    "\ud800",
    2**63,
    float("nan"),
    float("inf"),
    Decimal("NaN"),
    Decimal("0.12345678901234567890"),
    object(),
    {1: 2},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_sec_56_one_bad_item_harms_no_other(conn: sqlite3.Connection, bad: Any) -> None:
    """Of 100 items with one bad value 99 are stored, and that one has a reason."""
    items, rows, refused = Items("s"), [], []
    for n in range(100):
        try:
            rows.append(items.convert({"n": n, "x": bad if n == 50 else "ok"}, n))
        except ItemError as error:
            refused.append(str(error))
    written = ItemTables().write(conn, rows, page(conn, 1))
    assert (written.stored["s.new"], written.rejected, len(refused)) == (99, [], 1)
    assert conn.execute("SELECT count(*), count(x), max(n) FROM s").fetchone() == (99, 99, 99)
    assert refused[0].startswith("x: ")


@pytest.mark.parametrize("bad", ["\ud800", 2**63, [1], None])
def test_sec_56_what_sqlite_refuses_is_rejected(conn: sqlite3.Connection, bad: Any) -> None:
    """A row that only the database refuses is rejected with its reason; the others go in."""
    shape = Table("t", (Column("k", "TEXT", key=True),))
    rows = [ItemRow(shape, (bad if n == 50 else str(n),), n) for n in range(100)]
    written = ItemTables().write(conn, rows, page(conn, 1))
    assert written.stored == {"t.new": 99}
    (rejected,) = written.rejected
    assert rejected.table == "t"
    assert rejected.reason.startswith("the database refuses it: ")
    assert rejected.item.encode().startswith(b"{'k': ")


def test_a_constraint_of_the_user_is_a_rejection(conn: sqlite3.Connection) -> None:
    """A unique index somebody added to an item table rejects rows, and never deletes others."""
    items, tables = Items("s"), ItemTables()
    tables.write(conn, rows_of(items, [Quote("a")]), page(conn, 1))
    conn.execute("CREATE UNIQUE INDEX own ON quote (text)")
    written = tables.write(conn, rows_of(items, [Quote("a"), Quote("b")]), page(conn, 2))
    assert dict(written.stored) == {"quote.new": 1}
    assert "UNIQUE constraint failed: quote.text" in written.rejected[0].reason
    assert dump(conn, "quote", "text, _request") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (1, "007", False),
        (1, " 1e3 ", False),
        (1, ".5", False),
        (1, "n/a", True),
        (1, 1.5, True),
        (1.5, 2, True),
        (1.5, 2**62 + 1, False),
        ("a", 7, False),
        ("a", b"x", True),
        (None, "007", True),
        (None, 7, True),
        (Decimal(1), "12", False),
        (1, "1" * 9, False),
        (1, "", True),
        (1, "٣", True),
        (b"x", "07", True),
        ("a", 1.5, False),
        ("a", None, True),
    ],
)
def test_a_dict_value_is_kept_as_it_is_or_rejected(
    conn: sqlite3.Connection, first: Any, second: Any, kept: bool
) -> None:
    """SQLite would store "007" as 7 among numbers: such a row is rejected, all others come back equal."""
    items, tables = Items("s"), ItemTables()
    written = tables.write(conn, rows_of(items, [{"x": first}, {"x": second}]), page(conn, 1))
    assert written.stored["s.new"] == 1 + kept
    if kept:
        ((stored,),) = conn.execute("SELECT x FROM s WHERE _ordinal = 1").fetchall()
        assert stored == second
    else:
        assert "yield values of one type" in written.rejected[0].reason


def test_a_closed_database_is_not_the_fault_of_a_row() -> None:
    """An error that is not about one row is raised, not turned into a rejection."""
    conn, tables, items = connect(), ItemTables(), Items("s")
    origin, rows = page(conn, 1), rows_of(items, [Quote("a")])
    tables.write(conn, rows, origin)
    conn.close()
    with pytest.raises(sqlite3.ProgrammingError):
        tables.write(conn, rows, origin)
