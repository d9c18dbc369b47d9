"""Where an error happened, in the user's own code: their frames only, never ours or a library's."""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from scraper.core.models import ErrorRecord
from scraper.errors import ScraperError

__all__ = ["describe", "forget", "printable", "stands_in_source", "storable", "user_frames"]

#: Characters of one line that are shown.
LONGEST = 4_000
#: With a separator at the end: a neighbour such as scraper_shop is not ours.
_OWN = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def user_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of a traceback that are neither this package's nor a library's; outermost first."""
    return [frame for frame in traceback.extract_tb(trace) if _is_user(frame.filename)]


def _is_user(filename: str) -> bool:
    if filename.startswith("<"):
        return filename == "<string>"
    path = str(Path(filename).resolve())
    return not path.startswith((_OWN, *_LIBRARIES))


def describe(error: BaseException, kind: str, callback: str, fallback: str = "") -> ErrorRecord:
    """An error as a person wants it: one line, the place in their code, and the lines of code on the way.

    `place` is "file:line in function"; `fallback` the place when no frame of theirs was involved.
    """
    frames = user_frames(error.__traceback__)
    said = storable(str(error))
    named = f"{type(error).__name__}: {said}" if said else type(error).__name__
    message = said if isinstance(error, ScraperError) else named
    if not frames:
        return ErrorRecord(kind, message, fallback or callback)
    last = frames[-1]
    shown = [
        f"{frame.filename}:{frame.lineno} in {frame.name}\n    {frame.line or ''}".rstrip()
        for frame in frames
    ]
    return ErrorRecord(
        kind, message, f"{last.filename}:{last.lineno} in {last.name}", storable("\n".join(shown))
    )


def forget(error: BaseException) -> None:
    """Drop the tracebacks of an error and of the errors behind it, once all of them are told.

    A frame that keeps its error in a variable (a callback's, that of asyncio.TaskGroup) forms a cycle with it: only
    the garbage collector would free what the frame holds, the page for one.
    """
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


def stands_in_source(trace: TracebackType | None, text: str) -> bool:
    """Whether the author wrote `text` down as it is, as the beginning of a string in a file of theirs that was running."""
    files = {frame.filename for frame in user_frames(trace)}
    written = [f"{quote}{text}" for quote in "\"'"] if text else []
    return any(start in line for start in written for file in files for line in linecache.getlines(file))


def storable(text: str) -> str:
    """Text a database takes: half characters (lone surrogates), which no encoding has, become "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def printable(text: str, *, lines: bool = False) -> str:
    """Text that cannot steer a terminal or forge a line: control and invisible characters become U+FFFD.

    White space becomes a blank; with `lines` line feeds stay. A line ends after 4,000 characters.
    """
    if len(text) > LONGEST:
        parts = text.split("\n") if lines else [text]
        text = "\n".join(f"{part[:LONGEST]}…" if len(part) > LONGEST else part for part in parts)
    if text.isprintable():
        return text
    kept = "\n" if lines else ""
    return "".join(c if c.isprintable() or c in kept else " " if c.isspace() else "\ufffd" for c in text)
