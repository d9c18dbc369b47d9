"""Parsing that cannot hold the loop: large pages in a thread, dubious ones only after a trial elsewhere.

Lexbor gives up the interpreter's lock while it parses, so that a thread is enough for what surely ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

from scraper.core.machine_limits import cannot_start
from scraper.errors import FetchError
from scraper.page import Page, document_of
from scraper.page.safety.parse_cost import DEEPEST, Risk, is_harmless, risk_of
from scraper.page.safety.trial_process import DEEP, GOOD, LARGE, LENGTH, MANY, MOST

__all__ = ["Parsing"]

#: CPU seconds and memory of one trial. Ordinary markup of 20 MiB takes 0.7 s and 400 MiB.
SECONDS: Final = 2.0
MEMORY: Final = 512 << 20
#: Trials of one domain that may fail before its dubious pages are refused without one.
STRIKES: Final = 3
#: Domains whose failed trials are remembered.
DOMAINS: Final = 10_000
THREADS: Final = 2
#: Elements, texts and comments of a page, and octets of one that is no markup, from which a callback may be at it for long.
LARGE_TREE, LARGE_BODY = 10_000, 1 << 20
SCRIPT: Final = Path(__file__).resolve().parents[1] / "page" / "safety" / "trial_process.py"


class Parsing:
    """Makes the pages of a crawl ready to be asked, within time.

    Invariant: a document that is not known to be harmless is parsed in this process only when a process that
    can be killed has done it before. One thread and one process are for trials, so that a queue of dubious
    pages holds up no others. `seconds` is the CPU time of one trial; `inline` parses nothing ahead: for
    simulation, where a thread moves no clock.
    """

    def __init__(self, *, inline: bool = False, seconds: float = SECONDS) -> None:
        self._inline = inline
        self._threads: ThreadPoolExecutor | None = None
        self._trials: ThreadPoolExecutor | None = None
        self._trial = _Trial(seconds)
        self._strikes: Counter[str] = Counter()

    async def ready(self, page: Page, domain: str) -> bool:
        """Parse a page that may take its time. Raises FetchError `parse` for one that cannot be parsed safely, as
        every selector does from then on; `machine` where no process can be started to find out.

        True for one so large that going through it may take long as well.
        """
        if is_harmless(page.body):
            return False
        document = document_of(page)
        if not document.may_be_markup(page.body):
            return len(page.body) > LARGE_BODY and not self._inline
        try:
            await self._parse(page, domain)
        except FetchError as error:
            if error.kind != "machine":
                error.page = page
                document.refuse(error)
            raise
        return not self._inline and document.has_more_than(LARGE_TREE)

    async def _parse(self, page: Page, domain: str) -> None:
        risk = risk_of(page.body)
        if risk is Risk.CERTAIN:
            raise _refused(f"nested deeper than {DEEPEST:,} levels")
        if self._inline:
            return
        loop = asyncio.get_running_loop()
        if risk is Risk.NONE:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "scraper-parse")
            await loop.run_in_executor(self._threads, document_of(page).root)
        else:
            if self._trials is None:
                self._trials = ThreadPoolExecutor(1, "scraper-trial")
            await loop.run_in_executor(self._trials, self._try, page, domain)

    async def aclose(self) -> None:
        """End the threads and the process. What is being parsed is given up."""
        self._trial.kill()
        for executor in (self._threads, self._trials):
            if executor is not None:
                await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self._trial.close()

    def _try(self, page: Page, domain: str) -> None:
        """In the thread of trials."""
        if self._strikes[domain] >= STRIKES:
            raise _refused(f"{STRIKES} pages of {domain} before it could not be parsed")
        try:
            self._trial.ask(page.source.encode("utf-8", "replace"))
        except FetchError as error:
            if error.kind == "machine":
                raise
            if len(self._strikes) > DOMAINS:
                self._strikes.clear()
            self._strikes[domain] += 1
            raise
        self._strikes.pop(domain, None)
        document_of(page).root()


class _Trial:
    """The process of `scraper.page.safety.trial_process`, started when it is needed and again after it was ended.

    Invariant: after `kill` none is started. The lock is held for starting and killing alone.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._over = False

    def ask(self, text: bytes) -> None:
        """Have `text` parsed. Raises FetchError `parse` when that does not end well."""
        with self._lock:
            process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(LENGTH.pack(len(text)) + text)
            process.stdin.flush()
            answer = process.stdout.read(1)
        if answer == GOOD:
            return
        if answer == DEEP:
            raise _refused(f"nested deeper than {DEEPEST:,} levels, or too much of it that deep")
        if answer == MANY:
            raise _refused(f"it has more than {MOST:,} elements")
        if answer == LARGE:
            raise _refused(f"it does not fit into {MEMORY >> 20} MiB")
        late = self._ended(process) == -signal.SIGPROF
        raise _refused(f"not parsed within {self._seconds:g} s" if late else "the parser broke down")

    def kill(self) -> None:
        """End the process, for good; whoever waits for its answer gets none."""
        with self._lock:
            self._over = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Forget the process, which was killed."""
        if self._process is not None:
            self._ended(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        if self._over:
            raise _refused("the crawl has ended")
        # -P: the script's folder has modules named like some of the standard library.
        command = [
            sys.executable,
            "-P",
            str(SCRIPT),
            str(self._seconds),
            str(MEMORY),
            str(DEEPEST),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            if (why := cannot_start(error)) is not None:
                raise FetchError("machine", f"no process to parse the page in: {why}") from error
            raise _refused(f"no process to try it in: {error}") from error
        return self._process

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        return process.returncode


def _refused(why: str) -> FetchError:
    return FetchError("parse", f"the page cannot be parsed safely: {why}")
