"""This project and Scrapy crawl the same shop in turn, each as a whole process on one core.

    python -m benchmarks.books [--site DIR] [--rounds N] [-c N] [--json OUT]

Both must fetch 1,194 pages once each and find the same 1,000 items, field by field, or the benchmark fails.
Quote CPU per page and the ratios: pages/s on a shared machine mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import FIELDS, Contender, Items, Ours, Scrapy, environment
from benchmarks.measure import Usage, cores, cpu_model, run
from benchmarks.serving import WORK, BenchmarkError, Server, serving, site_folder

PAGES, ITEMS, SUM_OF_PRICES = 1194, 1000, Decimal("35070.35")


@dataclass(frozen=True)
class Round:
    """One crawl by one contender."""

    contender: str
    usage: Usage

    @property
    def cpu_ms_per_page(self) -> float:
        return self.usage.cpu * 1000 / PAGES

    @property
    def pages_per_second(self) -> float:
        return PAGES / self.usage.wall


class Benchmark:
    """The contenders, the server they crawl, and the items the first crawl found."""

    def __init__(self, contenders: list[Contender], server: Server, core: int | None) -> None:
        self._contenders = contenders
        self._server = server
        self._core = core
        self._items: Items | None = None

    def warm_up(self) -> None:
        """Once each, unmeasured: byte code and files are cached, results are checked."""
        for contender in self._contenders:
            self._crawl(contender)

    def rounds(self, count: int) -> list[list[Round]]:
        """A B, A B, …: `count` lists with one Round of each contender."""
        return [[self._crawl(contender) for contender in self._contenders] for _ in range(count)]

    def _crawl(self, contender: Contender) -> Round:
        folder = WORK / "run" / contender.name.lower()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        mark = self._server.mark()
        usage = run(contender.command(self._server, folder), self._core, environment(), folder / "said.txt")
        self._check_pages(contender.name, mark)
        self._check_items(contender.name, contender.items(folder))
        return Round(contender.name, usage)

    def _check_pages(self, name: str, mark: int) -> None:
        answers, distinct = self._server.served(mark)
        if (answers, distinct) != (PAGES, PAGES):
            fetched = f"{distinct:,} pages with {answers:,} requests"
            raise BenchmarkError(f"{name} fetched {fetched}, not {PAGES:,} once each")

    def _check_items(self, name: str, items: Items) -> None:
        total = sum((item[FIELDS.index("price")] for item in items), Decimal())
        if (len(items), total) != (ITEMS, SUM_OF_PRICES):
            found = f"{len(items):,} items of {total} in all"
            raise BenchmarkError(f"{name} found {found}, not {ITEMS:,} of {SUM_OF_PRICES}")
        self._items = self._items or items
        differing = [pair for pair in zip(self._items, items, strict=True) if pair[0] != pair[1]]
        if differing:
            first = self._contenders[0].name
            raise BenchmarkError(f"{name} and {first} differ in {len(differing):,} items: {differing[0]}")


def table(rounds: list[list[Round]]) -> str:
    """Every crawl, the medians, and the ratio of each pair."""
    lines = [f"{'':14}{'CPU ms/page':>12}{'user':>8}{'system':>8}{'pages/s':>10}{'peak MB':>9}"]
    for number, pair in enumerate(rounds, 1):
        lines += [_line(f"{one.contender} {number}", [one]) for one in pair]
    lines += [_line(f"{each[0].contender} median", list(each)) for each in zip(*rounds, strict=True)]
    found = ratios(rounds)
    pairs = "  ".join(f"{ratio:.2f}" for ratio in found)
    lines.append(f"ratio of CPU per page, pair by pair: {pairs}   median {median(found):.2f}")
    return "\n".join(lines)


def _line(name: str, rounds: list[Round]) -> str:
    figures = _medians(rounds)
    return (
        f"{name:14}{figures['cpu_ms_per_page']:12.3f}{figures['user_ms_per_page']:8.3f}{figures['system_ms_per_page']:8.3f}"
        f"{figures['pages_per_second']:10.0f}{figures['peak_mb']:9.1f}"
    )


def _medians(rounds: list[Round]) -> dict[str, float]:
    return {
        "cpu_ms_per_page": median(one.cpu_ms_per_page for one in rounds),
        "user_ms_per_page": median(one.usage.user * 1000 / PAGES for one in rounds),
        "system_ms_per_page": median(one.usage.system * 1000 / PAGES for one in rounds),
        "pages_per_second": median(one.pages_per_second for one in rounds),
        "peak_mb": median(one.usage.peak_mb for one in rounds),
    }


def ratios(rounds: list[list[Round]]) -> list[float]:
    """Scrapy's CPU per page over ours, for each pair of crawls that followed one another."""
    return [theirs.cpu_ms_per_page / ours.cpu_ms_per_page for ours, theirs in rounds]


