"""Where the time of a run went."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["time_shares"]

#: Causes that are named.
CAUSES = 4


def time_shares(counters: Mapping[str, int]) -> dict[str, int]:
    """The largest shares of a run's time by cause, in percent, largest first; from the counters of the run."""
    spent = {name[5:]: n for name, n in counters.items() if name.startswith("time.")}
    total = sum(spent.values())
    most = sorted(spent, key=lambda cause: -spent[cause])[:CAUSES]
    percent = {cause: round(100 * spent[cause] / total) for cause in most} if total else {}
    return {cause: share for cause, share in percent.items() if share}
