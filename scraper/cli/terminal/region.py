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

__all__ = ["Region", "columns_of", "fitted", "is_terminal", "screen", "width"]


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


class Region:
    """Lines at the end of a terminal's text.

    Invariant: the cursor stands at the beginning of the row below the last drawn line, so that whatever ends
    this process leaves a readable screen, and what is typed meanwhile is wiped by the next drawing.
    """

    def __init__(self, stream: TextIO, columns: Callable[[], int] | None = None) -> None:
        self._stream = stream
        self.columns = columns or (lambda: columns_of(stream))
        self._drawn: list[str] = []

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines instead of those before, each cut to the terminal's width."""
        columns = self.columns()
        made = [fitted(line, columns - 1) for line in lines]
        self._write(self._wipe(columns) + "".join(f"{line}\n" for line in made))
        self._drawn = made

    def above(self, text: str) -> None:
        """Let text that ends with a line end scroll by above the lines."""
        again = "".join(f"{line}\n" for line in self._drawn)
        self._write(self._wipe(self.columns()) + text + again)

    def clear(self) -> None:
        """Wipe the lines."""
        self._write(self._wipe(self.columns()))
        self._drawn = []

    def forget(self) -> None:
        """Somebody else wrote to the terminal, a shell for instance: leave all that stands there alone."""
        self._drawn = []

    def _wipe(self, columns: int) -> str:
        """Go to where the region begins and erase it. A terminal made narrower has wrapped what was drawn."""
        rows = sum(max(1, -(-width(line) // max(1, columns))) for line in self._drawn)
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()


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
