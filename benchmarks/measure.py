"""Whole processes, measured from outside: CPU of the process tree, wall time, peak memory."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import BenchmarkError, pinned

__all__ = ["Usage", "cores", "cpu_model", "run"]

#: Seconds after which a crawl is ended and the benchmark fails, where it is not said otherwise.
LIMIT = 600.0


@dataclass(frozen=True)
class Usage:
    """What one process and all it waited for used: seconds and MiB."""

    user: float
    system: float
    wall: float
    peak_mb: float

    @property
    def cpu(self) -> float:
        return self.user + self.system


def run(command: list[str], core: int | None, env: dict[str, str], said: Path, limit: float = LIMIT) -> Usage:
    """Run to the end, tied to `core`; stdout and stderr go to the file `said`.

    Raises BenchmarkError with the last lines of it when the exit code is not 0 or `limit` seconds are over.
    """
    with said.open("wb") as out:
        begun = time.perf_counter()
        process = subprocess.Popen(
            pinned(core, command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env
        )
        watchdog = threading.Timer(limit, process.kill)
        watchdog.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            watchdog.cancel()
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(said.read_text(errors="replace").splitlines()[-6:])
        raise BenchmarkError(f"exit code {process.returncode} of {' '.join(command)}\n{tail}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Usage(used.ru_utime, used.ru_stime, wall, used.ru_maxrss / unit)


def cores() -> tuple[int | None, int | None]:
    """The server's core and the crawlers'; None where processes cannot be tied or there is only one."""
    if shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"):
        return None, None
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[-1]) if len(found) > 1 else (None, None)


def cpu_model() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
