"""Where the time of our crawl of the generated shop goes.

    python -m benchmarks.profile [--pages N] [--hosts N] [-c N] [--top N] [--pyinstrument]

Prints the most expensive functions by own time and with all they call, in µs a page. Waiting is time too: the
event loop waits in `poll`, the database thread in `SimpleQueue.get`. cProfile makes every Python call dearer
(1.7 times in all): compare lines with each other, and trust `benchmarks.shop` for the sum. `--pyinstrument`
samples instead, where that package is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import pstats
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Ours, environment
from benchmarks.measure import Usage, cores, run
from benchmarks.serving import PROJECT, WORK, BenchmarkError
from benchmarks.shop import served, task
from benchmarks.shopsite import Kind

FOLDER = WORK / "run" / "profile"


@dataclass(frozen=True)
class Function:
    """One function of a profile: seconds are of all its calls."""

    place: str
    calls: int
    own: float
    total: float


def functions(path: Path) -> list[Function]:
    """Every function of a cProfile file, unordered."""
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]  # typeshed leaves out what dump_stats writes
    return [Function(_place(*at), calls, own, total) for at, (_, calls, own, total, _) in stats.items()]


def _place(file: str, line: int, name: str) -> str:
    if file == "~":
        return name
    path = Path(file)
    if path.is_relative_to(PROJECT):
        return f"{path.relative_to(PROJECT)}:{line} {name}"
    return f"{'/'.join(path.parts[-2:])}:{line} {name}"


def table(found: list[Function], top: int, pages: int) -> str:
    """The `top` functions by own time, then by time with all they call."""
    by_own = sorted(found, key=lambda one: -one.own)[:top]
    by_total = sorted(found, key=lambda one: -one.total)[:top]
    parts = []
    for title, rows in (("own time", by_own), ("with all they call", by_total)):
        lines = [f"{title}: µs a page", f"{'own':>8}{'total':>9}{'calls':>8}  function"]
        parts.append("\n".join([*lines, *(_row(row, pages) for row in rows)]))
    return "\n\n".join(parts)


def _row(one: Function, pages: int) -> str:
    own, total = (seconds * 1e6 / pages for seconds in (one.own, one.total))
    return f"{own:8.1f}{total:9.1f}{one.calls / pages:8.1f}  {one.place}"


def _crawl(options: argparse.Namespace, profiler: list[str]) -> Usage:
    """One crawl under the profiler, after an unmeasured one that caches byte code and files."""
    _, core = cores()
    with served(Kind(options.pages, options.hosts), "plain") as server:
        for before in ([], profiler):
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.mkdir(parents=True)
            crawl = Ours().arguments(task(options.concurrency), server, FOLDER)
            module = [] if before and not options.pyinstrument else ["-m"]
            arguments = [*module, *(crawl if module else crawl[1:])]
            usage = run([sys.executable, *before, *arguments], core, environment(), FOLDER / "said.txt")
    return usage


def _profile(options: argparse.Namespace) -> None:
    if options.pyinstrument:
        if importlib.util.find_spec("pyinstrument") is None:
            raise BenchmarkError("pyinstrument is not installed here: pip install pyinstrument")
        out = WORK / "pyinstrument.txt"
        usage = _crawl(options, ["-m", "pyinstrument", "-o", str(out)])
        print(out.read_text(encoding="utf-8"))
    else:
        out = WORK / "profile.pstats"
        usage = _crawl(options, ["-m", "benchmarks.profiled", str(out)])
        print(table(functions(out), options.top, options.pages))
    print(
        f"\nunder the profiler: {usage.cpu * 1000 / options.pages:.3f} ms CPU a page; figures kept in {out.name}"
    )


def main() -> int:
    """Exit code 0, or 1 with one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--pages", type=int, default=2_000, metavar="N", help="pages of the shop (default 2,000)")
    add("--hosts", type=int, default=1, metavar="N", help="addresses it is spread over (default 1)")
    add("-c", "--concurrency", type=int, default=64, metavar="N", help="requests in flight (default 64)")
    add("--top", type=int, default=40, metavar="N", help="functions a table (default 40)")
    add("--pyinstrument", action="store_true", help="sample with pyinstrument")
    try:
        _profile(parser.parse_args())
    except BenchmarkError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
