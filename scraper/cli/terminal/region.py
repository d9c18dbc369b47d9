"""A few lines at the bottom of a terminal that are drawn again in place, everything else scrolling above them.

ECMA-48 control sequences only, which every terminal and tmux know: cursor up, erase below.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["Region", "columns_of", "fitted", "is_terminal", "screen", "width", "write_now"]


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at a stream through something that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}


def columns_of(stream: TextIO) -> int:
    """How wide the terminal of a stream is now; 80 where it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def width(text: str) -> int:
    """Columns a text takes: wide characters take two, combining ones none (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def fitted(text: str, columns: int) -> str:
    """The text, cut with an ellipsis to what fits into so many columns."""
    if width(text) <= columns:
        return text
    taken = 0
    for place, char in enumerate(text):
        taken += width(char)
        if taken > columns - 1:
            return text[:place] + "…"
    return text


def write_now(stream: TextIO, text: str) -> bool:
    """Write past the buffer of a stream, from a signal handler; False where it cannot, which its own writing then tells."""
    try:
        os.write(stream.fileno(), text.encode(stream.encoding or "utf-8", "replace"))
    except (OSError, ValueError):
        return False
    return True


class Region:
    """Lines at the end of a terminal's text.

    Invariant: the cursor stands at the beginning of the row below the last drawn line, so that whatever ends
    this process leaves a readable screen, and what is typed meanwhile is wiped by the next drawing.
    """

    def __init__(self, stream: TextIO, columns: Callable[[], int] | None = None) -> None:
        self._stream = stream
        self.columns = columns or (lambda: columns_of(stream))
        self._drawn: list[str] = []
        self._writing = False
        self._kept = ""

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines instead of those before, each cut to the terminal's width."""
        columns = self.columns()
        made = [fitted(line, columns - 1) for line in lines]
        wiped, self._drawn = self._wipe(columns), made
        self._write(wiped + "".join(f"{line}\n" for line in made))

    def above(self, text: str) -> None:
        """Let text that ends with a line end scroll by above the lines."""
        self._write(self._around(text))

    def interject(self, text: str) -> bool:
        """The same from a signal handler, which may interrupt any of these methods: past the stream's buffer, or when
        what is being written is out. False where it cannot."""
        if not self._writing:
            return write_now(self._stream, self._around(text))
        self._kept += text
        return True

    def clear(self) -> None:
        """Wipe the lines."""
        wiped, self._drawn = self._wipe(self.columns()), []
        self._write(wiped)

    def forget(self) -> None:
        """Somebody else wrote to the terminal, a shell for instance: leave all that stands there alone."""
        self._drawn = []

    def _wipe(self, columns: int) -> str:
        """Go to where the region begins and erase it. A terminal made narrower has wrapped what was drawn."""
        rows = sum(max(1, -(-width(line) // max(1, columns))) for line in self._drawn)
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _around(self, text: str) -> str:
        return self._wipe(self.columns()) + text + "".join(f"{line}\n" for line in self._drawn)

    def _write(self, text: str) -> None:
        if not text:
            return
        self._writing = True
        try:
            self._stream.write(text)
            self._stream.flush()
        finally:
            self._writing = False
            if kept := self._kept:
                self._kept = ""
                write_now(self._stream, self._around(kept))


class _Above:
    """A stream whose whole lines scroll by above a region; for what spiders print and log."""

    def __init__(self, stream: TextIO, region: Region) -> None:
        self._stream = stream
        self._region = region
        self._open = ""

    def write(self, text: str) -> int:
        whole, end, self._open = (self._open + text).rpartition("\n")
        if end:
            self._region.above(whole + end)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def finish(self) -> None:
        """Show what was written without a line end."""
        if self._open:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def screen() -> Iterator[Region]:
    """A region on stderr; until the end everything printed on the same terminal scrolls by above it."""
    out, err = sys.stdout, sys.stderr
    region = Region(err)
    wrapped = [_Above(err, region)]
    sys.stderr = wrapped[0]
    if out.isatty():
        wrapped.append(_Above(out, region))
        sys.stdout = wrapped[1]
    try:
        yield region
    finally:
        for stream in wrapped:
            stream.finish()
        sys.stdout, sys.stderr = out, err
