"""Where a visit goes from a redirect: on inside the visit, on as a request of its own, or nowhere.

The target of a redirected GET has an identity like any URL. A target the run does not know becomes a request, in the
transaction that ends the one that led to it; one that is queued or has its page makes that one a duplicate. What is
left is followed inside the visit, as browsers do: the chain of a POST, of a request with an identity of its own, and a
target that ended without a page.

A chain that set a cookie which the URL asked for would now get asks for that URL once more instead of being a
duplicate: behind a cookie wall, every page redirects to the same place until the cookie is there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from scraper.core.models import Options, Outcome, QueuedRequest
from scraper.engine.context import Reading, Sending
from scraper.engine.domain_scheduler import Lane
from scraper.engine.redirects import Asked, Hop
from scraper.engine.visit_ending import Ending
from scraper.engine.visit_services import Control

__all__ = ["Chain", "Redirects", "Stored"]

#: Seconds after which a request comes back whose target another visit is fetching; doubled each time, so often.
WAIT, WAITS = 1.0, 6
#: Requests whose waits are counted.
COUNTED = 10_000
#: Statuses that send the client elsewhere for this once, as a site does with who is not logged in; so does a refresh.
TEMPORARY = frozenset({302, 303, 307})


class Stored:
    """The redirect ended the visit, and that is stored already."""


@dataclass(slots=True)
class Chain:
    """The redirects one task follows: the hop it began with, the cookies that was sent with, and all it asked for.

    `again`: the first hop was asked once more.
    """

    first: Hop
    cookies: str = ""
    asked: set[Asked] = field(default_factory=set)
    again: bool = False


class Redirects:
    """Decides for the visits of one crawl."""

    def __init__(self, sending: Sending, reading: Reading, control: Control) -> None:
        self._sending = sending
        self._reading = reading
        self._control = control
        self._waits: Counter[int] = Counter()

    async def leave(
        self, lane: Lane, ending: Ending, chain: Chain, hop: Hop, status: int, asked: float = 0.0
    ) -> Hop | Outcome | QueuedRequest | Stored | None:
        """Where a chain goes that redirects to `hop`.

        None: it is followed. A hop: that is asked instead. An outcome ends the visit, `Stored` has ended it. A request
        was taken in place of the visit's own, and the visit goes on with it. The redirect `asked` not to be followed
        before that time (unix): then the target is a request that waits in the queue.
        """
        request, links = ending.request, self._reading.links
        target = replace(links.target(request, hop), not_before=asked)
        at_home = target.domain == request.domain
        if not links.in_scope(hop.parts, target.seed) and (request.depth or not at_home):
            return Outcome.skipped("out-of-scope", f"redirects to {hop.url}", status)
        if not self._has_identity(request, target, status):
            return self._onward(ending, hop, target, status)
        again = self._changed(chain)
        duplicate = Outcome.skipped("duplicate", f"duplicate of {target.url}", status)
        landing = await self._control.move(
            lane,
            ending.done(Outcome.moved(target, status)),
            None if again else ending.done(duplicate, links=(target,)),
        )
        match landing.fate:
            case "new":
                return landing.request or Stored()
            case "duplicate":
                return Stored()
            case "seen" | "taken" if again:
                chain.again = True
                return chain.first
            case "taken" if (later := self._later(request, target)) is not None:
                return later
            case _:
                return self._onward(ending, hop, target, status)

    def _has_identity(self, request: QueuedRequest, target: QueuedRequest, status: int) -> bool:
        """Whether the target counts as a request of its own. A spider that checks pages sees every detour."""
        if (status in TEMPORARY or status < 300) and self._reading.definition.checks:
            return False
        return (
            _is_shared_get(request.options)
            and _is_shared_get(target.options)
            and target.fingerprint != request.fingerprint
        )

    def _onward(self, ending: Ending, hop: Hop, target: QueuedRequest, status: int) -> Outcome | None:
        """Inside the visit; into another domain, and where it must wait, as a request that no other equals."""
        request = ending.request
        if target.domain == request.domain and not target.not_before:
            ending.request = replace(request, seed=target.seed)  # a start takes its target into scope
            return None
        alone = self._reading.links.target(request, hop, salted=True)
        return Outcome.moved(replace(alone, not_before=target.not_before), status)

    def _changed(self, chain: Chain) -> bool:
        """Whether the URL the chain began with would now be sent with other cookies than it was."""
        first = chain.first
        return (
            not chain.again
            and self._sending.identity.cookies_for(first.parts, first.options) != chain.cookies
        )

    def _later(self, request: QueuedRequest, target: QueuedRequest) -> Outcome | None:
        """Back into the queue while another visit is at the target; None when that has gone on for too long."""
        waits = self._waits.pop(request.id, 0)
        if waits >= WAITS:  # two that redirect to each other would wait for ever
            return None
        if len(self._waits) >= COUNTED:
            self._waits.clear()
        self._waits[request.id] = waits + 1
        at = self._sending.common.clock.unix() + WAIT * 2**waits
        return Outcome.retry(at, "waiting", f"redirects to {target.url}, which is being fetched")


def _is_shared_get(options: Options) -> bool:
    """Whether equal requests are one: a GET without an identity of its own."""
    return options.method == "GET" and not options.dont_filter and options.unique is None
