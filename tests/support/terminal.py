"""A terminal in memory, to look at what a command draws."""

from __future__ import annotations

import pyte

__all__ = ["Terminal"]


class Terminal:
    """A terminal of a size, and what stands on it."""

    def __init__(self, columns: int = 40, lines: int = 12) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("a terminal in memory has no file")

    @property
    def text(self) -> list[str]:
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines
