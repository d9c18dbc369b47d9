"""The garbage collector of a process that crawls and then ends; in a program of somebody else it is theirs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["undisturbed"]

#: New objects between two looks at the youngest; and looks between two at older ones. A page of a crawl is freed
#: without the collector, which has cycles of errors and tasks left to find.
THRESHOLDS: Final = (10_000, 20, 20)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Import without looking for garbage, and never look at what was imported: it lives as long as the process."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.enable()
