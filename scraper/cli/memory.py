"""The memory of a process that crawls and then ends: its garbage collector and its allocator.

Both are settings of the whole process. In a program of somebody else they are theirs, so only the command line comes here.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["undisturbed"]

#: New objects between two looks at the youngest; and looks between two at older ones. A page of a crawl is freed
#: without the collector, which has cycles of errors and tasks left to find.
THRESHOLDS: Final = (10_000, 20, 20)
#: glibc's names (mallopt(3)): free octets at the top of the heap that are kept, and from which size a block is mapped
#: by itself. A page's tree takes half a megabyte. By default it is given back and faulted in again for every page,
#: which costs as much as a tenth of parsing it.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEPT: Final = 4 << 20


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
        _keep_pages()


def _keep_pages() -> None:
    """Tell glibc to keep some free memory. Other allocators have no such switch, and need none of ours."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_TRIM_THRESHOLD, KEPT)
            mallopt(M_MMAP_THRESHOLD, KEPT)
