"""Lines on stdout and stderr with the standard library alone, for when click or another package is missing."""

from __future__ import annotations

from typing import TextIO

__all__ = ["one_line", "write_line"]


def one_line(text: str) -> str:
    """Text that cannot steer a terminal or forge a line: control characters become U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def write_line(text: str, stream: TextIO) -> None:
    """Write and flush; characters that the stream's encoding lacks become "?"."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
