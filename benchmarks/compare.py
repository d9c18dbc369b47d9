"""Crawls that follow one another, A B C, A B C, …: measured, checked, told as a table, kept as JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Contender, Items, Task, environment
from benchmarks.measure import Usage, cores, cpu_model, run
from benchmarks.serving import WORK, BenchmarkError, Server

__all__ = ["Lane", "compare", "keep", "table"]

#: Seconds that a crawl may take at least, and for each page.
LEAST, EACH = 600.0, 0.05


@dataclass(frozen=True)
class Lane:
    """One thing that is measured: a crawler at a job. `items` is what it must find."""

    name: str
    contender: Contender
    task: Task
    server: Server
    pages: int
    items: Callable[[], Items]
    #: Looks at what a crawl left in its folder; raises BenchmarkError where a promise was off.
    prove: Callable[[Path, Server], str] | None = None
    #: Looks at items before they are compared with `items`.
    check: Callable[[Items], None] | None = None
    #: Pages it may fetch twice, of which each counts once.
    twice: int = 0


@dataclass(frozen=True)
class Round:
    """One crawl."""

    lane: str
    pages: int
    usage: Usage

    def figures(self) -> dict[str, float]:
        """What the table shows."""
        each = 1000 / self.pages
        return {
            "cpu_ms_per_page": self.usage.cpu * each,
            "user_ms_per_page": self.usage.user * each,
            "system_ms_per_page": self.usage.system * each,
            "pages_per_second": self.pages / self.usage.wall,
            "peak_mb": self.usage.peak_mb,
        }


def compare(lanes: Sequence[Lane], rounds: int) -> dict[str, Any]:
    """Every lane once unmeasured (byte code and files are cached, results are checked), then `rounds` times in turn.

    Raises BenchmarkError where a crawler fetched or found something else than it must.
    """
    conditions = _conditions(lanes)
    _say(conditions)
    proofs = {}
    for lane in lanes:
        _crawl(lane)
        if lane.prove is not None:
            proofs[lane.name] = lane.prove(_folder(lane), lane.server)
            print(f"{lane.name}: {proofs[lane.name]}")
    found = [[_crawl(lane) for lane in lanes] for _ in range(rounds)]
    return _report(lanes, found, {**conditions, "promises": proofs})


def _folder(lane: Lane) -> Path:
    return WORK / "run" / "".join(c if c.isalnum() else "-" for c in lane.name.lower())


def _crawl(lane: Lane) -> Round:
    folder = _folder(lane)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _, core = cores()
    mark = lane.server.mark()
    command = lane.contender.command(lane.task, lane.server, folder)
    env = {**environment(), **lane.contender.settings(lane.server, folder)}
    usage = run(command, core, env, folder / "said.txt", LEAST + EACH * lane.pages)
    served = lane.server.served(mark)
    if served.distinct != lane.pages or not 0 <= served.answers - lane.pages <= lane.twice:
        fetched = f"{served.distinct:,} pages with {served.answers:,} requests"
        raise BenchmarkError(f"{lane.name} fetched {fetched}, not {lane.pages:,} once each")
    _check(lane, lane.contender.items(lane.task, folder))
    return Round(lane.name, lane.pages, usage)


def _check(lane: Lane, items: Items) -> None:
    if lane.check is not None:
        lane.check(items)
    if lane.twice:
        items = sorted(set(items))
    wanted = lane.items()
    if len(items) != len(wanted):
        raise BenchmarkError(f"{lane.name} found {len(items):,} items, not {len(wanted):,}")
    for found, right in zip(items, wanted, strict=True):
        if found != right:
            raise BenchmarkError(f"{lane.name} found {found}, where the site has {right}")


def _report(lanes: Sequence[Lane], rounds: list[list[Round]], conditions: dict[str, Any]) -> dict[str, Any]:
    medians, ratios = {}, {}
    for index, lane in enumerate(lanes):
        figures = [each[index].figures() for each in rounds]
        medians[lane.name] = {name: median(one[name] for one in figures) for name in figures[0]}
        if index:
            first = (each[0].figures()["cpu_ms_per_page"] for each in rounds)
            ratios[lane.name] = [one["cpu_ms_per_page"] / of for one, of in zip(figures, first, strict=True)]
    return {
        **conditions,
        "lanes": [
            {"name": lane.name, "pages": lane.pages, "items": len(lane.items()), "task": lane.task.name}
            for lane in lanes
        ],
        "rounds": [[{"lane": one.lane, **asdict(one.usage)} for one in each] for each in rounds],
        "medians": medians,
        "ratios": ratios,
        "ratio_medians": {name: median(each) for name, each in ratios.items()},
    }


def table(report: dict[str, Any]) -> str:
    """The medians, and the CPU per page of each over that of the first, pair by pair."""
    first = report["lanes"][0]["name"]
    lines = [
        f"| crawler | CPU ms/page | user | system | pages/s | peak MB | CPU / {first}'s | pair by pair |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in report["medians"].items():
        pairs = report["ratios"].get(name, [])
        times = f"{report['ratio_medians'][name]:.2f}" if pairs else "1"
        lines.append(
            f"| {name} | {of['cpu_ms_per_page']:.3f} | {of['user_ms_per_page']:.3f} | {of['system_ms_per_page']:.3f} "
            f"| {of['pages_per_second']:,.0f} | {of['peak_mb']:.0f} | {times} "
            f"| {' '.join(f'{pair:.2f}' for pair in pairs)} |"
        )
    return "\n".join(lines)


def keep(report: dict[str, Any], path: str | None) -> None:
    """Write the whole report, where a file was asked for."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _conditions(lanes: Sequence[Lane]) -> dict[str, Any]:
    server_core, core = cores()
    if core is None:
        print("! processes are not tied to cores here: figures scatter more", file=sys.stderr)
    software = lanes[0].server.software
    if not software.startswith("nginx"):
        print("! no nginx here (Debian: nginx-light): pages/s are the server's limit", file=sys.stderr)
    versions = {"python": platform.python_version(), "server": software}
    for lane in lanes:
        versions |= {
            name if name not in versions or versions[name] == version else f"{name} ({lane.name})": version
            for name, version in lane.contender.versions().items()
        }
    return {
        "versions": versions,
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "server_core": server_core,
            "crawler_core": core,
        },
        "concurrency": lanes[0].task.concurrency,
        "load_before": os.getloadavg()[0],
    }


def _say(conditions: dict[str, Any]) -> None:
    machine = conditions["machine"]
    pinned = "" if machine["crawler_core"] is None else ", server on one and crawler on another"
    print(f"{machine['cpu']}, {machine['cores']} cores{pinned}; load before {conditions['load_before']:.2f}")
    print(", ".join(f"{name} {version}" for name, version in conditions["versions"].items()))
    print(f"concurrency {conditions['concurrency']}", flush=True)
