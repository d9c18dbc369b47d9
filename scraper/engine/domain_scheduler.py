"""Which domain may go now: a heap of domains ordered by when they are ready, and bounded batches of requests.

Choosing is synchronous and never waits: `pick` answers with a lane whose domain may be sent to at this instant,
or with nothing. Taking the next URL first and then waiting for its domain would let one slow host starve all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import count

from scraper.core.models import DomainLease, QueuedRequest
from scraper.politeness import Domain, SharedRate

__all__ = ["MOST_HELD", "Lane", "Schedule"]

#: Requests of one lane in memory: what its rate needs in so many seconds, within these bounds; and about so many
#: of all lanes.
BATCH_SECONDS, BATCH_LEAST, BATCH_MOST, MOST_HELD = 4.0, 8, 128, 8192


class Lane:
    """A leased domain: its lease, its politeness state, and the batch of requests claimed under it.

    `since` is the loop time it was taken at, `deadline` the machine time (`Clock.unix`: it goes on in suspend) after which
    nothing may be sent; `open_visits` counts visits not committed, `committing` those that are being committed; `dry` says
    the frontier had no more at the last look, `more_at` from when (loop time) it may again; `leaving` that the domain is
    given back as soon as nothing is under way, for others to have their turn.
    """

    __slots__ = (
        "committing",
        "deadline",
        "domain",
        "dry",
        "entry",
        "lease",
        "leaving",
        "lost",
        "more_at",
        "open_visits",
        "queue",
        "refilling",
        "since",
    )

    def __init__(self, lease: DomainLease, domain: Domain, deadline: float, since: float = 0.0) -> None:
        self.lease = lease
        self.since = since
        self.domain = domain
        self.deadline = deadline
        self.queue: deque[QueuedRequest] = deque(lease.requests)
        self.open_visits = self.committing = 0
        self.dry = False
        self.refilling = False
        self.lost = self.leaving = False
        self.more_at: float | None = None
        self.entry: tuple[float, int] | None = None

    @property
    def name(self) -> str:
        return self.lease.domain

    @property
    def idle(self) -> bool:
        """Nothing held, nothing under way: the lease can be given back."""
        return not self.queue and not self.open_visits and not self.refilling


class Schedule:
    """The lanes of this process and the heap that orders them.

    Invariant: a lane has a valid heap entry if and only if it holds requests, its domain has room, and its
    lease was not lost. `offer` restores that after any change; outdated entries are skipped when met. Where there is
    a rate of all domains together (`total`), nothing is picked before its time; then the domain that was ready first.
    """

    def __init__(self, total: SharedRate | None = None) -> None:
        self._total = total
        self.lanes: dict[str, Lane] = {}
        self._held = 0
        self._changed: dict[Lane, None] = {}
        self._heap: list[tuple[float, int, Lane]] = []
        self._ticket = count()

    def add(self, lane: Lane) -> None:
        self.lanes[lane.name] = lane
        self._held += len(lane.queue)
        self.offer(lane)

    def remove(self, lane: Lane) -> None:
        if self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name]
            self._held -= len(lane.queue)
        lane.entry = None

    def put(self, lane: Lane, requests: Sequence[QueuedRequest]) -> None:
        """More requests to hold for a lane."""
        lane.queue.extend(requests)
        if self.lanes.get(lane.name) is lane:
            self._held += len(requests)

    def take(self, lane: Lane) -> QueuedRequest:
        """The next request of a lane that was picked."""
        if self.lanes.get(lane.name) is lane:
            self._held -= 1
        return lane.queue.popleft()

    def clear(self, lane: Lane) -> None:
        """Hold nothing for a lane any more."""
        if self.lanes.get(lane.name) is lane:
            self._held -= len(lane.queue)
        lane.queue.clear()

    def offer(self, lane: Lane) -> None:
        """Put a lane where its domain's `ready_at` says, or out of the heap."""
        if not lane.queue or lane.lost or not lane.domain.has_room():
            lane.entry = None
            return
        at = lane.domain.ready_at
        if lane.entry is None or lane.entry[0] != at:
            lane.entry = (at, next(self._ticket))
            heappush(self._heap, (*lane.entry, lane))

    def pick(self, now: float) -> Lane | None:
        """A lane whose domain may be sent to now. The caller takes its first request and offers it again."""
        if self._total is not None and self._total.next_at > now:
            return None
        while self._heap:
            at, ticket, lane = self._heap[0]
            if lane.entry != (at, ticket):
                heappop(self._heap)
            elif lane.domain.ready_at > at or not lane.domain.has_room():
                heappop(self._heap)
                lane.entry = None
                self.offer(lane)
            elif at <= now:
                heappop(self._heap)
                lane.entry = None
                if lane.domain.is_open(now):
                    return lane
                self.offer(lane)  # its hours are over: it stands where the next ones begin
            else:
                return None
        return None

    def next_at(self) -> float | None:
        """The loop time at which some lane may go; None when none will by itself."""
        if not self._heap:
            return None
        at = self._heap[0][0]
        return at if self._total is None else max(at, self._total.next_at)

    def batch(self, lane: Lane) -> int:
        """How many requests to hold for a lane: enough for some seconds at its domain's pace, and a share of all."""
        spacing = max(lane.domain.gap, lane.domain.pause)
        wanted = min(BATCH_MOST, BATCH_SECONDS / spacing) if spacing else BATCH_MOST
        return int(max(BATCH_LEAST, min(wanted, MOST_HELD // (len(self.lanes) or 1))))

    def is_hungry(self, lane: Lane) -> bool:
        """Whether a lane's batch runs low while the frontier may have more."""
        if lane.dry or lane.refilling or lane.lost or len(lane.queue) > BATCH_MOST // 4:
            return False
        return len(lane.queue) <= self.batch(lane) // 4

    def touch(self, lane: Lane) -> bool:
        """Note that a lane may need a refill or a release. True when it does."""
        if self.is_hungry(lane) or lane.idle or lane.domain.parked is not None:
            self.note(lane)
            return True
        return False

    def note(self, lane: Lane) -> None:
        """A lane needs looking after."""
        self._changed[lane] = None

    def changed(self) -> list[Lane]:
        """The lanes touched since the last call; so that looking after lanes costs nothing per idle lane."""
        lanes, self._changed = list(self._changed), {}
        return lanes

    def changed_any(self) -> bool:
        return bool(self._changed)

    def held(self) -> int:
        """Requests in memory that no visit has begun; counted, not summed up: it is asked with every decision."""
        return self._held

    def drop(self, lanes: Iterable[Lane]) -> None:
        """Leases that were lost: forget what was held under them; visits under way end fenced."""
        for lane in lanes:
            lane.lost = True
            self.clear(lane)
            self.remove(lane)
