"""A worker's process, from the fork to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import astuple
from typing import Any, NoReturn

from scraper.api.job import CrawlJob
from scraper.core.clock import Clock
from scraper.core.frontier import Frontier
from scraper.core.ledger import Ledger
from scraper.core.machine_limits import limit_errno, limit_sentence
from scraper.core.models import Run
from scraper.engine.options import Member
from scraper.errors import ScraperError, StoreError
from scraper.events import GRACE, DomainParked, Event, PageDone, Stalled, Warned, told

__all__ = ["work"]

#: Seconds between two reports of a worker, and between two looks for dead owners of leases.
REPORT, LOOK = 0.5, 2.0


def work(crawl: CrawlJob, run: Run, member: Member, number: int, link: socket.socket) -> NoReturn:
    """The whole life of a worker's process, from the fork to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # Ctrl-C reaches every process of the terminal; the supervisor alone decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asyncio.run(_Working(crawl, run, member, number, link).run())
        code = 0
    except BaseException as error:
        # Told in words: nothing is thrown across processes.
        if (limit := limit_errno(error)) is not None and not isinstance(error, ScraperError):
            error = StoreError(f"a worker could not go on: {limit_sentence(limit)}; then resume")
        _tell(link, "failed", type(error).__name__, str(error))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(link: socket.socket, *what: Any) -> None:
    with suppress(OSError):  # the supervisor is gone; the worker learns it from the other direction
        link.sendall(json.dumps(what).encode() + b"\n")


class _Working:
    """One worker: a crawl that is stopped by SIGTERM or by the supervisor's death, and reports as it goes."""

    def __init__(self, crawl: CrawlJob, run: Run, member: Member, number: int, link: socket.socket) -> None:
        self._crawl = crawl
        self._run = run
        self._member = member
        self._link = link
        self._membership = crawl.membership()
        self._membership.enter(number)
        self._pages = 0
        crawl.report_to(self._observe)

    async def run(self) -> None:
        loop, clock = asyncio.get_running_loop(), Clock()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_reader(self._link, self._stop)
        ledger = await self._crawl.join(clock)
        try:
            run = await ledger.find(self._run.id)
            if run is None:
                raise StoreError(f"{self._crawl.database} has no run {self._run.id} any more")
            frontier = self._crawl.frontier(ledger, run)
            await self._free_dead(frontier, clock)
            tasks = [
                asyncio.create_task(self._look(frontier, clock)),
                asyncio.create_task(self._report(ledger)),
            ]
            try:
                ended = await self._crawl.work(ledger, run, clock, self._member)
            finally:
                for task in tasks:
                    task.cancel()
            await self._progress(ledger)
            _tell(self._link, "ended", ended.reason, ended.again)
        finally:
            await ledger.close()

    def _stop(self) -> None:
        """SIGTERM, or a socket that is readable: the supervisor never writes, so it is gone."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._link)
        self._crawl.stop(grace=GRACE)

    def _observe(self, event: Event) -> None:
        match event:
            case PageDone():
                self._pages += 1
                if self._member.tells_pages:
                    _tell(self._link, "page", *astuple(told(event)))
            case Warned(message, topic, state):
                _tell(self._link, "warned", message, topic, state)
            case Stalled(seconds, why):
                _tell(self._link, "stalled", seconds, why)
            case DomainParked(domain, why):
                _tell(self._link, "parked", domain, why)
            case _:
                return

    async def _report(self, ledger: Ledger) -> None:
        while True:
            await asyncio.sleep(REPORT)
            await self._progress(ledger)

    async def _progress(self, ledger: Ledger) -> None:
        """Told also when no page ended: the supervisor hears that this process is not frozen."""
        _tell(self._link, "pages", self._pages)
        self._pages = 0
        limit = self._crawl.settings.max_items
        if limit is not None and await ledger.has_items(self._run.id, limit):
            _tell(self._link, "full")

    async def _look(self, frontier: Frontier, clock: Clock) -> None:
        """Kernel locks send no events."""
        while True:
            await asyncio.sleep(LOOK)
            await self._free_dead(frontier, clock)

    async def _free_dead(self, frontier: Frontier, clock: Clock) -> None:
        await frontier.free_dead(self._is_dead, now=clock.unix())

    def _is_dead(self, owner: str) -> bool:
        number = owner.removeprefix("worker ")
        return owner != self._member.owner and number.isdigit() and self._membership.is_dead(int(number))
