"""The three times of a process: the loop's, the machine's, the wall's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from scraper.core.clock import Clock, Jump
from scraper.core.machine_time import Machine
from scraper.testing import VirtualLoop
from scraper.testing.virtual_time import EPOCH

HOUR = 3600.0


class World(VirtualLoop):
    """A machine that can be suspended, with a wall clock that can be set."""

    slept = shift = 0.0

    @property
    def machine(self) -> Machine:
        return Machine(lambda: 500.0 + self.time() + self.slept, "a boot")

    def wall(self) -> float:
        return super().wall() + self.slept + self.shift


@pytest.fixture
def world() -> Iterator[World]:
    loop = World()
    yield loop
    loop.close()


def passes(world: World, seconds: float) -> None:
    world.run_until_complete(asyncio.sleep(seconds))


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_stored_time_does_not_follow_the_wall_clock(world: World, shift: float) -> None:
    """T4: `unix` counts real seconds, `wall` what the wall clock says."""
    clock = Clock(world)
    world.shift = shift
    passes(world, 10)
    assert clock.unix() == pytest.approx(EPOCH + 10)
    assert clock.wall() == pytest.approx(EPOCH + 10 + shift)
    assert clock.jump() == Jump(0.0)
    assert clock.jump() is None


def test_a_suspend_is_seen_in_stored_time_alone(world: World) -> None:
    """T4: while the machine sleeps, `mono` stands still and `unix` goes on; what was due is due that much sooner."""
    clock = Clock(world)
    due = clock.to_unix(100.0)
    world.slept = 60.0
    assert (clock.mono(), clock.unix()) == (pytest.approx(0), pytest.approx(EPOCH + 60))
    assert clock.to_mono(due) == pytest.approx(40)
    assert clock.jump() == Jump(pytest.approx(60.0))
    assert clock.jump() is None


def test_a_frontier_gives_the_offset(world: World) -> None:
    """An anchored clock counts from the frontier's offset on, and converts both ways by it."""
    clock = Clock(world)
    clock.anchor(1000.0)
    assert clock.unix() == pytest.approx(1500)
    assert clock.to_mono(clock.to_unix(7.0)) == pytest.approx(7)
    assert clock.now().wall == pytest.approx(EPOCH)


def test_a_loop_with_its_own_wall_reads_no_real_time() -> None:
    """Under virtual time the machine is the loop itself, in a boot that is not known."""
    loop = VirtualLoop()
    try:
        clock = Clock(loop)
        assert clock.machine.boot is None
        assert (clock.unix(), clock.wall()) == (EPOCH, EPOCH)
    finally:
        loop.close()
