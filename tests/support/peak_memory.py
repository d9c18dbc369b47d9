"""The most memory a stretch of work took, in KiB, by Linux's own count.

`ru_maxrss` does not tell: it begins with the most that this process, and the one that started it, ever had before,
so that work below that mark seems to take nothing.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["highest", "restart"]


def restart() -> int:
    """Forget the peak so far. Returns what is taken now."""
    Path("/proc/self/clear_refs").write_text("5")
    return highest()


def highest() -> int:
    """The most that was taken since `restart`, or since the process began."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
