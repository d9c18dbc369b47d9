"""Which failures are worth another try, and when. tenacity supplies the arithmetic, nobody sleeps here.

A try that must wait is put back into the frontier with its due time (`Outcome.retry`); no worker holds it.
"""

from __future__ import annotations

import random
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential_jitter

__all__ = ["RETRY_KINDS", "RETRY_STATUSES", "RetryPolicy", "retry_after"]

#: Kinds of FetchError that may pass by themselves.
RETRY_KINDS = frozenset(
    {
        "dns-timeout",
        "dns",
        "connect",
        "connect-timeout",
        "timeout",
        "connection",
        "incomplete",
        "robots-unreachable",
        "domain-busy",
        "proxy",
        "domain-held",
    }
)
#: Tries for kinds that seldom heal within seconds, instead of `retries` + 1.
FEWER_TRIES = {"dns": 3}
#: Statuses that mean "later": RFC 9110 section 15.5.9, RFC 8470, RFC 6585 section 4, RFC 9110 section 15.6.
RETRY_STATUSES = frozenset({408, 425, 429}) | frozenset(range(500, 600)) - {501, 505}
#: Seconds until a domain that another worker has is asked for again, at least and at most.
HELD = (2.0, 20.0)
#: Methods a second time of which changes nothing on the server (RFC 9110 section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

_IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


class RetryPolicy:
    """Exponential backoff with jitter: 1, 2, 4 … seconds plus up to one, at most `retries` further tries.

    `seed` makes the jitter repeatable (simulation).
    """

    def __init__(
        self, retries: int, *, initial: float = 1.0, longest: float = 120.0, seed: int | None = None
    ) -> None:
        self._random = random.Random(seed)
        self._jitter = min(1.0, initial)
        self._retrying = Retrying(
            stop=stop_after_attempt(retries + 1),
            wait=wait_exponential_jitter(initial=initial, max=longest, jitter=0),
        )

    def delay(
        self, attempt: int, *, kind: str, status: int | None = None, method: str = "GET"
    ) -> float | None:
        """Seconds until the next try after `attempt` tries (1 = the first failed), None when there is none."""
        if method not in IDEMPOTENT and status not in {429, 503}:
            return None
        if kind == "http" and status not in RETRY_STATUSES:
            return None
        if kind not in RETRY_KINDS and kind != "http":
            return None
        if attempt >= FEWER_TRIES.get(kind, attempt + 1):
            return None
        return self.backoff(attempt)

    def backoff(self, attempt: int) -> float | None:
        """The wait after `attempt` tries, whatever their reason; None when the tries are used up."""
        if self._retrying.stop(state := self._state(attempt)):
            return None
        return self._wait(state)

    def held(self) -> float:
        """The wait for a domain that another worker has; at random, so that two who wait for each other do not
        come back together for ever.
        """
        return self._random.uniform(*HELD)

    def pause(self, attempt: int) -> float:
        """The wait of a whole domain that said "later" so many times in a row; it never runs out."""
        return self._wait(self._state(attempt))

    def _state(self, attempt: int) -> RetryCallState:
        state = RetryCallState(self._retrying, None, (), {})
        state.attempt_number = attempt
        return state

    def _wait(self, state: RetryCallState) -> float:
        return float(self._retrying.wait(state)) + self._random.uniform(0, self._jitter)


def retry_after(value: str | None, now: float) -> float | None:
    """The unix time a Retry-After header names (RFC 9110 section 10.2.3), None when it names none.

    Only what the grammar allows is read: digits, or an IMF-fixdate. A date in the past is now; a number
    beyond every calendar is infinity, which no caller waits for.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return now + float(text) if len(text) < 16 else float("inf")
    if _IMF_FIXDATE.fullmatch(text):
        try:
            return max(now, parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp())
        except (ValueError, OverflowError):
            return None
    return None
