"""A page result as it travels: everything comes back exactly, and what is not an entry is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core.journal import JournalEntry, decode, encode
from scraper.core.models import (
    Column,
    EarlierVisit,
    ErrorRecord,
    ItemRow,
    KeptPage,
    PageResult,
    Rejected,
    Suggestion,
    Table,
    VisitRecord,
)
from scraper.errors import StoreError

TEXT = st.text(st.characters(), max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(st.none(), TEXT, INTEGERS, NUMBERS, st.binary(max_size=8))
COLUMNS = st.builds(Column, TEXT, TEXT, st.booleans(), st.booleans(), TEXT)
NAMES = st.lists(st.lists(TEXT, max_size=2).map(tuple), max_size=2).map(tuple)
TABLES = st.builds(
    Table, TEXT, st.lists(COLUMNS, max_size=4).map(tuple), st.booleans(), st.booleans(), NAMES, NAMES
)
SITES = st.tuples(TEXT, INTEGERS, TEXT, TEXT, TEXT)


@st.composite
def rows(draw: st.DrawFn) -> list[ItemRow]:
    tables = draw(st.lists(TABLES, max_size=2))
    return [
        ItemRow(table, tuple(draw(VALUES) for _ in table.columns), draw(INTEGERS), draw(TEXT))
        for table in tables
        for _ in range(2)
    ]


RESULTS = st.builds(
    PageResult,
    INTEGERS,
    st.binary(max_size=16),
    TEXT,
    TEXT,
    items=rows(),
    rejected=st.lists(st.builds(Rejected, TEXT, TEXT, TEXT, TEXT), max_size=2),
    error=st.none() | st.builds(ErrorRecord, TEXT, TEXT, TEXT, TEXT),
    counts=st.dictionaries(TEXT, INTEGERS, max_size=2),
    hits=st.dictionaries(SITES, st.booleans(), max_size=2),
    meant=st.dictionaries(SITES, st.builds(Suggestion, TEXT, INTEGERS), max_size=2),
    failed_page=st.none()
    | st.builds(KeptPage, TEXT, INTEGERS, st.lists(st.tuples(TEXT, TEXT), max_size=2), st.binary(max_size=8)),
    visit=st.none()
    | st.builds(VisitRecord, st.none() | TEXT, st.none() | TEXT, st.binary(max_size=2).map(lambda b: b * 16)),
    earlier=st.none() | st.builds(EarlierVisit, INTEGERS, st.none() | NUMBERS),
)


@given(st.builds(JournalEntry, INTEGERS, NUMBERS, RESULTS))
def test_everything_comes_back_exactly(entry: JournalEntry) -> None:
    """Every value is of the same type and equal, to the last bit, kinds of columns and zeros' signs included."""
    back = decode(encode(entry))
    assert repr(back) == repr(entry)
    assert back == entry


def test_rows_of_one_shape_share_one_table_over_entries() -> None:
    """Tables are interned by all that they are, the kinds of their columns included."""

    def entry(kind: str) -> bytes:
        table = Table("book", (Column("upc", "TEXT", key=True, kind=kind),))
        row = ItemRow(table, ("1",), 0)
        return encode(JournalEntry(1, 0.0, PageResult(1, b"", "a.test", "", items=[row, row])))

    first, second = (row.table for row in decode(entry("x")).result.items)
    third, _ = (row.table for row in decode(entry("x")).result.items)
    other, _ = (row.table for row in decode(entry("y")).result.items)
    assert first is second
    assert first is third
    assert other.columns[0].kind == "y"


GOOD: dict[str, Any] = json.loads(encode(JournalEntry(1, 2.0, PageResult(3, b"f" * 16, "a.test", "u"))))
TABLE = ["t", [["x", "TEXT", False, False, ""]], False, False, [], []]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "version 2; this version of scraper reads up to 1"),
        ({"version": 0}, "version is 0"),
        ({"version": "1"}, "version has no integer"),
        ({"run": 2**63}, "run has no integer of 64 bits"),
        ({"at": "now"}, "at has no integer"),
        ({"fingerprint": "ü"}, "fingerprint has bytes that are not in base64"),
        ({"items": [[0, 1, "", []]]}, r"items\[0\] is of table 0, which is missing"),
        ({"tables": [TABLE], "items": [[0, 1, "", []]]}, r"items\[0\] values is not a list of 1"),
        ({"tables": [TABLE], "items": [[0, 1, "", [[1]]]]}, r"items\[0\] has a value that is a list"),
        ({"tables": [["t", [[1]], False, False, [], []]]}, r"tables\[0\] columns\[0\] is not a list of 5"),
        ({"hits": [["f", 1, "g", "css", "a", 1]]}, r"hits\[0\] has no true or false"),
        ({"counts": {"parsed": 1.5}}, "counts parsed has no integer"),
        ({"visit": [None, None, "YQ=="]}, "visit has links that are not fingerprints"),
        ({"error": ["a"]}, "error is not a list of 4"),
    ],
)
def test_what_is_not_an_entry_is_refused_with_a_reason(changes: dict[str, Any], said: str) -> None:
    """A newer version and a part that does not fit are a StoreError that names the part."""
    decode(json.dumps(GOOD).encode())
    with pytest.raises(StoreError, match=said):
        decode(json.dumps(GOOD | changes).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"[]", b"{}", b'{"version": NaN}'])
def test_bytes_of_anything_else_are_refused(data: bytes) -> None:
    """Whatever the bytes, what is raised is a StoreError."""
    with pytest.raises(StoreError, match="not a journal entry"):
        decode(data)


@pytest.mark.parametrize("value", [float("inf"), object(), ("x",), [1]])
def test_a_value_that_sqlite_cannot_hold_does_not_travel(value: Any) -> None:
    """It is refused where it is encoded, not where it is applied."""
    row = ItemRow(Table("t", (Column("x", "TEXT"),)), (value,), 0)
    with pytest.raises((TypeError, ValueError)):
        encode(JournalEntry(1, 0.0, PageResult(1, b"", "", "", items=[row])))
