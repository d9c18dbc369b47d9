"""Items become rows: a class is compiled once into a table and one converter per column.

`scraper.items.column_types` says what is checked and how each type is stored. A class makes a table named after
it (`BookReview` → `book_review`), plain dicts one named after the spider, which gains a column for every new
key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeVar

from scraper.core.codec import TOO_DEEP, Field, fields_of, getter_of, is_typed, members_of, short_repr
from scraper.core.models import Column, ItemRow, Table
from scraper.core.sql_names import fold
from scraper.errors import ItemError, SpiderError
from scraper.items.column_types import ColumnType, column_type_of

__all__ = ["INTERNAL", "Items", "table", "table_name"]

#: Columns every item table has besides its own.
INTERNAL = (
    "_url",
    "_run",
    "_at",
    "_request",
    "_ordinal",
    "_first_run",
    "_changed_run",
    "_gone_run",
    "_back_run",
    "_conflict_run",
    "_filled",
)
#: Names of the documented views.
VIEWS = frozenset({"runs", "requests", "errors"})
#: SQLite refuses tables with more than 2,000 columns.
MAX_COLUMNS = 2000 - len(INTERNAL)
#: Shapes of plain dicts remembered; a site with more of them costs a little time, not memory.
MAX_SHAPES = 512

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: Names no field may have: those columns, and what SQLite calls the number of a row.
_INTERNAL = frozenset({*INTERNAL, "_rowid_"})
_NOTHING = ColumnType("BLOB", lambda value: value, nullable=True)

Cls = TypeVar("Cls", bound=type)


#: Names of columns, or tuples of names where several make one index.
Names = Sequence[str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Options:
    name: str | None = None
    fill: bool = False
    index: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()


class _Plan(NamedTuple):
    """How items of one shape are taken apart. `needed` are the positions where None is refused."""

    table: Table
    get: Callable[[Any], tuple[Any, ...]]
    converters: tuple[Callable[[Any], Any], ...]
    needed: tuple[int, ...] = ()


def table(
    *, name: str | None = None, merge: Literal["fill"] | None = None, index: Names = (), unique: Names = ()
) -> Callable[[Cls], Cls]:
    """Decorator of an item class: the `name` of its table, its indexes, and what a second item of a key does.

    Without `merge` the later item replaces the stored one; with "fill" its values do, but its Nones do not.
    `index` makes questions fast: `["price", ("shop", "title")]` are two, one of them over two columns. A row
    whose `unique` columns equal those of another row is rejected.
    """
    if merge not in (None, "fill"):
        raise SpiderError(f'@table(merge={merge!r}): there is merge="fill", or none for replacing')
    options = _Options(name, merge == "fill", _index_names("index", index), _index_names("unique", unique))

    def decorate(cls: Cls) -> Cls:
        cls.__scraper_table__ = options  # type: ignore[attr-defined]  # read in _compile
        return cls

    return decorate


def _index_names(word: str, given: Names) -> tuple[tuple[str, ...], ...]:
    if isinstance(given, str):
        raise SpiderError(f"@table({word}={given!r}): write a list, [{given!r}]")
    return tuple((one,) if isinstance(one, str) else tuple(one) for one in given)


def table_name(cls: type) -> str:
    """The table of an item class: what `@table` says, else its name (`BookReview` → `book_review`)."""
    options = vars(cls).get("__scraper_table__") or _Options()
    return options.name or _WORDS.sub("_", cls.__name__).lower()


class Items:
    """The item tables of one crawl.

    Invariant: one class, one table; no two classes (nor a class and the plain dicts) share a table.
    `declared` are the classes the spider says it yields; they are compiled at once, so that a class that
    cannot be stored stops the crawl before it starts. A TypedDict must be declared: at run time it is a dict,
    and the dicts go to the declared TypedDict they fit.

    Raises SpiderError for a class that cannot be stored, naming class, field and what to do.
    """

    def __init__(self, spider_name: str, declared: Sequence[type] = ()) -> None:
        self._spider = spider_name
        self._owners: dict[str, type] = {}
        self._plans: dict[type, _Plan] = {}
        self._shapes: dict[Any, _Plan] = {}
        self._typed_dicts: list[type] = []
        classes = [member for one in declared for member in members_of(one)]
        self._plain_dicts = any(cls in (dict, Mapping, Any) for cls in classes)
        for cls in classes:
            self._declare(cls)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of the classes known so far: the declared ones, and those that items came from."""
        return tuple(plan.table for plan in self._plans.values())

    def is_item(self, obj: Any) -> bool:
        """Whether this is something to store: a dict, or an instance of a class with known fields."""
        return isinstance(obj, dict) or type(obj) in self._plans or is_typed(type(obj))

    def convert(self, obj: Any, ordinal: int, place: str = "") -> ItemRow:
        """The row of an item; `ordinal` is its place among the items of its page, `place` file:line of the code.

        Raises ItemError when the item cannot be stored, SpiderError when its class cannot.
        """
        plan = self._plans.get(type(obj)) or self._plan(obj)
        values: list[Any] = []
        add = values.append
        try:
            for convert, value in zip(plan.converters, plan.get(obj), strict=True):
                add(None if value is None else convert(value))
        except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as exc:
            raise _refused(plan, obj, len(values), exc) from exc
        if None in values:
            for lacking in plan.needed:
                if values[lacking] is None:
                    raise _missing(plan, obj, lacking)
        return ItemRow(plan.table, tuple(values), ordinal, place)

    def _declare(self, cls: Any) -> None:
        if cls in (dict, Mapping, Any, object, type(None)):
            return
        if not is_typed(cls):
            name = getattr(cls, "__name__", cls)
            raise SpiderError(
                f"{name} is no item class; use a dataclass, TypedDict, attrs, pydantic or msgspec class"
            )
        self._plans[cls] = self._compile(cls)
        if issubclass(cls, dict):
            self._typed_dicts.append(cls)

    def _plan(self, obj: Any) -> _Plan:
        if isinstance(obj, dict):
            return self._plan_of_dict(obj)
        cls = type(obj)
        if not is_typed(cls):
            raise ItemError(f"{short_repr(obj)} is no item", item=cls.__name__)
        plan = self._plans[cls] = self._compile(cls)
        return plan

    # ------------------------------------------------------------------------------------------ classes

    def _compile(self, cls: Any) -> _Plan:
        fields = fields_of(cls)
        if problem := _bad_names([field.name for field in fields]):
            raise SpiderError(f"{cls.__name__}: {problem[1]}")
        types = [_field_type(cls, field) for field in fields]
        options = vars(cls).get("__scraper_table__") or _Options()
        name = table_name(cls)
        self._own(name, cls)
        if options.fill and not any(field.key for field in fields):
            raise SpiderError(
                f'{cls.__name__}: merge="fill" needs a key: annotate a field Annotated[str, Key]'
            )
        columns = tuple(
            Column(field.name, made.sql, field.key, not made.nullable, made.kind)
            for field, made in zip(fields, types, strict=True)
        )
        for names in (*options.index, *options.unique):
            if unknown := [n for n in names if n not in {column.name for column in columns}] or not names:
                raise SpiderError(f"{cls.__name__}: @table(index=…, unique=…) names no field: {unknown}")
        made = Table(name, columns, options.fill, indexes=options.index, unique=options.unique)
        needed = tuple(i for i, column in enumerate(columns) if column.required)
        get = _dict_getter([field.name for field in fields]) if issubclass(cls, dict) else getter_of(cls)
        return _Plan(made, get, tuple(made.convert for made in types), needed)

    def _own(self, name: str, cls: type) -> None:
        """Take a table name for a class, or for `dict`: the plain dicts."""
        what = f"items of {cls.__name__}" if cls is not dict else "plain dicts"
        if problem := _bad_table(name):
            raise SpiderError(f"{what} cannot go to a table named {name!r}: {problem}; {_advice(cls)}")
        owner = self._owners.setdefault(fold(name), cls)
        if owner is not cls:
            other = f"{owner.__module__}.{owner.__name__}" if owner is not dict else "plain dicts"
            raise SpiderError(f"{what} and {other} would share the table {name}; {_advice(cls)}")

    # ------------------------------------------------------------------------------------------ dicts

    def _plan_of_dict(self, obj: dict[Any, Any]) -> _Plan:
        shape = (*obj, *map(type, obj.values()))
        plan = self._shapes.get(shape)
        if plan is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            plan = self._shapes[shape] = self._typed_dict_of(obj) or self._compile_dict(obj)
        return plan

    def _typed_dict_of(self, obj: dict[Any, Any]) -> _Plan | None:
        """The plan of the declared TypedDict a dict is meant as; None when dicts go to the spider's table."""
        if not self._typed_dicts:
            return None
        best = min(self._typed_dicts, key=lambda cls: _distance(fields_of(cls), obj))
        if self._plain_dicts and _distance(fields_of(best), obj):
            return None
        names = {field.name for field in fields_of(best)}
        for name in obj:
            if name not in names:
                raise ItemError(
                    f"{best.__name__} has no field {short_repr(name)}",
                    item=self._plans[best].table.name,
                    field=str(name),
                )
        return self._plans[best]

    def _compile_dict(self, obj: dict[Any, Any]) -> _Plan:
        self._own(self._spider, dict)
        if not obj:
            raise ItemError("an empty dict is no item", item=self._spider)
        if problem := _bad_names(obj):
            raise ItemError(problem[1], item=self._spider, field=problem[0])
        names = [str.__str__(name) for name in obj]
        types = [_value_type(self._spider, name, value) for name, value in obj.items()]
        columns = tuple(
            Column(name, made.sql, kind=made.kind) for name, made in zip(names, types, strict=True)
        )
        get = itemgetter(*names) if len(names) > 1 else _dict_getter(names)
        return _Plan(Table(self._spider, columns, open=True), get, tuple(made.convert for made in types))


