"""What this machine allows a process, and how to tell that it has nothing left: open files, ports, memory, threads.

Such a fault belongs to this machine alone. It is not the site's, not the database's, and has nothing to do with
permissions, although the libraries in between often say so.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import socket
from collections.abc import Iterator
from typing import Final

__all__ = [
    "ENOUGH_FILES",
    "FILE_ERRNOS",
    "FILE_OR_THREAD_ERRNOS",
    "LIMIT_ERRNOS",
    "RAISE_FILES",
    "allowed_files",
    "cannot_start",
    "connection_budget",
    "has_free_files",
    "is_limit",
    "limit_errno",
    "limit_sentence",
    "raise_file_limit",
    "reason_of",
]

#: No file descriptor is left, for this process or for the whole system.
FILE_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE})
#: The same, and: no thread can be started. What a callback may run into without being wrong.
FILE_OR_THREAD_ERRNOS: Final = FILE_ERRNOS | {errno.EAGAIN}
#: Errors of the system that mean a limit wherever they occur: no descriptor, local port, buffer or memory is left.
LIMIT_ERRNOS: Final = FILE_ERRNOS | {errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
#: Descriptors kept for the database, its log, files that are stored, name lookups and helper processes: an eighth of
#: all, within these bounds.
RESERVED_LEAST, RESERVED_MOST = 16, 128
#: Files that a crawl has open before its first connection, those of its own and those it began with, at most.
START_FILES: Final = 16
#: What to type where the limit is low.
RAISE_FILES: Final = "ulimit -n 4096"
#: The soft limit that is asked for where the hard one is "unlimited": more than one process uses.
ENOUGH_FILES: Final = 1 << 20
#: An IPv6 address as asyncio names it in the message of a failed connect.
_IPV6: Final = re.compile(r"\('[0-9a-fA-F]*:")


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one. Where the system refuses, the limit stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS: the kernel has a lower maximum than the hard limit says
        return


def allowed_files() -> int:
    """How many files this process may have open at once (the soft limit)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH_FILES if soft == resource.RLIM_INFINITY else soft


def connection_budget(allowed: int | None = None) -> int:
    """How many connections this process may have at once, in use or idle, 1 at least.

    That is the limit of open files, or `allowed` in its place, minus what is open now (what a crawl opens at its start
    counts already) and a reserve for the database and for files. So the number is the same before a crawl and within
    it. Ask before the first connection is opened: connections count as open files too.
    """
    allowed = allowed_files() if allowed is None else allowed
    reserved = max(RESERVED_LEAST, min(RESERVED_MOST, allowed // 8))
    return max(1, allowed - max(_open_files(), START_FILES) - reserved)


def _open_files() -> int:
    """How many files this process has open. Where no folder shows them, as many as a crawl has at its start."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # the listing itself needs one
        except OSError as error:
            if error.errno in FILE_ERRNOS:
                return allowed_files()
    return START_FILES


def has_free_files() -> bool:
    """Whether a file can be opened at this moment, as far as descriptors go.

    For libraries that hide the system's error, such as SQLite and the C library's name lookups. Ask at once.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in FILE_ERRNOS
    return True


def limit_errno(error: BaseException | None) -> int | None:
    """The errno of the limit that an exception, or one below it, ran into; None for any other fault."""
    return next((found for cause in _causes(error) if (found := _own_errno(cause)) is not None), None)


def is_limit(error: BaseException | None) -> bool:
    """Whether an exception, or one below it, says that this machine has nothing left."""
    return limit_errno(error) is not None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _own_errno(error: BaseException) -> int | None:
    if isinstance(error, socket.gaierror):
        return errno.ENOMEM if error.errno == socket.EAI_MEMORY else None
    if isinstance(error, RuntimeError) and str(error).startswith("can't start new thread"):
        return errno.EAGAIN  # what pthread_create says
    if not isinstance(error, OSError) or error.errno not in LIMIT_ERRNOS:
        return None
    if error.errno == errno.EADDRNOTAVAIL and _IPV6.search(str(error)):
        return None  # without IPv6, every connect to an IPv6 address ends like this, ports or not
    return error.errno


def limit_sentence(number: int) -> str:
    """What is used up, and what to do about it, for people."""
    match number:
        case errno.EMFILE:
            return (
                f"no file descriptor is left (ulimit -n is {allowed_files()}): "
                "start it from a shell in which ulimit -n is larger"
            )
        case errno.ENFILE:
            return (
                "no program on this machine gets a further file descriptor: close some, or raise fs.file-max"
            )
        case errno.EADDRNOTAVAIL:
            return "this machine has no local port left: close connections, or widen ip_local_port_range"
        case errno.EAGAIN:
            return "no further thread or process can be started: end some, or raise ulimit -u"
        case _:
            return "this machine has no memory left for a further connection"


def reason_of(error: OSError) -> str:
    """Why a file could not be opened or written: the limit of this machine, or else what the system says."""
    number = limit_errno(error)
    return limit_sentence(number) if number is not None else error.strerror or str(error)


def cannot_start(error: OSError) -> str | None:
    """Why no process can be started, where that is a limit of this machine; None for any other reason."""
    if isinstance(error, BlockingIOError):  # as many processes as the user may have
        return limit_sentence(errno.EAGAIN)
    return reason_of(error) if is_limit(error) else None
