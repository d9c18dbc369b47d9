"""Outages: failures in a row that are the fault of a domain, not of the requests that met them."""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["PROBE_SECONDS", "RECOGNISED", "Outage"]

#: Failures in a row after which no answer can turn them into tries of their requests any more.
RECOGNISED: Final = 3
#: Seconds after which a request asks again whether it may probe a domain that another one probes.
PROBE_SECONDS: Final = 1.0
#: Requests whose uncounted tries are remembered.
MAX_OWED: Final = 10_000


class Outage:
    """What a domain's failures in a row say about it. Times are the loop's.

    A *row* is every failure since the last answer; none of them counts as a try of its request yet. It can end in two
    ways. An answer ends it: then the tries are owed, and count with the next failure of each request, unless the row
    was `is_confirmed` as an outage. Or the domain is parked.

    Invariants: `since` is the time of the first failure of the row, None without one; `is_down` (the domain is held and
    probed by one request at a time) and `is_confirmed` are False while `since` is None; an answer to what was sent
    before `since` ends nothing.
    """

    __slots__ = (
        "_assumed", "_known", "_owed", "_probe", "_row", "answered", "asking", "is_confirmed", "is_down",
        "since", "why", "witness",
    )  # fmt: skip

    def __init__(self) -> None:
        #: Origins that have answered.
        self.answered: set[str] = set()
        self._assumed = False
        self._known: frozenset[str] | None = None
        self._row: Counter[int] = Counter()
        self._owed: Counter[int] = Counter()
        self._probe: object | None = None
        self.since: float | None = None
        self.why = ""
        self.is_down = self.is_confirmed = False
        #: What the domain answered last: asked again, it tells a domain that is down from a single bad URL.
        self.witness: object | None = None
        #: The witness is being asked.
        self.asking = False

    @property
    def is_worth_keeping(self) -> bool:
        """Whether something of it would be lost with the domain's state."""
        return self.since is not None or bool(self._owed)

    @property
    def count(self) -> int:
        """Failures of the row."""
        return self._row.total()

    def assume(self, known: frozenset[str] | None) -> None:
        """The domain answered an earlier owner: these origins, or all where None is known of them."""
        self._assumed, self._known = True, known

    def has_answered(self, origin: str) -> bool:
        """Whether an origin of the domain has answered before: else it may never have existed."""
        if origin in self.answered:
            return True
        return self._assumed and (self._known is None or origin in self._known)

    def fail(self, now: float, request: int, why: str) -> int:
        """One more failure, of a request by its id; how many it has in the row."""
        if self.since is None:
            self.since = now
        self.why = why
        self._row[request] += 1
        return self._row[request]

    def go_down(self, *, confirmed: bool) -> None:
        """From now on the domain is held, and one request at a time probes it."""
        self.is_down = True
        self.is_confirmed = self.is_confirmed or confirmed

    def go_on(self, since: float, why: str) -> None:
        """An outage that an earlier owner knew of goes on."""
        if self.since is None:
            self.since, self.why, self.is_down, self.is_confirmed = since, why, True, True

    def answer(self, sent: float) -> float | None:
        """An answer to what was sent at `sent`: the row is over. Since when the domain was down, None if it was not."""
        if self.since is None or sent < self.since:
            return None
        since = self.since if self.is_confirmed else None
        if not self.is_confirmed:
            if len(self._owed) > MAX_OWED:
                self._owed.clear()
            self._owed.update(self._row)
        self.end()
        return since

    def end(self) -> None:
        """Forget the row."""
        self._row.clear()
        self.since, self.why, self._probe = None, "", None
        self.is_down = self.is_confirmed = False

    def is_suspect(self, request: int) -> bool:
        """Whether a request failed before while others were answered."""
        return request in self._owed

    def settle(self, request: int) -> int:
        """The tries that a request owes, which count now."""
        return self._owed.pop(request, 0) if self._owed else 0

    def settle_one(self, request: int) -> None:
        """One try less that a request owes."""
        if self._owed[request] <= 1:
            del self._owed[request]
        else:
            self._owed[request] -= 1

    def let_probe(self, turn: object) -> bool:
        """Whether this turn may probe the domain: one at a time does."""
        if self._probe is None:
            self._probe = turn
        return self._probe is turn

    def end_turn(self, turn: object) -> None:
        """A turn is over: another may probe."""
        if self._probe is turn:
            self._probe = None
