"""When this machine has nothing left for a further connection, file or thread: visits wait, and no site is blamed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from scraper.core.machine_limits import limit_errno, limit_sentence
from scraper.engine.common import Common
from scraper.engine.domain_scheduler import Lane

__all__ = ["MachineHold"]

#: Seconds until the next try, doubled with each further one in vain; and their most.
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0
#: Seconds without any page after which a person has to do something about it.
PATIENCE: Final = 300.0


class MachineHold:
    """How long nothing new is started because this machine has nothing left.

    Invariants: `until` (loop time) is at most `LONGEST_WAIT` ahead; the waits grow until a visit ends otherwise, which
    is also the sign that something is free again; after `PATIENCE` seconds without one the crawl stops, resumable.
    """

    def __init__(self, common: Common, stop: Callable[[str], None]) -> None:
        self._common = common
        self._stop = stop
        self._waits = 0
        #: When the first limit was met that no visit has passed since.
        self.since: float | None = None
        self.until = 0.0

    def met(self, lane: Lane, error: BaseException) -> float:
        """A visit met a limit. Returns when (loop time) it may be tried again.

        Where the ports towards one address are used up, its domain alone waits.
        """
        now = self._common.clock.mono()
        number = limit_errno(error)
        sentence = str(error) if number is None else limit_sentence(number)
        self._common.notices.warn_once("machine", f"{sentence}; until then visits wait, none is lost")
        if self.since is None:
            self.since = now
        elif now - self.since >= PATIENCE:
            self._stop(f"nothing was free for {PATIENCE / 60:.0f} minutes: {sentence}")
        if number == errno.EADDRNOTAVAIL:
            lane.domain.hold(now + LONGEST_WAIT, "limit of this machine")
            return now + LONGEST_WAIT
        if now >= self.until:  # those that were under way together count once
            self.until = now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._waits, 16))
            self._waits += 1
        return self.until

    def passed(self) -> None:
        """A visit ended otherwise: what it held is free."""
        self.since, self._waits, self.until = None, 0, 0.0
