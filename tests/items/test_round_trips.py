"""Every type a field may have, through the real store and back into the class: equal, or refused with a reason."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import Page, Spider
from scraper.core.codec import Exact, Key
from scraper.errors import ItemError
from scraper.items import Items, item_from_row, table
from scraper.store.file.schema import prepare
from scraper.store.rows.tables import ItemTables, Provenance
from scraper.testing import Site, simulate


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    S = 1
    L = 3


class Odd(Enum):
    A = "a"
    ONE = 1
    DAY = date(2024, 1, 2)


@dataclass
class Maker:
    name: str
    since: date | None = None


@dataclass
class Part:
    number: int
    price: Decimal
    made: datetime
    maker: Maker | None = None
    tags: list[str] = field(default_factory=list)


class Place(NamedTuple):
    row: int
    price: Decimal


def stored(item: Any, declared: type | None = None) -> dict[str, Any]:
    """The row of an item as SQLite returns it, written by the real store."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        prepare(conn)
        items = Items("s", [declared] if declared else [])
        row = items.convert(item, 0)
        written = ItemTables().write(conn, [row], Provenance("https://a.test/", 1, "2024", 1, b"x"))
        assert not written.rejected
        conn.row_factory = sqlite3.Row
        return dict(conn.execute(f'SELECT * FROM "{row.table.name}"').fetchone())


text = st.text(st.characters(exclude_categories=["Cs"]))
int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
prices = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9)
early, late = datetime(2, 1, 1), datetime(9998, 1, 1)
offsets = st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=-30)), timezone(timedelta(hours=14))])
moments = st.datetimes(early, late, timezones=offsets)
makers = st.builds(Maker, text, st.none() | st.dates())
parts = st.builds(Part, int64, prices, st.datetimes(), st.none() | makers, st.lists(text, max_size=3))

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, text),
    (int, int64),
    (Annotated[int, Exact], st.integers()),
    (float, finite),
    (bool, st.booleans()),
    (Decimal, prices),
    (Annotated[Decimal, Exact], st.decimals(allow_nan=False, allow_infinity=False)),
    (date, st.dates()),
    (datetime, st.datetimes()),
    (datetime, moments),
    (time, st.times()),
    (time, st.times(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))),
    (timedelta, st.timedeltas(min_value=timedelta(days=-90_000), max_value=timedelta(days=90_000))),
    (UUID, st.uuids()),
    (bytes, st.binary()),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (Odd, st.sampled_from(Odd)),
    (Literal["a", 7, True], st.sampled_from(["a", 7, True])),
    (Literal["a", None], st.sampled_from(["a", None])),
    (Place, st.builds(Place, int64, prices)),
    (list[Place], st.lists(st.builds(Place, int64, prices), max_size=2)),
    (list[Decimal], st.lists(prices, max_size=3)),
    (tuple[int, str], st.tuples(int64, text)),
    (set[int], st.sets(int64, max_size=3)),
    (dict[str, date], st.dictionaries(text, st.dates(), max_size=3)),
    (Part, parts),
    (list[Part], st.lists(parts, max_size=2)),
    (
        dict[str, list[Maker | None]],
        st.dictionaries(text, st.lists(st.none() | makers, max_size=2), max_size=2),
    ),
    (int | str, int64 | text),
    (int | bytes | None, int64 | st.binary() | st.none()),
    (date | datetime, st.dates() | st.datetimes()),
    (Any, st.none() | text | int64 | finite | st.binary()),
]


