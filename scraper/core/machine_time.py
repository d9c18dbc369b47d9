"""Seconds that cannot be set: the machine's own clock, and which boot of which machine it counts in.

The wall clock can be set by a person, by NTP or by a virtual machine's host; a duration measured with it is wrong
then. The machine's clock only counts, in suspend too, from a moment that differs with every boot. So its value means
something only together with the boot's identity.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Machine", "boot_of_linux", "this_machine"]

#: Where Linux says which boot this is, and which time namespace the process is in: each has its own zero.
BOOT_ID, TIME_NAMESPACE = "/proc/sys/kernel/random/boot_id", "/proc/self/ns/time"
#: What macOS calls its boot's identity.
BOOT_SESSION = b"kern.bootsessionuuid"


class Machine(NamedTuple):
    """`seconds()` count from some moment of the boot, in suspend too. `boot` is the boot's identity; None: not known."""

    seconds: Callable[[], float]
    boot: str | None


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC_RAW on macOS; elsewhere Python's monotonic clock in an unknown boot."""
    on_mac = sys.platform == "darwin"
    of_mac: int | None = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    clock: int | None = of_mac if on_mac else getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return Machine(time.monotonic, None)
    try:
        time.clock_gettime(clock)
    except OSError:  # a sandbox that knows few clocks
        return Machine(time.monotonic, None)
    return Machine(_counter(clock), _boot_session() if on_mac else boot_of_linux(BOOT_ID, TIME_NAMESPACE))


def _counter(clock: int) -> Callable[[], float]:
    read = time.clock_gettime
    return lambda: read(clock)


def boot_of_linux(boot_id: str, namespace: str) -> str | None:
    """The boot by the kernel's file `boot_id`, with the inode of the time namespace; None where it cannot be read."""
    try:
        with open(boot_id, encoding="ascii") as file:
            boot = file.read().strip()
    except (OSError, ValueError):
        return None
    if not boot:
        return None
    try:
        return f"{boot}/{os.stat(namespace).st_ino}"
    except OSError:  # a kernel before 5.6 has no time namespaces
        return boot


def _boot_session() -> str | None:
    """The boot by macOS; None where it does not say."""
    import ctypes

    try:
        read = ctypes.CDLL(None).sysctlbyname
    except (OSError, AttributeError):
        return None
    text, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    if read(BOOT_SESSION, text, ctypes.byref(size), None, 0):
        return None
    return text.value.decode("ascii", "replace") or None
