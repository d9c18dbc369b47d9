"""Which processes hold SQLite's locks on a database: to name a program that is in the way.

Only Linux tells (proc(5), /proc/locks); elsewhere, and about processes of other containers, nothing is known. It is
read, not asked with fcntl: closing a descriptor of the file would drop the locks of our own connections (POSIX).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["readers_of", "writer_of"]

#: Bytes of `<database>-shm` (sqlite.org/walformat.html, 2.3.1): the one that writes, those that read.
WRITER, READERS = 120, range(123, 128)


def readers_of(database: str) -> dict[int, str]:
    """Processes that are inside a transaction of a database, other than the crawl's own: name by process id."""
    ours = {os.getpid(), *(pid for pid, *_ in _locks(f"{os.path.realpath(database)}-workers"))}
    found = (
        pid
        for pid, _, first, last in _locks(f"{os.path.realpath(database)}-shm")
        if pid not in ours and any(first <= byte <= last for byte in READERS)
    )
    return {pid: _name(pid) for pid in found}


def writer_of(database: str) -> int | None:
    """The process that is inside a writing transaction of a database; None where there is none, or nobody knows."""
    for pid, exclusive, first, last in _locks(f"{os.path.realpath(database)}-shm"):
        if exclusive and first <= WRITER <= last:
            return pid
    return None


def _locks(path: str) -> Iterator[tuple[int, bool, int, int]]:
    """Locks on a file: process id, whether it is for writing, first and last byte."""
    try:
        status = os.stat(path)
        table = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in table.splitlines():
        # "1: POSIX  ADVISORY  WRITE 4711 fe:00:131 120 120"; a waiting one has "->" as its second word
        words = line.split()
        if len(words) == 8 and words[1] == "POSIX" and words[5] == file and int(words[4]) > 0:
            last = 2**63 if words[7] == "EOF" else int(words[7])
            yield int(words[4]), words[3] == "WRITE", int(words[6]), last


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # gone meanwhile
        return "a program"
