"""The table of kinds: for each type of single value, how SQLite, JSON and Parquet hold it.

Everything that asks what type a value has asks this table: the JSON of callback data (`json_codec`), the columns
of items (`scraper.items`), exported files (`scraper.query`). To support another type, add one entry to `KINDS`.
Lists, dicts, classes, unions and Enums are composed of these kinds; the modules that take them apart know how.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from scraper.core.codec import parquet_types
from scraper.core.codec import value_conversions as convert
from scraper.core.codec.parquet_types import ParquetType, Scan

__all__ = [
    "JSON",
    "KINDS",
    "Kind",
    "exact_kinds",
    "kind_named",
    "kind_of_class",
    "kind_of_type",
    "kind_of_value",
]

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of single value and how it is stored. Converters are never called with None.

    `word` names the kind in databases (table `_columns`): never change one. `sql` is the type of its column.

    `to_sql` checks its value; it raises TypeError or ValueError with the reason. `from_sql` raises TypeError,
    ValueError or ArithmeticError for what is not stored like this. `to_json` takes only values of `python_type` and raises
    TypeError for those that JSON cannot keep; `from_json` takes any JSON and raises ValueError. `parquet` makes the
    Arrow type, `to_parquet` what Arrow takes from a stored value, where that is not the value itself. `scan` looks at
    each stored value if the Arrow type depends on them; it raises what `from_sql` does.

    `exact` marks the entry for fields annotated `Exact`. `as_in_json`: a value of exactly this type is its own JSON.
    `accepted` are types that a type checker accepts too (an int where float is annotated), `excluded` are subclasses
    that are another kind.
    """

    word: str
    python_type: type
    sql: str
    to_sql: Convert
    from_sql: Convert
    to_json: Convert
    from_json: Convert
    parquet: ParquetType
    to_parquet: Convert | None = None
    scan: Callable[[Scan, Any], None] | None = None
    exact: bool = False
    as_in_json: bool = False
    accepted: tuple[type, ...] = ()
    excluded: tuple[type, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a field annotated with this type may have the value."""
        return isinstance(value, (self.python_type, *self.accepted)) and not isinstance(value, self.excluded)


_DECIMAL = Kind(
    word="decimal",
    python_type=Decimal,
    sql="NUMERIC",
    to_sql=convert.decimal_to_sql,
    from_sql=convert.decimal_from_sql,
    to_json=convert.decimal_to_json,
    from_json=convert.as_text_from_json(Decimal, convert.finite_decimal),
    parquet=parquet_types.decimal_type,
    to_parquet=convert.decimal_from_sql,
    scan=parquet_types.scan_decimal,
)
_INT = Kind(
    word="integer",
    python_type=int,
    sql="INTEGER",
    to_sql=convert.int_to_sql,
    from_sql=int,
    to_json=int,
    from_json=convert.plain_from_json(int),
    parquet=lambda arrow, scan: arrow.int64(),
    as_in_json=True,
)

KINDS: tuple[Kind, ...] = (
    Kind(
        word="text",
        python_type=str,
        sql="TEXT",
        to_sql=convert.text_to_sql,
        from_sql=convert.text_from_sql,
        to_json=str.__str__,
        from_json=convert.plain_from_json(str),
        parquet=lambda arrow, scan: arrow.string(),
        as_in_json=True,
    ),
    Kind(
        word="boolean",
        python_type=bool,
        sql="INTEGER",
        to_sql=convert.bool_to_sql,
        from_sql=bool,
        to_json=bool,
        from_json=convert.plain_from_json(bool),
        parquet=lambda arrow, scan: arrow.bool_(),
        to_parquet=bool,
        as_in_json=True,
    ),
    _INT,
    Kind(
        word="real",
        python_type=float,
        sql="REAL",
        to_sql=convert.float_to_sql,
        from_sql=float,
        to_json=convert.float_to_json,
        from_json=convert.plain_from_json(float, int),
        parquet=lambda arrow, scan: arrow.float64(),
        accepted=(int,),
    ),
    _DECIMAL,
    Kind(
        word="datetime",
        python_type=datetime,
        sql="TEXT",
        to_sql=convert.datetime_to_sql,
        from_sql=datetime.fromisoformat,
        to_json=convert.isoformat,
        from_json=convert.as_text_from_json(datetime, datetime.fromisoformat),
        parquet=parquet_types.datetime_type,
        to_parquet=datetime.fromisoformat,
        scan=parquet_types.scan_datetime,
    ),
    Kind(
        word="date",
        python_type=date,
        sql="TEXT",
        to_sql=convert.date_to_sql,
        from_sql=date.fromisoformat,
        to_json=convert.isoformat,
        from_json=convert.as_text_from_json(date, date.fromisoformat),
        parquet=lambda arrow, scan: arrow.date32(),
        to_parquet=date.fromisoformat,
        excluded=(datetime,),
    ),
    Kind(
        word="time",
        python_type=time,
        sql="TEXT",
        to_sql=convert.time_to_sql,
        from_sql=time.fromisoformat,
        to_json=convert.isoformat,
        from_json=convert.as_text_from_json(time, time.fromisoformat),
        parquet=lambda arrow, scan: arrow.time64("us"),
        to_parquet=convert.time_to_parquet,
    ),
    Kind(
        word="timedelta",
        python_type=timedelta,
        sql="REAL",
        to_sql=convert.timedelta_to_sql,
        from_sql=convert.timedelta_from_sql,
        to_json=convert.timedelta_to_json,
        from_json=convert.timedelta_from_json,
        parquet=lambda arrow, scan: arrow.duration("us"),
        to_parquet=convert.timedelta_from_sql,
    ),
    Kind(
        word="uuid",
        python_type=UUID,
        sql="TEXT",
        to_sql=convert.uuid_to_sql,
        from_sql=UUID,
        to_json=str,
        from_json=convert.as_text_from_json(UUID, UUID),
        parquet=lambda arrow, scan: arrow.string(),
    ),
    Kind(
        word="bytes",
        python_type=bytes,
        sql="BLOB",
        to_sql=convert.bytes_to_sql,
        from_sql=convert.bytes_from_sql,
        to_json=convert.bytes_to_json,
        from_json=convert.as_text_from_json(bytes, lambda raw: b64decode(raw, validate=True)),
        parquet=lambda arrow, scan: arrow.binary(),
    ),
    replace(
        _DECIMAL,
        sql="TEXT",
        to_sql=convert.exact_decimal_to_sql,
        from_sql=Decimal,
        exact=True,
    ),
    replace(
        _DECIMAL,
        python_type=int,
        sql="TEXT",
        to_sql=convert.exact_int_to_sql,
        from_sql=int,
        to_json=_INT.to_json,
        from_json=_INT.from_json,
        exact=True,
        as_in_json=True,
    ),
)

#: What has no column of its own: its converters take and give the JSON that `encode` made of a list, dict or class.
JSON = Kind(
    word="json",
    python_type=object,
    sql="TEXT",
    to_sql=convert.json_to_sql,
    from_sql=json.loads,
    to_json=lambda value: value,
    from_json=lambda raw: raw,
    parquet=lambda arrow, scan: arrow.string(),
)

_BY_TYPE = {kind.python_type: kind for kind in KINDS if not kind.exact}
_EXACT = {kind.python_type: kind for kind in KINDS if kind.exact}
_BY_WORD = {kind.word: kind for kind in (JSON, *_BY_TYPE.values())}


def kind_of_type(annotation: Any) -> Kind | None:
    """The kind of exactly this type; None for a subclass and for what has no kind."""
    return _BY_TYPE.get(annotation) if isinstance(annotation, type) else None


def kind_of_class(cls: type) -> Kind | None:
    """The kind of a class or of its nearest base that has one; None for other classes."""
    return next((_BY_TYPE[base] for base in cls.__mro__ if base in _BY_TYPE), None)


def kind_of_value(value: Any) -> Kind | None:
    """The kind of a value, of a subclass too; None for what has no kind."""
    return _BY_TYPE.get(type(value)) or kind_of_class(
        value.__class__
    )  # which a proxy has of what it stands for


def kind_named(word: str) -> Kind | None:
    """The kind that a database calls by this word; None for a column that may hold several."""
    return _BY_WORD.get(word)


def exact_kinds(types: Iterable[Any]) -> tuple[Kind, ...]:
    """The exact kind of each of these types. Raises TypeError if one has none, or there are no types."""
    wanted = list(types)
    if not wanted or any(one not in _EXACT for one in wanted):
        raise TypeError(f"Exact is for {' and '.join(cls.__name__ for cls in _EXACT)}")
    return tuple(_EXACT[one] for one in wanted)
