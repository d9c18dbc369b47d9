"""Items become rows of typed columns, or are refused with item, field and reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from scraper.core.codec import Exact, Key
from scraper.core.models import Column, Table
from scraper.errors import ItemError, SpiderError
from scraper.items import INTERNAL, Items, table
from scraper.store.rows import tables


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    S = 1


class Mixed(Enum):
    A = "a"
    B = 1


@dataclass
class Part:
    name: str
    count: int = 1


@dataclass
class Book:
    upc: Annotated[str, Key]
    title: str
    price: Decimal


@attrs.define
class BookAttrs:
    upc: Annotated[str, Key]
    title: str
    price: Decimal


class BookModel(pydantic.BaseModel):
    upc: Annotated[str, Key]
    title: str
    price: Decimal


class BookStruct(msgspec.Struct):
    upc: Annotated[str, Key]
    title: str
    price: Decimal


class BookDict(TypedDict):
    upc: Annotated[str, Key]
    title: str
    price: NotRequired[Decimal]


class Review(TypedDict):
    stars: int


def one(annotation: Any, value: Any) -> tuple[str, Any]:
    """The column type and the stored value of one field."""
    row = Items("s").convert(make_dataclass("Thing", [("x", annotation)])(value), 0)
    return row.table.columns[0].type, row.values[0]


def refuse(items: Items, obj: Any) -> ItemError:
    with pytest.raises(ItemError) as caught:
        items.convert(obj, 0)
    return caught.value


COLUMNS = (
    Column("upc", "TEXT", True, True),
    Column("title", "TEXT", False, True),
    Column("price", "NUMERIC", False, True),
)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Book, "book"),
        (BookAttrs, "book_attrs"),
        (BookModel, "book_model"),
        (BookStruct, "book_struct"),
    ],
)
def test_classes_of_every_library_make_the_same_columns(cls: Any, name: str) -> None:
    """A dataclass, attrs class, pydantic model or Struct becomes a table with the key first named."""
    items = Items("s")
    obj = cls(upc="u", title="t", price=Decimal("51.77"))
    assert items.is_item(obj)
    row = items.convert(obj, 3)
    assert row.table == Table(name, COLUMNS)
    assert (row.values, row.ordinal) == (("u", "t", 51.77), 3)
    assert items.convert(obj, 0).table is row.table
    assert items.tables == (row.table,)


@pytest.mark.parametrize(
    ("annotation", "value", "kind", "stored"),
    [
        (str, "ü", "TEXT", "ü"),
        (str, "a\0b", "TEXT", "a\0b"),
        (int, -(2**63), "INTEGER", -(2**63)),
        (int, True, "INTEGER", 1),
        (int, Size.S, "INTEGER", 1),
        (float, 1.5, "REAL", 1.5),
        (float, 3, "REAL", 3.0),
        (bool, True, "INTEGER", 1),
        (Decimal, Decimal("51.77"), "NUMERIC", 51.77),
        (Decimal, Decimal("50.00"), "NUMERIC", 50),
        (Decimal, Decimal(2**63 - 1), "NUMERIC", 2**63 - 1),
        (Decimal, Decimal("1E+300"), "NUMERIC", 1e300),
        (Annotated[Decimal, Exact], Decimal("1.500"), "TEXT", "1.500"),
        (Annotated[int, Exact], 2**64, "TEXT", str(2**64)),
        (Annotated[Decimal, Exact] | None, None, "TEXT", None),
        (bytes, b"\0", "BLOB", b"\0"),
        (
            datetime,
            datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            "TEXT",
            "2024-01-02T01:04:05Z",
        ),
        (datetime, datetime(2024, 1, 2, 3, 4, 5, 6), "TEXT", "2024-01-02T03:04:05.000006"),
        (date, date(2024, 1, 2), "TEXT", "2024-01-02"),
        (time, time(1, 2), "TEXT", "01:02:00"),
        (timedelta, timedelta(minutes=1.5), "REAL", 90.0),
        (UUID, UUID(int=1), "TEXT", str(UUID(int=1))),
        (Color, Color.RED, "TEXT", "red"),
        (Size, Size.S, "INTEGER", 1),
        (Mixed, Mixed.B, "BLOB", 1),
        (list[str], ["ü"], "TEXT", '["ü"]'),
        (dict[str, Any], {"a": [1]}, "TEXT", '{"a": [1]}'),
        (tuple[int, ...], (1, 2), "TEXT", "[1, 2]"),
        (set[int], {2, 1}, "TEXT", "[1, 2]"),
        (Part, Part("p"), "TEXT", '{"name": "p", "count": 1}'),
        (list[Part], [Part("p", 2)], "TEXT", '[{"name": "p", "count": 2}]'),
        (str | None, None, "TEXT", None),
        (Decimal | None, Decimal(1), "NUMERIC", 1),
        (int | float, 1.5, "NUMERIC", 1.5),
        (int | str, "01", "BLOB", "01"),
        (int | str, 1, "BLOB", 1),
        (str | list[str], ["a"], "TEXT", '["a"]'),
        (Literal["a", "b"], "b", "TEXT", "b"),
        (Literal["a", 1], 1, "BLOB", 1),
        (Any, "x", "BLOB", "x"),
        (Any, None, "BLOB", None),
        (Any, Decimal("1.5"), "BLOB", 1.5),
        (object, [1], "BLOB", "[1]"),
    ],
)
def test_every_type_has_its_column(annotation: Any, value: Any, kind: str, stored: Any) -> None:
    """Column type and stored value of each annotation are as documented."""
    got = one(annotation, value)
    assert got == (kind, stored)
    assert type(got[1]) is type(stored)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (str, 1, "str expected, not 1"),
        (int, "1", "int expected, not '1'"),
        (int, 1.0, "int expected"),
        (bool, 1, "bool expected"),
        (float, "1", "float expected"),
        (Decimal, 1.5, "Decimal expected"),
        (date, datetime(2024, 1, 1), "date expected"),
        (datetime, date(2024, 1, 1), "datetime expected"),
        (bytes, "x", "bytes"),
        (str, None, "x: is None; annotate it as optional"),
        (Color, "red", "Color expected"),
        (list[str], "ab", "expected, not 'ab'"),
        (list[str], [1], "expected, not [1]"),
        (Part, Part(1), "Part expected"),  # type: ignore[arg-type]  # meant
        (Literal["a"], "b", "expected, not 'b'"),
        (int | str, 1.5, "int or str expected"),
        (str, "x" * 200 + "\ud800", "surrogate"),
        (float, float("nan"), "nan is not a number"),
        (float, float("inf"), "inf is not a number"),
        (float, 2**63 + 1, "more digits"),
        (Decimal, Decimal("nan"), "is not a number"),
        (int, 2**63, "does not fit 64 bits"),
        (int, -(2**63) - 1, "does not fit"),
        (int, 10**4200, "does not fit"),
        (float, 10**400, "too large"),
        (str, "\ud800", "lone surrogate"),
        (Decimal, Decimal("0.12345678901234567890"), "Annotated[Decimal, Exact]"),
        (Decimal, Decimal("1E+999999"), "Exact"),
        (Annotated[Decimal, Exact], Decimal("inf"), "not a number"),
        (Annotated[Decimal, Exact], 1.5, "Decimal expected"),
        (Any, object(), "an object cannot be stored"),
        (Any, 1j, "not a type that can be stored"),
        (list, [object()], "an object cannot be stored"),
        (dict, {1: 2}, "key 1"),
        (list[str], ["\ud800"], "lone surrogate"),
        (list[float], [float("nan")], "not a number"),
        (Any, float("nan"), "not a number"),
        (datetime, datetime.min.replace(tzinfo=timezone(timedelta(hours=2))), "out of range"),
    ],
)
def test_sec_56_a_bad_value_is_refused_with_field_and_reason(
    annotation: Any, value: Any, reason: str
) -> None:
    """A value that does not fit is an ItemError with table, field, reason and the value, cut."""
    error = refuse(Items("s"), make_dataclass("Thing", [("x", annotation)])(value))
    assert (error.item, error.field) == ("thing", "x")
    assert str(error).startswith("x: ")
    assert reason in str(error)
    assert len(str(error)) < 300
    assert str(error).encode()


def test_sec_56_cyclic_values_are_refused() -> None:
    """A value that contains itself is refused, not followed for ever."""

    @dataclass
    class Tree:
        leaves: list[Tree] = field(default_factory=list)

    tree = Tree()
    tree.leaves.append(tree)
    assert "nested deeper than 100 levels" in str(refuse(Items("s"), tree))
    cycle: list[Any] = []
    cycle.append(cycle)
    assert "nested deeper" in str(refuse(Items("s"), {"x": cycle}))


def test_an_unset_attribute_is_a_missing_field() -> None:
    """A field that an instance does not have is named as missing."""
    book = Book("u", "t", Decimal(1))
    del book.price
    assert str(refuse(Items("s"), book)) == "price: is missing"


@pytest.mark.parametrize("obj", ["x", 1, ("a", 1), None, [1], Book])
def test_other_objects_are_no_items(obj: Any) -> None:
    """Strings, numbers, tuples, lists and classes are not items."""
    assert not Items("s").is_item(obj)
    assert "is no item" in str(refuse(Items("s"), obj))


# ------------------------------------------------------------------------------------------------ dicts


def test_plain_dicts_go_to_the_table_of_the_spider() -> None:
    """A dict's columns get their types from its values; one key set, one table object."""
    items = Items("books")
    assert items.is_item({"a": 1})
    row = items.convert(
        {"a": "x", "b": 1, "c": Decimal("1.5"), "d": None, "e": Part("p"), "f": date(2024, 1, 2)}, 0
    )
    assert row.table.name == "books"
    assert row.table.open
    assert [(c.name, c.type) for c in row.table.columns] == [
        ("a", "TEXT"),
        ("b", "INTEGER"),
        ("c", "NUMERIC"),
        ("d", "BLOB"),
        ("e", "TEXT"),
        ("f", "TEXT"),
    ]
    assert row.values == ("x", 1, 1.5, None, '{"name": "p", "count": 1}', "2024-01-02")
    assert items.convert({"a": 1}, 0).table is items.convert({"a": 2}, 0).table
    assert items.convert({"a": 1}, 0).table is not items.convert({"a": "x"}, 0).table


