"""`--json`: what happens during a crawl as JSON, one object a line on stdout (https://jsonlines.org)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scraper.api.job import CrawlJob
from scraper.core.clock import iso
from scraper.events import (
    CrawlStarted,
    DomainParked,
    Event,
    PageDone,
    PageTold,
    Stalled,
    Stopping,
    Warned,
    told,
)
from scraper.reports.json_form import to_json
from scraper.reports.summary import Summary

if TYPE_CHECKING:
    from scraper.profiling import Figures

__all__ = ["JsonEvents"]


class JsonEvents:
    """An observer that writes each event at once. Every object has `event` and `at` (UTC)."""

    def __init__(self, crawl: CrawlJob) -> None:
        self._crawl = crawl
        self._now = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case CrawlStarted(run, resumed):
                spider, database = self._crawl.definition.name, self._crawl.database
                self._write("started", run=run, resumed=resumed, spider=spider, database=database)
            case PageDone():
                self._write("page", **_page(told(event)))
            case PageTold():
                self._write("page", **_page(event))
            case DomainParked(domain, why):
                self._write("parked", domain=domain, why=why)
            case Warned(message):
                self._write("warning", message=message)
            case Stalled(seconds, why):
                self._write("stalled", seconds=round(seconds, 1), why=why)
            case Stopping(reason, grace):
                self._write("stopping", reason=reason, grace=grace)
            case _:
                return

    def profiled(self, figures: Figures) -> None:
        """Where the time went (`--profile`), before the last line."""
        self._write("profile", **figures.plain())

    def ended(self, summary: Summary) -> None:
        """The last line: the whole summary."""
        whole = to_json(summary)
        whole["time_ms"] = {n[5:]: ms for n, ms in summary.counters.items() if n.startswith("time.")}
        self._write("ended", **whole)

    def left(self) -> None:
        """The last line where a person did not want to wait: the run can be resumed."""
        self._write("ended", run=self._crawl.run_id, state="stopped", exit_code=130)

    def _write(self, event: str, **values: Any) -> None:
        line = {"event": event, "at": iso(self._crawl.now()), **values}
        sys.stdout.write(json.dumps(line, default=_plain) + "\n")
        sys.stdout.flush()


def _page(page: PageTold) -> dict[str, Any]:
    """A request that ended, or is to be tried again."""
    return {
        "url": page.url,
        "final_url": page.final_url,
        "outcome": page.outcome,
        "status": page.status,
        "kind": page.kind or None,
        "why": page.why or None,
        "callback": page.callback,
        "depth": page.depth,
        "items": dict(page.items),
        "rejected": page.rejected,
        "links": page.links,
        "seconds": round(page.seconds, 3) if page.seconds is not None else None,
    }


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
