"""Where the time of our crawl of the books site goes.

    python -m benchmarks.profile [--site DIR] [-c N] [--top N] [--pyinstrument]

Prints the most expensive functions by own time and with all they call, in µs a page. Waiting is time too: the
event loop waits in `poll`, the database thread in `SimpleQueue.get`. cProfile makes every Python call dearer
(1.7 times in all): compare lines with each other, and trust `benchmarks.books` for the sum. `--pyinstrument`
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

from benchmarks.contenders import environment, our_command
from benchmarks.measure import Usage, cores, run
from benchmarks.serving import PROJECT, WORK, BenchmarkError, serving, site_folder

PAGES = 1194
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


def table(found: list[Function], top: int) -> str:
    """The `top` functions by own time, then by time with all they call."""
    by_own = sorted(found, key=lambda one: -one.own)[:top]
    by_total = sorted(found, key=lambda one: -one.total)[:top]
    parts = []
    for title, rows in (("own time", by_own), ("with all they call", by_total)):
        lines = [f"{title}: µs a page", f"{'own':>8}{'total':>9}{'calls':>8}  function"]
        parts.append("\n".join([*lines, *map(_row, rows)]))
    return "\n\n".join(parts)


def _row(one: Function) -> str:
    own, total = (seconds * 1e6 / PAGES for seconds in (one.own, one.total))
    return f"{own:8.1f}{total:9.1f}{one.calls / PAGES:8.1f}  {one.place}"


def _crawl(options: argparse.Namespace, profiler: list[str]) -> Usage:
    """One crawl under the profiler, after an unmeasured one that caches byte code and files."""
    server_core, core = cores()
    with serving(site_folder(options.site), server_core) as server:
        for before in ([], profiler):
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.mkdir(parents=True)
            crawl = our_command(server, FOLDER, options.concurrency)
            arguments = crawl[2:] if before and not options.pyinstrument else crawl
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
        print(table(functions(out), options.top))
    print(f"\nunder the profiler: {usage.cpu * 1000 / PAGES:.3f} ms CPU a page; figures kept in {out.name}")


def main() -> int:
    """Exit code 0, or 1 with one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--site", metavar="DIR", help="the folder of the books site; else unpacked from beside the project")
    add("-c", "--concurrency", type=int, default=32, metavar="N", help="requests in flight (default 32)")
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
