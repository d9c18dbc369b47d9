"""What a crawl is begun with, what a process is in it, and how its fetching ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scraper.errors import SettingsError
from scraper.store.runs import Run

__all__ = ["Ended", "Member", "Options", "Resume"]

#: new: begin a run; continue: go on with the unfinished run of the series or begin one; must: go on or fail;
#: failed: queue failed requests of the newest run again, finished or not, and go on with it.
Resume = Literal["new", "continue", "must", "failed"]


@dataclass(frozen=True, slots=True)
class Member:
    """Who this process is in a crawl: the name its leases bear, how many share the run, who runs `start()`."""

    owner: str
    workers: int = 1
    seeds: bool = True


@dataclass(slots=True)
class Ended:
    """How the fetching ended: why early (None: the queue drained), and failed requests that are due again."""

    reason: str | None = None
    again: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Options:
    """What a run is begun with; stored with it, and used again when it is resumed."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    start: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def merged(self, run: Run) -> Options:
        """The stored options of `run`, which these may repeat but not change."""
        for name in ("arguments", "settings"):
            for key, value in getattr(self, name).items():
                if (old := run.options[name].get(key)) != value:
                    raise SettingsError(
                        f"run {run.id} was begun with {key} = {old!r}, not {value!r}; resume without it, or begin a new run"
                    )
        if self.start and list(self.start) != run.options["start"]:
            raise SettingsError(
                f"run {run.id} was begun with another start; resume without --start, or begin a new run"
            )
        return Options(**run.options)

    def series(self, spider: str) -> str:
        """What two runs must share to be compared: spider, arguments, start."""
        return json.dumps([spider, dict(self.arguments), list(self.start)], sort_keys=True, default=str)

    def stored(self) -> dict[str, Any]:
        return {"arguments": dict(self.arguments), "start": list(self.start), "settings": dict(self.settings)}
