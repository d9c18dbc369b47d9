"""The table of kinds: every entry goes all ways there and back, one entry is enough, and no other module decides."""

from __future__ import annotations

import ast
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import make_dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from conftest import Source
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.core.codec import Exact, decode_arguments, encode_arguments, value_kinds
from scraper.core.codec.value_kinds import JSON, KINDS, Kind, exact_kinds, kind_named, kind_of_type
from scraper.items import Items, column_type_of, item_from_row
from scraper.query import Export, export, open_readonly
from scraper.store.file.schema import prepare
from scraper.store.rows.tables import ItemTables, Provenance

#: Kinds most of whose values no column keeps exactly: values that are kept. All others have what hypothesis makes.
KEPT: dict[type, st.SearchStrategy[Any]] = {
    Decimal: st.decimals(-(10**9), 10**9, places=2),
    timedelta: st.timedeltas(timedelta(days=-90_000), timedelta(days=90_000)),
}


def name_of(kind: Kind) -> str:
    return f"{'exact ' * kind.exact}{kind.python_type.__name__}"


def kept(kind: Kind, value: Any) -> bool:
    """Whether a column and JSON keep the value; others are refused with a reason."""
    try:
        kind.to_sql(value)
        kind.to_json(value)
    except (TypeError, ValueError):
        return False
    return True


def class_of(kind: Kind) -> type:
    """An item class of two fields: one of the kind, and one that may be None."""
    annotation: Any = Annotated[kind.python_type, Exact] if kind.exact else kind.python_type
    return make_dataclass("Thing", [("x", annotation), ("y", annotation | None, None)])


@contextmanager
def database(path: Path, items: list[Any]) -> Iterator[sqlite3.Connection]:
    """A database in which the real store has written these items, opened read-only."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        prepare(conn)
        convert = Items("s").convert
        rows = [convert(item, ordinal) for ordinal, item in enumerate(items)]
        assert not ItemTables().write(conn, rows, Provenance("https://a.test/", 1, "2024", 1, b"x")).rejected
    with closing(open_readonly(str(path))) as conn:
        yield conn


def rows_of(conn: sqlite3.Connection) -> list[Mapping[str, Any]]:
    conn.row_factory = sqlite3.Row
    rows: list[Mapping[str, Any]] = [
        dict(row) for row in conn.execute("SELECT * FROM thing ORDER BY _ordinal").fetchall()
    ]
    conn.row_factory = None
    return rows


def goes_all_ways(kind: Kind, values: list[Any], folder: Path) -> None:
    """Assert that values come back from a column, from JSON and from Parquet, and that Excel has a cell for each."""
    cls = class_of(kind)
    items = [cls(value, other) for value, other in zip(values, [None, *values], strict=False)]
    with database(folder / "kinds.db", items) as conn:
        rows = rows_of(conn)
        assert [item_from_row(cls, row) for row in rows] == items
        (column,) = conn.execute("SELECT type FROM pragma_table_info('thing') WHERE name = 'x'").fetchone()
        (word,) = conn.execute("""SELECT kind FROM _columns WHERE "column" = 'x'""").fetchone()
        assert (column, word) == (kind.sql, kind.word)
        in_parquet(kind, conn, folder, rows, items)
        export(conn, Export("select x, y from thing order by _ordinal"), folder / "out.xlsx", force=True)
    with zipfile.ZipFile(folder / "out.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<c ") == 2 * len(items) + 1
    for value in values:
        text = encode_arguments("parse", {"x": value})
        back = decode_arguments(text, {"x": kind.python_type})["x"]
        assert (back, type(back)) == (value, kind.python_type)


def in_parquet(
    kind: Kind, conn: sqlite3.Connection, folder: Path, rows: list[Mapping[str, Any]], items: list[Any]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(conn, Export("select x, y from thing order by _ordinal"), folder / "out.parquet", force=True)
    written = parquet.read_table(folder / "out.parquet").to_pylist()
    convert = kind.to_parquet or (lambda stored: stored)
    assert [row["x"] for row in written] == [convert(row["x"]) for row in rows]
    assert [row["y"] is None for row in written] == [item.y is None for item in items]
    if kind.to_parquet:
        assert [row["x"] for row in written] == [item.x for item in items]


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
@settings(max_examples=5)
@given(source=st.data())
def test_every_kind_goes_all_ways_and_back(
    kind: Kind, source: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Values of every entry come back equal from a real table, JSON and Parquet, and Excel takes them."""
    strategy = KEPT.get(kind.python_type, st.from_type(kind.python_type))
    drawn = source.draw(st.lists(strategy, min_size=5, max_size=20))
    values = [value for value in drawn if kept(kind, value)]
    if values:
        goes_all_ways(kind, values, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_every_kind_refuses_what_is_not_of_its_type(kind: Kind) -> None:
    """Another value is a TypeError on the way to a column, a ValueError on the way from JSON; each names the type."""
    with pytest.raises(TypeError, match=f"{kind.python_type.__name__} expected, not <object"):
        kind.to_sql(object())
    with pytest.raises(ValueError, match=f"{kind.python_type.__name__} expected, not {{}}"):
        kind.from_json({})
    assert not kind.holds(object())


def test_the_words_in_databases_stay() -> None:
    """Databases hold these words: one that is renamed or gone makes their columns unknown."""
    assert {kind.word for kind in (*KINDS, JSON)} == {
        "boolean", "integer", "real", "decimal", "datetime", "date", "time", "timedelta", "uuid", "bytes", "text", "json",
    }  # fmt: skip


@pytest.mark.parametrize(
    "annotation", [list[str], Sequence[str], Set[str], Mapping[str, int], tuple[int, ...]]
)
def test_every_container_is_json(annotation: Any) -> None:
    """What is stored as JSON is called so, whatever container is annotated, so that exports nest it."""
    column = column_type_of(annotation)
    assert (column.sql, column.kind) == (JSON.sql, JSON.word)


def test_a_word_means_one_thing() -> None:
    """Entries that share a word are read by one: their columns have the same Parquet type and conversion."""
    for kind in KINDS:
        named = kind_named(kind.word)
        assert named is not None
        assert (named.parquet, named.to_parquet, named.scan) == (kind.parquet, kind.to_parquet, kind.scan)
        assert kind in (
            kind_of_type(kind.python_type),
            *(exact_kinds([kind.python_type]) if kind.exact else ()),
        )


# ------------------------------------------------------------------------------------------- one entry is enough


class Weight:
    """A type that no table knows until a test adds it."""

    def __init__(self, grams: int) -> None:
        self.grams = grams

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weight) and other.grams == self.grams

    def __hash__(self) -> int:
        return hash(self.grams)


