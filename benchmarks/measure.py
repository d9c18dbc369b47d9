"""Whole processes, measured from outside: CPU of the process tree, wall time, peak memory."""

from __future__ import annotations

import os
import platform
import shutil
import signal
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
#: Runs a command and writes how it ended and what it used: exit code, user, system and wall seconds, peak memory.
WAIT = """
import os, sys, time
out = int(os.environ.pop("BENCHMARK_FD"))
os.set_inheritable(out, False)
begun = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - begun
figures = (os.waitstatus_to_exitcode(status), used.ru_utime, used.ru_stime, wall, used.ru_maxrss)
os.write(out, " ".join(map(str, figures)).encode())
"""


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
        # A process of its own between us and the command: the peak that the system tells of a child begins with the size of
        # whoever started it, and we hold the items of a whole shop.
        helper = [sys.executable, "-I", "-S", "-c", WAIT, *pinned(core, command)]
        read, write = os.pipe()
        begun = time.perf_counter()
        process = subprocess.Popen(
            helper, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[write],
            env={**env, "BENCHMARK_FD": str(write)}, start_new_session=True,
        )  # fmt: skip
        os.close(write)
        watchdog = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            with os.fdopen(read) as answer:
                told = answer.read().split()
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            watchdog.cancel()
    code = int(told[0]) if told else process.returncode
    if code:
        tail = "\n".join(said.read_text(errors="replace").splitlines()[-6:])
        raise BenchmarkError(f"exit code {code} of {' '.join(command)}\n{tail}")
    user, system, wall, peak = map(float, told[1:])
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    assert wall <= time.perf_counter() - begun
    return Usage(user, system, wall, peak / unit)


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
