"""T4: the wall clock is set by an hour in the middle of a crawl of 180 pages, forth and back, and under a wait.

Four real crawls on loopback at once, each with a wall clock of its own: a library that is loaded before all others shifts
what the process reads of CLOCK_REALTIME. It needs Linux and gcc.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

__all__ = ["HOUR", "RIGHT", "Ended", "Pages", "SetClock", "can_set_clocks", "crawl", "replay", "serving"]

RIGHT = (
    "forth and back: ended, 181 of 181 pages, 0 twice, gap kept"
    " | 3 workers: ended, 181 of 181 pages, 0 twice, gap kept"
    " | Retry-After 28, set forth: kept | queued retry, set back: ended, retried within 10 s"
)
HOUR = 3600
PAGES, RATE = 180, 10
#: Seconds a crawl has.
PATIENCE = 45.0

SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t none, *shift = &none;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SET_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        shift = found;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int failed = syscall(SYS_clock_gettime, clock, out);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += *shift;
    return failed;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
"""

SPIDER = """
from scraper import Spider

class Clocked(Spider):
    start_urls = ["{url}/"]
    rate, concurrency, robots = "{rate}/s", 4, False

    def parse(self, page):
        yield page.follow_all("a")
        yield {{"url": page.url}}
"""


def can_set_clocks() -> str:
    """Why the wall clock of a process cannot be set here; "" where it can."""
    if sys.platform != "linux":
        return "a shim for the clock is written for Linux"
    return "" if shutil.which("gcc") else "no gcc"


class SetClock:
    """The wall clock of processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        source, library, self._shift = (folder / name for name in ("shim.c", "shim.so", "shift"))
        source.write_text(SHIM)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self._shift.write_bytes(struct.pack("q", 0))
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "SET_CLOCK": str(self._shift)}

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the right time."""
        with self._shift.open("r+b") as file:
            file.write(struct.pack("q", seconds))


@dataclass
class Pages:
    """A site of `count` pages below "/". `once` maps paths to what they answer the first time: status and Retry-After."""

    once: dict[str, tuple[int, str]] = field(default_factory=dict)
    count: int = PAGES
    asked: list[tuple[float, str, int]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, str, bytes]:
        status, wait = self.once.pop(path, (200, ""))
        self.asked.append((time.monotonic(), path, status))
        links = "".join(f'<a href="/{n}">x</a>' for n in range(self.count)) if path == "/" else ""
        return status, wait, f"<html><body>{links}</body></html>".encode()

    def at(self, path: str) -> list[float]:
        """When a path was asked for."""
        return [at for at, asked, _ in self.asked if asked == path]

    def twice(self) -> int:
        """Pages that were given more than once."""
        given = Counter(path for _, path, status in self.asked if status == 200)
        return sum(count > 1 for count in given.values())

    def least_gap(self) -> float:
        return min(after - before for before, after in pairwise(sorted(at for at, _, _ in self.asked)))


@contextmanager
def serving(pages: Pages) -> Iterator[Pages]:
    """The site on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, wait, body = pages.answer(self.path)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
            head += f"Retry-After: {wait}\r\n" if wait else ""
            self.wfile.write(f"{head}\r\n".encode() + body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pages.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield pages
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Ended:
    """How a crawl ended: its exit code, None for one that had to be killed; what it printed; and how long it took."""

    code: int | None
    err: str
    seconds: float


def crawl(
    folder: Path,
    pages: Pages,
    clock: SetClock,
    jumps: Sequence[tuple[float, int]] = (),
    words: Sequence[str] = ("crawl", "clocked.py"),
    killed_after: float | None = None,
) -> Ended:
    """A crawl in a process of its own; at each of `jumps` (seconds after the first request) its clock is set."""
    (folder / "scraper.toml").touch()
    (folder / "clocked.py").write_text(SPIDER.format(url=pages.url, rate=RATE))
    before, began = len(pages.asked), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "scraper", *words],
        cwd=folder, env=clock.environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    threading.Thread(
        target=_set_and_kill, args=(process, pages, before, clock, jumps, killed_after), daemon=True
    ).start()
    try:
        _, err = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, err, time.monotonic() - began)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        return Ended(None, err, time.monotonic() - began)


def _set_and_kill(
    process: subprocess.Popen[str],
    pages: Pages,
    before: int,
    clock: SetClock,
    jumps: Sequence[tuple[float, int]],
    killed_after: float | None,
) -> None:
    """What happens to a crawl, from its first request on."""
    while len(pages.asked) <= before and process.poll() is None:
        time.sleep(0.01)
    first = time.monotonic()
    acts: list[tuple[float, Callable[[], None]]] = [(at, lambda s=shift: clock.set(s)) for at, shift in jumps]
    if killed_after is not None:
        acts.append((killed_after, lambda: os.killpg(process.pid, signal.SIGKILL)))
    for at, act in sorted(acts, key=lambda pair: pair[0]):
        time.sleep(max(0.0, first + at - time.monotonic()))
        if process.poll() is None:
            act()


def _case(
    once: dict[str, tuple[int, str]], jumps: Sequence[tuple[float, int]], *words: str
) -> tuple[Pages, Ended]:
    with tempfile.TemporaryDirectory() as name, serving(Pages(once)) as pages:
        folder = Path(name)
        return pages, crawl(folder, pages, SetClock(folder), jumps, ("crawl", "clocked.py", *words))


def _whole(pages: Pages, ended: Ended) -> str:
    given = len({path for _, path, status in pages.asked if status == 200})
    gap = (
        "kept"
        if pages.least_gap() >= 0.9 / RATE
        else f"{1000 * pages.least_gap():.0f} of {1000 / RATE:.0f} ms"
    )
    return f"{_end(ended)}, {given} of {PAGES + 1} pages, {pages.twice()} twice, gap {gap}"


def _end(ended: Ended) -> str:
    return f"did not end in {PATIENCE:.0f} s" if ended.code is None else "ended"


def replay() -> str:
    """What is seen, in one line."""
    if why := can_set_clocks():
        return f"not replayed: {why}"
    busy, broken = {"/1": (429, "28")}, {"/1": (500, "")}
    cases = [
        ({}, [(5.0, HOUR), (12.0, 0)], []),
        ({}, [(5.0, HOUR), (12.0, 0)], ["--workers", "3"]),
        (busy, [(2.0, HOUR)], ["--workers", "2"]),
        (broken, [(0.7, -HOUR)], []),
    ]
    with ThreadPoolExecutor(len(cases)) as pool:
        one, several, held, retried = pool.map(lambda case: _case(case[0], case[1], *case[2]), cases)
    refused = next((at for at, _, status in held[0].asked if status == 429), 0.0)
    waited = min((at for at, _, _ in held[0].asked if at > refused + 0.5), default=refused) - refused
    tries = retried[0].at("/1")
    again = f"retried after {tries[1] - tries[0]:.1f} s" if len(tries) > 1 else "never retried"
    if len(tries) > 1 and tries[1] - tries[0] < 10:
        again = "retried within 10 s"
    return (
        f"forth and back: {_whole(*one)} | 3 workers: {_whole(*several)}"
        f" | Retry-After 28, set forth: {'kept' if waited >= 27.99 else f'broken after {waited:.1f} s'}"
        f" | queued retry, set back: {_end(retried[1])}, {again}"
    )


if __name__ == "__main__":
    print(f"right: {RIGHT}\nseen:  {replay()}")