def report(rounds: list[list[Round]], conditions: dict[str, Any]) -> dict[str, Any]:
    """Everything `--json` keeps."""
    return {
        **conditions,
        "pages": PAGES,
        "items": ITEMS,
        "rounds": [[{"contender": one.contender, **asdict(one.usage)} for one in pair] for pair in rounds],
        "medians": {each[0].contender: _medians(list(each)) for each in zip(*rounds, strict=True)},
        "ratios": ratios(rounds),
        "ratio_median": median(ratios(rounds)),
    }


def _conditions(contenders: list[Contender], server: Server, options: argparse.Namespace) -> dict[str, Any]:
    versions = {"python": platform.python_version(), "server": server.software}
    for contender in contenders:
        versions |= contender.versions()
    return {
        "versions": versions,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "concurrency": options.concurrency,
        "scrapy_log_level": options.scrapy_log_level,
        "load_before": os.getloadavg()[0],
    }


def _say(conditions: dict[str, Any]) -> None:
    for name in ("cpu", "cores", "concurrency", "scrapy_log_level"):
        print(f"{name.replace('_', ' ')}: {conditions[name]}")
    print(f"load before: {conditions['load_before']:.2f}")
    print(", ".join(f"{name} {version}" for name, version in conditions["versions"].items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.books",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--site", metavar="DIR", help="the folder of the books site; else unpacked from beside the project")
    add("--rounds", type=int, default=3, metavar="N", help="pairs of crawls (default 3)")
    add("-c", "--concurrency", type=int, default=32, metavar="N", help="requests in flight (default 32)")
    add("--scrapy-log-level", default="DEBUG", metavar="LEVEL", help="DEBUG as Scrapy comes (default), INFO")
    add("--json", metavar="OUT", help="write the figures here")
    options = parser.parse_args()
    if options.rounds < 1 or options.concurrency < 1:
        parser.error("--rounds and --concurrency are 1 or more")
    return options


def _benchmark(options: argparse.Namespace) -> None:
    server_core, core = cores()
    if core is None:
        print("! processes are not tied to cores here: figures scatter more", file=sys.stderr)
    scrapy = Scrapy(options.concurrency, options.scrapy_log_level)
    contenders: list[Contender] = [Ours(options.concurrency), scrapy]
    with serving(site_folder(options.site), server_core) as server:
        if not server.software.startswith("nginx"):
            print("! no nginx here (Debian: nginx-light): pages/s are the server's limit", file=sys.stderr)
        conditions = _conditions(contenders, server, options)
        _say(conditions)
        benchmark = Benchmark(contenders, server, core)
        benchmark.warm_up()
        rounds = benchmark.rounds(options.rounds)
    print(table(rounds))
    if options.json:
        figures = json.dumps(report(rounds, conditions), indent=2)
        Path(options.json).write_text(figures + "\n", encoding="utf-8")


def main() -> int:
    """Exit code 0 when both found the same and all figures stand; 1 with one sentence otherwise."""
    options = _options()
    try:
        _benchmark(options)
    except BenchmarkError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
