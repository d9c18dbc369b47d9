"""The JSON form of reports: which value becomes what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from scraper.reports.json_form import AS_TIME, UNSAID, WHEN_GIVEN, to_json


class Point(NamedTuple):
    x: int
    y: float


@dataclass(frozen=True)
class Part:
    name: str
    at: float | None = field(default=0.0, metadata=AS_TIME)
    note: str | None = field(default=None, metadata=WHEN_GIVEN)
    hidden: int = field(default=1, metadata=UNSAID)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (0.25, 0.25),
        (float("inf"), None),
        (float("nan"), None),
        ("text", "text"),
        (b"\x00\xff", "00ff"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:00:00Z"),
        ([1, (2, b"\x01")], [1, [2, "01"]]),
        ({"a": {1: None}}, {"a": {"1": None}}),
        ({"b", "a"}, ["a", "b"]),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Part("a"), {"name": "a", "at": "1970-01-01T00:00:00Z"}),
        (Part("a", None, "n"), {"name": "a", "at": None, "note": "n"}),
        ([Part("a", None)], [{"name": "a", "at": None}]),
    ],
)
def test_every_kind_of_value_has_one_form(value: Any, form: Any) -> None:
    """A value, or a dataclass of values, becomes what json.dumps takes, in the order of its fields."""
    made = to_json(value)
    assert made == form
    assert json.loads(json.dumps(made, allow_nan=False)) == form


def test_what_has_no_form_is_refused() -> None:
    """A value that is not data is an error that names its type, not a text made of it."""
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_json([object()])
