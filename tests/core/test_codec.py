"""Typed classes of five libraries, and JSON that keeps their types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.core.codec import (
    Exact,
    Field,
    Key,
    build,
    decode,
    decode_arguments,
    encode,
    encode_arguments,
    fields_of,
    is_typed,
    is_valid,
    values_of,
)
from scraper.errors import SpiderError

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]  # as a wrong import would be

T = TypeVar("T")
Sku = NewType("Sku", str)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    S = 1
    L = 2


class Tag(Flag):
    NEW = 1
    SALE = 2


class Odd(Enum):
    DAY = date(2024, 1, 2)
    PAIR = (1, 2)


@dataclass
class Data:
    upc: Annotated[str, Key]
    price: Annotated[Decimal, Exact] | None = None
    parts: list[Data] = field(default_factory=list)
    total: int = field(init=False, default=7)


@attrs.define
class Attr:
    _upc: Annotated[str, Key()]
    price: Annotated[Decimal, Exact()] = Decimal("1.50")
    parts: list[Data] = attrs.field(factory=list)
    total: int = attrs.field(init=False, default=7)


class Model(pydantic.BaseModel):
    upc: Annotated[str, Key, pydantic.Field(alias="UPC")]
    price: Annotated[Decimal, Exact, pydantic.Field(gt=0)] = Decimal("1.50")
    parts: list[Data] = []
    bounded: list[Annotated[int, pydantic.Field(ge=0)]] = []


class Struct(msgspec.Struct, kw_only=True):
    upc: Annotated[str, Key]
    price: Annotated[Decimal, Exact] = Decimal("1.50")
    name: str
    parts: list[Data] = []


class Loose(TypedDict, total=False):
    upc: Required[Annotated[str, Key]]
    price: Annotated[Decimal, Exact]


class Dict(Loose):
    name: str
    parts: NotRequired[list[Data]]


@dataclass(slots=True)
class Slots:
    only: str


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Broken:
    fine: str
    price: Missing


@dataclass
class Everything:
    text: str
    flag: bool
    count: int
    ratio: float
    price: Decimal
    day: date
    moment: datetime
    clock: time
    span: timedelta
    uid: UUID
    color: Color
    size: Size
    raw: bytes
    names: list[str]
    pair: tuple[int, str]
    many: tuple[Decimal, ...]
    unique: frozenset[int]
    table: dict[str, list[date]]
    maybe: Optional[Data]  # noqa: UP045 - both spellings
    either: int | Decimal | date | str | None
    mode: Literal["a", 1, True]
    inner: Data
    model: Model
    struct: Struct
    sku: Sku


ITEMS: list[Any] = [
    Data("x", Decimal("1.50"), [Data("y")]),
    Attr("x", Decimal("0.1"), [Data("y")]),
    Model.model_validate({"UPC": "x", "parts": [Data("y")], "bounded": [1]}),
    Struct(upc="x", name="n", parts=[Data("y")]),
    Slots("x"),
]


def names(cls: type, mark: str) -> list[str]:
    return [f.name for f in fields_of(cls) if getattr(f, mark)]


@pytest.mark.parametrize(("cls", "required"), [
    (Data, ["upc"]), (Attr, ["_upc"]), (Model, ["upc"]), (Struct, ["upc", "name"]), (Dict, ["upc", "name"]),
])  # fmt: skip
def test_fields_read_alike_whatever_library_made_the_class(cls: type, required: list[str]) -> None:
    """Key, Exact, required and the plain annotation are found in classes of all five libraries."""
    assert is_typed(cls)
    assert names(cls, "required") == required
    assert names(cls, "key") == [f.name for f in fields_of(cls) if "upc" in f.name]
    assert names(cls, "exact") == ["price"]
    assert {f.annotation for f in fields_of(cls) if "upc" in f.name} == {str}
    assert {f.annotation for f in fields_of(cls) if f.name == "parts"} == {list[Data]}


def test_a_field_says_everything_in_one_tuple() -> None:
    """`Field` is (name, annotation, required, key, exact)."""
    assert fields_of(Slots) == (Field("only", str, required=True, key=False, exact=False),)


@pytest.mark.parametrize("cls", [int, str, dict, list, Color, object])
def test_other_classes_are_not_typed(cls: type) -> None:
    """A class without known fields is told apart, and asking for its fields is a TypeError."""
    assert not is_typed(cls)
    with pytest.raises(TypeError, match="no dataclass"):
        fields_of(cls)


def test_an_unresolvable_annotation_names_class_and_field() -> None:
    """A name imported under TYPE_CHECKING is a SpiderError that says where it is and what to do."""
    with pytest.raises(SpiderError, match=r"Broken\.price: .*Missing.*TYPE_CHECKING"):
        fields_of(Broken)


def test_a_local_class_may_name_itself() -> None:
    """A class made inside a function resolves its own name."""

    @dataclass
    class Tree:
        leaves: list[Tree]

    assert decode({"leaves": [{"leaves": []}]}, Tree) == Tree([Tree([])])


@pytest.mark.parametrize("obj", ITEMS, ids=lambda obj: type(obj).__name__)
def test_values_are_taken_without_copying(obj: Any) -> None:
    """`values_of` gives the very objects the instance holds, by field name."""
    values = values_of(obj)
    assert list(values) == [f.name for f in fields_of(type(obj))]
    assert all(value is getattr(obj, name) for name, value in values.items())


@pytest.mark.parametrize("obj", ITEMS, ids=lambda obj: type(obj).__name__)
def test_an_instance_comes_back_from_its_json(obj: Any) -> None:
    """Encoded, written as text, read and built again, an item of any library is equal to itself."""
    assert build(type(obj), json.loads(json.dumps(encode(obj)))) == obj


def test_a_typed_dict_comes_back_with_its_types() -> None:
    """A TypedDict is a dict in JSON and its annotations bring the values back."""
    value: Dict = {"upc": "x", "name": "n", "price": Decimal("1.50"), "parts": [Data("y")]}
    assert build(Dict, encode(value)) == value


def test_fields_that_lack_get_their_defaults() -> None:
    """A field added with a default after data was stored does no harm."""
    assert build(Data, {"upc": "x"}) == Data("x")
    assert build(Model, {"upc": "x"}) == Model.model_validate({"UPC": "x"})


@pytest.mark.parametrize(("cls", "mapping", "reason"), [
    (Data, {}, r"Data\.upc is missing"),
    (Data, {"upc": 1}, r"Data\.upc: str expected, not 1"),
    (Data, {"upc": "x", "old": 1}, r"Data has no field 'old'"),
    (Data, {"upc": "x", "parts": [{"upc": None}]}, r"Data\.parts: Data\.upc: str expected"),
    (Data, [1], r"Data expected, not \[1\]"),
])  # fmt: skip
def test_a_mapping_that_does_not_fit_names_the_field(cls: type, mapping: Any, reason: str) -> None:
    """After a code change, stored data that does not fit is a ValueError that says where."""
    with pytest.raises(ValueError, match=reason):
        build(cls, mapping)


def test_a_constructor_that_objects_is_a_value_error() -> None:
    """What a `__post_init__` raises becomes a ValueError of the data."""

    @dataclass
    class Positive:
        n: int

        def __post_init__(self) -> None:
            if self.n < 0:
                raise ValueError("negative")

    with pytest.raises(ValueError, match="Positive cannot be built again: negative"):
        build(Positive, {"n": -1})


# ------------------------------------------------------------------------------------------------ round trips

text = st.text(st.characters(exclude_categories=()))
finite = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
zones = st.none() | st.integers(-80_000, 80_000).map(lambda s: timezone(timedelta(seconds=s)))
moments = st.datetimes(timezones=zones)
spans = st.timedeltas(timedelta(days=-36_500), timedelta(days=36_500))
data = st.builds(Data, text, st.none() | decimals, st.lists(st.builds(Data, text), max_size=2))

VALUES = [
    (st.none(), None), (st.booleans(), bool), (st.integers(), int), (finite, float), (text, str),
    (decimals, Decimal), (st.dates(), date), (moments, datetime), (st.times(), time), (spans, timedelta),
    (st.uuids(), UUID), (st.sampled_from(Color), Color), (st.sampled_from(Size), Size), (st.binary(), bytes),
    (st.sampled_from([Tag.NEW, Tag.NEW | Tag.SALE]), Tag), (st.sampled_from(Odd), Odd), (data, Data),
    (st.lists(decimals), list[Decimal]), (st.lists(st.dates()), Sequence[date]),
    (st.sets(st.dates()), set[date]),
    (st.frozensets(text), frozenset[str]), (st.tuples(text, st.uuids()), tuple[str, UUID]),
    (st.lists(moments).map(tuple), tuple[datetime, ...]),
    (st.dictionaries(text, moments), dict[str, datetime]),
    (st.dictionaries(text, data), Mapping[str, Data]), (st.none() | data, Data | None),
    (st.dates() | moments, date | datetime), (st.integers() | finite | st.none(), int | float | None),
    (st.sampled_from(["a", 1, True]), Literal["a", 1, True]),
    (st.lists(st.none() | st.binary()), list[bytes | None]),
    (data | st.builds(Slots, text), Slots | Data), (st.builds(Box, st.integers()), Box[int]),
    (st.lists(text), Any), (st.dictionaries(text, st.none() | st.booleans() | finite), dict), (text, Sku),
    (st.lists(st.integers(0)), list[Annotated[int, pydantic.Field(ge=0)]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "annotation"), VALUES, ids=lambda v: "" if isinstance(v, st.SearchStrategy) else str(v)
)
@settings(max_examples=40, deadline=None)
@given(source=st.data())
def test_every_type_survives_the_text(
    values: st.SearchStrategy[Any], annotation: Any, source: st.DataObject
) -> None:
    """What encodes decodes to an equal value of the same type, by its annotation alone."""
    value = source.draw(values)
    back = decode_arguments(encode_arguments("parse", {"x": value}), {"x": annotation})["x"]
    assert back == value
    assert type(back) is type(value)
    assert is_valid(value, annotation)


def test_a_class_of_everything_survives() -> None:
    """Every supported type in one class, nested classes of three libraries included."""
    moment = datetime(2024, 1, 2, 3, 4, 5, 6, UTC)
    value = Everything(
        "ü\0\ud800", True, 2**70, 1e300, Decimal("1.50"), moment.date(), moment, moment.time(),
        timedelta(seconds=1.5), UUID(int=5), Color.RED, Size.L, b"\0\xff", ["a"], (1, "b"), (Decimal(1),),
        frozenset({1, 2}),
        {"d": [moment.date()]}, None, Decimal("2.50"), True, Data("i"), ITEMS[2], ITEMS[3], Sku("s"),
    )  # fmt: skip
    text = encode_arguments("parse", {"value": value})
    assert text.isascii()
    back = decode_arguments(text, {"value": Everything})["value"]
    assert back == value
    assert back.mode is True
    assert type(back.size) is Size
    assert back.struct == value.struct


def test_without_annotation_plain_json_comes_back() -> None:
    """An argument the callback does not annotate comes back as JSON has it: a Decimal as text."""
    text = encode_arguments("parse", {"a": Decimal("1.5"), "b": (1,), "c": None})
    assert text == '{"a":"1.5","b":[1],"c":null}'
    assert decode_arguments(text, {}) == {"a": "1.5", "b": [1], "c": None}


def test_str_comes_last_in_a_union() -> None:
    """Of `date | str` a text in the exact form of a date is a date, any other text a str."""
    assert decode("2024-01-02", str | date) == date(2024, 1, 2)
    assert decode("20240102", str | date) == "20240102"
    assert decode("soon", str | date) == "soon"
    assert decode("NaN", Decimal | str) == "NaN"


@pytest.mark.parametrize(("raw", "annotation"), [
    (1, str), ("1", int), (None, int), ("x", Decimal), (1, Decimal), ("x", date), ("green", Color), (3, Size),
    ("?", bytes), ({}, list), ([], dict), ([1], tuple[int, int]), ("b", Literal["a"]), ("x", int | None),
    (True, timedelta), (1.5, int), ("x", Exception), ("x", 5), ("NaN", Decimal), (1e20, timedelta),
])  # fmt: skip
def test_what_does_not_fit_is_a_value_error(raw: Any, annotation: Any) -> None:
    """JSON that is not what the annotation says is refused, never coerced."""
    with pytest.raises(ValueError, match=r"expected, not|nothing can be brought back"):
        decode(raw, annotation)


# ------------------------------------------------------------------------------------------------ refusals


class Node:
    pass


def loop() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(("value", "reason"), [
    (Node(), "a Node cannot be stored; pass str, int"),
    (lambda: 1, "a function cannot be stored"),
    ([{"deep": Node()}], "a Node cannot be stored"),
    (Data("x", parts=[Node()]), "a Node cannot be stored"),  # type: ignore[list-item]  # meant
    (Data, "a type cannot be stored"),
    (object(), "an object cannot be stored"),
    (float("nan"), "nan cannot be stored"),
    (Decimal("inf"), "cannot be stored: it is not a number"),
    ({1: 2}, "the key 1 cannot be stored"),
    (loop(), "nested deeper than 100"),
    (timedelta.max, "too long to keep"),
    (bytearray(b"x"), "a bytearray cannot be stored"),
])  # fmt: skip
def test_what_cannot_be_stored_names_callback_and_argument(value: Any, reason: str) -> None:
    """A value that could not come back is a TypeError where it was given, naming callback and argument."""
    with pytest.raises(TypeError, match=reason) as caught:
        encode_arguments("parse_book", {"page": 1, "category": value})
    assert str(caught.value).startswith("parse_book(")
    assert "category=…" in str(caught.value)


def test_an_int_too_long_to_print_is_refused() -> None:
    """A number of more digits than Python prints is a TypeError naming the callback, not a ValueError."""
    with pytest.raises(TypeError, match=r"parse_book\(\): the data cannot be stored"):
        encode_arguments("parse_book", {"n": 10**5000})


def test_arguments_that_are_no_object_are_refused() -> None:
    """Stored arguments that are not an object, or do not fit, are a ValueError naming the argument."""
    with pytest.raises(ValueError, match="must be an object"):
        decode_arguments("[1]", {})
    with pytest.raises(ValueError, match="price: Decimal expected"):
        decode_arguments('{"price": "free"}', {"price": Decimal})


@pytest.mark.parametrize(("value", "annotation", "expected"), [
    (True, int, True), (1, float, True), (1, bool, False), ("x", int, False), (datetime.min, date, False),
    ([1], list[str], False), ((1,), list[int], False), ("ab", Sequence[str], False),
    ({"a": 1}, dict[str, str], False),
    (Data("x"), Data, True), (Data(1), Data, False), ({"upc": "x", "name": "n"}, Dict, True),  # type: ignore[arg-type]  # meant
    ({"upc": "x"}, Dict, False), ({"upc": "x", "name": "n", "z": 1}, Dict, False), (1, Literal[True], False),
    ((1, 2), tuple[int], False), ((), tuple[int, ...], True), ([], Dict, False), ({1}, set[str], False),
])  # fmt: skip
def test_fits_agrees_with_a_type_checker(value: Any, annotation: Any, expected: bool) -> None:
    """`is_valid` looks inside containers and classes; a datetime is no date."""
    assert is_valid(value, annotation) is expected
