"""What an author expects of a crawl: how many items, how well filled, for each group of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from scraper.core.codec import fields_of, is_typed
from scraper.errors import SpiderError
from scraper.items import table_name
from scraper.settings import did_you_mean

__all__ = ["Expect", "Expectation", "expectations_of"]


@dataclass(frozen=True, slots=True)
class Expect:
    """At least so many items of a class, and the least share of them in which a field has a value.

    `fill` maps fields to shares: 0.99, or "99%". With `by`, a field, both are asked of each group of items that
    have the same value there: of each shop, each category.
    """

    min_items: int = 0
    fill: Mapping[str, float | str] = field(default_factory=dict)
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """An `Expect` checked against its class: `table` is the table, `fill` holds shares from 0 to 1."""

    table: str
    min_items: int
    fill: Mapping[str, float]
    by: str | None


def expectations_of(expect: Any, place: str, spider: str) -> tuple[Expectation, ...]:
    """What a spider's `expect` says. Raises SpiderError naming the class, the field and what was meant."""
    if not isinstance(expect, Mapping):
        raise SpiderError(
            f"{place}: expect maps item classes to Expect(…): expect = {{Book: Expect(min_items=900)}}"
        )
    return tuple(_expectation(item, one, place, spider) for item, one in expect.items())


def _expectation(item: Any, expect: Any, place: str, spider: str) -> Expectation:
    if item is dict:
        name, fields = spider, None
    elif isinstance(item, type) and is_typed(item):
        name, fields = table_name(item), [each.name for each in fields_of(item)]
    else:
        raise SpiderError(f"{place}: expect: {getattr(item, '__name__', item)!r} is no item class")
    label = f"{place}: expect: {item.__name__}"
    if not isinstance(expect, Expect):
        raise SpiderError(f"{label}: write Expect(min_items=…, fill={{…}}), not {expect!r}")
    least: Any = expect.min_items
    if not isinstance(least, int) or least < 0:
        raise SpiderError(f"{label}: min_items={least!r} is no number of items")
    for named in (*expect.fill, *([expect.by] if expect.by is not None else [])):
        if fields is not None and named not in fields:
            raise SpiderError(f"{label} has no field {named!r}{did_you_mean(named, fields)}")
    fill = {named: _share(label, named, share) for named, share in expect.fill.items()}
    return Expectation(name, expect.min_items, MappingProxyType(fill), expect.by)


def _share(label: str, field: str, share: Any) -> float:
    try:
        number = float(share[:-1]) / 100 if isinstance(share, str) and share.endswith("%") else float(share)
    except (TypeError, ValueError):
        number = -1.0
    if 0 <= number <= 1:
        return number
    raise SpiderError(f'{label}: fill of {field!r} is {share!r}, not a share: 0.99, or "99%"')
