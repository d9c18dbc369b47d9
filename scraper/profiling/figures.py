"""What a profile says, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CallbackTime", "Durations", "Figures", "SelectorTime"]

#: Durations kept at most; beyond it every second one is thrown away, and from then on fewer are taken.
KEPT = 20_000


@dataclass(slots=True)
class CallbackTime:
    """One callback: `busy` are the seconds in which nothing else could run, `waited` those in which it awaited something.

    `place` is file:line. `longest` is the longest call, busy seconds, on the page `page`.
    """

    name: str
    place: str
    calls: int = 0
    busy: float = 0.0
    waited: float = 0.0
    longest: float = 0.0
    page: str = ""


@dataclass(slots=True)
class SelectorTime:
    """One selector at one place (file:line) of the author's code: seconds of CPU for all its calls, and for the longest."""

    place: str
    function: str
    call: str
    selector: str
    calls: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    page: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the time of a crawl went.

    `wall` and `cpu` are seconds of this process while the profile was on. `parts` maps a part to its seconds of CPU; what a
    part does for another counts for that one alone, so that they add up to `cpu`. `clock` maps what domains waited for to
    seconds of the clock. `transactions` are the seconds, by the clock, that the database's thread spent in them.
    `fetches` has the seconds from send to last byte: median, p95, longest.
    """

    pages: int
    wall: float
    cpu: float
    parts: Mapping[str, float]
    clock: Mapping[str, float]
    transactions: float
    fetches: Mapping[str, float]
    slowest_fetch: str
    callbacks: Sequence[CallbackTime]
    selectors: Sequence[SelectorTime]

    def plain(self) -> dict[str, Any]:
        """As dictionaries and lists, seconds rounded to microseconds."""
        return _rounded(asdict(self))  # type: ignore[no-any-return]  # a dict comes back as a dict


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value


class Durations:
    """Durations in bounded memory: exact up to KEPT, a regular sample beyond. The longest is always exact."""

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._every = 1
        self._seen = 0
        self.longest = 0.0
        self.whose = ""

    def add(self, seconds: float, whose: str) -> None:
        if seconds > self.longest:
            self.longest, self.whose = seconds, whose
        if self._seen % self._every == 0:
            self._kept.append(seconds)
            if len(self._kept) > KEPT:
                del self._kept[1::2]
                self._every *= 2
        self._seen += 1

    def shares(self) -> dict[str, float]:
        """Median, p95 and the longest; all 0 where there was none."""
        ordered = sorted(self._kept) or [0.0]
        return {
            "median": ordered[len(ordered) // 2],
            "p95": ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)],
            "longest": self.longest,
        }