def test_shapes_remembered_are_bounded() -> None:
    """A site with endless different keys does not grow the memory."""
    items = Items("s")
    for n in range(3000):
        items.convert({f"key{n}": n}, 0)
    assert len(items._shapes) <= 512


SEC_55 = [
    'a"b',
    'a" TEXT); DROP TABLE x; --',
    "select",
    "\u202eabc",
    "a b",
    "'",
    "rowid",
    "%s",
    "?",
    "[x]",
    "`",
    "ü",
]


@pytest.mark.parametrize("name", SEC_55)
def test_sec_55_hostile_names_that_quoting_makes_safe_are_columns(name: str) -> None:
    """Any text SQLite can quote is a column name, unchanged."""
    assert Items("s").convert({name: 1}, 0).table.columns[0].name == name


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"a\0": 1}, "NUL"),
        ({"": 1}, "empty"),
        ({"Name": 1, "name": 2}, "differ in case only"),
        ({"\ud800": 1}, "surrogate"),
        ({f"k{n}": n for n in range(2001)}, "2,001 fields"),
        ({1: 2}, "no str"),
        ({None: 2}, "no str"),
        ({"_URL": 1}, "used by"),
        ({"_request": 1}, "used by the framework"),
        ({"_rowid_": 1}, "used by the framework"),
        ({}, "empty dict"),
        ({"x": object()}, "an object cannot be stored"),
        ({"x": 1j}, "not a type that can be stored"),
    ],
)
def test_sec_55_names_sqlite_cannot_have_are_refused(item: Any, reason: str) -> None:
    """A dict with a key that cannot be a column is an ItemError, and says why."""
    error = refuse(Items("s"), item)
    assert reason in str(error)
    assert str(error).encode()