def _weight_to_sql(value: Any) -> int:
    if not isinstance(value, Weight):
        raise TypeError(f"Weight expected, not {value!r}")
    return value.grams


def _weight_of(stored: Any) -> Weight:
    if not isinstance(stored, int):
        raise ValueError(f"Weight expected, not {stored!r}")  # noqa: TRY004 - data, not code
    return Weight(stored)


WEIGHT = Kind(
    word="weight",
    python_type=Weight,
    sql="INTEGER",
    to_sql=_weight_to_sql,
    from_sql=_weight_of,
    to_json=_weight_to_sql,
    from_json=_weight_of,
    parquet=lambda arrow, scan: arrow.int64(),
)


def test_another_kind_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A type becomes storable everywhere by its entry alone: columns, items, JSON, Parquet, Excel, lists and unions."""
    monkeypatch.setitem(value_kinds._BY_TYPE, Weight, WEIGHT)
    monkeypatch.setitem(value_kinds._BY_WORD, "weight", WEIGHT)
    goes_all_ways(WEIGHT, [Weight(1), Weight(2**40)], tmp_path)
    cls = make_dataclass("Thing", [("x", list[Weight]), ("y", Weight | str)])
    items = [cls([Weight(3)], Weight(4)), cls([], "four")]
    with database(tmp_path / "more.db", items) as conn:
        assert [item_from_row(cls, row) for row in rows_of(conn)] == items


# ------------------------------------------------------------------------------------------- and nothing else decides

#: Modules that may test for one of the types, and what for. Beyond the first two it is not how a value is stored.
MAY_NAME_TYPES = {
    "scraper/core/codec/value_kinds.py": "the table",
    "scraper/core/codec/value_conversions.py": "its functions, each of which checks the one type it is for",
    "scraper/core/models/request.py": "Request(revisit=…) may be a timedelta",
    "scraper/errors.py": "Retry(after=…) may be a timedelta",
    "scraper/page/node.py": "the type variable of page.number() and page.decimal()",
    "scraper/reports/json_form.py": "the JSON that people and tools read: it keeps no type, so it needs no way back",
    "scraper/settings/parsers.py": "the setting of a duration may be a timedelta",
}
#: Packages in which a table with a row for each of Python's own types would be a second table of kinds.
ABOUT_VALUES = ("scraper/core/codec/", "scraper/items/", "scraper/query/", "scraper/store/rows/")
TYPES = {f"{kind.python_type.__module__}.{kind.python_type.__qualname__}" for kind in KINDS}
BUILTIN = {name.removeprefix("builtins.") for name in TYPES if name.startswith("builtins.")}


def types_named(tree: ast.Module) -> Iterator[int]:
    """Lines that use a type of the table, other than Python's own, as a value: `isinstance(x, Decimal)`,
    `{Decimal: …}`, `cls is date`, `case UUID():`. Annotations, calls of it and its methods are not meant.
    """
    known = dict(_imported(tree))
    allowed = {id(node) for annotation in _annotations(tree) for node in ast.walk(annotation)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            allowed.add(id(node.func))
        elif isinstance(node, ast.Attribute):
            allowed.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) in allowed:
            continue
        if isinstance(node, ast.Name) and known.get(node.id) in TYPES:
            yield node.lineno
        if isinstance(node, ast.Attribute) and f"{known.get(ast.unparse(node.value))}.{node.attr}" in TYPES:
            yield node.lineno


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation:
            yield node.annotation
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            yield node.returns


def tables_of_builtins(tree: ast.Module) -> Iterator[int]:
    """Lines of a dict with one of Python's own types as a key, or of a table with a tuple of them in its rows."""
    for node in ast.walk(tree):
        rows: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            rows = node.keys
        elif isinstance(node, (ast.Tuple, ast.List)):
            rows = [cell for row in node.elts if isinstance(row, ast.Tuple) for cell in row.elts]
        yield from (cell.lineno for cell in rows if isinstance(cell, ast.Name) and cell.id in BUILTIN)


