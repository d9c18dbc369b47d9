"""What this machine allows, and which errors say that nothing is left (W2)."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from scraper.core.machine_limits import (
    LIMIT_ERRNOS,
    allowed_files,
    cannot_start,
    connection_budget,
    has_free_files,
    is_limit,
    limit_errno,
    limit_sentence,
    reason_of,
)
from scraper.errors import StoreError
from scraper.store.file.writer import connect

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"


def limited(code: str, soft: int, hard: int) -> str:
    """What Python code prints under these limits of open files."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED.format(soft=soft, hard=hard) + code],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return ended.stdout.strip()


@pytest.mark.parametrize("number", sorted(LIMIT_ERRNOS))
def test_a_limit_is_seen_however_deep_it_lies(number: int) -> None:
    """An errno of a limit counts in the error itself, in what it was raised from, and in what it was raised during."""
    error = OSError(number, os.strerror(number))
    caused, meanwhile = RuntimeError("outer"), RuntimeError("outer")
    caused.__cause__, meanwhile.__context__ = error, error
    assert [limit_errno(each) for each in (error, caused, meanwhile)] == [number] * 3
    assert reason_of(error) == limit_sentence(number)


@pytest.mark.parametrize(
    "error",
    [
        None,
        OSError(errno.ECONNREFUSED, "refused"),
        OSError(errno.EACCES, "no permission"),
        BlockingIOError(errno.EAGAIN, "a socket that would block"),
        RuntimeError("another one"),
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        OSError(errno.EADDRNOTAVAIL, "Connect call failed ('::1', 80, 0, 0)"),
    ],
    ids=repr,
)
def test_other_faults_are_none(error: Exception | None) -> None:
    """What the host did, a missing permission, and an IPv6 address on a machine without IPv6 are not limits."""
    assert not is_limit(error)


def test_threads_processes_and_lookups_have_limits_too() -> None:
    """A thread that cannot start, memory for a lookup, and a fork beyond the number of processes are limits."""
    assert is_limit(RuntimeError("can't start new thread"))
    assert is_limit(socket.gaierror(socket.EAI_MEMORY, "memory"))
    assert "ulimit -u" in (cannot_start(BlockingIOError(errno.EAGAIN, "fork")) or "")
    assert "ulimit -n" in (cannot_start(OSError(errno.EMFILE, "pipe")) or "")
    assert cannot_start(FileNotFoundError(errno.ENOENT, "no python")) is None


def test_the_budget_leaves_room_for_files() -> None:
    """Connections get what is left of the limit behind what is open and a reserve; one at least."""
    assert connection_budget(4) == 1
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(open(os.devnull))
        open_now = 1_000 - 125 - connection_budget(1_000)
        with open(os.devnull), open(os.devnull):
            assert connection_budget(1_000) == 1_000 - 125 - open_now - 2
    assert connection_budget() < allowed_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    """A process may open as many files as its hard limit says once it has asked for them."""
    code = (
        "from scraper.core.machine_limits import *; raise_file_limit(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert limited(code, 64, 100) == "(100, 100)"


def test_a_full_table_of_descriptors_is_noticed_and_leaves_no_trace() -> None:
    """Without a free descriptor none is found, the budget is 1, and all is well once one is closed."""
    code = """
import os
from scraper.core.machine_limits import connection_budget, has_free_files
held = []
try:
    while True: held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    print(has_free_files(), connection_budget())
os.close(held.pop())
print(has_free_files())
"""
    assert limited(code, 40, 40) == "False 1\nTrue"
    assert has_free_files()


def test_a_database_that_no_descriptor_is_left_for_is_not_blamed() -> None:
    """SQLite says "unable to open database file"; a person is told about ulimit -n, not about permissions."""
    code = """
import os, sys
from scraper.errors import ScraperError
from scraper.query.database import open_readonly
from scraper.store.file.exclusive_access import backup, reading, upkeep
from scraper.store.file.lock import CrawlLock, holder_of
from scraper.store.file.writer import connect
path = sys.argv[-1] + "/crawl.db"
connect(path).close()
with upkeep(path, "test", 0.0): pass
def left(free):
    held = []
    try:
        while True: held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for _ in range(free): os.close(held.pop())
    return held
tried = [lambda: connect(path), lambda: connect(path + "2"), lambda: CrawlLock(path).acquire("me", "now"),
    lambda: open_readonly(path), lambda: reading(path), lambda: holder_of(path)]
for free in (0, 1):
    for number, attempt in enumerate(tried):
        held = left(free)
        try: ended = attempt()
        except ScraperError as error: told = f"{type(error).__name__}: {error}"
        else: told = "fine"
        for descriptor in held: os.close(descriptor)
        if free == 0 or told != "fine": print(told)
"""
    told = limited_in_folder(code, 64)
    assert len(told) >= 8
    for line in told:
        assert "no file descriptor is left (ulimit -n is 64)" in line
        assert "permission" not in line
        assert line.startswith("StoreError: ")


def limited_in_folder(code: str, limit: int) -> list[str]:
    """The lines that code prints under a limit, with a temporary folder as its last argument."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, "-c", LIMITED.format(soft=limit, hard=limit) + code, folder],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()


def test_a_missing_permission_is_still_one(tmp_path: object) -> None:
    """Where descriptors are free, a database that cannot be opened is told as before."""
    with pytest.raises(StoreError, match="no directory"):
        connect(f"{tmp_path}/none/crawl.db")