def _field_type(cls: type, field: Field) -> ColumnType:
    try:
        made = column_type_of(field.annotation, field.exact)
    except TypeError as exc:
        raise SpiderError(
            f"{cls.__name__}.{field.name}: {exc}; annotate str, int, float, bool, Decimal, date, datetime, "
            "bytes, an Enum, list, dict or an item class"
        ) from exc
    optional = issubclass(cls, dict) and not field.required
    return made._replace(nullable=(made.nullable or optional) and not field.key)


def _value_type(spider: str, name: str, value: Any) -> ColumnType:
    if value is None:
        return _NOTHING  # nothing is known of the column yet: BLOB keeps what comes as it is
    try:
        return column_type_of(type(value))
    except TypeError as exc:
        raise ItemError(f"{name}: {short_repr(value)}: {exc}", item=spider, field=name) from exc


def _dict_getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda obj: tuple(map(obj.get, names))


def _distance(fields: Iterable[Field], obj: Mapping[Any, Any]) -> int:
    """How far a dict is from a TypedDict: required fields it lacks, and names the class does not know."""
    fields = list(fields)
    known = {field.name for field in fields}
    lacks = sum(field.required and field.name not in obj for field in fields)
    return lacks + sum(name not in known for name in obj)


# ---------------------------------------------------------------------------------------------- names


