"""stdout and stderr of the command line, and what happens when one of them cannot be written any more.

The disk of a log is full, the reader of a pipe has left, a terminal has vanished. What follows depends on the command:

- One that writes a report ends: `OutputLost` is raised where it writes.
- A crawl is stopped as by Ctrl-C (`OutputStreams.stopping`): nothing is raised in the midst of it, what it goes on to
  write to that stream is dropped, and the run can be resumed.

A stream that was closed from the start (`2>&-`) was not wanted: what is written to it is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from scraper.cli.plain_output import write_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["OUTPUT", "OutputLost", "OutputStreams"]

#: Exit codes: the reader of a pipe has left, or the disk (or whatever else stands behind a stream) takes no more.
PIPE_CLOSED, DISK = 1, 6
NAMES = {1: "stdout", 2: "stderr"}


class OutputLost(Exception):
    """Nothing more can be written to stdout or stderr (`stream`), because of `error`."""

    def __init__(self, stream: str, error: OSError) -> None:
        super().__init__(f"{stream} cannot be written any more: {(error.strerror or str(error)).lower()}")
        self.stream = stream
        self.is_pipe = error.errno == errno.EPIPE


class _Raw(io.FileIO):
    """A descriptor. After the first error it takes all there is to write and drops it."""

    def __init__(self, number: int, name: str, lose: Callable[[str, OSError], None]) -> None:
        super().__init__(number, "wb", closefd=False)
        self.name = name
        self._lose = lose
        self._lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        while not self._lost:
            try:
                written = super().write(data)
            except OSError as error:
                self._lost = True
                self._lose(self.name.strip("<>"), error)
                break
            if written is not None:
                return written
            _wait_for(self.fileno())
        return size


def _wait_for(number: int) -> None:
    """Another process made this terminal or pipe non-blocking, and it is full."""
    import select

    select.select([], [number], [])


class OutputStreams:
    """Both streams of this process. `lost` is the first that could not be written, None while both can."""

    def __init__(self) -> None:
        self.lost: OutputLost | None = None
        self._told = False
        self._stop: Callable[[OutputLost], object] | None = None

    def install(self) -> None:
        """Put streams that notice their loss in the places of stdout and stderr."""
        _open_closed()
        for number, name in NAMES.items():
            stream = getattr(sys, name)
            if stream is None:
                setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 - open until we end
            elif isinstance(stream, io.TextIOWrapper) and _number(stream) == number:
                setattr(sys, name, self._noticing(stream, number))

    def _noticing(self, stream: io.TextIOWrapper, number: int) -> TextIO:
        stream.flush()
        raw = _Raw(number, f"<{NAMES[number]}>", self._lose)
        buffer = raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw)
        return io.TextIOWrapper(
            buffer, encoding=stream.encoding, errors=stream.errors,
            line_buffering=stream.line_buffering, write_through=stream.write_through,
        )  # type: ignore[type-var,unused-ignore]  # typeshed knows no unbuffered text  # fmt: skip

    @contextmanager
    def stopping(self, stop: Callable[[OutputLost], object]) -> Iterator[None]:
        """Meanwhile call `stop`, from whatever thread writes, instead of raising."""
        before, self._stop = self._stop, stop
        try:
            yield
        finally:
            self._stop = before

    def _lose(self, stream: str, error: OSError) -> None:
        lost = OutputLost(stream, error)
        is_first, self.lost = self.lost is None, self.lost or lost
        if self._stop is None:
            raise lost
        if is_first:
            self._told = True
            self._stop(lost)

    def finish(self, code: int) -> int:
        """Write what is left to write, and say what was lost unless that was said; the exit code, which is not 0 then.

        A reader that left its pipe needs no words, and does not spoil a crawl that was whole by then.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OutputLost):
                stream.flush()
        if (lost := self.lost) is None:
            return code
        if lost.is_pipe:
            return code or (0 if self._told else PIPE_CLOSED)
        if not self._told:
            with suppress(OutputLost):
                write_line(f"✗ {lost}; what was written there is not complete", sys.stderr)
        return code or DISK


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # closed, or no file
        return None


def _open_closed() -> None:
    """Keep the numbers of streams that were closed from being given to a file, to a database least of all."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


#: The streams of this process.
OUTPUT = OutputStreams()