def test_no_other_module_decides_by_type(package: list[Source]) -> None:
    """How a type is stored is said in the table alone: no other module tests for its types or keeps a table of them."""
    found = [
        f"{source.path}:{line} decides by type: ask scraper.core.codec.value_kinds"
        for source in package
        if source.path not in MAY_NAME_TYPES
        for line in [
            *types_named(source.tree),
            *(tables_of_builtins(source.tree) if source.path.startswith(ABOUT_VALUES) else ()),
        ]
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_exceptions_are_needed(package: list[Source]) -> None:
    """Each exception names a module that does test for one of the types."""
    needed = {source.path for source in package if any(types_named(source.tree))}
    assert set(MAY_NAME_TYPES) <= needed


@pytest.mark.parametrize(
    "text",
    [
        "from decimal import Decimal\nisinstance(x, Decimal)",
        "from decimal import Decimal as D\nisinstance(x, (int, D))",
        "import datetime as dt\nissubclass(x, dt.date)",
        "import uuid\nROWS = {uuid.UUID: 1}",
        "from datetime import time\nROWS = [(time, 1)]",
        "from datetime import date\nif cls is date: pass",
        "from uuid import UUID\nmatch x:\n    case UUID(): pass",
    ],
)
def test_a_decision_by_type_is_seen(text: str) -> None:
    """However the type is imported and tested for, the line is found."""
    assert list(types_named(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "from decimal import Decimal\ndef f(x: Decimal) -> Decimal: return Decimal(x)",
        "from datetime import datetime\nx: list[datetime] = [datetime.now()]",
    ],
)
def test_using_a_type_is_not_a_decision(text: str) -> None:
    """Annotations and making a value are allowed."""
    assert not list(types_named(ast.parse(text)))


@pytest.mark.parametrize("text", ["X = {str: 1}", "X = ((bool, 1), (int, 2))", "X = [((str, int), f)]"])
def test_a_table_of_builtin_types_is_seen(text: str) -> None:
    """A dict or rows of a table with Python's own types are found."""
    assert list(tables_of_builtins(ast.parse(text)))
