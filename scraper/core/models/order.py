"""What a person tells a running crawl from another terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LIMIT", "RETRY", "STOP", "Command"]

#: What can be ordered: to stop, other limits for a domain, and not to wait for the next attempt at domains that are down.
STOP, LIMIT, RETRY = "stop", "limit", "retry"


@dataclass(frozen=True, slots=True)
class Command:
    """One order to the crawl of a run. `id` rises with every one; `argument` is what JSON can hold."""

    id: int
    what: str
    argument: Mapping[str, Any] = field(default_factory=dict)
