"""A process that parses documents on trial, so that one which never ends takes nobody else's time.

Run as a script: it needs nothing of this package. On standard input it gets documents, each as its length in
octets (8, little endian) and its UTF-8 text; on standard output it answers each with one octet: `GOOD`, `DEEP`
(more levels than allowed), `MANY` (more elements than allowed), or `LARGE` (more memory than allowed, or a breakdown
of the parser). A document that takes more than its CPU time ends the process, by the system's timer: no Python code
runs while the parser does. So does the end of standard input, which comes with the end of the parent.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ["DEEP", "GOOD", "LARGE", "LENGTH", "MANY", "MOST", "main"]

GOOD: Final = b"y"
DEEP: Final = b"d"
LARGE: Final = b"l"
MANY: Final = b"m"

LENGTH: Final = struct.Struct("<Q")
#: What the crawl itself does goes first: trials take the time that is left over.
NICE: Final = 10
#: Elements of a page. A selector that matches all of these takes 60 ms, in which no other thread runs.
MOST: Final = 400_000
#: Steps from all elements to the root that take a selector 0.1 s; more are due to size alone up to a mean depth.
STEPS: Final = 20_000_000
MEAN: Final = 64


def main(seconds: float, octets: int, deepest: int) -> None:
    """Answer until standard input ends: `seconds` of CPU time and `octets` of memory for one document."""
    _limit_memory(octets)
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        text = source.read(LENGTH.unpack(head)[0])
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer = _tried(text, deepest)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(answer)
        answers.flush()


def _limit_memory(octets: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or hard > octets:
        resource.setrlimit(resource.RLIMIT_AS, (octets, hard))


def _tried(text: bytes, deepest: int) -> bytes:
    try:
        root = LexborHTMLParser(text.decode()).root
    except Exception:  # whatever the parser says when memory runs out
        return LARGE
    return GOOD if root is None else _judged(root, deepest)


def _judged(root: LexborNode, deepest: int) -> bytes:
    """Whether a tree has too many elements, more than `deepest` levels, or so many elements so far down that a
    selector which climbs from each (`.a p`) would take long. Goes level by level, without recursion.
    """
    level, levels, seen, steps = [root], 0, 0, 0
    while level:
        levels += 1
        seen += len(level)
        steps += len(level) * levels
        if seen > MOST:
            return MANY
        if levels > deepest or steps > max(STEPS, seen * MEAN):
            return DEEP
        level = [child for node in level for child in node.iter(include_text=False)]
    return GOOD


if __name__ == "__main__":
    os.nice(NICE)
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
