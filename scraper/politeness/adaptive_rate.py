"""`rate = "auto"`: how fast a domain may be asked, learned from how it answers.

Additive increase, multiplicative decrease, as TCP does it, with a memory of where it went wrong:

- it starts at one request per second and goes up by half with every good window, until something is refused;
- a good window is two seconds and four answers at least, with no error and with answers as quick as before;
- 429, 503 and time-outs halve the rate, once for all that were under way at the time;
- it then climbs in small steps to 85 % of the rate that was refused, stays, and tries more only now and then.

Only answers 2xx can raise the rate: errors are often quicker than pages. Nothing raises it above the cap.
"""

from __future__ import annotations

from statistics import median

__all__ = ["AutoRate"]

#: Requests per second at first, and at least (or the cap, where that is less).
START, LEAST = 1.0, 1 / 30
#: A window: seconds and answers at least.
WINDOW, ANSWERS = 2.0, 4
#: What a good window does to the rate before anything was refused, and after; and one step of the climb back,
#: as a share of the rate that was refused.
DOUBLING, GROWTH, STEP = 1.5, 1.1, 0.07
#: The share of the refused rate to stay at, and the seconds between two tries above it.
NEAR, PROBE = 0.85, 30.0
#: Answers that take so many times as long as they did (and `SLACK` seconds more) are no longer level; what that
#: does to the rate; and how quickly a site is forgiven for having become slower, per window.
SLOWER, SLACK, EASE, DRIFT = 2.0, 0.05, 0.8, 1.05
#: The rate is the limit only when it was used: by so much of it.
USED = 0.6


class AutoRate:
    """The adaptive rate of one domain. All times are the loop's.

    Invariants: `LEAST` or the cap ≤ `rate` ≤ `cap`; an answer to a request that was sent before the last change
    changes nothing, so that one refusal under way with many others halves the rate once. `ceiling` is the rate
    at which the site refused last, None while none is known; `why` says in words where the rate came from.
    """

    __slots__ = ("_answers", "_changed", "_level", "_refused", "_seconds", "_since", "_troubled", "cap",
                 "ceiling", "rate", "why")  # fmt: skip

    def __init__(self, cap: float, now: float) -> None:
        self.cap = cap
        self.rate = min(START, cap)
        self.ceiling: float | None = None
        self.why = "starts gently"
        self._refused = False
        self._level: float | None = None
        self._changed = now
        self._open(now)

    def restore(self, rate: float, ceiling: float | None, why: str) -> None:
        """Go on with what was learned before."""
        self.rate = min(self.cap, max(rate, min(LEAST, self.cap)))
        self.ceiling, self.why = ceiling, why
        self._refused = ceiling is not None

    def limit(self, cap: float) -> None:
        """Another cap."""
        self.cap = cap
        self.rate = min(self.rate, cap)

    def answered(self, sent: float, now: float, seconds: float, *, good: bool) -> bool:
        """An answer that is no refusal; `good` ones are 2xx and took `seconds`. True when the rate changed."""
        if sent < self._changed:
            return False
        self._answers += 1
        if good:
            self._seconds.append(seconds)
        if len(self._seconds) < ANSWERS or now - self._since < WINDOW:
            return False
        return self._judge(now)

    def refused(self, sent: float, now: float, why: str) -> bool:
        """A 429, a 503 or a time-out. True when the rate changed."""
        if sent < self._changed:
            return False
        self.ceiling, self._refused, self._changed = self.rate, True, now
        return self._set(max(self.rate / 2, min(LEAST, self.cap)), now, f"halved: {why}")

    def troubled(self) -> None:
        """Another error: this window is not a good one."""
        self._troubled = True

    def _judge(self, now: float) -> bool:
        """A window is over: up, down or as before."""
        typical = median(self._seconds)
        used = self._answers >= USED * self.rate * (now - self._since)
        troubled, level = self._troubled, self._level or typical
        self._level = min(typical, level * DRIFT)
        self._open(now)
        if typical > SLOWER * level + SLACK:
            why = f"eased: answers take {typical:.2f} s instead of {level:.2f} s"
            return self._set(max(self.rate * EASE, min(LEAST, self.cap)), now, why)
        if troubled or not used or self.rate >= self.cap:
            return False
        return self._grow(now)

    def _grow(self, now: float) -> bool:
        if self.ceiling is None:
            rate = self.rate * (GROWTH if self._refused else DOUBLING)
            return self._set(rate, now, "answers are level")
        if self.rate < 0.99 * (near := NEAR * self.ceiling):
            return self._set(min(self.rate + STEP * self.ceiling, near), now, "recovers")
        if now - self._changed < PROBE:
            return False
        rate = self.rate * GROWTH
        why = f"tries more than the {self.ceiling:.3g}/s that were refused"
        if rate > self.ceiling * GROWTH:
            self.ceiling = None
        return self._set(rate, now, why)

    def _set(self, rate: float, now: float, why: str) -> bool:
        # Three digits: the paces that are stored stay few.
        rate = min(self.cap, float(f"{rate:.3g}"))
        if rate == self.rate:
            return False
        self.rate, self.why, self._changed = rate, why, now
        self._open(now)
        return True

    def _open(self, now: float) -> None:
        self._since, self._answers, self._troubled = now, 0, False
        self._seconds: list[float] = []
