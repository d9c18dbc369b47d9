"""Everything a visit produced, and the answer of who stored it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scraper.core.models.effects import Effects
from scraper.core.models.page_result import PageResult

__all__ = ["Completed", "Done"]


@dataclass(frozen=True, slots=True)
class Done:
    """Everything one visit produced. SQLite writes both parts in one transaction, or neither."""

    effects: Effects
    result: PageResult


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer to a `Done`. Not `written`: the lease was lost and nothing was stored.

    `due` names the domains that have new work, and from when (unix seconds).
    """

    written: bool
    due: Mapping[str, float] = field(default_factory=dict)
