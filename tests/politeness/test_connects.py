"""Permits and connections: one permit for a connection and its request, and the gap at the server whatever becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.core.clock import Clock
from scraper.politeness import Politeness
from scraper.settings import Settings
from scraper.testing import run_virtual

GAP = 0.5


@dataclass(frozen=True)
class Plan:
    """One request: when it comes, whether an idle connection is there, how long connecting takes and whether it works,
    and how often the connection turns out to be closed before a byte could be written."""

    begins: float
    idle: bool
    seconds: float
    works: bool
    unsent: int
    answer: float


seconds = st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.7, 1.3])
plans = st.builds(
    Plan, st.sampled_from([0.0, 0.1, 0.5, 0.9, 2.0]), st.booleans(), seconds, st.booleans(),
    st.integers(0, 2), seconds,
)  # fmt: skip


async def send_all(requests: list[Plan], rate: str = "2/s") -> tuple[list[float], int]:
    """What reaches the server: requests and attempts to connect that failed; and how many requests were sent."""
    clock = Clock()
    limits = Settings.of(("test", {"rate": rate, "concurrency": 16}))
    domain = Politeness(limits, clock).domain("a.test")
    reached: list[float] = []
    sent = 0

    async def send(plan: Plan) -> None:
        nonlocal sent
        await asyncio.sleep(plan.begins)
        async with domain.turn() as turn:
            idle = plan.idle
            for attempt in range(plan.unsent + 1):
                if not idle:
                    await turn.connect()
                    began = clock.mono()
                    await asyncio.sleep(plan.seconds)
                    if not plan.works:
                        reached.append(began)
                        return
                await turn.permit()
                if attempt < plan.unsent:
                    turn.keep()
                    idle = False
                    continue
                reached.append(clock.mono())
                turn.mark_sent()
                sent += 1
                await asyncio.sleep(plan.answer)

    await asyncio.gather(*map(send, requests))
    return sorted(reached), sent


@given(st.lists(plans, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_w5_no_two_sends_or_failed_connects_are_closer_than_the_gap(requests: list[Plan]) -> None:
    """W5: whatever connects, fails, or turns out to be closed in between: n <= rate * W + 1 in every window."""
    reached, sent = run_virtual(send_all(requests))
    assert all(after - before >= GAP - 0.005 for before, after in pairwise(reached))
    assert sent == sum(plan.works or (plan.idle and not plan.unsent) for plan in requests)


def test_w5_an_unused_permit_is_for_the_next_attempt() -> None:
    """W5: a connection that was closed under its permit costs no second gap: 20 of 20 requests take 20 gaps, not 40."""
    stale = [Plan(0.0, True, 0.01, True, 1, 0.05) for _ in range(20)]
    reached, sent = run_virtual(send_all(stale))
    assert sent == 20
    assert reached[-1] <= 20 * GAP + 1


def test_w1_connections_and_their_requests_share_a_permit() -> None:
    """W1: twenty requests, each over a new connection that opens within the gap, take twenty gaps and no more."""
    fresh = [Plan(0.0, False, 0.02, True, 0, 0.05) for _ in range(20)]
    reached, _ = run_virtual(send_all(fresh))
    assert len(reached) == 20
    assert reached[-1] <= 19 * (GAP + 0.021) + 0.1


def test_w1_failed_connects_are_spaced_as_sends_are() -> None:
    """W1: three hundred attempts that are refused at once take three hundred gaps: 2 a second, not 288."""
    refused = [Plan(0.0, False, 0.0, False, 0, 0.0) for _ in range(300)]
    reached, _ = run_virtual(send_all(refused))
    assert len(reached) == 300
    assert all(after - before >= GAP - 0.005 for before, after in pairwise(reached))