@pytest.mark.parametrize("names", [["Name", "name"], ["_run"], [f"k{n}" for n in range(2001)]])
def test_sec_55_classes_with_such_fields_are_refused_before_the_crawl(names: list[str]) -> None:
    """A declared class whose fields cannot be columns is a SpiderError when the crawl is built."""
    with pytest.raises(SpiderError, match="Thing"):
        Items("s", [make_dataclass("Thing", names)])


# ------------------------------------------------------------------------------------------------ TypedDict


def test_dicts_go_to_the_declared_typed_dict_they_fit() -> None:
    """With TypedDicts declared, each dict goes to the one whose fields it has; an absent optional is NULL."""
    items = Items("s", [BookDict, Review])
    row = items.convert({"title": "t", "upc": "u"}, 0)
    assert (row.table.name, row.values) == ("book_dict", ("u", "t", None))
    assert row.table.columns[0].key
    assert items.convert({"stars": 5}, 0).table.name == "review"


def test_a_dict_that_fits_no_declared_typed_dict_is_refused() -> None:
    """A missing or unknown field of a TypedDict is named, not stored in some other table."""
    items = Items("s", [BookDict])
    assert str(refuse(items, {"upc": "u"})) == "title: is missing"
    assert "BookDict has no field 'color'" in str(refuse(items, {"upc": "u", "title": "t", "color": 1}))
    assert "None" in str(refuse(items, {"upc": None, "title": "t"}))


