"""How deep a JSON text is nested, whatever stands in its strings and wherever it is cut into pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.core import json_depth
from scraper.core.json_depth import DEEPEST, check_depth

values = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\aé\U0001f600', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=3),
    max_leaves=30,
)  # fmt: skip


def depth_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


@given(values, st.integers(0, 6), st.integers(1, 7), st.booleans())
def test_a_text_is_refused_when_its_value_is_deeper(value: Any, most: int, piece: int, plain: bool) -> None:
    """The bound looks at lists and objects alone: brackets, quotes and backslashes in strings do not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_depth, "DEEPEST", most)
        patch.setattr(json_depth, "PIECE", piece)
        text = json.dumps(value, ensure_ascii=plain)
        if depth_of(value) > most:
            with pytest.raises(ValueError, match=f"nested deeper than {most} levels"):
                check_depth(text)
        else:
            check_depth(text)


@pytest.mark.parametrize("text", ['["' + "[" * 900 + '"]', "[]" * 900, "]" * 900 + '"', '"' + "[" * 900])
def test_a_fault_is_left_to_the_reader(text: str) -> None:
    """What is not JSON, and not deep either, gets the reader's own error."""
    check_depth(text)


@pytest.mark.parametrize("opened", ["[", '{"a":', '[{"a":"]",\n"b":'])
def test_levels_in_a_long_text_are_counted(opened: str) -> None:
    """One level more than the bound is too many, closed or not."""
    levels = opened.count("[") + opened.count("{")
    check_depth(opened * (DEEPEST // levels))
    with pytest.raises(ValueError, match="nested deeper than 300 levels"):
        check_depth(opened * (DEEPEST // levels + 1))
