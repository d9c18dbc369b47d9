"""Run the command line under cProfile, every thread by itself, and write the figures to a file.

    python -m benchmarks.profiled OUT crawl …

Time is wall time: a clock of the thread's own CPU costs a system call, and quadruples the time of a crawl.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading

from scraper.cli import main

__all__ = ["run"]


def run(out: str) -> None:
    """Profile `main`; from Python 3.12 on one profiler sees all threads, before, each has its own."""
    profiles = [cProfile.Profile()]

    def begin(*_: object) -> None:
        sys.setprofile(None)
        profiles.append(cProfile.Profile())
        profiles[-1].enable()

    if sys.version_info < (3, 12):
        threading.setprofile(begin)
    code: object = 0
    profiles[0].enable()
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    finally:
        profiles[0].disable()
        _write(profiles, out)
    sys.exit(code if isinstance(code, int) else 0)


def _write(profiles: list[cProfile.Profile], out: str) -> None:
    # A thread that never ran Python code has nothing, and pstats refuses an empty profile.
    used = [profile for profile in profiles if profile.getstats()]
    stats = pstats.Stats(*used)
    stats.dump_stats(out)


if __name__ == "__main__":
    out = sys.argv.pop(1)
    run(out)
