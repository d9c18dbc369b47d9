"""How deep a JSON text is nested, told before it is read: what the interpreter takes differs from version to version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

__all__ = ["DEEPEST", "check_depth"]

#: Levels of lists and objects in one another that are read. The reader in Python takes two frames for each, of the
#: 1,000 that Python allows; nothing real is nested so deep.
DEEPEST: Final = 300
#: Characters looked at in one go: no call into C keeps other threads waiting for long.
PIECE: Final = 1 << 18

_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_REST: Final = bytes(octet for octet in range(256) if octet not in b'[]{}"')
_QUOTED: Final = re.compile(rb'"[^"]*(?:"|$)')
_BACKSLASHES: Final = re.compile(r"\\*")


def check_depth(text: str) -> None:
    """Raises ValueError for a JSON text nested deeper than `DEEPEST` levels. Other faults are left to the reader."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth, quoted = 0, False
    for piece in _pieces(text):
        octets = piece.replace("\\\\", "").replace('\\"', "").encode("utf-8", "surrogatepass")
        bare = (b'"' if quoted else b"") + octets.translate(None, _REST)
        quoted = bare.count(b'"') % 2 == 1
        brackets = _QUOTED.sub(b"", bare.replace(b'""', b""))
        levels = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
        if max(levels) > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
        depth = levels[-1]


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces, none of which ends between a backslash and what it escapes."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if text[end - 1 : end] == "\\":
            run = _BACKSLASHES.match(text, end)
            assert run is not None
            end = run.end() + 1
        yield text[start:end]
        start = end