@pytest.mark.parametrize(("annotation", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@settings(max_examples=15)
@given(source=st.data())
def test_every_type_comes_back_into_its_class(
    annotation: Any, values: st.SearchStrategy[Any], source: st.DataObject
) -> None:
    """An item written through the store and read back with its class is equal; so is one with None."""
    thing = make_dataclass("Thing", [("x", annotation), ("y", annotation | None, None)])
    item = thing(source.draw(values), source.draw(st.none() | values))
    back = item_from_row(thing, stored(item))
    assert back == item
    assert type(back.x) is type(item.x) or isinstance(item.x, (int, float))


@settings(max_examples=30)
@given(
    st.datetimes(
        early, late, timezones=st.sampled_from([ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Kathmandu")])
    )
)
def test_a_moment_of_a_zone_with_summer_time_comes_back(moment: datetime) -> None:
    """The instant is kept, in the hours that a clock shows twice too. (Python calls those equal to nothing.)"""
    thing = make_dataclass("Thing", [("x", datetime)])
    assert item_from_row(thing, stored(thing(moment))).x == moment.astimezone(UTC)


@attrs.define
class Attrs:
    upc: Annotated[str, Key]
    price: Decimal
    sizes: tuple[Size, ...]
    maker: Maker | None = None


class Model(pydantic.BaseModel):
    upc: Annotated[str, Key]
    price: Decimal
    sizes: tuple[Size, ...]
    maker: Maker | None = None


class Struct(msgspec.Struct):
    upc: Annotated[str, Key]
    price: Decimal
    sizes: tuple[Size, ...]
    maker: Maker | None = None


class Mapping(TypedDict):
    upc: Annotated[str, Key]
    price: Decimal
    sizes: tuple[Size, ...]
    maker: NotRequired[Maker]


@pytest.mark.parametrize("make", [Attrs, Model, Struct, Mapping])
@pytest.mark.parametrize("maker", [Maker("m", date(2024, 1, 2)), None])
def test_classes_of_every_library_come_back(make: Callable[..., Any], maker: Maker | None) -> None:
    """attrs, pydantic, msgspec and TypedDict items are built again as they were."""
    given: dict[str, Any] = {"upc": "u", "price": Decimal("1.50"), "sizes": (Size.S, Size.L)}
    if maker or make is not Mapping:
        given["maker"] = maker
    item = make(**given)
    assert item_from_row(make, stored(item, make)) == item  # type: ignore[arg-type]  # each of them is a class


def test_a_row_from_before_a_field_takes_its_default() -> None:
    """NULL where the class has no None is a field that was not there yet: its default, or None."""
    cls = make_dataclass("Thing", [("a", int), ("b", int), ("c", int, 7), ("d", int | None, 8)])
    assert item_from_row(cls, {"a": 1, "b": None, "c": None, "_run": 3}) == cls(1, None, 7, 8)
    assert item_from_row(cls, {"a": 1, "b": 2, "c": 3, "d": None}) == cls(1, 2, 3, None)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Decimal, "free"),
        (date, "soon"),
        (list[int], "{}"),
        (Color, "green"),
        (Literal["a"], "b"),
        (int | date, "x"),
    ],
)
def test_a_value_of_another_type_is_named(annotation: Any, value: Any) -> None:
    """A stored value that is none of the annotated type is a ValueError with class, field and value."""
    with pytest.raises(ValueError, match=rf"Thing\.x: .*{value}.* cannot be read"):
        item_from_row(make_dataclass("Thing", [("x", annotation)]), {"x": value})


def test_a_time_whose_offset_depends_on_the_date_is_refused() -> None:
    """A zone without a date says nothing of the offset: the item is refused, not stored without its zone."""
    thing = make_dataclass("Thing", [("x", time)])
    with pytest.raises(ItemError, match="depends on the date"):
        Items("s").convert(thing(time(1, 2, tzinfo=ZoneInfo("Europe/Paris"))), 0)


# ------------------------------------------------------------------------------------------- one bad item of a hundred


@table(unique=["code"])
@dataclass
class Line:
    number: Annotated[int, Key]
    code: str | None
    value: Any


BAD: dict[str, tuple[Any, str]] = {
    "surrogate": ("\ud800", r"value: half a character .*'\\ud800'"),
    "too large": (2**63, "value: 9223372036854775808 does not fit 64 bits"),
    "nan": (float("nan"), "value: nan is not a number"),
    "no type": (object(), "value: an object cannot be stored"),
    "deep": ({1: 2}, "value: a dict with the key 1 cannot be stored"),
    "twice": ("twice", "code 'c1': another row has it"),
}


class Lines(Spider[Line]):
    name = "lines"
    start_urls = ["https://a.test/lines"]
    bad: str

    def parse(self, page: Page) -> Any:
        for number in range(100):
            code = "c1" if self.bad == "twice" and number == 50 else f"c{number}"
            yield Line(number, code, BAD[self.bad][0] if number == 50 else "fine")


@pytest.mark.parametrize("bad", BAD)
def test_sec_56_one_of_a_hundred_items_is_rejected_with_all_that_helps(bad: str, tmp_path: Path) -> None:
    """99 are stored, the page is done once, and the rejection names item, field, value, page and line."""
    db = tmp_path / "lines.db"
    made = simulate(Lines, Site({"https://a.test/lines": ""}), db=db, arguments={"bad": bad})
    assert (len(made.tables["line"]), made.summary.pages, made.summary.rejected) == (99, 1, 1)
    with closing(sqlite3.connect(db)) as conn:
        ((name, reason, place, url),) = conn.execute(
            'SELECT r."table", r.reason, r.place, q.url FROM _rejected r JOIN requests q ON q.id = r.request'
        ).fetchall()
    line = Lines.parse.__code__.co_firstlineno + 3
    assert (name, place, url) == ("line", f"{__file__}:{line}", "https://a.test/lines")
    assert re.match(BAD[bad][1], reason), reason
