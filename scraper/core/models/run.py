"""Runs: one pass of a spider each, what one is begun with, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scraper.core.urls import IDENTITY_VERSION

__all__ = ["Budget", "Ending", "NewRun", "Requeued", "Run"]


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is begun with. Runs of one `series` are compared; `options` is what JSON can hold.

    `target` names the spider so that it can be found again, "" for a crawl from a program.
    """

    spider: str
    target: str
    series: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of a spider. `options` are the arguments, start override and settings it was begun with.

    `started` is in unix seconds; `seeded` says that all start requests are stored. `identity_version` is how it
    distinguishes URLs (`scraper.core.urls.IDENTITY_VERSION`).
    """

    id: int
    spider: str
    target: str
    series: str
    options: Mapping[str, Any]
    started: float
    state: str
    reason: str | None
    seeded: bool
    identity_version: int = IDENTITY_VERSION


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: stopped (work is left), finished, or complete; `reason` says why it is not complete.

    What the runs before the newest `keep_runs` left behind is pruned; items stay.
    """

    state: str
    reason: str | None
    keep_runs: int


@dataclass(frozen=True, slots=True)
class Requeued:
    """How many failed requests are queued again, and how many cannot be: what they sent was cleared."""

    run: int
    queued: int
    left: int

    def __str__(self) -> str:
        told = f"{self.queued} failed requests of run {self.run} are queued again"
        if not self.left:
            return told
        return (
            f"{told}; {self.left} are left, whose headers or body were cleared when they failed: "
            "only the page that links to them can make them again"
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests may end ok; None for no limit."""

    pages: int | None = None
    pages_per_domain: int | None = None
