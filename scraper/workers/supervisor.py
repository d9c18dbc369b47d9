"""The supervising process: it starts the workers, replaces one that dies, and listens to all."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from scraper.api.database import live_crawl
from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.ledger import CrawlHold
from scraper.core.machine_limits import cannot_start
from scraper.core.models import Run
from scraper.engine.options import Ended, Member
from scraper.errors import ScraperError, SpiderError, StoreError, UsageError
from scraper.events import (
    GRACE,
    INTERRUPTED,
    CrawlStarted,
    DomainParked,
    PageTold,
    Stalled,
    Stopping,
    Warned,
)
from scraper.reports.summary import Summary
from scraper.workers.worker import work

__all__ = ["Workers"]

#: So many deaths of a worker and its successors within so many seconds, and no further one is started.
DEATHS, WITHIN = 5, 60.0
#: Seconds beyond the grace after which a worker that does not end is killed.
MARGIN = 5.0
#: Seconds between two looks at who is frozen; looks in which nothing was heard of a worker, and then those in which
#: it is inside a writing transaction, until it is ended. Others wait 30 s for the database.
LOOK, SILENT, HOLDING = 1.0, 8, 5
#: Seconds the other workers have to end when one saw that nothing is left.
PATIENCE = 60.0

_ERRORS: dict[str, Callable[[str], ScraperError]] = {
    "StoreError": StoreError,
    "SpiderError": SpiderError,
    "UsageError": UsageError,
}


def _nothing() -> None:
    return


@dataclass(slots=True)
class _Worker:
    """A worker as its supervisor sees it. `place` is what it was started for, `number` is never used again."""

    place: int
    number: int
    pid: int
    link: socket.socket
    heard: bytearray = field(default_factory=bytearray)
    ended: bool = False
    #: Looks in a row in which nothing was heard of it, and in which it was then inside a writing transaction.
    silent: int = 0
    writing: int = 0


class Workers:
    """Runs one crawl in `count` processes.

    Invariant: of each place at most one worker lives, and it alone holds the leases that bear its number; so
    when it is gone its leases can be ended at once. The worker of place 0 runs `start()`.
    """

    def __init__(self, crawl: CrawlJob, count: int, *, pages: bool = False) -> None:
        """`pages`: tell the crawl's observers of every page (as `PageTold`)."""
        self._crawl = crawl
        self._count = count
        self._pages = pages
        self._ended = Ended()
        self._error: ScraperError | None = None
        self._workers: dict[int, _Worker] = {}
        self._deaths: dict[int, list[float]] = {}
        self._started = 0
        #: What was said, by topic or message, and the state it was about.
        self._warned: dict[str, str] = {}
        self._forking: Callable[[], None] = _nothing
        self._moved = time.monotonic()
        self._stopping: float | None = None
        self._asked_to_stop = False
        self._looked = 0.0
        self._live = live_crawl(crawl.database)
        self._selector = selectors.DefaultSelector()

    def run(
        self, every: float = 10.0, tick: Callable[[], None] = _nothing, forking: Callable[[], None] = _nothing
    ) -> Summary | None:
        """Crawl to the end; None when it was left at once, by a second signal.

        `tick` is called `every` so many seconds, `forking` before each fork: it must end the threads and close
        the databases of its caller. Raises what `Crawl.run` raises.
        """
        self._forking = forking
        hold, run = asyncio.run(self._begin())
        started = time.monotonic()
        try:
            with _Signals() as signals:
                self._crawl.tell(CrawlStarted(run.id, self._crawl.resumed))
                self._selector.register(signals.wakeup, selectors.EVENT_READ)
                for place in range(self._count):
                    self._start(place, run)
                    if self._stopping is not None:
                        break
                most = self._crawl.settings.max_time
                left = self._supervise(
                    run, signals, every, tick, started + most if most is not None else None
                )
            if left:
                return None
            return asyncio.run(self._conclude(run, time.monotonic() - started))
        finally:
            self._kill_all()
            self._selector.close()
            hold.release()

    def stop(self) -> None:
        """End in good order, as after a first signal."""
        self._asked_to_stop = True

    # ------------------------------------------------------------------ before and after

    async def _begin(self) -> tuple[CrawlHold, Run]:
        clock = Clock()
        ledger = await self._crawl.open(clock)
        try:
            run = await self._crawl.begin(ledger, clock)
            hold = ledger.keep_hold()
        finally:
            await ledger.close()
        if hold is None:
            raise UsageError("several workers need a database in a file")
        return hold, run

    async def _conclude(self, run: Run, seconds: float) -> Summary:
        clock = Clock()
        ledger = await self._crawl.join(clock, inline=True)
        try:
            if isinstance(self._error, UsageError):
                await ledger.give_up(run.id, str(self._error), now=clock.wall())
            if self._error is not None:
                raise self._error
            summary = await self._crawl.conclude(ledger, run, self._ended, clock, seconds)
            if self._crawl.observer_error is not None:
                raise self._crawl.observer_error
            return summary
        finally:
            await ledger.close()

    # ------------------------------------------------------------------ the supervisor

    def _supervise(
        self, run: Run, signals: _Signals, every: float, tick: Callable[[], None], until: float | None
    ) -> bool:
        """Until the last worker is gone. True when the crawl was left at once.

        The time of the crawl is over at `until`: a worker that replaced another cannot know it.
        """
        next_tick = time.monotonic() + every
        while self._workers:
            soon = min(next_tick, until) if until is not None else next_tick
            for key, _ in self._selector.select(min(1.0, max(0.0, soon - time.monotonic()))):
                if isinstance(key.data, _Worker):
                    self._listen(key.data, run)
                elif any(self._interrupted() for _ in range(signals.taken())):
                    return True
            if self._asked_to_stop or self._crawl.observer_error is not None:
                self._stop(INTERRUPTED)
            now = time.monotonic()
            if now >= next_tick:
                next_tick += every
                tick()
            if until is not None and now >= until:
                until = None
                self._stop(f"max_time {self._crawl.settings.max_time:g} s reached")
            if now - self._looked >= LOOK:
                self._looked = now
                self._look_for_frozen()
            if self._stopping is not None and now > self._stopping:
                self._kill_all()
        return False

    def _look_for_frozen(self) -> None:
        """End a worker that was stopped in the middle of a transaction: nobody else can write until it goes on.

        Looks are counted, not seconds: this process may have been stopped as well.
        """
        for worker in self._workers.values():
            worker.silent += 1
            holds = worker.silent >= SILENT and self._live.writer() == worker.pid
            worker.writing = worker.writing + 1 if holds else 0
            if worker.writing == HOLDING:
                self._crawl.tell(Warned(
                    f"worker {worker.place + 1} (process {worker.pid}) is frozen while it writes, so that no other can;"
                    " it is ended"
                ))  # fmt: skip
                os.kill(worker.pid, signal.SIGKILL)

    def _interrupted(self) -> bool:
        """A person wants it to end: first in good order, then at once (True)."""
        if self._stopping is not None:
            return True
        self._stop(INTERRUPTED)
        return False

    def _stop(self, reason: str) -> None:
        """Every worker starts nothing new, ends what is under way, and leaves."""
        if self._stopping is not None:
            return
        self._stopping = time.monotonic() + GRACE + MARGIN
        self._ended.reason = self._ended.reason or reason
        self._crawl.tell(Stopping(reason, GRACE))
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)

    def _start(self, place: int, run: Run) -> None:
        """Fork a worker. Nothing here has threads or an open database, so a fork is safe.

        Where this machine lets no further process start, the crawl ends with a StoreError, resumable.
        """
        self._forking()
        number, self._started = self._started, self._started + 1
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            ours, theirs = socket.socketpair()
            pid = os.fork()
        except OSError as error:
            if (why := cannot_start(error)) is None:
                raise
            self._error = self._error or StoreError(
                f"worker {place + 1} cannot be started: {why}; then resume"
            )
            self._stop(str(self._error))
            return
        if pid == 0:
            ours.close()
            for other in self._workers.values():
                other.link.close()
            self._selector.close()
            member = Member(f"worker {number}", self._count, seeds=place == 0, tells_pages=self._pages)
            work(self._crawl, run, member, number, theirs)
        theirs.close()
        worker = self._workers[place] = _Worker(place, number, pid, ours)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _listen(self, worker: _Worker, run: Run) -> None:
        try:
            received = worker.link.recv(65_536)
        except OSError:
            received = b""
        worker.silent = 0
        worker.heard += received
        *lines, rest = bytes(worker.heard).split(b"\n")
        worker.heard[:] = rest
        for line in lines:
            self._told(worker, *json.loads(line))
        if not received:
            self._gone(worker, run)

    def _told(self, worker: _Worker, what: str, *rest: Any) -> None:
        match what, *rest:
            case "pages", int(pages):
                self._moved = time.monotonic() if pages else self._moved
            case ("full",):
                self._stop(f"max_items {self._crawl.settings.max_items} reached")
            case "page", *page:
                self._crawl.tell(PageTold(*page))
            case "warned", str(message), str(topic), str(state):
                if self._warned.get(topic or message) != state:  # what holds for all of them is said once
                    self._warned[topic or message] = state
                    self._crawl.tell(Warned(message))
            case "stalled", float(seconds), str(why):
                if time.monotonic() - self._moved >= seconds:  # else another worker has something to do
                    self._moved = time.monotonic()
                    self._crawl.tell(Stalled(seconds, why))
            case "parked", str(domain), str(why):
                self._crawl.tell(DomainParked(domain, why))
            case "ended", reason, list(again):
                worker.ended = True
                self._ended.again += again
                if reason is None and self._stopping is None:
                    # Nothing is left for anybody: whoever does not see it either soon is frozen.
                    self._stopping = time.monotonic() + PATIENCE
                if reason is not None:
                    self._ended.reason = self._ended.reason or reason
                    self._stop(reason)
            case "failed", str(kind), str(message):
                worker.ended = True
                make = _ERRORS.get(kind)
                self._error = self._error or (make(message) if make else ScraperError(f"{kind}: {message}"))
                self._stop(message)

    def _gone(self, worker: _Worker, run: Run) -> None:
        """A worker's process is over: as it should, or killed and to be replaced."""
        self._selector.unregister(worker.link)
        worker.link.close()
        del self._workers[worker.place]
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if worker.ended or self._stopping is not None:
            return
        now = time.monotonic()
        deaths = self._deaths.setdefault(worker.place, [])
        deaths[:] = [at for at in deaths if now - at < WITHIN] + [now]
        if len(deaths) >= DEATHS:
            self._stop(f"worker {worker.place + 1} died {DEATHS} times in a minute, last by {_by(status)}")
            return
        told = f"worker {worker.place + 1} (process {worker.pid}) died by {_by(status)}; another goes on"
        self._crawl.tell(Warned(told))
        self._start(worker.place, run)

    def _kill_all(self) -> None:
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)


def _by(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit code {status}"


class _Signals:
    """SIGINT, SIGTERM and SIGHUP as bytes on a socket while it is open, instead of whatever they did before. One that is
    ignored (SIGHUP by nohup) stays so; of a terminal that vanishes several SIGHUP may come, which are one."""

    def __enter__(self) -> _Signals:
        self.wakeup, self._write = socket.socketpair()
        self.wakeup.setblocking(False)
        self._write.setblocking(False)
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self._hung_up = False
        self._before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        self._fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        return self

    def taken(self) -> int:
        """How many of them came since the last call."""
        try:
            came = [number for number in self.wakeup.recv(4096) if number in self._before]
        except BlockingIOError:
            return 0
        hang_ups = came.count(signal.SIGHUP)
        known, self._hung_up = self._hung_up, self._hung_up or hang_ups > 0
        return len(came) - (hang_ups if known else max(0, hang_ups - 1))

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._fd)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.wakeup.close()
        self._write.close()
