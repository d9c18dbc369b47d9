"""CR-01, CR-02: kill -9 at random times and at every named point."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.crash.site import Graph, InProcess, check, child, crawl, folder, report, served
from scraper.store import frontier as frontiers
from scraper.store.file import write_ahead_log
from scraper.store.file import writer as writing

__all__ = ["at_points", "at_random"]

START = "https://graph.example/p/0"


def at_random(crawls: int, kills: int, pages: int, seed: int) -> None:
    """CR-01: each crawl is killed again and again at random times until it is complete."""
    chance, began = random.Random(seed), time.monotonic()
    write_ahead_log.FOLD, write_ahead_log.LOG = (
        2**16,
        2**18,
    )  # so that so few pages are folded beside the writer, and by it, many times
    killed, refetched, claimed, finished = 0, 0, 0, 0
    with folder() as place:
        while finished < crawls or killed < kills:
            with served(pages) as (start, asked):
                path, bound, before = place / f"{finished}.db", 0, killed
                while not check(path, pages).complete if path.exists() else True:
                    pid = child(lambda path=path, start=start: crawl(path, start))
                    time.sleep(chance.uniform(0.03, 0.25))
                    os.kill(pid, signal.SIGKILL)
                    status = os.waitpid(pid, 0)[1]
                    if os.WIFSIGNALED(status):
                        killed += 1
                        bound += min(check(path, pages).taken, 2 * 64) if path.exists() else 0
                final, seen = check(path, pages), asked.pages()
                assert final.done == pages == len(seen), (final, len(seen))
                again = seen.total() - pages
                assert again <= bound, f"{again} fetched again, {bound} claimed and not committed"
                refetched, claimed, finished = refetched + again, claimed + bound, finished + 1
                print(f"  crawl {finished}: {killed - before} kills, {again} fetched again", flush=True)
    report(
        "CR-01", crawls=finished, kills=killed, pages_each=pages, missing=0, doubled=0,
        fetched_again=refetched, claimed_and_not_committed=claimed,
        per_kill=f"{refetched / max(1, killed):.1f}", seconds=round(time.monotonic() - began),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- named points

#: Points by the beginning of the statement that is about to be executed.
STATEMENTS = {
    "begin": "BEGIN IMMEDIATE",
    "savepoint": "SAVEPOINT",
    "run begun": "INSERT INTO _runs",
    "start stored": "UPDATE _runs SET seeded",
    "request stored": "INSERT INTO _requests",
    "requests taken": "UPDATE _requests SET taken_epoch",
    "lease granted": "UPDATE _queues SET epoch = ",
    "lease prolonged or settled": "UPDATE _queues SET ready_at",
    "fence passed": "UPDATE _queues SET taken = taken - 1",
    "table made": "CREATE TABLE",
    "item stored": 'INSERT INTO "node"',
    "row stored": 'INSERT INTO "graph"',
    "send stored": "INSERT INTO _sends",
    "request ended": "UPDATE _requests SET state",
    "savepoint released": "RELEASE",
    "counters written": "INSERT INTO _counters",
    "commit": "COMMIT",
    "checkpoint": "PRAGMA wal_checkpoint",
    "run ended": "UPDATE _runs SET state",
}


class Points:
    """Counts the named points a process passes, and kills it at the n-th time it comes to one of them."""

    def __init__(self, name: str = "", at: int = 0) -> None:
        self._name, self._at = name, at
        self.passed: Counter[str] = Counter()

    def reach(self, name: str) -> None:
        self.passed[name] += 1
        if name == self._name and self.passed[name] == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, text: str) -> None:
        for name, beginning in STATEMENTS.items():
            if text.lstrip().startswith(beginning):
                self.reach(name)

    def install(self) -> None:
        """Into this process, which is one that will be killed."""
        connect = writing.connect

        def traced(path: str) -> Any:
            conn = connect(path)
            conn.execute("PRAGMA wal_autocheckpoint = 20")
            conn.set_trace_callback(self.statement)
            return conn

        writing.connect = traced  # type: ignore[assignment]  # this process only
        self._around(writing.InlineExecutor, "run", "", "committed, not yet told")
        self._around(frontiers.SqliteFrontier, "claim", "before claim", "after claim")
        self._around(InProcess, "handle_async_request", "before send", "after send")
        fold, parse = write_ahead_log.fold, Graph.parse
        write_ahead_log.fold = lambda conn: (fold(conn), self.reach("after checkpoint"))[0]  # type: ignore[assignment,func-returns-value]  # this process only

        def parsed(spider: Graph, page: Any) -> Any:
            self.reach("before parse")
            for thing in parse(spider, page):
                self.reach("in parse")
                yield thing
            self.reach("after parse")

        Graph.parse = parsed  # type: ignore[method-assign]  # this process only

    def _around(self, cls: type, method: str, before: str, after: str) -> None:
        original: Callable[..., Any] = getattr(cls, method)

        async def wrapped(*args: Any, **options: Any) -> Any:
            if before:
                self.reach(before)
            result = await original(*args, **options)
            self.reach(after)
            return result

        setattr(cls, method, wrapped)


def at_points(times: int, pages: int, sample: int, seed: int) -> None:
    """CR-02: at each point (or a `sample` of them), at one of the times it is passed; then resumed to the end."""
    chance, began = random.Random(seed), time.monotonic()
    with folder() as place:
        passed = _counted(place, pages)
        if sample:
            passed = {name: passed[name] for name in chance.sample(sorted(passed), sample)}
        for name, count in sorted(passed.items()):
            for n in range(times):
                path = place / f"{name}-{n}.db"
                _killed_at(path, pages, name, chance.randint(1, count))
                found = check(path, pages) if path.exists() else None
                if found is None or not found.complete:
                    assert os.waitpid(child(lambda path=path: _crawl(path, pages)), 0)[1] == 0
                final = check(path, pages)
                assert (final.done, final.complete) == (pages, True), (name, found, final)
                for left in place.glob(f"{path.name}*"):
                    left.unlink()
            print(f"  {name}: {times} kills, one of {count} times each", flush=True)
    report(
        "CR-02", points=len(passed), kills=len(passed) * times, pages_each=pages, violations=0,
        seconds=round(time.monotonic() - began),
    )  # fmt: skip


def _crawl(path: Path, pages: int) -> None:
    crawl(path, START, transport=InProcess(pages), inline=True)


def _counted(place: Path, pages: int) -> dict[str, int]:
    """How often each point is passed by a crawl that nobody kills."""
    told = place / "points"

    def count() -> None:
        points = Points()
        points.install()
        _crawl(place / "count.db", pages)
        told.write_text("\n".join(f"{count}\t{name}" for name, count in points.passed.items()))

    assert os.waitpid(child(count), 0)[1] == 0
    passed = dict(reversed(line.split("\t")) for line in told.read_text().splitlines())
    return {name: int(count) for name, count in passed.items()}


def _killed_at(path: Path, pages: int, name: str, at: int) -> None:
    """A crawl that is killed there; a point it does not reach this time (they vary a little) leaves it complete."""

    def run() -> None:
        Points(name, at).install()
        _crawl(path, pages)

    os.waitpid(child(run), 0)