def _bad_name(name: str) -> str:
    """Why SQLite cannot have this name; empty when it can. Everything else is a matter of quoting."""
    if not name:
        return "a name must not be empty"
    if "\0" in name:
        return "a name must not contain NUL"
    if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
        return "a name must not contain half a character (a lone surrogate)"
    return ""


def _bad_names(names: Iterable[Any]) -> tuple[str, str] | None:
    """The first name that cannot be a column, and why."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            return short_repr(name), f"the key {short_repr(name)} is no str, and columns have names"
        folded = fold(name)
        if problem := _bad_name(name):
            return name, f"{short_repr(name)} cannot be a column: {problem}"
        if folded in _INTERNAL:
            return name, f"the name {name} is used by the framework; choose another"
        if folded in seen:
            return name, f"{seen[folded]} and {name} differ in case only: SQLite takes them for one column"
        seen[folded] = name
    if len(seen) > MAX_COLUMNS:
        return (
            "",
            f"{len(seen):,} fields, and a table has {MAX_COLUMNS:,} columns at most; nest some in a dict",
        )
    return None


def _bad_table(name: str) -> str:
    folded = fold(name)
    if problem := _bad_name(name):
        return problem
    if folded in VIEWS or folded.endswith("_history"):
        return "the database has a view for that (runs, requests, errors, …_history)"
    if folded.startswith(("_", "sqlite_")):
        return "names that start with _ or sqlite_ are reserved"
    return ""


def _advice(cls: type) -> str:
    if cls is dict:
        return "yield an item class instead, or give the spider another name"
    return f'choose another name: @table(name="…") above class {cls.__name__}'


# ---------------------------------------------------------------------------------------------- reasons


def _refused(plan: _Plan, obj: Any, place: int, exc: Exception) -> ItemError:
    if isinstance(exc, AttributeError):
        unset = [i for i, column in enumerate(plan.table.columns) if not hasattr(obj, column.name)]
        return _missing(plan, obj, unset[0] if unset else place)
    field = plan.table.columns[place].name
    value = short_repr(plan.get(obj)[place])
    if isinstance(exc, UnicodeEncodeError):
        why = f"half a character (a lone surrogate) in {value}"
    elif isinstance(exc, RecursionError):
        why = f"{TOO_DEEP}: {value}"  # how deep Python itself looks differs from version to version
    else:
        why = str(exc) if value in str(exc) else f"{exc}: {value}"
    return ItemError(f"{field}: {why}", item=plan.table.name, field=field)


def _missing(plan: _Plan, obj: Any, place: int) -> ItemError:
    field = plan.table.columns[place].name
    absent = field not in obj if isinstance(obj, dict) else not hasattr(obj, field)
    why = "is missing" if absent else "is None; annotate it as optional (… | None) if that may be"
    return ItemError(f"{field}: {why}", item=plan.table.name, field=field)
