"""Where the time of a run went."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["time_shares"]

#: Causes that are named, and what the others are called together.
CAUSES, OTHERS = 4, "other"


def time_shares(counters: Mapping[str, int]) -> dict[str, int]:
    """The largest shares of a run's time by cause, in percent, largest first; from the counters of the run.

    They add up to 100: causes beyond the fourth are one, and what rounding leaves goes to those that lost most by it.
    """
    spent = {name[5:]: n for name, n in counters.items() if name.startswith("time.") and n > 0}
    total = sum(spent.values())
    if not total:
        return {}
    most = sorted(spent, key=lambda cause: -spent[cause])
    exact = {cause: 100 * spent[cause] / total for cause in most[:CAUSES]}
    if len(most) > CAUSES:
        exact[OTHERS] = 100 * sum(spent[cause] for cause in most[CAUSES:]) / total
    percent = {cause: int(share) for cause, share in exact.items()}
    lost = sorted(exact, key=lambda cause: percent[cause] - exact[cause])
    for cause in lost[: 100 - sum(percent.values())]:
        percent[cause] += 1
    return {cause: share for cause, share in percent.items() if share}
