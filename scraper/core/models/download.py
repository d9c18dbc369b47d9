"""A file that was fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Download"]


@dataclass(frozen=True, slots=True)
class Download:
    """A file on this disk, complete. `name` is its path inside the files folder, as it is worth storing.

    `url` is where it came from after redirects, `size` counts its octets, `content_type` is what the server
    says it is.
    """

    path: Path
    name: str
    url: str
    size: int
    content_type: str