def test_plain_dicts_declared_too_take_what_fits_nothing_else() -> None:
    """`Spider[BookDict | dict]` keeps both: the class for what fits, the spider's table for the rest."""
    items = Items("s", [BookDict | dict])  # type: ignore[list-item]  # a union is what Spider[...] may hold
    assert items.convert({"upc": "u", "title": "t"}, 0).table.name == "book_dict"
    assert items.convert({"upc": "u"}, 0).table.name == "s"


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Book", "book"),
        ("BookReview", "book_review"),
        ("HTTPLog", "http_log"),
        ("Book2", "book2"),
        ("book_x", "book_x"),
    ],
)
def test_tables_are_named_in_snake_case(name: str, expected: str) -> None:
    """A class names its table in snake_case."""
    assert Items("s").convert(make_dataclass(name, ["x"])(1), 0).table.name == expected


def makers() -> list[Callable[[], Any]]:
    @table(name="Bücher", merge="fill")
    class Model(pydantic.BaseModel):
        upc: Annotated[str, Key]

    @table(name="Bücher", merge="fill")
    class Struct(msgspec.Struct):
        upc: Annotated[str, Key]

    @table(name="Bücher", merge="fill")
    @dataclass(slots=True, frozen=True)
    class Data:
        upc: Annotated[str, Key]

    return [lambda: Model(upc="u"), lambda: Struct("u"), lambda: Data("u")]


@pytest.mark.parametrize("make", makers())
def test_the_decorator_names_the_table_and_its_merge(make: Callable[[], Any]) -> None:
    """`@table(name=…, merge="fill")` works on classes of any library."""
    made = Items("s").convert(make(), 0).table
    assert (made.name, made.fill) == ("Bücher", True)


def test_a_merge_without_a_key_or_of_another_name_is_refused() -> None:
    """What cannot work is a SpiderError that says what is missing."""
    with pytest.raises(SpiderError, match="needs a key"):
        Items("s", [table(merge="fill")(make_dataclass("Thing", ["x"]))])
    with pytest.raises(SpiderError, match='there is merge="fill"'):
        table(merge="newest")  # type: ignore[arg-type]  # meant


@pytest.mark.parametrize("name", ["Runs", "Requests", "Errors", "BookHistory", "_Hidden", "SqliteThing"])
def test_names_of_views_and_reserved_names_are_told_to_change(name: str) -> None:
    """A class whose table would collide with the database's own names is told to choose another."""
    with pytest.raises(SpiderError, match=rf'@table\(name="…"\) above class {name}'):
        Items("s", [make_dataclass(name, ["x"])])


def test_dicts_of_a_spider_with_a_reserved_name_are_told_so() -> None:
    """A spider called `runs` cannot have its plain dicts in a table of that name."""
    with pytest.raises(SpiderError, match=r"plain dicts cannot go to a table named 'runs'.*another name"):
        Items("runs").convert({"a": 1}, 0)


def test_two_classes_cannot_share_a_table() -> None:
    """Two classes, or a class and the plain dicts, with one table name are a SpiderError naming both."""
    with pytest.raises(SpiderError, match=r"items of Book and .*\.Book would share the table book"):
        Items("s", [Book, make_dataclass("Book", ["x"])])
    items = Items("BOOK", [Book])
    with pytest.raises(SpiderError, match=r"plain dicts and .*Book would share"):
        items.convert({"a": 1}, 0)


@pytest.mark.parametrize("annotation", [complex, type, Callable[[], int], Annotated[str, Exact]])
def test_a_class_that_cannot_be_stored_stops_before_the_crawl(annotation: Any) -> None:
    """A declared class with a field of a type without a column names class and field."""
    with pytest.raises(SpiderError, match=r"Thing\.x: "):
        Items("s", [make_dataclass("Thing", [("x", annotation)])])


def test_what_is_declared_must_be_an_item_class() -> None:
    """`Spider[str]` is a SpiderError; `Spider[dict]` and `Spider[Any]` are not."""
    with pytest.raises(SpiderError, match="str is no item class"):
        Items("s", [str])
    assert Items("s", [dict, Any, Book]).tables[0].name == "book"


def test_the_framework_columns_are_the_ones_the_store_makes() -> None:
    """Names refused as fields are exactly the columns every item table has."""
    assert set(INTERNAL) == {*tables.INTERNAL, tables.FILLED}


def test_aware_datetimes_of_any_zone_are_stored_in_utc() -> None:
    """The same instant is the same text, whatever its zone."""
    moment = datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert one(datetime, moment) == one(
        datetime, moment.astimezone(timezone(timedelta(hours=-5, minutes=-30)))
    )
