"""Is memory flat? Each command crawls in a process of its own and prints what it measured.

python -m benchmarks.memory pages       ME-01: a million small pages over a thousand loopback hosts
python -m benchmarks.memory pending     ME-02: ten million pending requests, start and claims
python -m benchmarks.memory fanout      ME-03: one page with 200,000 links
python -m benchmarks.memory slow        ME-04: a disk that takes 50 ms for each commit
python -m benchmarks.memory failures    ME-05: thousands of failures of each kind
python -m benchmarks.memory hosts       ME-06, PO-10: a hundred thousand hosts
python -m benchmarks.memory start       a start() of a million URLs
python -m benchmarks.memory reader      ME-07: the log while somebody reads all the time
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from scraper import Page, Request, Spider
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.urls import fingerprint
from scraper.engine import circuit_breakers as failfast
from scraper.events import PageDone
from scraper.store.file import writer as writing
from scraper.store.file.database import Database
from scraper.store.file.schema import prepare
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.runs import begin

PAGE = os.sysconf("SC_PAGE_SIZE")
#: Pages of one crawl before its memory is looked at: caches fill first.
WARM_UP = 50_000


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def peak() -> float:
    """The most memory this process had, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


class Plain(Spider):
    """Settings of every crawl here: as fast as it can be."""

    name = "plain"
    rate, robots, concurrency, in_flight, scope = None, False, 8, 64, "any"


