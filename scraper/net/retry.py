"""Which failures are worth another try, how often, and when: tenacity decides, and nothing sleeps here.

A try that must wait is put back into the frontier with its due time (`Outcome.retry`); no worker holds it.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Mapping
from typing import Literal

from tenacity import (
    RetryCallState,
    Retrying,
    retry_all,
    retry_always,
    retry_if_exception,
    stop_after_attempt,
    stop_any,
    stop_never,
    wait_combine,
    wait_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from scraper.errors import FetchError

__all__ = [
    "GATEWAY_STATUSES",
    "RETRY_KINDS",
    "RETRY_STATUSES",
    "Fault",
    "RetryPolicy",
    "fault_of",
    "is_idempotent",
]

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
#: Kinds that are a host's fault, whatever it is asked for: no connection comes about.
HOST_KINDS = frozenset({"connect", "connect-timeout", "dns-timeout", "tls", "proxy"})
#: Statuses by which a gateway says that the server behind it does not answer (RFC 9110 sections 15.6.3 and 15.6.5).
GATEWAY_STATUSES = frozenset({502, 504})
#: Seconds until a host that went down is tried again, at least; then as long as it has been down already.
OUTAGE_LEAST = 1.0
#: Seconds until a domain that another worker has is asked for again, at least and at most.
HELD = (2.0, 20.0)
#: Methods a second time of which changes nothing on the server (RFC 9110 section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


#: Whose failure it may be: the "host" cannot be reached at all, or it leaves a "request" without an answer, which may
#: be the fault of that request. "spent": so it left one that may have arrived and must not be sent again.
Fault = Literal["host", "request", "spent"]


def fault_of(error: FetchError, method: str, *, answered: bool) -> Fault | None:
    """Whether a failure may be an outage of the host; `answered`: the head of an answer was there.

    A bad certificate never is.
    """
    if error.kind in HOST_KINDS:
        return None if _is_certificate(error) else "host"
    broke = error.kind == "connection" and not answered
    if broke or error.status in GATEWAY_STATUSES:
        return "request" if is_idempotent(method) else "spent"
    return None


def is_idempotent(method: str) -> bool:
    """Whether a second time changes nothing on the server."""
    return method in IDEMPOTENT


def _is_certificate(error: BaseException) -> bool:
    """Whether a certificate that was not accepted is below an error."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


class _Failure(Exception):
    """A try that failed, as tenacity looks at it: `kind` and `status` of the FetchError, the request's method.

    `asked`: the answer says when to come again.
    """

    def __init__(
        self, kind: str, status: int | None = None, method: str = "GET", *, asked: bool = False
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.method = method
        self.asked = asked

    @property
    def was_refused(self) -> bool:
        """Whether the server says that it did not take the request, which may then be repeated whatever it is."""
        return self.status in {429, 503} or (self.asked and 400 <= (self.status or 0) < 500)


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, _Failure):
        return False
    if error.kind == "http":
        return error.asked or error.status in RETRY_STATUSES
    return error.kind in RETRY_KINDS


def _is_safe(error: BaseException) -> bool:
    """Whether a second time changes nothing on the server: by its method, or because it did not take the first."""
    return isinstance(error, _Failure) and (error.method in IDEMPOTENT or error.was_refused)


class _StopSooner(stop_base):
    """Fewer tries for some kinds of failure."""

    def __init__(self, tries: Mapping[str, int]) -> None:
        self._stops = {kind: stop_after_attempt(number) for kind, number in tries.items()}

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        stop = self._stops.get(error.kind) if isinstance(error, _Failure) else None
        return stop is not None and stop(retry_state)


class _WaitDrawn(wait_base):
    """tenacity's `wait_random`, drawn from a generator that a seed makes repeatable."""

    def __init__(self, least: float, most: float, source: random.Random) -> None:
        self._least, self._most, self._source = least, most, source

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._source.uniform(self._least, self._most)


class RetryPolicy:
    """Exponential backoff with jitter: 1, 2, 4 … seconds plus up to one, at most `retries` further tries.

    Three tenacity objects decide: `fetches` (what failed on the way), `verdicts` (what a callback wants again) and
    `domains` (that said "later"). Each is asked for its answer and never runs anything, so nothing sleeps. `seed`
    makes the jitter repeatable (simulation).
    """

    def __init__(
        self, retries: int, *, initial: float = 1.0, longest: float = 120.0, seed: int | None = None
    ) -> None:
        self._source = source = random.Random(seed)
        tries = stop_after_attempt(retries + 1)
        wait = wait_combine(
            wait_exponential(multiplier=initial, max=longest), _WaitDrawn(0, min(1.0, initial), source)
        )
        self._fetches = Retrying(
            retry=retry_all(retry_if_exception(_may_pass), retry_if_exception(_is_safe)),
            stop=stop_any(tries, _StopSooner(FEWER_TRIES)),
            wait=wait,
        )
        self._verdicts = Retrying(retry=retry_always, stop=tries, wait=wait)
        self._domains = Retrying(retry=retry_always, stop=stop_never, wait=wait)
        self._holders = Retrying(retry=retry_always, stop=stop_never, wait=_WaitDrawn(*HELD, source))

    def delay(
        self,
        attempt: int,
        *,
        kind: str,
        status: int | None = None,
        method: str = "GET",
        asked: bool = False,
    ) -> float | None:
        """Seconds until the next try after `attempt` tries (1 = the first failed), None when there is none.

        `asked`: an error that says when to come again (Retry-After) may pass, whatever its status.
        """
        return _decide(self._fetches, attempt, _Failure(kind, status, method, asked=asked))

    def backoff(self, attempt: int) -> float | None:
        """The wait after `attempt` tries, whatever their reason; None when the tries are used up."""
        return _decide(self._verdicts, attempt, _Failure("retry"))

    def held(self) -> float:
        """The wait for a domain that another worker has; at random, so that two who wait for each other do not
        come back together for ever.
        """
        return _decide(self._holders, 1, _Failure("domain-held")) or 0.0

    def outage(self, lasted: float, longest: float) -> float:
        """The wait of a host that has been down for `lasted` seconds: half as long again, up to `longest`."""
        return min(longest, max(OUTAGE_LEAST, lasted / 2)) * self._source.uniform(1.0, 1.2)

    def pause(self, attempt: int) -> float:
        """The wait of a whole domain that said "later" this many times in a row; it never runs out."""
        return _decide(self._domains, attempt, _Failure("http")) or 0.0


def _decide(policy: Retrying, attempt: int, failure: _Failure) -> float | None:
    """What a policy says after `attempt` tries, the last of which ended with `failure`: how long to wait, or None."""
    state = RetryCallState(policy, None, (), {})
    state.attempt_number = attempt
    state.set_exception((_Failure, failure, None))
    if not policy.retry(state) or policy.stop(state):
        return None
    return float(policy.wait(state))
