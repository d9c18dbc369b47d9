"""A process that parses documents on trial, so that one which never ends takes nobody else's time.

Run as a script: it needs nothing of this package. On standard input it gets documents, each as its length in
octets (8, little endian) and its UTF-8 text; on standard output it answers each with one octet, `GOOD`, `DEEP`
(more levels than allowed) or `LARGE` (more memory than allowed, or a breakdown of the parser). A document that takes more
than its CPU time ends the process, by the system's timer: no Python code runs while the parser does. So does
the end of standard input, which comes with the end of the parent.
"""

from __future__ import annotations

import resource
import signal
import struct
import sys
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ["DEEP", "GOOD", "LARGE", "LENGTH", "main"]

GOOD: Final = b"y"
DEEP: Final = b"d"
LARGE: Final = b"l"

LENGTH: Final = struct.Struct("<Q")
#: Nodes whose depth is looked at; a page of more has shown its shape by then.
MOST: Final = 1_000_000


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
    return DEEP if root is not None and _levels(root, deepest) > deepest else GOOD


def _levels(root: LexborNode, most: int) -> int:
    """The levels of a tree, counted up to one more than `most`; level by level, without recursion."""
    level, levels, seen = [root], 0, 0
    while level and levels <= most and seen < MOST:
        levels += 1
        seen += len(level)
        level = [child for node in level for child in node.iter(include_text=False)]
    return levels


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