class Samples:
    """An observer that notes the memory every so many pages."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.pages = 0
        self.taken: list[tuple[int, float]] = []
        self.waiting = 0
        self._began = time.monotonic()

    def __call__(self, event: Any) -> None:
        if not isinstance(event, PageDone):
            return
        self.pages += 1
        if self.pages % self._every == 0:
            self.taken.append((self.pages, resident()))
            rate = self.pages / (time.monotonic() - self._began)
            print(f"  {self.pages} pages  {resident():.1f} MB  {rate:.0f}/s", flush=True)

    def slope(self, after: int) -> tuple[float, float]:
        """MB for each million pages after the warm-up (least squares), and the 95 % bound of the slope."""
        points = [(n / 1e6, mb) for n, mb in self.taken if n >= after]
        if len(points) < 3:
            return float("nan"), float("nan")
        xs, ys = zip(*points, strict=True)
        slope, level = statistics.linear_regression(xs, ys)
        rest = sum((y - level - slope * x) ** 2 for x, y in points) / (len(points) - 2)
        spread = sum((x - statistics.mean(xs)) ** 2 for x in xs)
        return slope, 1.96 * (rest / spread) ** 0.5


def report(name: str, **figures: Any) -> None:
    print(
        f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items()),
        flush=True,
    )


@contextlib.contextmanager
def folder(keep: str = "") -> Iterator[Path]:
    """A folder for databases: a temporary one, or the one named, which stays."""
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        yield Path(keep)
        return
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        yield Path(name)


class Canned(httpx.AsyncBaseTransport):
    """Answers from a function, without a wire."""

    guarantees = frozenset({"before_send"})

    def __init__(self, answer: Callable[[str], tuple[int, bytes]]) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.extensions["before_send"]()
        await asyncio.sleep(0)
        status, body = self._answer(str(request.url))
        return httpx.Response(status, headers={"Content-Type": "text/html"}, stream=httpx.ByteStream(body))


# ------------------------------------------------------------------------------------------- ME-01


SERVER = """
import asyncio, socket, sys
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/html\\r\\nContent-Length: %d\\r\\n\\r\\n"
each = int(sys.argv[1])
async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            n = int(head.split(b" ", 2)[1][1:] or 0)
            links = b"".join(b'<a href="/%d">x</a>' % (3 * n + k) for k in (1, 2, 3) if 3 * n + k < each)
            body = b"<h1>%d</h1>" % n + links
            writer.write(HEAD % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        writer.close()
async def main():
    # every address of the loopback interface, and of no other
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.bind(("", 0))
    server = await asyncio.start_server(handle, sock=listener, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def pages(total: int, hosts: int) -> None:
    """Small pages, each host a tree of its own; everything as in a real crawl but robots.txt."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(total // hosts)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    starts = [f"http://127.{1 + n // 65_000}.{n // 250 % 250}.{1 + n % 250}:{port}/0" for n in range(hosts)]
    samples, began = Samples(10_000), time.monotonic()

    class Trees(Plain):
        start_urls = starts
        concurrency = 2

        def parse(self, page: Page) -> Any:
            yield {"n": page.number("h1")}
            yield page.follow_all("a")

    try:
        with folder() as place:
            summary = asyncio.run(CrawlJob(Trees, db=place / "a.db", observers=[samples]).run())
            size = (place / "a.db").stat().st_size / 1e6
    finally:
        server.kill()
        server.wait()
    slope, bound = samples.slope(min(WARM_UP, total // 2))
    report(
        "ME-01", pages=summary.pages, hosts=hosts, slope_MB_per_million=f"{slope:.1f} ± {bound:.1f}",
        peak_MB=f"{peak():.0f}", pages_a_second=round(summary.pages / (time.monotonic() - began)),
        database_MB=round(size),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- ME-02


def pending(total: int, hosts: int, keep: str) -> None:
    """A database with so many pending requests: from the start of the process's crawl to its first request.

    `keep` names a folder where the filled database stays for other runs of this command.
    """
    with folder(keep) as place:
        path, filled = place / "a.db", place / f"{total}-{hosts}.db"
        if not filled.exists():
            _fill(filled, total, hosts)
        print(f"  {filled.stat().st_size / 1e9:.1f} GB", flush=True)
        for rest in place.glob("a.db*"):
            rest.unlink()
        shutil.copyfile(filled, path)
        asked: list[float] = []

        class Resumed(Plain):
            rate = "1/s"
            max_pages = 500

            def parse(self, page: Page) -> Any:
                yield {"url": page.url}

        def answer(url: str) -> tuple[int, bytes]:
            asked.append(time.monotonic())
            return 200, b"<h1>x</h1>"

        _cold(path)
        before, began = resident(), time.monotonic()
        asyncio.run(
            CrawlJob(
                Resumed, db=path, resume="must", transport=Canned(answer), settings={"max_pages": 500}
            ).run()
        )
        most = peak()
        with contextlib.suppress(
            PermissionError
        ):  # ahead of other processes: a claim is measured, not who else is there
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        cold = asyncio.run(_claims(path, 1_000))
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):  # into the kernel's cache
                pass
        cached = asyncio.run(_claims(path, 5_000))
        report(
            "ME-02", pending=total, hosts=hosts, to_the_first_request=f"{asked[0] - began:.2f} s",
            memory_before_MB=f"{before:.0f}", peak_MB=f"{most:.0f}", claims_of_a_cold_file=_spread(cold),
            of_a_cached_one=_spread(cached),
        )  # fmt: skip


def _spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=1000)
    return f"median {cuts[499] * 1e3:.2f} p99 {cuts[989] * 1e3:.2f} worst {max(seconds) * 1e3:.1f} ms"


def _cold(path: Path) -> None:
    """Nothing of a file is in the kernel's cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _fill(path: Path, total: int, hosts: int) -> None:
    """A run that died with so many requests queued, written as fast as SQLite can."""

    def run() -> None:
        conn = writing.connect(str(path))
        prepare(conn, 0.0)
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA cache_size = -1500000")
        options = {"arguments": {}, "start": [], "settings": {"max_pages": 500}}
        begin(conn, spider="plain", target="plain", series="plain", options=options, now=time.time())
        conn.execute("UPDATE _runs SET seeded = 1")
        conn.execute("BEGIN")
        conn.executemany(
            "INSERT INTO _domains (id, name) VALUES (?, ?)", ((n + 1, f"h{n}.example") for n in range(hosts))
        )
        conn.executemany(
            "INSERT INTO _queues (run, domain, ready_at) VALUES (1, ?, 1.0)", ((n + 1,) for n in range(hosts))
        )
        urls = ((n % hosts + 1, f"https://h{n % hosts}.example/page/{n}") for n in range(total))
        conn.executemany(
            "INSERT INTO _requests (run, domain, fingerprint, url, callback) VALUES (1, ?, ?, ?, 'parse')",
            ((domain, fingerprint(url), url) for domain, url in urls),
        )
        conn.execute("INSERT INTO _counters VALUES (1, 'queued', ?)", (total,))
        conn.execute("COMMIT")
        conn.execute("PRAGMA journal_mode = WAL").fetchall()
        conn.close()

    made = path.with_suffix(".part")
    path, wanted = made, path
    made.unlink(missing_ok=True)
    pid = os.fork()  # so that what it needs is not this process's memory
    if not pid:
        run()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    made.rename(wanted)


async def _claims(path: Path, times: int) -> list[float]:
    """Seconds of single claims of a hundred requests, each committed; from a cold connection."""
    clock = Clock()
    database = await Database.open(str(path), holder="benchmark", now=clock.unix())
    frontier = SqliteFrontier(database.writer, 1)
    took = []
    try:
        for _ in range(times):
            began = time.perf_counter()
            got = await frontier.claim("one", domains=1, per_domain=100, lease=30.0, now=clock.unix())
            took.append(time.perf_counter() - began)
            assert got
    finally:
        await database.close()
    return took


# ------------------------------------------------------------------------------------------- ME-03, ME-04


def fanout(links: int) -> None:
    """One page with very many links; a budget ends the crawl soon after."""
    seen = _Watched()

    class Wide(Plain):
        start_urls = ["https://a.example/"]

        def parse(self, page: Page) -> Any:
            yield page.follow_all("a", self.leaf)

        def leaf(self, page: Page) -> Any:
            yield {"url": page.url}

    body = b"".join(b'<a href="/%d">x</a>' % n for n in range(links))
    site = Canned(lambda url: (200, body if url.endswith("example/") else b"<h1>x</h1>"))
    with folder() as place:
        before = resident()
        crawl = CrawlJob(
            Wide, db=place / "a.db", transport=site, observers=[seen], settings={"max_pages": 3_000}
        )
        asyncio.run(seen.watching(crawl))
    report(
        "ME-03", links=links, stored_in=f"{seen.longest:.2f} s", per_10_000=f"{seen.longest / links * 1e4:.3f} s",
        memory_before_MB=f"{before:.0f}", peak_MB=f"{peak():.0f}", after_MB=f"{resident():.0f}",
        most_waiting_for_the_writer=seen.waiting, most_held=seen.held,
    )  # fmt: skip


class _Watched:
    """Sees the longest transaction, and what waits in memory meanwhile."""

    def __init__(self) -> None:
        self.longest, self.waiting, self.held = 0.0, 0, 0
        self._engine: Any = None
        group = writing._run_group

        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return group(*args)
            finally:
                self.longest = max(self.longest, time.perf_counter() - began)

        writing._run_group = timed  # this process only

    def __call__(self, event: object) -> None:
        return

    async def watching(self, crawl: CrawlJob) -> Any:
        task = asyncio.create_task(crawl.run())
        while not task.done():
            await asyncio.sleep(0.005)
            if (engine := crawl._engine) is not None:
                self.held = max(self.held, engine._lanes.schedule.held())
                writer = engine._common.frontier._writer  # type: ignore[attr-defined]  # SQLite's
                self.waiting = max(self.waiting, len(writer._waiting))
        return task.result()


def slow(total: int, delay: float) -> None:
    """A disk that takes so long for each commit: fetching slows, memory does not grow."""
    group = writing._run_group

    def delayed(*args: Any) -> Any:
        time.sleep(delay)
        return group(*args)

    writing._run_group = delayed  # this process only
    seen, samples = _Watched(), Samples(max(1, total // 10))

    class Chain(Plain):
        start_urls = [f"https://h{n}.example/0" for n in range(50)]

        def parse(self, page: Page) -> Any:
            n = int(page.url.rsplit("/", 1)[1])
            yield {"n": n}
            yield from (page.request(f"/{3 * n + k}") for k in (1, 2, 3))

    began = time.monotonic()
    with folder() as place:
        crawl = CrawlJob(
            Chain, db=place / "a.db", transport=Canned(lambda url: (200, b"x")), observers=[samples],
            settings={"max_pages": total},
        )  # fmt: skip
        asyncio.run(seen.watching(crawl))
    values = [mb for _, mb in samples.taken]
    report(
        "ME-04", pages=samples.pages, delay=f"{delay * 1000:.0f} ms a commit",
        pages_a_second=round(samples.pages / (time.monotonic() - began)), most_waiting=seen.waiting,
        memory_MB=f"{values[1]:.1f} to {values[-1]:.1f}", peak_MB=f"{peak():.0f}",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- ME-05, ME-06


BROKEN = """
import asyncio, socket, struct
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/html\\r\\nContent-Length: %d\\r\\n\\r\\n"
bomb = __import__("gzip").compress(bytes(20_000_000))
async def handle(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        kind = head.split(b" ", 2)[1].split(b"/")[1].decode()
        if kind == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif kind == "timeout":
            await asyncio.sleep(2)
        elif kind == "bomb":
            writer.write(HEAD.replace(b"Type: text", b"Encoding: gzip\\r\\nContent-Type: text") % len(bomb) + bomb)
        elif kind == "short":
            writer.write(HEAD % 99 + b"x")
        elif kind == "retry":
            writer.write(b"HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n")
        elif kind != "empty":
            writer.write(HEAD % 1 + b"x")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
KINDS = ("reset", "empty", "short", "retry", "bomb", "timeout", "callback", "cancel")


def failures(each: int) -> None:
    """So many failures of each kind after as many to warm up: what has grown, by line of code."""
    server = subprocess.Popen([sys.executable, "-c", BROKEN], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    try:
        # From the start: a table made before and made anew later would count as grown (that of interned strings is 2 MB).
        tracemalloc.start(1)
        for kind in KINDS:
            times = each if kind != "timeout" else max(64, each // 10)
            _fail(kind, times, port)  # as many: caches fill
            gc.collect()
            before, files = tracemalloc.take_snapshot(), len(os.listdir("/proc/self/fd"))
            failed = _fail(kind, times, port)
            gc.collect()
            grown = tracemalloc.take_snapshot().compare_to(before, "lineno")
            most = max(grown, key=lambda line: line.size_diff)
            report(
                "ME-05", kind=kind, failures=failed, most_grown_line=f"{most.size_diff / 1e3:.1f} kB",
                where=str(most.traceback),
                all_lines=f"{sum(line.size_diff for line in grown) / 1e3:.1f} kB",
                open_files=f"{files} before, {len(os.listdir('/proc/self/fd'))} after",
                uncollectable=len(gc.garbage), resident_MB=f"{resident():.0f}",
            )  # fmt: skip
    finally:
        server.kill()
        server.wait()


def _fail(kind: str, times: int, port: int) -> int:
    class Failing(Plain):
        deadline, max_decoded, max_failed, concurrency = 0.3, 1_000_000, 1.0, 32
        retries = 1 if kind == "retry" else 0

        async def start(self) -> AsyncIterator[Request]:
            for n in range(times):
                yield Request(f"http://127.0.0.1:{port}/{kind}/{n}")

        async def parse(self, page: Page) -> Any:
            if kind == "cancel":
                raise asyncio.CancelledError
            raise ValueError("broken")

    failfast.FAILURES = 10**9  # this process only: every page is meant to fail
    with folder() as place:
        crawl = CrawlJob(Failing, db=place / "a.db", settings={"private_hosts": [f"127.0.0.1:{port}"]})
        return asyncio.run(crawl.run()).counters.get("failed", 0)


def hosts(total: int, each: int) -> None:
    """So many hosts with a few pages each, at a rate, with robots.txt: what is kept of each is let go."""
    samples = Samples(max(1, total * each // 20))
    most = 0

    class Many(Plain):
        rate, robots = "10/s", True

        async def start(self) -> AsyncIterator[Request]:
            for n in range(total):
                yield Request(f"https://h{n}.example/0")

        def parse(self, page: Page) -> Any:
            n = int(page.url.rsplit("/", 1)[1])
            if n + 1 < each:
                yield page.request(f"/{n + 1}")
            yield {"url": page.url}

    def watch(event: Any) -> None:
        nonlocal most
        if crawl._engine is not None:
            most = max(most, len(crawl._engine._visiting.sending.politeness))

    def answer(url: str) -> tuple[int, bytes]:
        return (200, b"User-agent: *\nDisallow: /no\n") if url.endswith("robots.txt") else (200, b"x")

    began = time.monotonic()
    with folder() as place:
        before = resident()
        crawl = CrawlJob(Many, db=place / "a.db", transport=Canned(answer), observers=[samples, watch])
        summary = asyncio.run(crawl.run())
    report(
        "ME-06", hosts=total, pages=summary.pages, memory_before_MB=f"{before:.0f}", peak_MB=f"{peak():.0f}",
        most_domains_in_memory=most, seconds=round(time.monotonic() - began),
    )  # fmt: skip


def start(total: int) -> None:
    """A start() of so many URLs; the crawl goes on meanwhile, and start() is held back."""
    samples, began = Samples(max(1, total // 20)), time.monotonic()

    class Long(Plain):
        async def start(self) -> AsyncIterator[Request]:
            for n in range(total):
                yield Request(f"https://h{n % 200}.example/{n}")

        def parse(self, page: Page) -> Any:
            yield {"url": page.url}

    with folder() as place:
        crawl = CrawlJob(
            Long, db=place / "a.db", transport=Canned(lambda url: (200, b"x")), observers=[samples]
        )
        summary = asyncio.run(crawl.run())
    slope, bound = samples.slope(min(WARM_UP, total // 2))
    report(
        "start()", urls=total, pages=summary.pages, slope_MB_per_million=f"{slope:.1f} ± {bound:.1f}",
        peak_MB=f"{peak():.0f}", seconds=round(time.monotonic() - began),
    )  # fmt: skip


READER = """
import sqlite3, sys, time
reads = 0
before = None
while True:
    conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
    conn.execute("BEGIN")
    try:
        conn.execute("SELECT count(*) FROM _requests").fetchone()
    except sqlite3.OperationalError:
        pass
    if before is not None:
        before.close()
    before = conn
    time.sleep(0.02)
"""


def reader(total: int) -> None:
    """Readers in another process that overlap without a gap, while pages are stored."""
    biggest = 0

    class Long(Plain):
        async def start(self) -> AsyncIterator[Request]:
            for n in range(total):
                yield Request(f"https://h{n % 50}.example/{n}")

        def parse(self, page: Page) -> Any:
            yield {"url": page.url, "text": "x" * 2_000}

    with folder() as place:
        log = place / "a.db-wal"

        def watch(event: Any) -> None:
            nonlocal biggest
            if isinstance(event, PageDone) and log.exists():
                biggest = max(biggest, log.stat().st_size)

        (place / "a.db").touch()
        readers = subprocess.Popen([sys.executable, "-c", READER, str(place / "a.db")])
        try:
            asyncio.run(
                CrawlJob(
                    Long, db=place / "a.db", transport=Canned(lambda url: (200, b"x")), observers=[watch]
                ).run()
            )
        finally:
            readers.kill()
            readers.wait()
        left = log.stat().st_size if log.exists() else 0
        size = (place / "a.db").stat().st_size
    report(
        "ME-07", pages=total, written_MB=round(size / 1e6), biggest_log_MB=f"{biggest / 1e6:.1f}", log_at_the_end=left
    )  # fmt: skip


COMMANDS: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "pages": (pages, {"total": 1_000_000, "hosts": 1_000}),
    "pending": (pending, {"total": 10_000_000, "hosts": 10_000, "keep": ""}),
    "fanout": (fanout, {"links": 200_000}),
    "slow": (slow, {"total": 20_000, "delay": 0.05}),
    "failures": (failures, {"each": 20_000}),
    "hosts": (hosts, {"total": 100_000, "each": 2}),
    "start": (start, {"total": 1_000_000}),
    "reader": (reader, {"total": 30_000}),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (function, numbers) in COMMANDS.items():
        made = commands.add_parser(name, help=function.__doc__)
        for number, default in numbers.items():
            made.add_argument(f"--{number}", type=type(default), default=default)
    given = vars(parser.parse_args())
    function, numbers = COMMANDS[given["command"]]
    function(**{number: given[number] for number in numbers})


if __name__ == "__main__":
    main()
